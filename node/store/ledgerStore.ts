/**
 * The ledger on disk (ledger.md §4). Stage: what the river leaves behind.
 * Invariants: a block, its certificate, its state changes and the height are one atomic, fsynced batch, so that a crash at any instruction
 * leaves the store at some committed height, whole. Heights are contiguous. After a durable write that failed nothing is written any
 * more: what the disk holds is then unknown until the store is opened anew. Values read may be views and are never to be changed.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { concat, equalBytes, toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { decodeEntry, type StateEntry } from '../../protocol/state/entry.ts'
import type { StateLeaf } from '../../protocol/state/tree.ts'
import type { AlthingError } from '../errors.ts'
import {
  bucketRange,
  decodeHeight,
  decodePosition,
  deviceEventPrefix,
  encodePosition,
  eraKey,
  hashKey,
  heightKey,
  historyKey,
  META,
  prefixRange,
  STORE_FORMAT_VERSION,
  textKey,
} from './buckets.ts'
import { awaitedHeight, type CheckRules, checkLedger } from './check.ts'
import { systemDisk } from './disk.ts'
import { blockOperations, genesisOperations, type LedgerBlock, type LedgerChanges } from './ledgerBatch.ts'
import { storeError } from './level.ts'
import { type BodyReader, type PrunedStep, pruneOperations, unpackHashes } from './prune.ts'
import { replaySince } from './replayWindow.ts'
import { type KeyValueStore, type StoreEntry, type StoreOperation, walkNow } from './store.ts'

/** Where a committed transaction stands. */
export type TransactionPosition = { readonly height: number; readonly index: number }
/** An event of a device, as the index knows it. */
export type DeviceEvent = TransactionPosition & { readonly category: string; readonly transactionId: Uint8Array }

/** What to open, and when to stop writing. */
export type LedgerStoreOptions = {
  /** Hash of the genesis; a store of another chain is refused. */
  readonly chainId: Uint8Array
  /** Directory whose file system must keep `freeBytesMin` bytes free; without it the disk is not watched. */
  readonly directory?: string
  /** No block is written once it would leave fewer bytes than this. */
  readonly freeBytesMin?: number
  /** Free bytes of the file system of a directory: `statfs` by default. */
  readonly freeBytes?: (directory: string) => Promise<number>
  /**
   * How long a look at the disk counts, ms, 250 by default: what is written here meanwhile is taken off, what others write in that time
   * is small beside `freeBytesMin`.
   */
  readonly lookAtDiskMs?: number
  /** ms of a monotonic clock: the system's by default. */
  readonly nowMs?: () => number
}

/** How many headers are looked at when a store is opened: more than one log file of LevelDB holds, in which alone records can be lost. */
const TAIL_HEADERS = 1000

/**
 * Writes height 0 into an empty store: version, chain id, and what the genesis puts into state. Throws AlthingError STORE_EXISTS if the
 * store holds a ledger, STORE_WRITE_FAILED.
 */
export async function createLedger(store: KeyValueStore, chainId: Uint8Array, genesis: LedgerChanges): Promise<void> {
  if (store.getSync(textKey('meta', META.formatVersion)) !== undefined)
    throw storeError('STORE_EXISTS', 'the store already holds a ledger')
  await store.batch(genesisOperations(chainId, genesis), { sync: true })
}

/** Whether no ledger was ever written into `store`. */
export const isEmptyStore = (store: KeyValueStore): boolean =>
  store.getSync(textKey('meta', META.formatVersion)) === undefined

/**
 * Opens the ledger in `store`. Throws AlthingError STORE_MISSING (no ledger in it), STORE_WRONG_FORMAT, STORE_WRONG_CHAIN, or
 * STORE_CORRUPT if the newest headers are not one chain.
 */
