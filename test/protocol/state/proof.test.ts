import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../../protocol/bytes.ts'
import { CborError } from '../../../protocol/cbor.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { encodeEntry, keyHashOf, valueHashOf } from '../../../protocol/state/entry.ts'
import {
  bitOf,
  decodeStateProof,
  encodeStateProof,
  type StateProof,
  verifyKeyHash,
  verifyState,
} from '../../../protocol/state/proof.ts'
import { EMPTY_STATE, StateTree } from '../../../protocol/state/tree.ts'
import { smallKey, valueNumber } from './reference.ts'

const keyOf = (i: number): string => `kv/${i}`
const entryOf = (i: number): Uint8Array => encodeEntry({ height: i, value: Uint8Array.of(i & 255) })

/** A tree over the keys 0 … n − 1. */
function treeOf(n: number) {
  const tree = new StateTree()
  const leaves = Array.from({ length: n }, (_, i) => ({
    keyHash: keyHashOf(keyOf(i)),
    valueHash: valueHashOf(entryOf(i)),
  }))
  const root = tree.build(leaves)
  return { tree, root, stateRoot: tree.rootHash(root) }
}

describe('state proof', () => {
  it('presence and absence are proved, through the encoding, and never the contrary', () => {
    for (const n of [0, 1, 2, 3, 10, 100]) {
      const { tree, root, stateRoot } = treeOf(n)
      for (let i = 0; i < n + 20; i++) {
        const proof = decodeStateProof(encodeStateProof(tree.prove(root, keyHashOf(keyOf(i)))))
        expect(verifyState(stateRoot, keyOf(i), i < n ? entryOf(i) : null, proof)).toBe(true)
        expect(verifyState(stateRoot, keyOf(i), i < n ? null : entryOf(i), proof)).toBe(false)
        expect(verifyState(stateRoot, keyOf(i), entryOf(i + 1), proof)).toBe(false)
        expect(verifyState(stateRoot, keyOf(i + 1000), entryOf(i), proof)).toBe(false)
      }
    }
  })

  it('keys with many bits in common are proved present and absent', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 300 }), { maxLength: 40 }), fc.nat({ max: 300 }), (keys, asked) => {
        const tree = new StateTree()
        const root = tree.build(keys.map((key) => ({ keyHash: smallKey(key), valueHash: valueNumber(key) })))
        const proof = tree.prove(root, smallKey(asked))
        const present = keys.includes(asked)
        const check = (value: Uint8Array | null) => verifyKeyHash(tree.rootHash(root), smallKey(asked), value, proof)
        expect(check(present ? valueNumber(asked) : null)).toBe(true)
        expect(check(present ? null : valueNumber(asked))).toBe(false)
      }),
    )
  })

  it('a proof with any byte changed → refused by the decoder or the verifier', () => {
    const { tree, root, stateRoot } = treeOf(40)
    for (const [i, entry] of [
      [3, entryOf(3)],
      [40, null],
      [41, null],
      [42, null],
      [43, null],
    ] as const) {
      const whole = encodeStateProof(tree.prove(root, keyHashOf(keyOf(i))))
      for (let at = 0; at < whole.length; at++)
        for (const flip of [1, 0x20, 0x80, 0xff]) {
          const spoiled = whole.map((byte, j) => (j === at ? byte ^ flip : byte))
          let proof: StateProof
          try {
            proof = decodeStateProof(spoiled)
          } catch (error) {
            expect(error).toBeInstanceOf(CborError)
            continue
          }
          expect(verifyState(stateRoot, keyOf(i), entry, proof)).toBe(false)
        }
    }
  })

  it('an entry, key or root with any byte changed → refused', () => {
    const { tree, root, stateRoot } = treeOf(9)
    const proof = tree.prove(root, keyHashOf(keyOf(4)))
    const flipped = (data: Uint8Array, at: number) => data.map((byte, j) => (j === at ? byte ^ 1 : byte))
    for (let at = 0; at < entryOf(4).length; at++)
      expect(verifyState(stateRoot, keyOf(4), flipped(entryOf(4), at), proof)).toBe(false)
    for (let at = 0; at < 32; at++) expect(verifyState(flipped(stateRoot, at), keyOf(4), entryOf(4), proof)).toBe(false)
    expect(verifyState(new Uint8Array(0), keyOf(4), entryOf(4), proof)).toBe(false)
  })

  it('the empty state proves every absence by nothing, and only by nothing', () => {
    const zero = new Uint8Array(32)
    const other = { keyHash: smallKey(1), valueHash: valueNumber(1) }
    expect(new StateTree().prove(EMPTY_STATE, smallKey(2))).toEqual({ siblings: [], other: null })
    expect(verifyState(zero, 'a', null, { siblings: [], other: null })).toBe(true)
    expect(verifyState(zero, 'a', null, { siblings: [zero], other: null })).toBe(false)
    expect(verifyState(zero, 'a', null, { siblings: [], other })).toBe(false)
  })

  describe('shapes that no tree has → refused, though the hashes add up', () => {
    const zero = new Uint8Array(32)
    const tree = new StateTree()
    const key = smallKey(1)
    const value = valueNumber(1)
    const single = tree.rootHash(tree.build([{ keyHash: key, valueHash: value }]))

    it('a leaf named as the other key of itself', () => {
      expect(verifyKeyHash(single, key, null, { siblings: [], other: { keyHash: key, valueHash: value } })).toBe(false)
      expect(verifyKeyHash(single, key, value, { siblings: [], other: { keyHash: key, valueHash: value } })).toBe(false)
      expect(verifyKeyHash(single, key, value, { siblings: [], other: null })).toBe(true)
    })

    it('an other key that does not lead to the place', () => {
      const two = tree.build([1, 2].map((i) => ({ keyHash: smallKey(i), valueHash: valueNumber(i) })))
      const proof = tree.prove(two, smallKey(1))
      const moved = { ...proof, other: { keyHash: smallKey(2), valueHash: valueNumber(2) } }
      expect(verifyKeyHash(tree.rootHash(two), smallKey(1), null, moved)).toBe(false)
      // A tree that keeps a leaf on the wrong side, where its own key would never find it.
      const astray = key.with(0, (key[0] as number) ^ 0x80)
      const leaf = sha3(concat(Uint8Array.of(0), astray, value))
      const halves = bitOf(key, 0) === 0 ? [leaf, value] : [value, leaf]
      const root = sha3(concat(Uint8Array.of(1), ...halves))
      const other = { keyHash: astray, valueHash: value }
      expect(verifyKeyHash(root, key, null, { siblings: [value], other })).toBe(false)
    })

    it('more than 256 siblings, siblings or hashes of another length, a lone surrogate in the key', () => {
      const siblings = Array.from({ length: 257 }, () => value)
      expect(() => encodeStateProof({ siblings, other: null })).toThrow(CborError)
      expect(verifyKeyHash(single, key, value, { siblings, other: null })).toBe(false)
      expect(verifyKeyHash(single, key, value, { siblings: [value.subarray(1)], other: null })).toBe(false)
      const short = { keyHash: smallKey(2).subarray(1), valueHash: value }
      expect(verifyKeyHash(single, key, null, { siblings: [], other: short })).toBe(false)
      expect(verifyState(zero, '\udc00', null, { siblings: [], other: null })).toBe(false)
    })

    it('a branch over one leaf or none, an absence at depth 256', () => {
      // Roots made by hand, as a member that builds its tree wrongly would have them.
      const branch = (inner: Uint8Array, depth: number, sibling: Uint8Array) =>
        sha3(
          bitOf(key, depth) === 0 ? concat(Uint8Array.of(1), inner, sibling) : concat(Uint8Array.of(1), sibling, inner),
        )
      const check = (root: Uint8Array, valueHash: Uint8Array | null, siblings: Uint8Array[]) =>
        verifyKeyHash(root, key, valueHash, { siblings, other: null })
      expect(check(branch(single, 0, zero), value, [zero])).toBe(false)
      expect(check(branch(zero, 0, zero), null, [zero])).toBe(false)
      expect(check(branch(single, 0, value), value, [value])).toBe(true)
      expect(check(branch(branch(single, 1, value), 0, zero), value, [zero, value])).toBe(true)
      expect(check(branch(branch(single, 1, zero), 0, value), value, [value, zero])).toBe(false)
      const siblings = Array.from({ length: 256 }, () => value)
      const deep = (inner: Uint8Array) =>
        siblings.reduceRight((hash, sibling, depth) => branch(hash, depth, sibling), inner)
      expect(check(deep(single), value, siblings)).toBe(true)
      expect(check(deep(zero), null, siblings)).toBe(false)
    })
  })
})
