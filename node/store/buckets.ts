/**
 * The one table of key spaces of the ledger store. A key is the number of its bucket (one byte) and what stands below.
 * Invariants: a number, once released, keeps its meaning for ever; a bucket that is given up leaves its number unused; numbers in
 * keys are big-endian, so that the order of keys is the order of heights.
 */
import { concat } from '../../protocol/bytes.ts'

/** Version of the layout below. A store of another version is refused (STORE_WRONG_FORMAT). */
export const STORE_FORMAT_VERSION = 1

/** Bucket → number. The comment of each: key → value. `height` is 8 bytes. Next free number: 17. */
export const BUCKETS = {
  /** height → encoding of the header */
  headers: 1,
  /** block hash (32 bytes) → height */
  heightByHash: 2,
  /** height → encoding of the body; absent below `prunedBelow` */
  bodies: 3,
  /** height → encoding of a commit certificate; may be absent where a later block has one */
  certificates: 4,
  /** key of a BKVS entry (UTF-8) → encoding of the entry: value and height of its last change (protocol/state/entry.ts) */
  state: 5,
  /** SHA3-256 of a state key → SHA3-256 of its entry: in the order of the state tree, which is rebuilt from it at start */
  leaves: 6,
  /** level (1 byte) ‖ index (8 bytes) → node of the history log (32 bytes); index 0 of level 0 is the genesis */
  history: 7,
  /** transaction id (32 bytes) → height ‖ index in the block (4 bytes) */
  transactions: 8,
  /** device id (length, bytes) ‖ category (length, UTF-8) ‖ height ‖ index (4 bytes) → transaction id */
  deviceEvents: 9,
  /** name (UTF-8) → see META */
  meta: 10,
  /** hash of a member set → its encoding */
  memberSets: 11,
  /** height → roots of the block's transaction trees, 32 bytes each: what proofs need of a pruned body */
  treeRoots: 12,
  /** height → records of the replay window (replayWindow.ts) that the block added; absent below `prunedBelow` */
  replayRecords: 13,
  /** height → ids of the block's transactions, 32 bytes each; written when its body is dropped, for proofs (prune.ts) */
  transactionIds: 14,
  /** number of a chunk (4 bytes) → nothing: chunks of a snapshot that are in; only in a ledger that is being joined (node/snapshot) */
  chunks: 15,
  /** era (8 bytes) → height of its last block; of eras that ended up to the snapshot with which the ledger began, whose headers it lacks otherwise */
  eraEnds: 16,
} as const
/** Name of a key space. */
export type Bucket = keyof typeof BUCKETS

/** Names in the bucket `meta`. */
export const META = {
  /** 4 bytes: STORE_FORMAT_VERSION. */
  formatVersion: 'formatVersion',
  /** 32 bytes. */
  chainId: 'chainId',
  /** height (8 bytes) of the last committed block, 0 for the genesis. */
  committedHeight: 'committedHeight',
  /** height (8 bytes): bodies and replay records below it were dropped. */
  prunedBelow: 'prunedBelow',
  /** height (8 bytes) of the lowest block held, where the ledger began with a snapshot; absent where it is 1. */
  firstHeight: 'firstHeight',
  /**
   * height (8 bytes) of the block whose certificate commits the last block that was written without one of its own: above `committedHeight`, the
   * node ended in between, and the others have it.
   */
  committedBy: 'committedBy',
  /** Empty: the indexes are being written anew (rebuild.ts); until that is done this is no ledger. */
  rebuilding: 'rebuilding',
  /** Manifest of the snapshot that is being fetched; only in a ledger that is being joined. */
  joining: 'joining',
} as const

/** `value` (0 … 2⁵³−1) as 8 big-endian bytes. */
export function encodeHeight(value: number): Uint8Array {
  const out = new Uint8Array(8)
  writeHeight(out, 0, value)
  return out
}

/** The number in the 8 big-endian bytes of `bytes` at `offset`. Throws `RangeError` when there are fewer. */
export function decodeHeight(bytes: Uint8Array, offset = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint32(offset) * 0x1_0000_0000 + view.getUint32(offset + 4)
}

