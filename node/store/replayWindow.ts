/**
 * The replay window: which (signer, nonce) pairs count as used, each until the `validUntil` of its transaction (ledger.md §2).
 * Stage: every member asks it while it validates a block, so its answers must be the same everywhere.
 * Invariants: answers and `roomAt` depend on the committed blocks only, also after a restart; at most `entriesMax` pairs; memory is
 * 40 to 80 bytes per pair, given back in slices as block time passes; a pair is kept as 128 bits of its SHA3-256.
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
    const words = wordsOf(pairHash(signer, nonce))
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
    const out = new Uint8Array(pairs.length * REPLAY_RECORD_BYTES)
    const view = new DataView(out.buffer)
    pairs.forEach(({ signer, nonce, validUntil }, i) => {
      const offset = i * REPLAY_RECORD_BYTES
      out.set(pairHash(signer, nonce).subarray(0, 16), offset)
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
    const words = wordsOf(hash)
    for (const slice of this.#slices.values()) if (slice.expiry(words) >= this.#blockTime) return true
    return false
  }

  #insert(hash: Uint8Array, validUntil: number): boolean {
    const number = sliceOf(validUntil)
    if (!(number >= sliceOf(this.#blockTime)) || validUntil > this.#blockTime + LIMITS.transactionValidityMsMax)
      throw new RangeError('validUntil is not one that a block of this time may hold')
    if (this.size >= this.#entriesMax) return false
    let slice = this.#slices.get(number)
    if (slice === undefined) {
      slice = new Slice()
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

function wordsOf(hash: Uint8Array): Words {
  const view = new DataView(hash.buffer, hash.byteOffset, 16)
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)]
}

/** Odd multipliers of this process: whoever grinds nonces cannot know which pairs will share a place in a table. */
const [SALT_A, SALT_B] = (() => {
  const random = randomBytes(8)
  const view = new DataView(random.buffer, random.byteOffset, 8)
  return [view.getUint32(0) | 1, view.getUint32(4) | 1] as const
})()

/** A hash table without removal, open addressing in flat memory. An expiry of −1 marks an empty place. */
class Slice {
  #size = 0
  #bits = 10
  #keys = new Uint32Array(4 << 10)
  #expiries = new Float64Array(1 << 10).fill(-1)

  get size(): number {
    return this.#size
  }

  get reservedBytes(): number {
    return this.#keys.byteLength + this.#expiries.byteLength
  }

  /** Until when the pair counts, −1 if it is not here. */
  expiry(words: Words): number {
    return this.#expiries[this.#place(words)] as number
  }

  set(words: Words, validUntil: number): void {
    if (this.#size * 5 >= this.#expiries.length * 3) this.#grow()
    const place = this.#place(words)
    if (this.#expiries[place] === -1) this.#size++
    this.#keys.set(words, 4 * place)
    this.#expiries[place] = Math.max(validUntil, this.#expiries[place] as number)
  }

  #place([a, b, c, d]: Words): number {
    const keys = this.#keys
    const mask = this.#expiries.length - 1
    let place = (Math.imul(a, SALT_A) + Math.imul(b, SALT_B)) >>> (32 - this.#bits)
    for (; this.#expiries[place] !== -1; place = (place + 1) & mask) {
      const at = 4 * place
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d) break
    }
    return place
  }

  #grow(): void {
    const keys = this.#keys
    const expiries = this.#expiries
    this.#bits++
    this.#keys = new Uint32Array(4 << this.#bits)
    this.#expiries = new Float64Array(1 << this.#bits).fill(-1)
    this.#size = 0
    for (let i = 0; i < expiries.length; i++) {
      if (expiries[i] === -1) continue
      const at = 4 * i
      this.set([keys[at], keys[at + 1], keys[at + 2], keys[at + 3]] as unknown as Words, expiries[i] as number)
    }
  }
}
