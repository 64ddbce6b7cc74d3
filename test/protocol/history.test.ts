import { describe, expect, it } from 'vitest'
import { sha256 } from '../../protocol/crypto.ts'
import {
  appendBlock,
  EMPTY_FRONTIER,
  type Frontier,
  frontierAt,
  frontierRoot,
  historyConsistency,
  historyInclusion,
} from '../../protocol/history.ts'
import { merkleRoot, verifyConsistency, verifyInclusion } from '../../protocol/merkle.ts'

const SIZE = 70
const blocks = Array.from({ length: SIZE }, (_, i) => sha256(Uint8Array.of(i)))
const stored = new Map<string, Uint8Array>()
const frontiers: Frontier[] = [EMPTY_FRONTIER]
for (const block of blocks) {
  const { frontier, nodes } = appendBlock(frontiers[frontiers.length - 1] as Frontier, block)
  frontiers.push(frontier)
  for (const [level, index, hash] of nodes) {
    if (stored.has(`${level}/${index}`)) throw new Error('a node was completed twice')
    stored.set(`${level}/${index}`, hash)
  }
}

/** A lookup as of `size` that counts its reads and refuses nodes that were not complete then. */
function lookup(size: number) {
  const counter = { reads: 0 }
  const node = (level: number, index: number): Uint8Array => {
    counter.reads++
    if ((index + 1) * 2 ** level > size) throw new Error(`node ${level}/${index} is not complete at ${size}`)
    return stored.get(`${level}/${index}`) as Uint8Array
  }
  return { node, counter }
}

describe('history', () => {
  it('the root of each frontier equals the Merkle root over the blocks so far', () => {
    frontiers.forEach((frontier, size) => {
      expect(frontierRoot(frontier)).toEqual(merkleRoot(sha256, blocks.slice(0, size)))
    })
  })

  it('each completed node is the root over its leaves, and every block completes its leaf', () => {
    for (const [name, hash] of stored) {
      const [level, index] = name.split('/').map(Number) as [number, number]
      const width = 2 ** level
      expect(hash).toEqual(merkleRoot(sha256, blocks.slice(index * width, (index + 1) * width)))
    }
    for (let i = 0; i < SIZE; i++) expect(stored.has(`0/${i}`)).toBe(true)
    expect(stored.size).toBeLessThan(2 * SIZE)
  })

  it('a frontier read back from the stored nodes is the one that was appended', () => {
    frontiers.forEach((frontier, size) => {
      expect(frontierAt(size, lookup(size).node)).toEqual(frontier)
    })
    expect(() => frontierAt(-1, lookup(0).node)).toThrow(RangeError)
    expect(() => frontierAt(1.5, lookup(2).node)).toThrow(RangeError)
  })

  it('every block is proved in every later log, with O(log size) reads of complete nodes', () => {
    for (let size = 1; size <= SIZE; size++)
      for (let index = 0; index < size; index++) {
        const { node, counter } = lookup(size)
        const proof = historyInclusion(index, size, node)
        const root = frontierRoot(frontiers[size] as Frontier)
        expect(verifyInclusion(sha256, blocks[index] as Uint8Array, index, size, proof, root)).toBe(true)
        expect(counter.reads).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size)) + 1)
      }
  })

  it('every earlier log is proved to begin every later one, with O(log size) reads', () => {
    for (let size = 0; size <= SIZE; size++)
      for (let first = 0; first <= size; first++) {
        const { node, counter } = lookup(size)
        const proof = historyConsistency(first, size, node)
        const [older, newer] = [frontiers[first] as Frontier, frontiers[size] as Frontier]
        expect(verifyConsistency(sha256, first, size, frontierRoot(older), frontierRoot(newer), proof)).toBe(true)
        expect(counter.reads).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(Math.max(size, 1))) + 1)
      }
  })

  it('a log with one other block → another root, and no consistency proof between the two', () => {
    let forked = frontiers[20] as Frontier
    for (let i = 20; i < 40; i++) forked = appendBlock(forked, blocks[i === 21 ? 0 : i] as Uint8Array).frontier
    const proof = historyConsistency(40, SIZE, lookup(SIZE).node)
    const root = frontierRoot(frontiers[SIZE] as Frontier)
    expect(verifyConsistency(sha256, 40, SIZE, frontierRoot(forked), root, proof)).toBe(false)
  })

  it('appending leaves the given frontier as it was', () => {
    const before = frontiers[5] as Frontier
    const root = frontierRoot(before)
    appendBlock(before, new Uint8Array(32))
    expect(before.size).toBe(5)
    expect(frontierRoot(before)).toEqual(root)
  })
})
