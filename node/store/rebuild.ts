/**
 * Rebuilding: everything in a ledger that follows from its headers, bodies and entries, written anew. Stage: the disk at the end of the river.
 * Invariants: headers, bodies, certificates and entries are read and never changed; while it goes on the store is marked, so that a crash in the
 * middle leaves nothing that opens as a ledger; memory is one batch.
 */
import { concat } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { appendBlock, EMPTY_FRONTIER, type Frontier, frontierAt, frontierNodes } from '../../protocol/history.ts'
import { treeRoots } from '../../protocol/merkle.ts'
import { valueHashOf } from '../../protocol/state/entry.ts'
import {
  type Bucket,
  bucketRange,
  decodeHeight,
  deviceEventPrefix,
  encodeHeight,
  encodePosition,
  hashKey,
  heightKey,
  historyKey,
  META,
  textKey,
} from './buckets.ts'
import { type BodyReader, unpackHashes } from './prune.ts'
import type { KeyValueStore, StoreOperation } from './store.ts'

/** What follows from the rest. */
const DERIVED = [
  'heightByHash',
  'leaves',
  'history',
  'transactions',
  'deviceEvents',
  'treeRoots',
] as const satisfies Bucket[]
const BATCH_OPERATIONS = 2000

/**
 * Writes all indexes of the ledger in `store` anew. What it needs and does not find, or cannot read, it leaves out: the check afterwards
 * says so. Throws AlthingError STORE_WRITE_FAILED, STORE_READ_FAILED, STORE_CORRUPT, and an Error on a store without a height.
 */
export async function rebuildIndexes(store: KeyValueStore, chainId: Uint8Array, readBody: BodyReader): Promise<void> {
  const batch = new Batch(store)
  const heightOf = (name: string): number | undefined => {
    const value = store.getSync(textKey('meta', name))
    return value?.length === 8 ? decodeHeight(value) : undefined
  }
  const committed = heightOf(META.committedHeight)
  if (committed === undefined) throw new Error('the ledger does not say how high it is')
  const first = heightOf(META.firstHeight) ?? 1
  let frontier = beginning(store, first, chainId)
  await store.batch([{ key: textKey('meta', META.rebuilding), value: new Uint8Array(0) }], { sync: true })
  for (const bucket of DERIVED) {
    for await (const [key] of store.iterate(bucketRange(bucket))) await batch.add({ key, value: undefined })
    // Deletions first: what is put below must come after them.
    await batch.flush()
  }
  await batch.add({ key: hashKey('heightByHash', chainId), value: encodeHeight(0) })
  const below = frontier
  for (const [level, index, hash] of below.nodes) await batch.add({ key: historyKey(level, index), value: hash })
  for (let height = first; height <= committed; height++) {
    const header = store.getSync(heightKey('headers', height))
    if (header === undefined) continue
    const hash = sha3(header)
    await batch.add({ key: hashKey('heightByHash', hash), value: encodeHeight(height) })
    frontier = appendBlock(frontier.frontier, hash)
    for (const [level, index, node] of frontier.nodes) await batch.add({ key: historyKey(level, index), value: node })
    await addBlock(store, batch, height, readBody)
  }
  for await (const [key, entry] of store.iterate(bucketRange('state')))
    await batch.add({ key: hashKey('leaves', sha3(key.subarray(1))), value: valueHashOf(entry) })
  await batch.flush()
  await store.batch([{ key: textKey('meta', META.rebuilding), value: undefined }], { sync: true })
}

type Log = { readonly frontier: Frontier; readonly nodes: ReturnType<typeof frontierNodes> }

/** The log below the first block: of a ledger that began with a snapshot it cannot be derived, and is kept. */
function beginning(store: KeyValueStore, first: number, chainId: Uint8Array): Log {
  if (first === 1) return appendBlock(EMPTY_FRONTIER, chainId)
  const frontier = frontierAt(first, (level, index) => {
    const node = store.getSync(historyKey(level, index))
    if (node === undefined)
      throw new Error(`node (${level}, ${index}) of the history log is missing and cannot be derived`)
    return node
  })
  return { frontier, nodes: frontierNodes(frontier) }
}

async function addBlock(store: KeyValueStore, batch: Batch, height: number, readBody: BodyReader): Promise<void> {
  const body = await store.get(heightKey('bodies', height))
  const kept = body === undefined ? await store.get(heightKey('transactionIds', height)) : undefined
  let contents: ReturnType<BodyReader>
  try {
    contents =
      body === undefined
        ? { transactionIds: unpackHashes(kept ?? new Uint8Array(0)), deviceEvents: [] }
        : readBody(body)
  } catch {
    return
  }
  const { transactionIds, deviceEvents } = contents
  await batch.add({ key: heightKey('treeRoots', height), value: concat(...treeRoots(transactionIds)) })
  for (const [index, id] of transactionIds.entries())
    await batch.add({ key: hashKey('transactions', id), value: encodePosition(height, index) })
  for (const { deviceId, category, index } of deviceEvents) {
    const key = concat(deviceEventPrefix(deviceId, category), encodePosition(height, index))
    await batch.add({ key, value: transactionIds[index] as Uint8Array })
  }
}

/** Gathers operations and writes them when there are enough. */
class Batch {
  readonly #store: KeyValueStore
  #operations: StoreOperation[] = []

  constructor(store: KeyValueStore) {
    this.#store = store
  }

  async add(operation: StoreOperation): Promise<void> {
    this.#operations.push(operation)
    if (this.#operations.length >= BATCH_OPERATIONS) await this.flush()
  }

  async flush(): Promise<void> {
    await this.#store.batch(this.#operations, { sync: false })
    this.#operations = []
  }
}
