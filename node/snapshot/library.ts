/**
 * The snapshots that a member has made and serves. Stage: BKVS → a member that joins.
 * Each is a database of its own beside the ledger: `snapshots/0` and so on up to `keptMax`, with the entries in the order of their key hashes,
 * and the manifest.
 * Invariants: a snapshot is the state of exactly one committed height, whatever is committed while it is written; it is in its place only once it
 * is whole; making one takes a small share of the process.
 */
import { join } from 'node:path'
import { decodeHeader } from '../../protocol/block.ts'
import { concat, equalBytes, toHex } from '../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { frontierAt } from '../../protocol/history.ts'
import type { EraLink } from '../../protocol/light.ts'
import { valueHashOf } from '../../protocol/state/entry.ts'
import { rootOfSubtrees, type StateSubtree, subtreeOf } from '../../protocol/state/subtrees.ts'
import type { Clock } from '../clock.ts'
import type { Disk } from '../store/disk.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import type { KeyValueStore, StoreEntry, StoreOperation } from '../store/store.ts'
import {
  type ChunkEntry,
  chunkCodec,
  chunkEntryCodec,
  depthFor,
  encodeChunkEntry,
  type Manifest,
  manifestCodec,
  packSubtrees,
  SNAPSHOT_LIMITS,
} from './manifest.ts'

/** What a library works with. */
export type LibraryDependencies = {
  readonly ledger: LedgerStore
  /** How the eras below this one ended; undefined if they are too many. */
  readonly eraLinks: (era: number) => readonly EraLink[] | undefined
  readonly clock: Pick<Clock, 'after' | 'monotonic'>
  readonly disk: Pick<Disk, 'openStore' | 'createDirectory' | 'syncDirectory' | 'exists' | 'rename' | 'remove'>
  /** Whether enough of the disk is free to write to it. */
  readonly hasRoom: () => Promise<boolean>
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}

/** Entries and bytes written in one batch, and the pause after it: about a tenth of the process. */
const BATCH_ENTRIES = 500
const BATCH_BYTES = 256 * 1024
const PAUSE_MS = 20

const MANIFEST_KEY = Uint8Array.of(0)
const ENTRY = Uint8Array.of(1)

/** Buffer and cache of a database that is written once and read now and then. */
const BUFFERS = { writeBufferBytes: 4 * 1024 * 1024, cacheBytes: 4 * 1024 * 1024 } as const

type Snapshot = {
  readonly place: number
  readonly store: KeyValueStore
  readonly manifest: Manifest
  readonly bytes: Uint8Array
}

/** Snapshots of one ledger. */
export class SnapshotLibrary {
  readonly #directory: string
  readonly #everyBlocks: number
  readonly #deps: LibraryDependencies
  readonly #held = new Map<number, Snapshot>()
  #making: Promise<void> | undefined
  /** First block that goes with the snapshot that is being made. */
  #makingFrom = Number.POSITIVE_INFINITY
  #stopped = false

  private constructor(directory: string, everyBlocks: number, deps: LibraryDependencies) {
    this.#directory = directory
    this.#everyBlocks = everyBlocks
    this.#deps = deps
  }

