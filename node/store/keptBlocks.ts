/**
 * Blocks that this member has voted for and that are not in its ledger yet (agreement.md §3, Service): a member whose record binds it to a
 * block must have the block after a crash, or a loss of power that strikes all members leaves a chain that nobody can go on from.
 * Invariants: they stand in the database of the signing record and are written in one batch with it, so that no vote is durable without its
 * block, and at no further fsync; at most `KEPT_BLOCKS_MAX` are kept, the one kept first goes first.
 */
import { concat, toHex } from '../../protocol/bytes.ts'
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts'
import { bytes, list, record } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { decodeHeight, encodeHeight, prefixRange } from './buckets.ts'
import type { KeyValueStore, StoreOperation } from './store.ts'

/** Twice what the executor holds uncommitted: forks of several views, and room. */
export const KEPT_BLOCKS_MAX = 128

/** A block with all that it takes to execute it again. */
export type KeptBlock = {
  readonly height: number
  readonly hash: Uint8Array
  readonly header: Uint8Array
  /** Its transactions as they arrived, in order. */
  readonly transactions: readonly Uint8Array[]
}

// Keys: place (1 byte) ‖ height (8 bytes) ‖ hash. 1 is the record itself, 4 the chain that it is of (signingRecord.ts).
const BLOCKS = Uint8Array.of(2)
const FRAMES = Uint8Array.of(3)
const blockCodec = record({
  header: bytes(1, LIMITS.headerBytesMax),
  transactions: list(bytes(1, LIMITS.transactionBytesMax), LIMITS.blockTransactionsMax),
})

type Kept = { readonly height: number; readonly hash: Uint8Array; framed: boolean }

/** The blocks kept beside one signing record. */
export class KeptBlocks {
  readonly #store: KeyValueStore
  /** Hash (hexadecimal) → height and hash, in the order in which they were kept. */
  readonly #kept = new Map<string, Kept>()
  /** What the next write of the record takes with it. */
  #waiting: StoreOperation[] = []

  private constructor(store: KeyValueStore) {
    this.#store = store
  }

  /** Those that stand in `store`. Throws AlthingError of the store. */
  static async open(store: KeyValueStore): Promise<KeptBlocks> {
    const blocks = new KeptBlocks(store)
    for await (const [key] of store.iterate(prefixRange(BLOCKS))) {
      const hash = key.slice(9)
      blocks.#kept.set(toHex(hash), { height: decodeHeight(key, 1), hash, framed: false })
    }
    return blocks
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size
  }

  /** Keeps `block`: durable with the next record that is written, which is the one that binds this member to it. */
  keep({ height, hash, header, transactions }: KeptBlock): void {
    const name = toHex(hash)
    if (this.#kept.has(name)) return
    this.#kept.set(name, { height, hash, framed: false })
    const value = encodeCbor(blockCodec.to({ header, transactions }))
    this.#waiting.push({ key: keyOf(BLOCKS, height, hash), value })
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_BLOCKS_MAX) return
      this.#forget(oldest)
    }
  }

  /** Keeps the first proposal by which a kept block came; that of a block that is not kept is passed over. */
  keepFrame(hash: string, frame: Uint8Array): void {
    const kept = this.#kept.get(hash)
    if (kept === undefined || kept.framed) return
    kept.framed = true
    this.#waiting.push({ key: keyOf(FRAMES, kept.height, kept.hash), value: frame })
  }

  /** Lets go of all up to `height`: they are in the ledger, or conflict with what is. */
  forgetUpTo(height: number): void {
    for (const [name, kept] of this.#kept) if (kept.height <= height) this.#forget(name)
  }

  #forget(name: string): void {
    const { height, hash } = this.#kept.get(name) as Kept
    this.#kept.delete(name)
    for (const place of [BLOCKS, FRAMES]) this.#waiting.push({ key: keyOf(place, height, hash), value: undefined })
  }

  /** What is to be written with the record, once. */
  takeWaiting(): readonly StoreOperation[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }

  /** What is durable, in order of height, with the proposal by which it came where that is kept. Throws AlthingError of the store. */
  async stored(): Promise<readonly (KeptBlock & { readonly frame: Uint8Array | undefined })[]> {
    const found: (KeptBlock & { frame: Uint8Array | undefined })[] = []
    for (const { height, hash } of [...this.#kept.values()].sort((a, b) => a.height - b.height)) {
      const value = await this.#store.get(keyOf(BLOCKS, height, hash))
      if (value === undefined) continue
      const frame = await this.#store.get(keyOf(FRAMES, height, hash))
      found.push({ height, hash, ...blockCodec.from(decodeCbor(value), 'kept block'), frame })
    }
    return found
  }
}

const keyOf = (place: Uint8Array, height: number, hash: Uint8Array): Uint8Array =>
  concat(place, encodeHeight(height), hash)
