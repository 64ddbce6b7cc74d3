/**
 * Merkle trees of RFC 9162 §2.1 over any hash: SHA3-256 for the transactions of a block, SHA-256 for the history log and the
 * anchors (ledger.md §§1, 4, 5). A leaf hashes as H(0x00 ‖ data), a node as H(0x01 ‖ left ‖ right), nothing as H("").
 * Invariants: a proof has exactly one accepted shape for its position and size; verifying costs at most one pass over the proof
 * and never throws, whatever a peer sent. Positions and sizes are safe integers, so shifts are divisions here.
 */
import { equalBytes } from './bytes.ts'
import { bytes, integer, list, record, type TypeOf } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'

/** A hash of 32 bytes: `sha3` or `sha256` of crypto.ts. */
export type Hash = (message: Uint8Array) => Uint8Array
/** Hash of the subtree over the leaves `start` (included) to `end` (excluded). */
export type Subtree = (start: number, end: number) => Uint8Array

const EMPTY = new Uint8Array(0)
const isHash = (value: Uint8Array): boolean => value.length === 32
const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** H(0x00 ‖ data): a leaf (RFC 9162 §2.1.1). */
export function leafHash(hash: Hash, data: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + data.length)
  message.set(data, 1)
  return hash(message)
}

/** H(0x01 ‖ left ‖ right): an inner node over two hashes of 32 bytes (RFC 9162 §2.1.1). */
export function nodeHash(hash: Hash, left: Uint8Array, right: Uint8Array): Uint8Array {
  const message = new Uint8Array(65)
  message[0] = 1
  message.set(left, 1)
  message.set(right, 33)
  return hash(message)
}

/** Largest power of two below `size`, for `size` ≥ 2: where RFC 9162 splits a tree. */
export function splitOf(size: number): number {
  let k = 1
  while (k * 2 < size) k *= 2
  return k
}

/** Root over `leaves` in order; of no leaves, H("") (RFC 9162 §2.1.1). */
export const merkleRoot = (hash: Hash, leaves: readonly Uint8Array[]): Uint8Array =>
  leaves.length === 0 ? hash(EMPTY) : subtreeOver(hash, leaves)(0, leaves.length)

/** Hashes the subtrees of a tree whose leaves are at hand. */
function subtreeOver(hash: Hash, leaves: readonly Uint8Array[]): Subtree {
  const over: Subtree = (start, end) => {
    if (end - start === 1) return leafHash(hash, leaves[start] as Uint8Array)
    const middle = start + splitOf(end - start)
    return nodeHash(hash, over(start, middle), over(middle, end))
  }
  return over
}

/** PATH(index, D) of RFC 9162 §2.1.3.1, lowest sibling first. Throws `RangeError` unless 0 ≤ index < size. */
export function inclusionPath(index: number, size: number, subtree: Subtree): Uint8Array[] {
  if (!isSize(index) || !isSize(size) || index >= size) throw new RangeError(`no leaf ${index} among ${size}`)
  const path: Uint8Array[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + splitOf(end - start)
    if (index < middle) {
      path.push(subtree(middle, end))
      end = middle
    } else {
      path.push(subtree(start, middle))
      start = middle
    }
  }
  return path.reverse()
}

/**
 * PROOF(first, D) of RFC 9162 §2.1.4.1: that the tree of `size` leaves begins with the tree of its `first` leaves. Empty when `first`
 * is 0 or `size`. Throws `RangeError` unless 0 ≤ first ≤ size.
 */
export function consistencyPath(first: number, size: number, subtree: Subtree): Uint8Array[] {
  if (!isSize(first) || !isSize(size) || first > size) throw new RangeError(`no tree of ${first} within ${size}`)
  const path: Uint8Array[] = []
  if (first === 0 || first === size) return path
  let start = 0
  let end = size
  while (first < end) {
    const middle = start + splitOf(end - start)
    if (first <= middle) {
      path.push(subtree(middle, end))
      end = middle
    } else {
      path.push(subtree(start, middle))
      start = middle
    }
  }
  // The subtree reached is the whole first tree only while it starts at 0; the verifier holds that root already.
  if (start > 0) path.push(subtree(start, end))
  return path.reverse()
}

/** Inclusion proof of leaf `index` (RFC 9162 §2.1.3.1). Throws `RangeError` where there is no such leaf. */
export const inclusionProof = (hash: Hash, leaves: readonly Uint8Array[], index: number): Uint8Array[] =>
  inclusionPath(index, leaves.length, subtreeOver(hash, leaves))

/** Consistency proof from the first `first` leaves to all (RFC 9162 §2.1.4.1). Throws `RangeError` beyond their number. */
export const consistencyProof = (hash: Hash, leaves: readonly Uint8Array[], first: number): Uint8Array[] =>
  consistencyPath(first, leaves.length, subtreeOver(hash, leaves))

/**
 * The root to which `proof` leads from the leaf with hash `leaf` at `index` of `size` leaves (RFC 9162 §2.1.3.2), or undefined:
 * no such leaf, or a proof of another length than this place has.
 */
