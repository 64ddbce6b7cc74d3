/**
 * The replay window: which (signer, nonce) pairs count as used, each until the `validUntil` of its transaction (ledger.md §2).
 * Stage: every member asks it while it validates a block, so its answers must be the same everywhere.
 * Invariants: answers and `roomAt` depend on the committed blocks only, also after a restart; at most `entriesMax` pairs; memory is
 * 27 to 34 bytes per pair, given back in slices as block time passes; a pair is kept as 128 bits of its SHA3-256.
 * For each block: `expire(its time)`, then `add` for each of its transactions.
 */
import { randomBytes } from 'node:crypto'
import { concat } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { LIMITS } from '../../protocol/limits.ts'

/** Bytes of one packed pair: 16 of its hash, 8 of `validUntil`. */
export const REPLAY_RECORD_BYTES = 24
/** Width of a slice, ms: six for the hour that a transaction may be valid, and one that is running out. */
const SLICE_MS = 600_000

/** What of a transaction the window needs. */
export type ReplayPair = {
  /** Compressed key, 33 bytes. */
  readonly signer: Uint8Array
  /** 16 bytes. */
  readonly nonce: Uint8Array
  /** Block time, ms, after which the pair may be used again. */
  readonly validUntil: number
}

/** Used pairs. */
export class ReplayWindow {
  readonly #entriesMax: number
  /** Slice number (validUntil / SLICE_MS) → its pairs. At most eight at any time. */
  readonly #slices = new Map<number, Slice>()
  #blockTime = 0

  /** Holds at most `entriesMax` pairs, by default 3 600 000: a thousand transactions a second, each valid for an hour. All members alike. */
  constructor({ entriesMax = 3_600_000 }: { entriesMax?: number } = {}) {
    this.#entriesMax = entriesMax
  }

