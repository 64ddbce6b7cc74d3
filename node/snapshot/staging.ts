/**
 * The ledger that a joining member builds beside its own: `ledger.joining`, in the layout of a ledger, until it is whole. Stage: the disk.
 * Invariants: what is in it was checked before it was written; each batch leaves it at a place from which it goes on after a crash; it does not
 * count as a ledger while `META.joining` is in it, and its directory is named `ledger.joined` only afterwards.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { encodeAs } from '../../protocol/codec.ts'
import { appendBlock, type Frontier, frontierAt, frontierNodes } from '../../protocol/history.ts'
import type { TrustedEra } from '../../protocol/light.ts'
import { memberSetCodec } from '../../protocol/members.ts'
import { treeRoots } from '../../protocol/merkle.ts'
import {
  BUCKETS,
  bucketRange,
  chunkKey,
  decodeHeight,
  encodeHeight,
  eraKey,
  hashKey,
  heightKey,
  historyKey,
  META,
  textKey,
} from '../store/buckets.ts'
import { blockOperations, genesisOperations, type LedgerBlock } from '../store/ledgerBatch.ts'
import type { KeyValueStore, StoreOperation } from '../store/store.ts'
import type { ChunkEntry, VerifiedManifest } from './manifest.ts'

/** One block of those that a joiner takes whole. */
export type WholeBlock = Pick<LedgerBlock, 'body' | 'certificate' | 'transactionIds' | 'deviceEvents' | 'replayRecords'>

/** A ledger in the making, for one snapshot. */
export class Staging {
  readonly #store: KeyValueStore
  readonly #snapshot: VerifiedManifest
  #frontier: Frontier | undefined

  private constructor(store: KeyValueStore, snapshot: VerifiedManifest) {
    this.#store = store
    this.#snapshot = snapshot
  }

  /** Encoding of the manifest for which `store` was begun; undefined for an empty one. */
  static manifestIn(store: KeyValueStore): Uint8Array | undefined {
    return store.getSync(textKey('meta', META.joining))
  }

  /** Begins in an empty `store`, or goes on in one that was begun for the same manifest (`data`, its encoding). */
  static async open(
    store: KeyValueStore,
    snapshot: VerifiedManifest,
    data: Uint8Array,
    chainId: Uint8Array,
  ): Promise<Staging> {
    if (Staging.manifestIn(store) === undefined) {
      const { eras, manifest } = snapshot
      const operations = genesisOperations(chainId, {
        stateChanges: [],
        leafChanges: [],
        historyNodes: [],
        memberSets: eras.map(({ memberSet }) => encodeAs(memberSetCodec, memberSet)),
      })
      manifest.eras.forEach(({ header, certificate }, era) => {
        const { height } = eras[era + 1] as TrustedEra
        operations.push(
          { key: heightKey('headers', height), value: header },
          { key: heightKey('certificates', height), value: certificate },
          { key: eraKey(era), value: encodeHeight(height) },
        )
      })
      operations.push({ key: textKey('meta', META.joining), value: data })
      await store.batch(operations, { sync: true })
    }
    return new Staging(store, snapshot)
  }

  /** Numbers of the chunks that are not in yet. */
  async missingChunks(): Promise<number[]> {
    const present = new Uint8Array(2 ** this.#snapshot.manifest.depth)
    for await (const [key] of this.#store.iterate(bucketRange('chunks')))
      present[new DataView(key.buffer, key.byteOffset).getUint32(1)] = 1
    return [...present.keys()].filter((part) => present[part] === 0)
  }

  /** Writes a checked chunk. */
  async putChunk(part: number, entries: readonly ChunkEntry[]): Promise<void> {
    const operations: StoreOperation[] = [{ key: chunkKey(part), value: new Uint8Array(0) }]
    for (const { key, entry, keyHash, valueHash } of entries) {
      operations.push({ key: Buffer.concat([Uint8Array.of(BUCKETS.state), key]), value: entry })
      operations.push({ key: hashKey('leaves', keyHash), value: valueHash })
    }
    await this.#store.batch(operations, { sync: false })
  }

  /** Writes headers that were found to be ancestors of the snapshot's. */
  async putHeaders(headers: readonly SealedHeader[]): Promise<void> {
    await this.#store.batch(
      headers.map((sealed) => ({ key: heightKey('headers', sealed.header.height), value: sealed.bytes })),
      { sync: false },
    )
  }

  /** Header at `height`, if it is in. */
  header(height: number): SealedHeader | undefined {
    const bytes = this.#store.getSync(heightKey('headers', height))
    return bytes && decodeHeader(bytes)
  }

  /** Height of the last block that is in whole; 0 before the first. */
  get wholeHeight(): number {
    return decodeHeight(this.#store.getSync(textKey('meta', META.committedHeight)) as Uint8Array)
  }

  /** Begins the history log with the peaks below the first whole block, which were found to have its `historyRoot`. */
  async beginHistory(): Promise<void> {
    const { firstHeight: size, peaks } = this.#snapshot.manifest
    if (this.wholeHeight > 0) return
    const nodes = frontierNodes({ size, peaks })
    await this.#store.batch(
      nodes.map(([level, index, hash]) => ({ key: historyKey(level, index), value: hash })),
      { sync: false },
    )
  }

  /** Writes the block after `wholeHeight`, all of it checked; its header is in. */
  async putBlock(block: WholeBlock): Promise<void> {
    const height = Math.max(this.wholeHeight + 1, this.#snapshot.manifest.firstHeight)
    const header = this.header(height)
    if (header === undefined) throw new Error(`the header of height ${height} is not in`)
    this.#frontier ??= frontierAt(height, (level, index) => this.#node(level, index))
    const { frontier, nodes } = appendBlock(this.#frontier, header.hash)
    const operations = blockOperations({
      ...block,
      header,
      committedBy: this.#snapshot.sealed.header.height,
      treeRoots: treeRoots(block.transactionIds),
      historyNodes: nodes,
      stateChanges: [],
      leafChanges: [],
      memberSets: [],
    })
    await this.#store.batch(operations, { sync: false })
    this.#frontier = frontier
  }

  /** Makes a ledger of it: all chunks and all blocks are in. */
  async finish(): Promise<void> {
    const { manifest, sealed } = this.#snapshot
    if (this.wholeHeight !== sealed.header.height) throw new Error('not all blocks are in')
    const operations: StoreOperation[] = [
      { key: textKey('meta', META.prunedBelow), value: encodeHeight(manifest.firstHeight) },
      { key: textKey('meta', META.firstHeight), value: encodeHeight(manifest.firstHeight) },
      { key: textKey('meta', META.joining), value: undefined },
    ]
    for await (const [key] of this.#store.iterate(bucketRange('chunks'))) operations.push({ key, value: undefined })
    // The log of the database keeps the order of writes: what this one needs is durable with it.
    await this.#store.batch(operations, { sync: true })
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  #node(level: number, index: number): Uint8Array {
    const node = this.#store.getSync(historyKey(level, index))
    if (node === undefined)
      throw new Error(`node (${level}, ${index}) of ${toHex(this.#snapshot.sealed.hash)} is missing`)
    return node
  }
}
