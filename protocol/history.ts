/**
 * History: the RFC 9162 log (SHA-256) over the hashes of all blocks, genesis first (ledger.md §4, `historyRoot`).
 * A frontier is all that appending needs; the nodes that each append completes never change again, and are all that any later proof reads.
 * Node (level, index) is the root over the leaves index·2^level … (index+1)·2^level − 1.
 * Invariant: appending costs O(1) hashes on average, a root or a proof O(log size) hashes and reads.
 */
import { sha256 } from './crypto.ts'
import { consistencyPath, inclusionPath, leafHash, merkleRoot, nodeHash, type Subtree, splitOf } from './merkle.ts'

/** The complete subtrees that a log of `size` leaves consists of, largest first: one peak for each set bit of `size`. */
export type Frontier = { readonly size: number; readonly peaks: readonly Uint8Array[] }
/** A subtree that became complete: level (0 for a leaf), index within the level, hash (32 bytes). To be stored for ever. */
export type HistoryNode = readonly [level: number, index: number, hash: Uint8Array]
/** Reads a stored node. It is asked only for nodes that are complete at the size given beside it; it may throw, and proofs throw with it. */
export type NodeLookup = (level: number, index: number) => Uint8Array

/** The log before its first block. */
export const EMPTY_FRONTIER: Frontier = { size: 0, peaks: [] }

/** Appends `blockHash` (32 bytes). `nodes` are the subtrees this completes, the leaf first. The given frontier is unchanged. */
export function appendBlock(frontier: Frontier, blockHash: Uint8Array): { frontier: Frontier; nodes: HistoryNode[] } {
  const peaks = [...frontier.peaks]
  let hash = leafHash(sha256, blockHash)
  let index = frontier.size
  const nodes: HistoryNode[] = [[0, index, hash]]
  for (let level = 1; index % 2 === 1; level++) {
    hash = nodeHash(sha256, peaks.pop() as Uint8Array, hash)
    index = Math.floor(index / 2)
    nodes.push([level, index, hash])
  }
  peaks.push(hash)
  return { frontier: { size: frontier.size + 1, peaks }, nodes }
}

/** Root of the log: what `historyRoot` of the next block's header must be. */
export function frontierRoot(frontier: Frontier): Uint8Array {
  if (frontier.peaks.length === 0) return merkleRoot(sha256, [])
  return frontier.peaks.reduceRight((right, left) => nodeHash(sha256, left, right))
}

/** The frontier of the first `size` leaves of a stored log, after a restart say. Throws `RangeError` on a size that is none. */
export function frontierAt(size: number, node: NodeLookup): Frontier {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`no log of ${size} blocks`)
  const peaks: Uint8Array[] = []
  let start = 0
  while (start < size) {
    const width = splitOf(size - start + 1)
    peaks.push(node(Math.log2(width), start / width))
    start += width
  }
  return { size, peaks }
}

/** The peaks of `frontier` as nodes to be stored: all that a log needs that goes on from there. */
export function frontierNodes({ size, peaks }: Frontier): HistoryNode[] {
  const nodes: HistoryNode[] = []
  frontierAt(size, (level, index) => {
    const peak = peaks[nodes.length]
    if (peak === undefined) throw new RangeError(`a log of ${size} blocks has more than ${peaks.length} peaks`)
    nodes.push([level, index, peak])
    return peak
  })
  if (nodes.length !== peaks.length)
    throw new RangeError(`a log of ${size} blocks has fewer than ${peaks.length} peaks`)
  return nodes
}

/** Root over any range of leaves that RFC 9162 makes a subtree: one read if it is complete, else along its right edge. */
function subtreeFrom(node: NodeLookup): Subtree {
  const over: Subtree = (start, end) => {
    const width = splitOf(end - start + 1)
    if (width === end - start) return node(Math.log2(width), start / width)
    return nodeHash(sha256, over(start, start + width), over(start + width, end))
  }
  return over
}

/**
 * Proof that the block of height `index` is leaf `index` of the log of `size` blocks; `verifyInclusion(sha256, …)` checks it.
 * Throws `RangeError` unless 0 ≤ index < size.
 */
export const historyInclusion = (index: number, size: number, node: NodeLookup): Uint8Array[] =>
  inclusionPath(index, size, subtreeFrom(node))

/**
 * Proof that the log of `second` blocks begins with that of `first`; `verifyConsistency(sha256, …)` checks it.
 * Throws `RangeError` unless 0 ≤ first ≤ second.
 */
export const historyConsistency = (first: number, second: number, node: NodeLookup): Uint8Array[] =>
  consistencyPath(first, second, subtreeFrom(node))
