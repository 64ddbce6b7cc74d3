/**
 * A key-value store in memory, for tests and simulations: the second implementation of node/store/store.ts.
 * Invariant: what it hands out and what it was given are copies, so no test passes by sharing arrays that a disk would not share.
 */
import { storeError } from '../../node/store/level.ts'
import type { KeyValueStore, StoreEntry, StoreOperation, StoreRange } from '../../node/store/store.ts'

// One character per byte: strings of such characters sort as the bytes do.
const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))

/** A sorted map. `failing` makes every batch fail from then on, whole. */
export class MemoryStore implements KeyValueStore {
  readonly #values = new Map<string, Uint8Array>()
  #sorted: string[] | undefined
  #closed = false
  /** While true, batches fail as on a broken disk. */
  failing = false
  /** `sync` of each batch so far. */
  readonly syncs: boolean[] = []

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.getSync(key)
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen()
    return this.#values.get(textOf(key))?.slice()
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return keys.map((key) => this.getSync(key))
  }

  async batch(operations: readonly StoreOperation[], { sync }: { readonly sync: boolean }): Promise<void> {
    if (this.#closed || this.failing) throw storeError('STORE_WRITE_FAILED', 'the database did not take a write')
    this.syncs.push(sync)
    for (const { key, value } of operations) {
      const text = textOf(key)
      if (value === undefined ? this.#values.delete(text) : !this.#values.has(text)) this.#sorted = undefined
      if (value !== undefined) this.#values.set(text, value.slice())
    }
  }

  async *iterate({ gte, lt, reverse = false, limit = Infinity }: StoreRange): AsyncIterable<StoreEntry> {
    this.#assertOpen()
    this.#sorted ??= [...this.#values.keys()].sort()
    const [from, to] = [gte && textOf(gte), lt && textOf(lt)]
    const keys = this.#sorted.filter((key) => (from === undefined || key >= from) && (to === undefined || key < to))
    if (reverse) keys.reverse()
    const entries = keys.slice(0, limit).map((key) => [key, this.#values.get(key) as Uint8Array] as const)
    for (const [key, value] of entries) yield [bytesOf(key), value.slice()]
  }

  async compact(): Promise<void> {
    this.#assertOpen()
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #assertOpen(): void {
    if (this.#closed) throw storeError('STORE_READ_FAILED', 'the database could not be read')
  }
}