export function openLedger(store: KeyValueStore, options: LedgerStoreOptions): LedgerStore {
  const version = store.getSync(textKey('meta', META.formatVersion))
  if (version === undefined) throw storeError('STORE_MISSING', 'the store holds no ledger; run `althing init`')
  if (version.length !== 4 || toHex(version) !== STORE_FORMAT_VERSION.toString(16).padStart(8, '0'))
    throw storeError(
      'STORE_WRONG_FORMAT',
      `the ledger has format ${toHex(version)}, this program reads ${STORE_FORMAT_VERSION}; use the program that wrote it, or fetch the ledger anew`,
    )
  const chainId = store.getSync(textKey('meta', META.chainId))
  if (chainId === undefined || !equalBytes(chainId, options.chainId))
    throw storeError(
      'STORE_WRONG_CHAIN',
      `the ledger belongs to chain ${chainId === undefined ? 'unknown' : toHex(chainId)}, the genesis given is ` +
        `${toHex(options.chainId)}; check genesis and data directory`,
    )
  if (store.getSync(textKey('meta', META.rebuilding)) !== undefined)
    throw corrupt('its indexes were being rebuilt when that broke off; run `althing db repair` again')
  return new LedgerStore(store, options)
}

/** Reads and writes of one chain's ledger. One instance per store. */
export class LedgerStore {
  readonly #store: KeyValueStore
  readonly #options: LedgerStoreOptions
  #committedHeight: number
  #committedHash: Uint8Array
  #prunedBelow: number
  readonly #firstHeight: number
  /** Called in the step in which a block became durable, before anything else is written. */
  #whenCommitted: (height: number) => void = () => undefined
  #writing = false
  #failure: AlthingError | undefined
  /** Bytes that were free when the disk was looked at, less what was written since. */
  #disk = { free: 0, lookAgainAt: 0 }

  /** Use `openLedger`. Throws AlthingError STORE_CORRUPT. */
  constructor(store: KeyValueStore, options: LedgerStoreOptions) {
    this.#store = store
    this.#options = options
    this.#committedHeight = this.#metaHeight(META.committedHeight)
    this.#prunedBelow = this.#metaHeight(META.prunedBelow)
    this.#firstHeight = store.getSync(textKey('meta', META.firstHeight)) ? this.#metaHeight(META.firstHeight) : 1
    this.#committedHash = this.#checkTail()
  }

  /** Height of the last committed block; 0 before the first. */
  get committedHeight(): number {
    return this.#committedHeight
  }

  /** Hash of the last committed block; the chain id at height 0. */
  get committedHash(): Uint8Array {
    return this.#committedHash
  }

  /** Height of the lowest block held: 1, or where a snapshot began. */
  get firstHeight(): number {
    return this.#firstHeight
  }