export function inclusionRoot(
  hash: Hash,
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
): Uint8Array | undefined {
  if (!isSize(index) || !isSize(size) || index >= size || !isHash(leaf)) return undefined
  let node = index
  let last = size - 1
  let root = leaf
  for (const sibling of proof) {
    if (last === 0 || !isHash(sibling)) return undefined
    if (node % 2 === 1 || node === last) {
      root = nodeHash(hash, sibling, root)
      // On the right edge, levels without a left sibling have no node of their own.
      while (node % 2 === 0 && node !== 0) {
        node /= 2
        last = Math.floor(last / 2)
      }
    } else root = nodeHash(hash, root, sibling)
    node = Math.floor(node / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 ? root : undefined
}

/** Whether `proof` shows `data` as leaf `index` of the tree of `size` leaves with `root` (RFC 9162 §2.1.3.2). Never throws. */
export function verifyInclusion(
  hash: Hash,
  data: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  const reached = inclusionRoot(hash, leafHash(hash, data), index, size, proof)
  return reached !== undefined && equalBytes(reached, root)
}

/**
 * Whether `proof` shows that the tree of `second` leaves with `secondRoot` begins with the tree of `first` leaves with
 * `firstRoot` (RFC 9162 §2.1.4.2). Equal sizes need equal roots, an empty first tree the root H(""), both an empty proof. Never throws.
 */
export function verifyConsistency(
  hash: Hash,
  first: number,
  second: number,
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!isSize(first) || !isSize(second) || first > second || !isHash(firstRoot) || !isHash(secondRoot)) return false
  if (first === 0 && !equalBytes(firstRoot, hash(EMPTY))) return false
  if (first === second) return proof.length === 0 && equalBytes(firstRoot, secondRoot)
  if (first === 0) return proof.length === 0
  let node = first - 1
  let last = second - 1
  while (node % 2 === 1) {
    node = Math.floor(node / 2)
    last = Math.floor(last / 2)
  }
  // `node` is 0 exactly when `first` is a power of two: then its root is the place to start and not part of the proof.
  const path = node === 0 ? [firstRoot, ...proof.slice(0, 64)] : proof
  const [begin, ...rest] = path
  if (begin === undefined || proof.length === 0 || proof.length > 64 || !isHash(begin)) return false
  let older = begin
  let newer = begin
  for (const sibling of rest) {
    if (last === 0 || !isHash(sibling)) return false
    if (node % 2 === 1 || node === last) {
      older = nodeHash(hash, sibling, older)
      newer = nodeHash(hash, sibling, newer)
      while (node % 2 === 0 && node !== 0) {
        node /= 2
        last = Math.floor(last / 2)
      }
    } else newer = nodeHash(hash, newer, sibling)
    node = Math.floor(node / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && equalBytes(older, firstRoot) && equalBytes(newer, secondRoot)
}

/** Where a transaction stands in a block: its position among all, the way to its tree's root, and from there to `treesRoot`. */
export type TransactionProof = TypeOf<typeof transactionProofCodec>
/** Shape of a transaction's proof. */
export const transactionProofCodec = record({
  /** Position in the block, 0 for the first. */
  index: integer(0, LIMITS.blockTransactionsMax - 1),
  /** At most 10 for a tree of 1000, 3 for a block of 8 trees. */
  tree: list(bytes(32), 10),
  block: list(bytes(32), 3),
})

/** Roots of the trees of at most 1000 that `ids` (32 bytes each, in block order) fill one after the other (ledger.md §4). */
export function treeRoots(ids: readonly Uint8Array[]): Uint8Array[] {
  const roots: Uint8Array[] = []
  for (let i = 0; i < ids.length; i += LIMITS.treeTransactionsMax)
    roots.push(merkleRoot(sha3, ids.slice(i, i + LIMITS.treeTransactionsMax)))
  return roots
}

/** The header field `treesRoot`: root over the tree roots, themselves leaves; H("") of an empty block (ledger.md §4). */
export const treesRoot = (ids: readonly Uint8Array[]): Uint8Array => merkleRoot(sha3, treeRoots(ids))

/** Proof that `ids[index]` stands at `index`. Throws `RangeError` where there is no such transaction. */
export function transactionProof(ids: readonly Uint8Array[], index: number): TransactionProof {
  const tree = Math.floor(index / LIMITS.treeTransactionsMax)
  const start = tree * LIMITS.treeTransactionsMax
  return {
    index,
    tree: inclusionProof(sha3, ids.slice(start, start + LIMITS.treeTransactionsMax), index - start),
    block: inclusionProof(sha3, treeRoots(ids), tree),
  }
}

/**
 * Whether the transaction `id` stands in a block with this `root` and `count` (header fields `treesRoot` and `transactionCount`,
 * which must come from a trusted header). Never throws.
 */
export function verifyTransaction(root: Uint8Array, count: number, id: Uint8Array, proof: TransactionProof): boolean {
  const { index } = proof
  if (!isSize(index) || !isSize(count) || index >= count || !isHash(id)) return false
  const tree = Math.floor(index / LIMITS.treeTransactionsMax)
  const start = tree * LIMITS.treeTransactionsMax
  const size = Math.min(LIMITS.treeTransactionsMax, count - start)
  const treeRoot = inclusionRoot(sha3, leafHash(sha3, id), index - start, size, proof.tree)
  if (treeRoot === undefined) return false
  return verifyInclusion(sha3, treeRoot, tree, Math.ceil(count / LIMITS.treeTransactionsMax), proof.block, root)
}
