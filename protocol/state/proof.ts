/**
 * State proofs: that a key holds an entry, or is absent, under a `stateRoot` (ledger.md §4). All that a light peer needs.
 * The tree: a subtree without leaves is 32 zero bytes; with one, H(0x00 ‖ keyHash ‖ valueHash) at whatever depth; with more,
 * H(0x01 ‖ left ‖ right), where the bits of the key hashes, most significant first, say left (0) or right (1).
 * Invariant: for one root and key exactly one proof is accepted, and only for the entry (or absence) that the tree holds.
 */
import { equalBytes, ZERO_HASH } from '../bytes.ts'
import { bytes, decodeAs, encodeAs, list, optional, record, type TypeOf } from '../codec.ts'
import { sha3 } from '../crypto.ts'
import { isStateKey, keyHashOf, valueHashOf } from './entry.ts'

/** Bits of a key hash: the greatest depth of the tree. */
export const DEPTH_MAX = 256

/** The way from the root to the place where a key is, or would be. */
export type StateProof = TypeOf<typeof stateProofCodec>
const stateProofCodec = record({
  /** Hashes beside the way, the root's children first; as many as the place is deep. */
  siblings: list(bytes(32), DEPTH_MAX),
  /** For absence where the place is taken: the leaf of the other key there. Else null. */
  other: optional(record({ keyHash: bytes(32), valueHash: bytes(32) })),
})

/** The one encoding of `proof`. Throws `CborError` if it breaks a bound. */
export const encodeStateProof = (proof: StateProof): Uint8Array => encodeAs(stateProofCodec, proof)
/** Decodes a proof. Throws `CborError` on anything but the one encoding of a proof. */
export const decodeStateProof = (data: Uint8Array): StateProof => decodeAs(stateProofCodec, data, 'state proof')

/** Bit `depth` (0 … 255) of a key hash, the most significant first. */
export const bitOf = (keyHash: Uint8Array, depth: number): number =>
  ((keyHash[depth >>> 3] as number) >>> (7 - (depth & 7))) & 1

/** A message of tag and two hashes, hashed: the form of leaves (0) and branches (1). */
export function pairHash(tag: 0 | 1, left: Uint8Array, right: Uint8Array): Uint8Array {
  const message = new Uint8Array(65)
  message[0] = tag
  message.set(left, 1)
  message.set(right, 33)
  return sha3(message)
}

/**
 * Whether `proof` shows that under `stateRoot` (from a trusted header) `key` holds the entry encoded in `entryBytes`, or, with
 * null, that there is no such key. Never throws, whatever a peer sent.
 */
export function verifyState(
  stateRoot: Uint8Array,
  key: string,
  entryBytes: Uint8Array | null,
  proof: StateProof,
): boolean {
  if (!isStateKey(key)) return false
  return verifyKeyHash(stateRoot, keyHashOf(key), entryBytes === null ? null : valueHashOf(entryBytes), proof)
}

/** As `verifyState`, for one who knows the hashes: key hash (32 bytes), and value hash or null for absence. */
export function verifyKeyHash(
  stateRoot: Uint8Array,
  keyHash: Uint8Array,
  valueHash: Uint8Array | null,
  proof: StateProof,
): boolean {
  const { siblings } = proof
  if (siblings.length > DEPTH_MAX || siblings.some((sibling) => sibling.length !== 32)) return false
  const end = endOfWay(keyHash, valueHash, proof)
  if (end === undefined) return false
  // A branch holds at least two leaves, so beside a single leaf or nothing there is always something.
  const lowest = siblings[siblings.length - 1]
  if (lowest !== undefined && equalBytes(lowest, ZERO_HASH)) return false
  let hash = end
  for (let depth = siblings.length - 1; depth >= 0; depth--) {
    const sibling = siblings[depth] as Uint8Array
    hash = bitOf(keyHash, depth) === 0 ? pairHash(1, hash, sibling) : pairHash(1, sibling, hash)
  }
  return equalBytes(hash, stateRoot)
}

/** Hash of what stands at the end of the way, or undefined if the proof claims something that no tree has there. */
function endOfWay(keyHash: Uint8Array, valueHash: Uint8Array | null, proof: StateProof): Uint8Array | undefined {
  const { siblings, other } = proof
  const depth = siblings.length
  if (valueHash !== null) return other === null ? pairHash(0, keyHash, valueHash) : undefined
  // Nothing at all, beside at least two leaves: those need a depth of their own to part at.
  if (other === null) return depth < DEPTH_MAX ? ZERO_HASH : undefined
  if (other.keyHash.length !== 32 || other.valueHash.length !== 32) return undefined
  if (equalBytes(other.keyHash, keyHash)) return undefined
  for (let i = 0; i < depth; i++) if (bitOf(other.keyHash, i) !== bitOf(keyHash, i)) return undefined
  return pairHash(0, other.keyHash, other.valueHash)
}