  /** Opens the snapshots in `directory`; one will be made at each height that `everyBlocks` divides, none if it is 0. */
  static async open(directory: string, everyBlocks: number, deps: LibraryDependencies): Promise<SnapshotLibrary> {
    const library = new SnapshotLibrary(directory, everyBlocks, deps)
    await deps.disk.createDirectory(directory)
    await deps.disk.remove(library.#draft)
    for (let place = 0; place < SNAPSHOT_LIMITS.keptMax; place++)
      if (await deps.disk.exists(library.#at(place))) await library.#hold(place)
    deps.ledger.onDurable((height) => library.#durable(height))
    return library
  }

  get #draft(): string {
    return join(this.#directory, 'new')
  }

  #at(place: number): string {
    return join(this.#directory, `${place}`)
  }

  /** Heights of the snapshots, ascending. */
  get heights(): readonly number[] {
    return [...this.#held.keys()].sort((a, b) => a - b)
  }

  /** Bodies from this height on are needed by those who join from a snapshot; infinite without one. */
  get keepFrom(): number {
    return Math.min(this.#makingFrom, ...[...this.#held.values()].map(({ manifest }) => manifest.firstHeight))
  }

  /** Encoding of the manifest of the snapshot at `height`. */
  manifest(height: number): Uint8Array | undefined {
    return this.#held.get(height)?.bytes
  }

  /** Encoding of a chunk; undefined where there is none. */
  async chunk(height: number, part: number): Promise<Uint8Array | undefined> {
    const snapshot = this.#held.get(height)
    if (snapshot === undefined || part >= 2 ** snapshot.manifest.depth) return undefined
    const items: Uint8Array[] = []
    for await (const [, item] of snapshot.store.iterate(partRange(part, snapshot.manifest.depth))) items.push(item)
    return encodeAs(chunkCodec, items)
  }

  /** Resolves when no snapshot is being made. */
  async settled(): Promise<void> {
    await this.#making
  }

  /** Gives up what is being made and closes all. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#making
    for (const { store } of this.#held.values()) await store.close()
    this.#held.clear()
  }

  // In the very step in which the height became durable: the walk that begins here sees exactly its state.
  #durable(height: number): void {
    if (this.#everyBlocks === 0 || height % this.#everyBlocks !== 0 || this.#making !== undefined || this.#stopped)
      return
    this.#makingFrom = this.#deps.ledger.beforeReplayWindow()
    this.#making = this.#make(height, this.#makingFrom, this.#deps.ledger.entries())
      .catch((error) => this.#deps.log.warn({ error, height }, 'no snapshot was made'))
      .finally(() => {
        this.#making = undefined
        this.#makingFrom = Number.POSITIVE_INFINITY
      })
  }

  async #make(height: number, firstHeight: number, walk: AsyncIterator<StoreEntry>): Promise<void> {
    const { disk, hasRoom, clock, log } = this.#deps
    const draft = this.#draft
    const beganAt = clock.monotonic()
    let store: KeyValueStore | undefined
    let manifest: Manifest | undefined
    try {
      if (!(await hasRoom())) return log.warn({ height }, 'no snapshot was made: too little of the disk is free')
      await disk.remove(draft)
      store = await disk.openStore(draft, { mode: 'create', ...BUFFERS })
      const { entries, bytes } = await this.#copy(walk, store)
      manifest = this.#stopped
        ? undefined
        : await this.#manifestOf({ height, firstHeight, entries }, depthFor(bytes), store)
      if (manifest !== undefined)
        await store.batch([{ key: MANIFEST_KEY, value: encodeAs(manifestCodec, manifest) }], { sync: true })
    } finally {
      await walk.return?.()
      await store?.close()
      if (manifest === undefined) await disk.remove(draft)
    }
    if (manifest === undefined) return
    const place = await this.#makePlace()
    await disk.rename(draft, this.#at(place))
    await disk.syncDirectory(this.#directory)
    await this.#hold(place)
    const { entries, depth } = manifest
    log.info(
      { height, entries, chunks: 2 ** depth, ms: Math.round(clock.monotonic() - beganAt) },
      'a snapshot was made',
    )
  }

  /** Writes all entries of the walk in the order of their key hashes. */
  async #copy(walk: AsyncIterator<StoreEntry>, store: KeyValueStore): Promise<{ entries: number; bytes: number }> {
    let entries = 0
    let bytes = 0
    let batch: StoreOperation[] = []
    let batchBytes = 0
    for (let next = await walk.next(); next.done !== true && !this.#stopped; next = await walk.next()) {
      const [key, entry] = next.value
      const value = encodeChunkEntry(key, entry)
      batch.push({ key: concat(ENTRY, sha3(key)), value })
      batchBytes += value.length
      entries++
      if (batch.length < BATCH_ENTRIES && batchBytes < BATCH_BYTES) continue
      await store.batch(batch, { sync: false })
      bytes += batchBytes
      batch = []
      batchBytes = 0
      await this.#pause()
    }
    await store.batch(batch, { sync: false })
    return { entries, bytes: bytes + batchBytes }
  }

  /** The manifest over what `store` holds; undefined where the block has no certificate of its own, or a part is too large to be sent. */
  async #manifestOf(
    { height, firstHeight, entries }: { height: number; firstHeight: number; entries: number },
    depth: number,
    store: KeyValueStore,
  ): Promise<Manifest | undefined> {
    const { ledger, log } = this.#deps
    const parts: StateSubtree[] = []
    for (let part = 0; part < 2 ** depth && !this.#stopped; part++) {
      const leaves: Pick<ChunkEntry, 'keyHash' | 'valueHash'>[] = []
      let bytes = 0
      for await (const [key, item] of store.iterate(partRange(part, depth))) {
        leaves.push({ keyHash: key.subarray(1), valueHash: valueHashOf(decodeAs(chunkEntryCodec, item).entry) })
        bytes += item.length + 8
      }
      if (bytes > SNAPSHOT_LIMITS.chunkBytesMax) {
        log.warn({ height, part, bytes }, 'no snapshot was made: a part is too large to be sent')
        return undefined
      }
      parts.push(subtreeOf(leaves, depth, part) as StateSubtree)
      await this.#pause()
    }
    const sealed = ledger.header(height)
    const certificate = ledger.certificate(height)
    if (this.#stopped || sealed === undefined || certificate === undefined) return undefined
    const { era, nextMemberSetHash } = sealed.header
    const eras = this.#deps.eraLinks(nextMemberSetHash === null ? era : era + 1)
    if (eras === undefined || eras.length > SNAPSHOT_LIMITS.erasMax) {
      log.warn({ height, era }, 'no snapshot was made: the chain has more eras than one leads through')
      return undefined
    }
    if (!equalBytes(rootOfSubtrees(parts), sealed.header.stateRoot))
      throw new Error(`the state of height ${height} does not have the root ${toHex(sealed.header.stateRoot)}`)
    const { peaks } = frontierAt(firstHeight, (level, index) => ledger.historyNode(level, index))
    return {
      header: sealed.bytes,
      certificate,
      eras,
      entries,
      depth,
      subtrees: packSubtrees(parts),
      firstHeight,
      peaks,
    }
  }

  async #hold(place: number): Promise<void> {
    const { disk, log } = this.#deps
    const location = this.#at(place)
    let store: KeyValueStore | undefined
    try {
      store = await disk.openStore(location, { mode: 'open', ...BUFFERS })
      const bytes = store.getSync(MANIFEST_KEY)
      if (bytes === undefined) throw new Error('it has no manifest')
      const manifest = decodeAs(manifestCodec, bytes)
      this.#held.set(decodeHeader(manifest.header).header.height, { place, store, bytes, manifest })
    } catch (error) {
      // It can be made again; nothing rests on it.
      log.warn({ error, location }, 'a snapshot that cannot be read is removed')
      await store?.close()
      await disk.remove(location)
    }
  }

  /** A place without a snapshot: that of the lowest, if all are taken. */
  async #makePlace(): Promise<number> {
    const [lowest] = this.heights
    if (this.#held.size >= SNAPSHOT_LIMITS.keptMax && lowest !== undefined) {
      const { store, place } = this.#held.get(lowest) as Snapshot
      this.#held.delete(lowest)
      await store.close()
      await this.#deps.disk.remove(this.#at(place))
    }
    const taken = new Set([...this.#held.values()].map(({ place }) => place))
    return Array.from({ length: SNAPSHOT_LIMITS.keptMax }, (_, i) => i).find((place) => !taken.has(place)) as number
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(PAUSE_MS, resolve))
  }
}

/** Range of the entries of a part: their key hashes begin with its bits. */
function partRange(part: number, depth: number): { gte: Uint8Array; lt: Uint8Array } {
  const prefix = (number: number): Uint8Array => {
    const bits = depth === 0 ? number * 65_536 : number << (16 - depth)
    // The end of the last part is the first key that is no entry.
    return bits >= 65_536 ? Uint8Array.of(2) : Uint8Array.of(1, bits >>> 8, bits & 255)
  }
  return { gte: prefix(part), lt: prefix(part + 1) }
}
