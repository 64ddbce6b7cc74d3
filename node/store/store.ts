/**
 * The ordered key-value store beneath the ledger: the seam between `node/store` and a database.
 * Invariants: keys sort as unsigned bytes; a batch is applied whole or not at all; no type of a database passes this folder.
 * Two implementations obey one suite (test/contract): LevelDB, and a sorted map for simulations and tests.
 */

/** One change of a batch: `value` undefined deletes the key. Neither array may be changed before the batch has settled. */
export type StoreOperation = { readonly key: Uint8Array; readonly value: Uint8Array | undefined }

/** Which entries to walk, in what order. Bounds are whole keys; without one the walk is open on that side. */
export type StoreRange = {
  /** First key of the range, inclusive. */
  readonly gte?: Uint8Array
  /** End of the range, exclusive. */
  readonly lt?: Uint8Array
  /** From the last key to the first. */
  readonly reverse?: boolean
  /** At most so many entries; all by default. */
  readonly limit?: number
}

/** An entry that was read. */
export type StoreEntry = readonly [key: Uint8Array, value: Uint8Array]

/**
 * An ordered store of bytes. Reads throw AlthingError STORE_CORRUPT or STORE_READ_FAILED where the database does; `batch` rejects
 * with AlthingError STORE_WRITE_FAILED. Nothing may be called after `close`.
 */
export type KeyValueStore = {
  /** Value of `key`, read off the main thread: for values of more than a few kilobytes. */
  get(key: Uint8Array): Promise<Uint8Array | undefined>
  /** Value of `key`, read at once (about 1 µs from the cache): for small values. */
  getSync(key: Uint8Array): Uint8Array | undefined
  /** Values in the order of `keys`, all of one moment. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  /** Applies `operations` in order, atomically. With `sync` it settles once they would survive a loss of power. */
  batch(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void>
  /** Entries of `range` as they were when the walk began. */
  iterate(range: StoreRange): AsyncIterable<StoreEntry>
  /** Gives back the disk space of deleted entries between two keys. */
  compact(start: Uint8Array, end: Uint8Array): Promise<void>
  /** Waits for what is under way, then releases the store. Idempotent. */
  close(): Promise<void>
}

/** A walk over `range` that begins at this moment and not when it is first asked; `skip` bytes are taken off the keys. */
export function walkNow(store: KeyValueStore, range: StoreRange, skip = 0): AsyncIterator<StoreEntry> {
  const walk = store.iterate(range)[Symbol.asyncIterator]()
  let first: Promise<IteratorResult<StoreEntry>> | undefined = walk.next()
  // Whoever takes the walk up sees the failure; nobody else has to.
  first.catch(() => undefined)
  const cut = (result: IteratorResult<StoreEntry>): IteratorResult<StoreEntry> =>
    result.done === true ? result : { done: false, value: [result.value[0].subarray(skip), result.value[1]] }
  return {
    async next() {
      const next = first ?? walk.next()
      first = undefined
      return cut(await next)
    },
    async return() {
      await walk.return?.()
      return { done: true, value: undefined }
    },
  }
}
