import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, equalBytes } from '../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { sha3, sha256 } from '../../protocol/crypto.ts'
import {
  consistencyProof,
  inclusionProof,
  inclusionRoot,
  merkleRoot,
  transactionProof,
  transactionProofCodec,
  treesRoot,
  verifyConsistency,
  verifyInclusion,
  verifyTransaction,
} from '../../protocol/merkle.ts'

const vectors = join(process.env['ALTHING_DATA'] ?? '../shared/data', 'merkle-rfc6962', 'inclusion')

/** MTH of RFC 9162 §2.1.1, word for word. */
function naiveRoot(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array(0))
  if (leaves.length === 1) return sha256(concat(Uint8Array.of(0), leaves[0] as Uint8Array))
  const k = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1)
  return sha256(concat(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k))))
}

const leavesOf = (n: number): Uint8Array[] =>
  Array.from({ length: n }, (_, i) => sha256(Uint8Array.of(i & 255, i >> 8)))

/** Every copy of `proof` with one bit flipped somewhere, one item left out, twice or added. */
function* spoiled(proof: Uint8Array[]): Generator<Uint8Array[]> {
  for (let i = 0; i < proof.length; i++) {
    for (let at = 0; at < 32; at++)
      yield proof.map((hash, j) => hash.map((byte, k) => (j === i && k === at ? byte ^ 1 : byte)))
    yield proof.toSpliced(i, 1)
    yield proof.toSpliced(i, 0, proof[i] as Uint8Array)
    yield proof.with(i, (proof[i] as Uint8Array).subarray(0, 31))
  }
  yield [...proof, new Uint8Array(32)]
  yield [new Uint8Array(32), ...proof]
}

describe('merkle', () => {
  it('the root equals the definition of RFC 9162 for 0 to 70 leaves', () => {
    for (let n = 0; n <= 70; n++) expect(merkleRoot(sha256, leavesOf(n))).toEqual(naiveRoot(leavesOf(n)))
  })

  it('no leaves → the hash of nothing', () => {
    expect(merkleRoot(sha256, [])).toEqual(sha256(new Uint8Array(0)))
    expect(treesRoot([])).toEqual(sha3(new Uint8Array(0)))
  })

  it('each leaf of trees of 1 to 34 is proved at its place and at no other place or size', () => {
    for (let n = 1; n <= 34; n++) {
      const leaves = leavesOf(n)
      const root = merkleRoot(sha256, leaves)
      for (let i = 0; i < n; i++) {
        const proof = inclusionProof(sha256, leaves, i)
        const data = leaves[i] as Uint8Array
        for (let j = 0; j <= n; j++) expect(verifyInclusion(sha256, data, j, n, proof, root)).toBe(i === j)
        expect(verifyInclusion(sha256, leavesOf(n + 1)[n] as Uint8Array, i, n, proof, root)).toBe(false)
      }
    }
  })

  it('an inclusion proof with any byte changed, or another length → refused', () => {
    for (const [n, i] of [
      [1, 0],
      [2, 1],
      [7, 6],
      [13, 3],
    ] as const) {
      const leaves = leavesOf(n)
      const root = merkleRoot(sha256, leaves)
      for (const proof of spoiled(inclusionProof(sha256, leaves, i)))
        expect(verifyInclusion(sha256, leaves[i] as Uint8Array, i, n, proof, root)).toBe(false)
    }
  })

  it('every beginning of trees of 0 to 26 is proved consistent, and with no other size', () => {
    for (let n = 0; n <= 26; n++) {
      const leaves = leavesOf(n)
      const root = merkleRoot(sha256, leaves)
      for (let m = 0; m <= n; m++) {
        const first = merkleRoot(sha256, leaves.slice(0, m))
        const proof = consistencyProof(sha256, leaves, m)
        for (let other = 0; other <= n; other++)
          expect(verifyConsistency(sha256, other, n, first, root, proof)).toBe(other === m)
      }
    }
  })

  it('a consistency proof with any byte changed, another length, or exchanged roots → refused', () => {
    for (const [m, n] of [
      [1, 2],
      [4, 7],
      [6, 8],
      [3, 13],
      [8, 8],
      [0, 5],
    ] as const) {
      const leaves = leavesOf(n)
      const root = merkleRoot(sha256, leaves)
      const first = merkleRoot(sha256, leaves.slice(0, m))
      const honest = consistencyProof(sha256, leaves, m)
      for (const proof of spoiled(honest)) expect(verifyConsistency(sha256, m, n, first, root, proof)).toBe(false)
      if (m !== n) expect(verifyConsistency(sha256, m, n, root, first, honest)).toBe(false)
      for (let at = 0; at < 32; at++) {
        const flip = (hash: Uint8Array) => hash.with(at, (hash[at] as number) ^ 1)
        expect(verifyConsistency(sha256, m, n, flip(first), root, honest)).toBe(false)
        // From nothing any log grows: only there the later root is not the proof's concern.
        expect(verifyConsistency(sha256, m, n, first, flip(root), honest)).toBe(m === 0)
      }
    }
  })

  it('hostile sizes, positions and proofs → refused, never thrown', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger()),
        fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger()),
        fc.array(fc.uint8Array({ maxLength: 33 }), { maxLength: 70 }),
        (a, b, proof) => {
          const root = new Uint8Array(32)
          expect(verifyInclusion(sha256, root, a, b, proof, root)).toBe(false)
          if (a > 0 && a !== b) expect(verifyConsistency(sha256, a, b, root, root, proof)).toBe(false)
        },
      ),
    )
  })

  it('no proof is built for a leaf or a beginning that is not there → RangeError', () => {
    expect(() => inclusionProof(sha256, leavesOf(3), 3)).toThrow(RangeError)
    expect(() => inclusionProof(sha256, leavesOf(3), 0.5)).toThrow(RangeError)
    expect(() => consistencyProof(sha256, leavesOf(3), 4)).toThrow(RangeError)
  })

  it.skipIf(!existsSync(vectors))(
    'inclusion vectors of transparency-dev/merkle (skipped where ../shared/data/merkle-rfc6962 is absent)',
    () => {
      let seen = 0
      for (const name of readdirSync(vectors, { recursive: true, encoding: 'utf8' })) {
        if (!name.endsWith('.json')) continue
        const vector = JSON.parse(readFileSync(join(vectors, name), 'utf8'))
        const base64 = (text: string | null) => Uint8Array.from(Buffer.from(text ?? '', 'base64'))
        const proof = (vector.proof ?? []).map(base64)
        const reached = inclusionRoot(sha256, base64(vector.leafHash), vector.leafIdx, vector.treeSize, proof)
        expect(reached !== undefined && equalBytes(reached, base64(vector.root)), name).toBe(!vector.wantErr)
        seen++
      }
      expect(seen).toBeGreaterThan(90)
    },
  )
})

