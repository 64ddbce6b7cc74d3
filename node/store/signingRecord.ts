/**
 * The signing record (agreement.md §6): what this member has bound itself to. Stage: before every proposal, vote, commit and status.
 * Invariants: `write` returns only once the record would survive a loss of power; the record is created once, by `althing init`, and
 * never silently again, because a member that forgot what it signed counts as a liar; one record is written at a time, in order.
 */
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { concat, equalBytes } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { isAlthingError } from '../errors.ts'
import { type Disk, systemDisk } from './disk.ts'
import { KeptBlocks } from './keptBlocks.ts'
import { KeptEvidence } from './keptEvidence.ts'
import { storeError } from './level.ts'
import type { KeyValueStore } from './store.ts'

/** Directory of the record within the data directory. */
export const signingDirectory = (dataDirectory: string): string => join(dataDirectory, 'signing')

const KEY = Uint8Array.of(1)
/** Under it, the chain that the record is of. */
const CHAIN_KEY = Uint8Array.of(4)
const CHECKSUM_BYTES = 32
/** A record is some hundred kilobytes at the very most (certificates of a few views); one log file holds many, or the blocks of a few votes. Hardly
 * anything is ever read from it, so that it needs no cache. */
const BUFFERS = { writeBufferBytes: 4 * 1024 * 1024, cacheBytes: 1024 * 1024 } as const

/**
 * Creates the record of `chainId` with `initial` content in `directory`. Throws AlthingError SIGNING_RECORD_EXISTS where there is one already,
 * STORE_OPEN_FAILED, STORE_WRITE_FAILED.
 */
export async function createSigningRecord(
  directory: string,
  chainId: Uint8Array,
  initial: Uint8Array,
  disk: Disk = systemDisk,
): Promise<void> {
  if (await disk.exists(directory))
    throw storeError('SIGNING_RECORD_EXISTS', `${directory} exists already; a signing record is created once`)
  let store: KeyValueStore | undefined
  // Half a record would look like a lost one, so it is made beside its place and moved there whole, whenever the process may be killed.
  const draft = `${directory}.new`
  try {
    await disk.remove(draft)
    await disk.createDirectory(draft)
    store = await disk.openStore(draft, { mode: 'create' })
    const content = [
      { key: CHAIN_KEY, value: chainId },
      { key: KEY, value: seal(initial) },
    ]
    await store.batch(content, { sync: true })
    await store.close()
    await disk.syncDirectory(draft)
    await disk.rename(draft, directory)
    await disk.syncDirectory(dirname(directory))
  } catch (error) {
    await store?.close()
    await disk.remove(draft)
    throw isAlthingError(error) ? error : storeError('STORE_OPEN_FAILED', `cannot create ${directory}`, error)
  }
}

/**
 * Opens the record of `chainId` in `directory`. Throws AlthingError SIGNING_RECORD_MISSING, SIGNING_RECORD_CORRUPT, STORE_WRONG_CHAIN (it is of
 * another chain, and says nothing of what was signed on this one), STORE_LOCKED, STORE_OPEN_FAILED.
 */
