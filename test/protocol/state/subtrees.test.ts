import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { partOf, rootOfSubtrees, type StateSubtree, subtreeOf } from '../../../protocol/state/subtrees.ts'
import { type StateLeaf, StateTree } from '../../../protocol/state/tree.ts'

const leafOf = (n: number): StateLeaf => ({
  keyHash: sha3(Uint8Array.of(n >> 8, n & 255)),
  valueHash: sha3(Uint8Array.of(9, n >> 8, n & 255)),
})
const sorted = (leaves: readonly StateLeaf[]): StateLeaf[] =>
  leaves.toSorted((a, b) => compareBytes(a.keyHash, b.keyHash))

function cut(leaves: readonly StateLeaf[], depth: number): StateSubtree[] {
  const parts: StateLeaf[][] = Array.from({ length: 2 ** depth }, () => [])
  for (const leaf of sorted(leaves)) parts[partOf(leaf.keyHash, depth)]?.push(leaf)
  return parts.map((part, i) => subtreeOf(part, depth, i) as StateSubtree)
}

describe('subtrees', () => {
  it('subtrees: at whatever depth a state is cut, its parts lead to the root of the whole tree', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 5000 }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 10 }),
        (numbers, depth) => {
          const leaves = numbers.map(leafOf)
          const tree = new StateTree()
          expect(rootOfSubtrees(cut(leaves, depth))).toEqual(tree.rootHash(tree.build(leaves)))
        },
      ),
    )
  })

  it('subtrees: a part that lacks a leaf, or has another, has another hash', () => {
    const leaves = Array.from({ length: 40 }, (_, i) => leafOf(i))
    const parts = cut(leaves, 2)
    const mine = sorted(leaves.filter(({ keyHash }) => partOf(keyHash, 2) === 1))
    expect(subtreeOf(mine, 2, 1)).toEqual(parts[1])
    expect(subtreeOf(mine.slice(1), 2, 1)).not.toEqual(parts[1])
    const changed = mine.map((leaf, i) => (i === 0 ? { ...leaf, valueHash: leafOf(77).valueHash } : leaf))
    expect(subtreeOf(changed, 2, 1)).not.toEqual(parts[1])
  })

  it('subtrees: leaves out of order, twice, or of another part make no part', () => {
    const [a, b] = sorted(
      Array.from({ length: 40 }, (_, i) => leafOf(i)).filter((leaf) => partOf(leaf.keyHash, 2) === 2),
    )
    if (a === undefined || b === undefined) throw new Error('too few leaves')
    expect(subtreeOf([a, b], 2, 2)).toBeDefined()
    expect(subtreeOf([b, a], 2, 2)).toBeUndefined()
    expect(subtreeOf([a, a], 2, 2)).toBeUndefined()
    expect(subtreeOf([a, b], 2, 1)).toBeUndefined()
  })

  it('subtrees: parts that are no power of two → RangeError', () => {
    expect(() => rootOfSubtrees([])).toThrow(RangeError)
    expect(() => rootOfSubtrees(cut([leafOf(1)], 2).slice(1))).toThrow(RangeError)
  })
})