describe('merkle: trees of a block', () => {
  const ids = Array.from({ length: 2345 }, (_, i) => sha3(Uint8Array.of(i & 255, i >> 8)))

  it('the root is over the roots of trees of 1000', () => {
    const trees = [ids.slice(0, 1000), ids.slice(1000, 2000), ids.slice(2000)].map((tree) => merkleRoot(sha3, tree))
    expect(treesRoot(ids)).toEqual(merkleRoot(sha3, trees))
    expect(treesRoot(ids.slice(0, 1))).toEqual(merkleRoot(sha3, [merkleRoot(sha3, ids.slice(0, 1))]))
  })

  it('a transaction is proved at its position only, through its encoding', () => {
    const root = treesRoot(ids)
    for (const i of [0, 999, 1000, 1999, 2000, 2344]) {
      const proof = decodeAs(transactionProofCodec, encodeAs(transactionProofCodec, transactionProof(ids, i)))
      const id = ids[i] as Uint8Array
      expect(verifyTransaction(root, ids.length, id, proof)).toBe(true)
      for (const index of [i - 1, i + 1, i + 1000, i - 1000, 2345, -1, Number.NaN])
        expect(verifyTransaction(root, ids.length, id, { ...proof, index })).toBe(false)
      expect(verifyTransaction(root, ids.length, ids[i === 0 ? 1 : 0] as Uint8Array, proof)).toBe(false)
      for (const tree of spoiled([...proof.tree]))
        expect(verifyTransaction(root, ids.length, id, { ...proof, tree })).toBe(false)
      for (const block of spoiled([...proof.block]))
        expect(verifyTransaction(root, ids.length, id, { ...proof, block })).toBe(false)
    }
  })

  it('a tree root cannot pass for a transaction', () => {
    const root = treesRoot(ids)
    const proof = transactionProof(ids, 0)
    const treeRoot = merkleRoot(sha3, ids.slice(0, 1000))
    expect(verifyTransaction(root, 3, treeRoot, { index: 0, tree: proof.block, block: [] })).toBe(false)
    expect(verifyTransaction(root, ids.length, treeRoot, { index: 0, tree: [], block: proof.block })).toBe(false)
  })

  it('no proof for a transaction that is not there → RangeError', () => {
    expect(() => transactionProof(ids, 2345)).toThrow(RangeError)
    expect(() => transactionProof([], 0)).toThrow(RangeError)
  })
})