  /** Height of the lowest block whose body is held; one above the committed height where there is none. */
  get firstBody(): number {
    return Math.max(this.#firstHeight, this.#prunedBelow)
  }

  /**
   * Height of the block whose certificate commits the head, where the node ended between the two; undefined where the head has a certificate of
   * its own, or where that was lost.
   */
  get awaitedHeight(): number | undefined {
    if (this.certificate(this.#committedHeight) !== undefined) return undefined
    return awaitedHeight(this.#store, this.#committedHeight)
  }

  /** The failed write after which nothing more is written, if there was one. */
  get failure(): AlthingError | undefined {
    return this.#failure
  }

  /** Header at `height` ≥ 1, if committed. */
  header(height: number): SealedHeader | undefined {
    const bytes = height < 1 ? undefined : this.#store.getSync(heightKey('headers', height))
    return bytes === undefined ? undefined : decodeHeader(bytes)
  }

  /** Height of the committed block with `hash`. */
  heightOf(hash: Uint8Array): number | undefined {
    const value = this.#store.getSync(hashKey('heightByHash', hash))
    return value === undefined ? undefined : decodeHeight(value)
  }

  /** Body at `height`: undefined if not committed or pruned. */
  body(height: number): Promise<Uint8Array | undefined> {
    return this.#store.get(heightKey('bodies', height))
  }

  /** Encoding of the commit certificate of the block at `height`. */
  certificate(height: number): Uint8Array | undefined {
    return this.#store.getSync(heightKey('certificates', height))
  }

  /** Ids of the transactions of the block at `height`, in order, where its body was dropped. */
  async prunedIds(height: number): Promise<Uint8Array[] | undefined> {
    const packed = await this.#store.get(heightKey('transactionIds', height))
    return packed && unpackHashes(packed)
  }

  /** Roots of the transaction trees of the block at `height`, kept when the body is pruned. */
  treeRoots(height: number): Uint8Array[] | undefined {
    const packed = this.#store.getSync(heightKey('treeRoots', height))
    return packed && unpackHashes(packed)
  }

  /** Entry of the BKVS under `key`: one lookup. */
  state(key: string): StateEntry | undefined {
    const bytes = this.#store.getSync(textKey('state', key))
    return bytes === undefined ? undefined : decodeEntry(bytes)
  }

  /** Encoding of the entry under `key`: what a proof of the state tree is about. */
  stateBytes(key: string): Uint8Array | undefined {
    return this.#store.getSync(textKey('state', key))
  }

  /** Up to `limit` entries whose keys begin with `prefix`, in the order of their UTF-8 bytes, after the key `after` where given. */
  async *states(prefix: string, limit: number, after?: string): AsyncIterable<{ key: string; entry: StateEntry }> {
    const range = prefixRange(textKey('state', prefix))
    // The next key in byte order is the same key with a zero byte behind it.
    const gte = after === undefined ? range.gte : concat(textKey('state', after), Uint8Array.of(0))
    for await (const [key, value] of this.#store.iterate({ gte, lt: range.lt, limit }))
      yield { key: Buffer.from(key.subarray(1)).toString('utf8'), entry: decodeEntry(value) }
  }

  /**
   * All entries of the state as they are at this moment, key (UTF-8) and encoding, whatever is written meanwhile. To be read to the end or
   * given up with `return`.
   */
  entries(): AsyncIterator<StoreEntry> {
    return walkNow(this.#store, bucketRange('state'), 1)
  }

  /** `listener` is called with each height in the very step in which it became durable: `entries` then is the state of that height. */
  onDurable(listener: (height: number) => void): void {
    this.#whenCommitted = listener
  }

  /** Everything in the store at this moment, for a backup. As `entries`. */
  everything(): AsyncIterator<StoreEntry> {
    return walkNow(this.#store, {})
  }

  /** All leaves of the state tree in the order of their key hashes. */
  async *leaves(): AsyncIterable<StateLeaf> {
    for await (const [key, valueHash] of this.#store.iterate(bucketRange('leaves')))
      yield { keyHash: key.subarray(1), valueHash }
  }

  /** Node of the history log; throws AlthingError STORE_CORRUPT where it is not stored, so that it serves as a `NodeLookup`. */
  historyNode(level: number, index: number): Uint8Array {
    const node = this.#store.getSync(historyKey(level, index))
    if (node === undefined) throw corrupt(`node (${level}, ${index}) of the history log is missing`)
    return node
  }

  /** Where the transaction `id` was committed. */
  transaction(id: Uint8Array): TransactionPosition | undefined {
    const value = this.#store.getSync(hashKey('transactions', id))
    return value === undefined ? undefined : decodePosition(value)
  }

  /**
   * Up to `limit` events of a device, of one category where given; with a category in the order of heights, else by category first.
   * `before`, with a category only: those that stand before that place in the chain.
   */
  async *deviceEvents(
    deviceId: Uint8Array,
    {
      category,
      reverse = false,
      before,
      limit,
    }: { category?: string; reverse?: boolean; before?: TransactionPosition | undefined; limit: number },
  ): AsyncIterable<DeviceEvent> {
    const categoryAt = deviceEventPrefix(deviceId).length
    const range = prefixRange(deviceEventPrefix(deviceId, category))
    if (before !== undefined) {
      if (category === undefined) throw new RangeError('events before a place are of one category')
      range.lt = concat(range.gte, encodePosition(before.height, before.index))
    }
    for await (const [key, transactionId] of this.#store.iterate({ ...range, reverse, limit })) {
      const end = key.length - 12
      const name = Buffer.from(key.subarray(categoryAt + 1, end)).toString('utf8')
      yield { ...decodePosition(key, end), category: name, transactionId }
    }
  }

  /** Height of the last block of `era`, where that stands before the snapshot with which this ledger began. */
  eraEndBefore(era: number): number | undefined {
    const value = this.#store.getSync(eraKey(era))
    return value === undefined ? undefined : decodeHeight(value)
  }

  /** Encoding of the member set with `hash`. */
  memberSet(hash: Uint8Array): Uint8Array | undefined {
    return this.#store.getSync(hashKey('memberSets', hash))
  }

  /** Replay records of the committed blocks whose time is at least `timeMin` (ms), oldest first: what rebuilds the window. */
  async *replayRecordsSince(timeMin: number): AsyncIterable<Uint8Array> {
    let first = this.#committedHeight + 1
    // Times never fall along the chain, so the walk back ends at the first that is too old.
    while (first > this.#firstHeight && (this.header(first - 1) as SealedHeader).header.time >= timeMin) first--
    const range = { gte: heightKey('replayRecords', first), lt: heightKey('replayRecords', this.#committedHeight + 1) }
    for await (const [, records] of this.#store.iterate(range)) yield records
  }

  /**
   * Writes the block after the last committed one, whole, and returns once it is durable. Throws AlthingError STORE_DISK_FULL (nothing
   * written; may be tried again), STORE_WRITE_FAILED (the store takes no more writes). Anything but the next block, or a second
   * call before the first has settled, is a bug and throws an Error.
   */
  async commitBlock(block: LedgerBlock): Promise<void> {
    this.#refuseAfterFailure()
    const { height, parent, chainId } = block.header.header
    if (this.#writing) throw new Error('two blocks are written at once')
    if (height !== this.#committedHeight + 1 || !equalBytes(parent, this.#committedHash))
      throw new Error(`block ${height} does not follow the committed height ${this.#committedHeight}`)
    if (!equalBytes(chainId, this.#options.chainId)) throw new Error(`block ${height} belongs to another chain`)
    if (block.transactionIds.length !== block.header.header.transactionCount)
      throw new Error(`block ${height} does not have the transactions that its header counts`)
    this.#writing = true
    try {
      const operations = blockOperations(block)
      await this.#checkDisk(operations)
      await this.#write(operations, true)
      this.#committedHeight = height
      this.#committedHash = block.header.hash
      this.#whenCommitted(height)
    } finally {
      this.#writing = false
    }
  }

  /**
   * Replaces the commit certificate of a committed block: more commits came in, and its assurance rose (agreement.md §7). Not fsynced:
   * losing it loses no promise. Throws like `commitBlock`, and an Error above the committed height.
   */
  async updateCertificate(height: number, certificate: Uint8Array): Promise<void> {
    this.#refuseAfterFailure()
    if (height < 1 || height > this.#committedHeight) throw new Error(`height ${height} is not committed`)
    await this.#write([{ key: heightKey('certificates', height), value: certificate }], false)
  }

  /**
   * Whether the body at `height` may be dropped: it is older than `keepSince` (ms), and no replay record in it is needed any more; so is the
   * block above, for whoever joins takes one block more than the replay window, which shows him that nothing of it is missing.
   */
  isOld(height: number, keepSince: number): boolean {
    const tip = this.header(this.#committedHeight)
    const above = this.header(height + 1)
    // Times never fall along the chain.
    return (
      tip !== undefined && above !== undefined && above.header.time < Math.min(keepSince, replaySince(tip.header.time))
    )
  }

  /** Height of the newest block that is older than what replay protection needs at the last one; the lowest held where none is. */
  beforeReplayWindow(): number {
    const since = replaySince(this.header(this.#committedHeight)?.header.time ?? 0)
    let low = this.#firstHeight
    let high = Math.max(low, this.#committedHeight)
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.header(middle)?.header.time ?? since) < since) low = middle
      else high = middle - 1
    }
    return low
  }

  /**
   * Drops the bodies and replay records of the next blocks that are below `below` and old (`isOld`), `PRUNE_STEP_BLOCKS` at most, in one batch
   * with the mark `prunedBelow`; what proofs need stays (prune.ts). Throws like `commitBlock`.
   */
  async pruneStep(below: number, keepSince: number, readBody: BodyReader): Promise<PrunedStep> {
    this.#refuseAfterFailure()
    const from = this.firstBody
    const old = (height: number): boolean => this.isOld(height, keepSince)
    const step = await pruneOperations(this.#store, from, Math.min(below, this.#committedHeight), old, readBody)
    if (step.operations.length === 0) return { from, to: from, bytes: 0 }
    // Not fsynced: mark and deletions are one batch, and the batches of one log survive in their order.
    await this.#write(step.operations, false)
    this.#prunedBelow = step.to
    return { from, to: step.to, bytes: step.bytes }
  }

  /** Gives back the disk space of the bodies and replay records that were dropped from `from` to below `to`. */
  async compactPruned(from: number, to: number): Promise<void> {
    for (const bucket of ['bodies', 'replayRecords'] as const)
      await this.#store.compact(heightKey(bucket, from), heightKey(bucket, to))
  }

  /** Whether more than `freeBytesMin` is free: for what is written beside the ledger. */
  async hasRoom(): Promise<boolean> {
    const { directory, freeBytesMin = 0, freeBytes = systemDisk.freeBytes } = this.#options
    return directory === undefined || (await freeBytes(directory)) >= freeBytesMin
  }

  /** Walks everything for `althing db check`: see `checkLedger`. No block may be written meanwhile. */
  check(rules: CheckRules): Promise<string[]> {
    return checkLedger(this.#store, { ...rules, chainId: this.#options.chainId })
  }

  /** Closes the store beneath. */
  close(): Promise<void> {
    return this.#store.close()
  }

  #refuseAfterFailure(): void {
    if (this.#failure !== undefined)
      throw storeError('STORE_WRITE_FAILED', 'the ledger takes no writes since one of them failed', this.#failure)
  }

  async #write(operations: readonly StoreOperation[], sync: boolean): Promise<void> {
    try {
      await this.#store.batch(operations, { sync })
    } catch (error) {
      this.#failure = storeError(
        'STORE_WRITE_FAILED',
        'the ledger could not be written; free or replace the disk',
        error,
      )
      throw this.#failure
    }
  }

  async #checkDisk(operations: readonly StoreOperation[]): Promise<void> {
    const { directory, freeBytesMin = 0, freeBytes = systemDisk.freeBytes, lookAtDiskMs = 250 } = this.#options
    if (directory === undefined) return
    let bytes = 0
    for (const { key, value } of operations) bytes += key.length + (value?.length ?? 0)
    const now = (this.#options.nowMs ?? (() => performance.now()))()
    if (now < this.#disk.lookAgainAt && this.#disk.free - 2 * bytes >= freeBytesMin) {
      this.#disk.free -= 2 * bytes
      return
    }
    const free = await freeBytes(directory)
    this.#disk = { free: free - 2 * bytes, lookAgainAt: now + lookAtDiskMs }
    // Twice: once in the log, once in the table that replaces it.
    if (free - 2 * bytes < freeBytesMin)
      throw storeError(
        'STORE_DISK_FULL',
        `${free} bytes are free in ${directory}, a block of ${bytes} must leave ${freeBytesMin}; the node reads only until there is space`,
      )
  }

  #metaHeight(name: string): number {
    const value = this.#store.getSync(textKey('meta', name))
    if (value?.length !== 8) throw corrupt(`${name} is missing`)
    return decodeHeight(value)
  }

  /** Walks the newest headers back. LevelDB passes over damaged records of its log in silence; a hole left by that shows here. */
  #checkTail(): Uint8Array {
    const tip = this.#committedHeight
    if (tip === 0) return this.#options.chainId
    let expected: Uint8Array | undefined
    let tipHash: Uint8Array | undefined
    for (let height = tip; height >= this.#firstHeight && height > tip - TAIL_HEADERS; height--) {
      const bytes = this.#store.getSync(heightKey('headers', height))
      if (bytes === undefined)
        throw corrupt(`the header of height ${height} is missing below the committed height ${tip}`)
      const hash = sha3(bytes)
      if (expected !== undefined && !equalBytes(hash, expected))
        throw corrupt(`the header of height ${height} is not its child's parent`)
      tipHash ??= hash
      try {
        expected = decodeHeader(bytes).header.parent
      } catch (error) {
        throw corrupt(`the header of height ${height} cannot be decoded`, error)
      }
    }
    return tipHash as Uint8Array
  }
}

const corrupt = (what: string, cause?: unknown): AlthingError => storeError('STORE_CORRUPT', what, cause)