  /** Pairs held, expired ones of slices not yet dropped included. */
  get size(): number {
    let size = 0
    for (const slice of this.#slices.values()) size += slice.size
    return size
  }

  /** How many pairs a block of time `blockTime` may add: a block with more transactions is to be refused, by everyone alike. */
  roomAt(blockTime: number): number {
    const first = sliceOf(blockTime)
    let held = 0
    for (const [number, slice] of this.#slices) if (number >= first) held += slice.size
    return this.#entriesMax - held
  }

  /** Bytes of the tables. */
  get reservedBytes(): number {
    let bytes = 0
    for (const slice of this.#slices.values()) bytes += slice.reservedBytes
    return bytes
  }

  /** Whether the pair counts as used at the block time last given to `expire`. */
  has(signer: Uint8Array, nonce: Uint8Array): boolean {
    return this.#find(pairHash(signer, nonce))
  }

  /**
   * Marks the pair of a transaction of the block last given to `expire` as used. False, and nothing changed, if the window is full
   * (see `roomAt`). Throws `RangeError` if `validUntil` is not one that the block may hold: from its time to an hour later.
   */
  add({ signer, nonce, validUntil }: ReplayPair): boolean {
    return this.#insert(pairHash(signer, nonce), validUntil)
  }

  /** Goes on to `blockTime` (ms), the time of the block last committed; times never fall. Pairs with an earlier `validUntil` are free again. */
  expire(blockTime: number): void {
    if (blockTime < this.#blockTime) throw new RangeError('block time falls')
    this.#blockTime = blockTime
    const first = sliceOf(blockTime)
    for (const number of this.#slices.keys()) if (number < first) this.#slices.delete(number)
  }

  /** Whether the pair counts as used at `time` (ms), not before the block time last given to `expire`. */
  hasAt(signer: Uint8Array, nonce: Uint8Array, time: number): boolean {
    return this.hasHashAt(pairHash(signer, nonce), time)
  }

  /** As `hasAt`, of the pair with this hash, of which the first 16 bytes count. */
  hasHashAt(hash: Uint8Array, time: number): boolean {
    const words = wordsOf(hash)
    for (const slice of this.#slices.values()) if (slice.expiry(words) >= time) return true
    return false
  }

  /**
   * Goes on to `blockTime`, the time of a committed block or of a later one, and marks the pairs of its packed `records` that have not expired
   * by then as used. Throws `RangeError` on malformed records, or more pairs than `entriesMax`.
   */
  commit(records: Uint8Array, blockTime: number): void {
    this.expire(blockTime)
    if (records.length % REPLAY_RECORD_BYTES !== 0) throw new RangeError('replay records of a broken length')
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength)
    for (let offset = 0; offset < records.length; offset += REPLAY_RECORD_BYTES) {
      const validUntil = view.getFloat64(offset + 16)
      if (validUntil < blockTime) continue
      if (!this.#insert(records.subarray(offset, offset + 16), validUntil))
        throw new RangeError('too many replay records')
    }
  }

  /** The records of a block's pairs, for `LedgerBlock.replayRecords`. */
  static pack(pairs: readonly ReplayPair[]): Uint8Array {
    return ReplayWindow.packHashes(
      pairs.map(({ signer, nonce, validUntil }) => ({ hash: pairHash(signer, nonce).subarray(0, 16), validUntil })),
    )
  }

  /** As `pack`, of pairs whose hashes (16 bytes) are known. */
  static packHashes(pairs: readonly { readonly hash: Uint8Array; readonly validUntil: number }[]): Uint8Array {
    const out = new Uint8Array(pairs.length * REPLAY_RECORD_BYTES)
    const view = new DataView(out.buffer)
    pairs.forEach(({ hash, validUntil }, i) => {
      const offset = i * REPLAY_RECORD_BYTES
      out.set(hash, offset)
      view.setFloat64(offset + 16, validUntil)
    })
    return out
  }

  /**
   * The window after the blocks whose `records` are given, at `blockTime`, the time of the last one. Give all blocks since
   * `replaySince(blockTime)` (`LedgerStore.replayRecordsSince`). Throws `RangeError` on malformed records or too many.
   */
  static async rebuild(
    records: AsyncIterable<Uint8Array>,
    blockTime: number,
    options: { entriesMax?: number } = {},
  ): Promise<ReplayWindow> {
    const window = new ReplayWindow(options)
    window.expire(blockTime)
    for await (const packed of records) {
      if (packed.length % REPLAY_RECORD_BYTES !== 0) throw new RangeError('replay records of a broken length')
      const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
      for (let offset = 0; offset < packed.length; offset += REPLAY_RECORD_BYTES) {
        const validUntil = view.getFloat64(offset + 16)
        // Expired ones of the running slice count on: else a member that restarted would find more room than the others.
        if (sliceOf(validUntil) < sliceOf(blockTime)) continue
        if (!window.#insert(packed.subarray(offset, offset + 16), validUntil))
          throw new RangeError('too many replay records')
      }
    }
    return window
  }

  #find(hash: Uint8Array): boolean {
    return this.hasHashAt(hash, this.#blockTime)
  }

  #insert(hash: Uint8Array, validUntil: number): boolean {
    const number = sliceOf(validUntil)
    if (!(number >= sliceOf(this.#blockTime)) || validUntil > this.#blockTime + LIMITS.transactionValidityMsMax)
      throw new RangeError('validUntil is not one that a block of this time may hold')
    if (this.size >= this.#entriesMax) return false
    let slice = this.#slices.get(number)
    if (slice === undefined) {
      slice = new Slice(number * SLICE_MS)
      this.#slices.set(number, slice)
    }
    slice.set(wordsOf(hash), validUntil)
    return true
  }
}

/** Time (ms) of the oldest block that the window at `blockTime` depends on; older bodies may be pruned. */
export const replaySince = (blockTime: number): number =>
  sliceOf(blockTime) * SLICE_MS - LIMITS.transactionValidityMsMax

const sliceOf = (time: number): number => Math.floor(time / SLICE_MS)

const pairHash = (signer: Uint8Array, nonce: Uint8Array): Uint8Array => sha3(concat(signer, nonce))

type Words = readonly [number, number, number, number]

/** By shifting: a view of the memory of a short array is slower, and takes it out of the heap. */
const wordsOf = (hash: Uint8Array): Words => [wordAt(hash, 0), wordAt(hash, 4), wordAt(hash, 8), wordAt(hash, 12)]

const wordAt = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0

/** Odd multipliers of this process: whoever grinds nonces cannot know which pairs will share a place in a table. */
const [SALT_A, SALT_B, SALT_C, SALT_D] = (() => {
  const random = randomBytes(16)
  const view = new DataView(random.buffer, random.byteOffset, 16)
  return [0, 4, 8, 12].map((at) => view.getUint32(at) | 1) as [number, number, number, number]
})()

/** Tables of a slice: each grows by itself, so that none of them holds the process for more than a few milliseconds. */
const PARTS_BITS = 6
/** Words of a place: four of the key, and when it expires: ms since the slice began, and one, so that 0 marks an empty place. */
const PLACE_WORDS = 5
const PLACES_MIN = 16
/** A table grows by a quarter once it is three quarters full: 27 to 34 bytes for each pair. */
const FULL = 0.75
const GROWTH = 1.25

/** A hash table without removal, open addressing in flat memory. */
class Slice {
  readonly #from: number
  readonly #parts = Array.from({ length: 1 << PARTS_BITS }, () => new Part())
  #size = 0

  /** Of the pairs that expire from `from` (ms) to `SLICE_MS` later. */
  constructor(from: number) {
    this.#from = from
  }

  get size(): number {
    return this.#size
  }

  get reservedBytes(): number {
    return this.#parts.reduce((sum, part) => sum + part.words.byteLength, 0)
  }

  /** Until when the pair counts, −1 if it is not here. */
  expiry(words: Words): number {
    const part = this.#partOf(words)
    const held = part.words[part.find(words) + 4] as number
    return held === 0 ? -1 : this.#from + held - 1
  }

  set(words: Words, validUntil: number): void {
    if (this.#partOf(words).set(words, validUntil - this.#from + 1)) this.#size++
  }

  #partOf([a, b]: Words): Part {
    return this.#parts[(Math.imul(a, SALT_A) + Math.imul(b, SALT_B)) >>> (32 - PARTS_BITS)] as Part
  }
}

class Part {
  words = new Uint32Array(PLACE_WORDS * PLACES_MIN)
  #places = PLACES_MIN
  #size = 0

  /** Index of the words of the pair, or of the empty place where it would be. */
  find([a, b, c, d]: Words): number {
    const { words } = this
    const hash = (Math.imul(c, SALT_C) + Math.imul(d, SALT_D)) >>> 0
    let at = PLACE_WORDS * Math.floor((hash / 2 ** 32) * this.#places)
    while (words[at + 4] !== 0) {
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) break
      at += PLACE_WORDS
      if (at === words.length) at = 0
    }
    return at
  }

  /** Whether the pair is new; one that is here keeps the later of two expiries. */
  set(pair: Words, expires: number): boolean {
    if (this.#size >= FULL * this.#places) this.#grow()
    const at = this.find(pair)
    const held = this.words[at + 4] as number
    this.words.set(pair, at)
    this.words[at + 4] = Math.max(held, expires)
    if (held === 0) this.#size++
    return held === 0
  }

  #grow(): void {
    const old = this.words
    this.#places = Math.ceil(GROWTH * this.#places)
    this.words = new Uint32Array(PLACE_WORDS * this.#places)
    for (let at = 0; at < old.length; at += PLACE_WORDS) {
      if (old[at + 4] === 0) continue
      const place = this.find([old[at], old[at + 1], old[at + 2], old[at + 3]] as unknown as Words)
      this.words.set(old.subarray(at, at + PLACE_WORDS), place)
    }
  }
}