function writeHeight(out: Uint8Array, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a height: ${value}`)
  writeUint32(out, offset, Math.floor(value / 0x1_0000_0000))
  writeUint32(out, offset + 4, value % 0x1_0000_0000)
}

function writeUint32(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >>> 24
  out[offset + 1] = value >>> 16
  out[offset + 2] = value >>> 8
  out[offset + 3] = value
}

/** Key of a bucket whose keys are heights. */
export function heightKey(
  bucket: 'headers' | 'bodies' | 'certificates' | 'treeRoots' | 'replayRecords' | 'transactionIds',
  height: number,
): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = BUCKETS[bucket]
  writeHeight(key, 1, height)
  return key
}

/** Key of the end of `era`. */
export function eraKey(era: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = BUCKETS.eraEnds
  writeHeight(key, 1, era)
  return key
}

/** Key of the chunk `number` (0 … 2³²−1) of a snapshot. */
export function chunkKey(number: number): Uint8Array {
  const key = new Uint8Array(5)
  key[0] = BUCKETS.chunks
  writeUint32(key, 1, number)
  return key
}

/** Key of a bucket whose keys are hashes. */
export function hashKey(
  bucket: 'heightByHash' | 'leaves' | 'transactions' | 'memberSets',
  hash: Uint8Array,
): Uint8Array {
  if (hash.length !== 32) throw new RangeError(`a hash of ${hash.length} bytes`)
  const key = new Uint8Array(33)
  key[0] = BUCKETS[bucket]
  key.set(hash, 1)
  return key
}

/** Key of a bucket whose keys are text. */
export function textKey(bucket: 'state' | 'meta', text: string): Uint8Array {
  // Buffer writes UTF-8 several times faster than TextEncoder for short text; it is a Uint8Array like any other.
  const key = Buffer.allocUnsafe(1 + Buffer.byteLength(text))
  key[0] = BUCKETS[bucket]
  key.write(text, 1, 'utf8')
  return key
}

/** Key of a node of the history log: `level` 0 … 63, `index` in its level. */
export function historyKey(level: number, index: number): Uint8Array {
  const key = new Uint8Array(10)
  key[0] = BUCKETS.history
  key[1] = level
  writeHeight(key, 2, index)
  return key
}

/** Value of the bucket `transactions`, and end of a key of `deviceEvents`. */
export function encodePosition(height: number, index: number): Uint8Array {
  const out = new Uint8Array(12)
  writeHeight(out, 0, height)
  writeUint32(out, 8, index)
  return out
}

/** Inverse of `encodePosition`, at `offset`. */
export function decodePosition(bytes: Uint8Array, offset = 0): { height: number; index: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { height: decodeHeight(bytes, offset), index: view.getUint32(offset + 8) }
}

/** What all keys of `deviceEvents` of a device, or of one category of it, begin with. Ids and categories: 1 … 255 bytes. */
export function deviceEventPrefix(deviceId: Uint8Array, category?: string): Uint8Array {
  const head = concat(Uint8Array.of(BUCKETS.deviceEvents, lengthByte(deviceId)), deviceId)
  if (category === undefined) return head
  const name = Buffer.from(category, 'utf8')
  return concat(head, Uint8Array.of(lengthByte(name)), name)
}

function lengthByte(part: Uint8Array): number {
  if (part.length < 1 || part.length > 255) throw new RangeError(`a part of a key of ${part.length} bytes`)
  return part.length
}

/** Range of all keys that begin with `prefix`. */
export function prefixRange(prefix: Uint8Array): { gte: Uint8Array; lt: Uint8Array } {
  const end = Uint8Array.from(prefix)
  // The first byte is a bucket's number, far below 255, so the carry always finds a place.
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i] !== 255) {
      end[i] = (end[i] as number) + 1
      return { gte: prefix, lt: end.subarray(0, i + 1) }
    }
  }
  throw new RangeError('no key follows this prefix')
}

/** Range of all keys of `bucket`. */
export const bucketRange = (bucket: Bucket): { gte: Uint8Array; lt: Uint8Array } =>
  prefixRange(Uint8Array.of(BUCKETS[bucket]))