export async function openSigningRecord(
  directory: string,
  chainId: Uint8Array,
  disk: Disk = systemDisk,
): Promise<SigningRecord> {
  await requireSigningRecord(directory, disk)
  let store: KeyValueStore
  try {
    store = await disk.openStore(directory, { mode: 'open', ...BUFFERS })
  } catch (error) {
    if (isAlthingError(error, 'STORE_MISSING'))
      throw storeError('SIGNING_RECORD_MISSING', `${directory} holds no signing record`, error)
    if (isAlthingError(error, 'STORE_CORRUPT'))
      throw storeError('SIGNING_RECORD_CORRUPT', `the signing record in ${directory} is damaged`, error)
    throw error
  }
  try {
    const sealed = readStored(store, KEY, directory)
    if (sealed === undefined) throw storeError('SIGNING_RECORD_MISSING', `the signing record in ${directory} is empty`)
    const chain = readStored(store, CHAIN_KEY, directory)
    if (chain === undefined || !equalBytes(chain, chainId))
      throw storeError(
        'STORE_WRONG_CHAIN',
        `the signing record in ${directory} belongs to another chain than the genesis given`,
      )
    return new SigningRecord(store, unseal(sealed), await KeptBlocks.open(store))
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Throws AlthingError SIGNING_RECORD_MISSING where there is no `directory`. */
export async function requireSigningRecord(directory: string, disk: Disk = systemDisk): Promise<void> {
  if (!(await disk.exists(directory)))
    throw storeError('SIGNING_RECORD_MISSING', `there is no signing record in ${directory}`)
}

/**
 * Opens the record of `chainId` in `directory`, or creates one with `initial` where it is missing or damaged: for a member that recovers. What is
 * left of a damaged one is kept beside it. Throws as the other two.
 */
export async function openOrReplaceSigningRecord(
  directory: string,
  chainId: Uint8Array,
  initial: Uint8Array,
  disk: Disk = systemDisk,
): Promise<SigningRecord> {
  try {
    return await openSigningRecord(directory, chainId, disk)
  } catch (error) {
    if (!isAlthingError(error, 'SIGNING_RECORD_MISSING') && !isAlthingError(error, 'SIGNING_RECORD_CORRUPT'))
      throw error
  }
  if (await disk.exists(directory)) await setAside(directory, disk)
  await createSigningRecord(directory, chainId, initial, disk)
  return openSigningRecord(directory, chainId, disk)
}

async function setAside(directory: string, disk: Disk): Promise<void> {
  const place = `${directory}.lost-${randomBytes(4).toString('hex')}`
  try {
    await disk.rename(directory, place)
  } catch (error) {
    throw storeError('STORE_OPEN_FAILED', `cannot move ${directory} to ${place}`, error)
  }
}

/** A table that is cut short does not open, or cannot be read: for a record of one entry both are damage. */
function readStored(store: KeyValueStore, key: Uint8Array, directory: string): Uint8Array | undefined {
  try {
    return store.getSync(key)
  } catch (error) {
    throw storeError('SIGNING_RECORD_CORRUPT', `the signing record in ${directory} cannot be read`, error)
  }
}

/** The open record of one member. Use `openSigningRecord`. */
export class SigningRecord {
  /** Blocks that the record binds this member to; written with it. */
  readonly blocks: KeptBlocks
  /** Evidence against others that is not on the chain yet. */
  readonly evidence: KeptEvidence
  readonly #store: KeyValueStore
  #latest: Uint8Array
  #writing = false
  #failure: unknown

  constructor(store: KeyValueStore, latest: Uint8Array, blocks: KeptBlocks) {
    this.#store = store
    this.blocks = blocks
    this.evidence = new KeptEvidence(store)
    this.#latest = latest
  }

  /** What was last written durably. Not to be changed. */
  read(): Uint8Array {
    return this.#latest
  }

  /**
   * Replaces the record; returns once it is durable. Throws AlthingError STORE_WRITE_FAILED, after which the record refuses every write:
   * the node must stop, for it cannot know what is on disk. A second write before the first has settled is a bug and throws an Error.
   */
  async write(record: Uint8Array): Promise<void> {
    if (this.#failure !== undefined)
      throw storeError(
        'STORE_WRITE_FAILED',
        'the signing record takes no writes since one of them failed',
        this.#failure,
      )
    if (this.#writing) throw new Error('two signing records are written at once')
    this.#writing = true
    try {
      // A copy: the caller may reuse its array while the write is under way, and `read` must not change with it.
      const kept = Uint8Array.from(record)
      await this.#store.batch([{ key: KEY, value: seal(kept) }, ...this.blocks.takeWaiting()], { sync: true })
      this.#latest = kept
    } catch (error) {
      this.#failure = error
      throw error
    } finally {
      this.#writing = false
    }
  }

  /** Waits for a write under way and releases the record. */
  close(): Promise<void> {
    return this.#store.close()
  }
}

const seal = (record: Uint8Array): Uint8Array => concat(sha3(record), record)

/** LevelDB does not verify the checksums of its tables on every read; this record is worth its own. */
function unseal(sealed: Uint8Array): Uint8Array {
  const record = sealed.slice(CHECKSUM_BYTES)
  if (sealed.length < CHECKSUM_BYTES || !equalBytes(sealed.subarray(0, CHECKSUM_BYTES), sha3(record)))
    throw storeError('SIGNING_RECORD_CORRUPT', 'the signing record is damaged')
  return record
}
