/**
 * Subtrees: the state tree cut at one depth, so that a part of the state can be checked against `stateRoot` without the rest (snapshots).
 * The part number p at depth d holds the leaves whose key hashes begin with the d bits of p.
 * Invariants: `rootOfSubtrees` of all parts at one depth is the root of `StateTree` over all their leaves (shape in proof.ts); whoever knows
 * the hashes of the parts from a list with that root can be given no other leaves for any part.
 */
import { compareBytes, ZERO_HASH } from '../bytes.ts'
import { bitOf, DEPTH_MAX, pairHash } from './proof.ts'
import type { StateLeaf } from './tree.ts'

/** Root of a part, and whether it holds no leaf, one (which stands at whatever depth), or more. */
export type StateSubtree = { readonly hash: Uint8Array; readonly leaves: 0 | 1 | 2 }

/** Depth at which a state may be cut at most: 65 536 parts. */
export const SUBTREE_DEPTH_MAX = 16

const EMPTY: StateSubtree = { hash: ZERO_HASH, leaves: 0 }

/** The first `depth` (0 … 16) bits of `keyHash` as a number: its part. */
export const partOf = (keyHash: Uint8Array, depth: number): number =>
  depth === 0 ? 0 : (((keyHash[0] as number) << 8) | (keyHash[1] as number)) >>> (16 - depth)

/**
 * The part number `part` at `depth` with exactly `leaves`; undefined where they are not in strictly ascending order of key hash, or one
 * belongs to another part.
 */
export function subtreeOf(leaves: readonly StateLeaf[], depth: number, part: number): StateSubtree | undefined {
  for (let i = 0; i < leaves.length; i++) {
    const { keyHash } = leaves[i] as StateLeaf
    if (partOf(keyHash, depth) !== part) return undefined
    if (i > 0 && compareBytes((leaves[i - 1] as StateLeaf).keyHash, keyHash) >= 0) return undefined
  }
  return over(leaves, 0, leaves.length, depth)
}

function over(leaves: readonly StateLeaf[], from: number, to: number, depth: number): StateSubtree {
  if (from === to) return EMPTY
  const { keyHash, valueHash } = leaves[from] as StateLeaf
  // Distinct key hashes part before the last bit is used up.
  if (to - from === 1 || depth === DEPTH_MAX) return { hash: pairHash(0, keyHash, valueHash), leaves: 1 }
  let middle = from
  while (middle < to && bitOf((leaves[middle] as StateLeaf).keyHash, depth) === 0) middle++
  return join(over(leaves, from, middle, depth + 1), over(leaves, middle, to, depth + 1))
}

/** Two halves: a branch, unless there are fewer than two leaves. */
function join(left: StateSubtree, right: StateSubtree): StateSubtree {
  if (left.leaves + right.leaves < 2) return left.leaves === 0 ? right : left
  return { hash: pairHash(1, left.hash, right.hash), leaves: 2 }
}

/** `stateRoot` over all `parts` of one depth, in order. Throws `RangeError` unless they are a power of two. */
export function rootOfSubtrees(parts: readonly StateSubtree[]): Uint8Array {
  let level = parts
  while (level.length > 1) {
    if (level.length % 2 !== 0) throw new RangeError(`${parts.length} parts of a tree`)
    level = Array.from({ length: level.length / 2 }, (_, i) =>
      join(level[2 * i] as StateSubtree, level[2 * i + 1] as StateSubtree),
    )
  }
  if (level[0] === undefined) throw new RangeError('no parts of a tree')
  return level[0].hash
}
