/**
 * What a committed block becomes on disk: the operations of its one batch, and nothing else writes blocks.
 * Invariant: pure; every key space of a block is written here, so that this file and buckets.ts together say all there is to know.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { concat } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import type { HistoryNode } from '../../protocol/history.ts'
import type { StateChange } from '../../protocol/state/tree.ts'
import {
  deviceEventPrefix,
  encodeHeight,
  encodePosition,
  hashKey,
  heightKey,
  historyKey,
  META,
  STORE_FORMAT_VERSION,
  textKey,
} from './buckets.ts'
import type { StoreOperation } from './store.ts'

/** What a block does to the state and the indexes. All hashes 32 bytes. */
export type LedgerChanges = {
  /** Entries that changed, each key once: encoding of the entry (`encodeEntry`), or null where it was deleted. */
  readonly stateChanges: readonly { readonly key: string; readonly entry: Uint8Array | null }[]
  /** The same changes as the state tree saw them. */
  readonly leafChanges: readonly StateChange[]
  /** Nodes of the history log that became complete. */
  readonly historyNodes: readonly HistoryNode[]
  /** Encodings of member sets that headers name by hash from now on. */
  readonly memberSets: readonly Uint8Array[]
}

/** A committed block with all that is written for it. */
export type LedgerBlock = LedgerChanges & {
  readonly header: SealedHeader
  /** Encoding of the body; the store does not look into it. */
  readonly body: Uint8Array
  /** Encoding of its commit certificate; null for a block that a descendant's certificate commits. */
  readonly certificate: Uint8Array | null
  /** Height of that descendant, or its own. */
  readonly committedBy: number
  /** Ids of its transactions, in order. */
  readonly transactionIds: readonly Uint8Array[]
  /** Roots of its trees of at most 1000 transactions. */
  readonly treeRoots: readonly Uint8Array[]
  /** Events of devices, for queries by device and category; `index` is that of the transaction in the block. */
  readonly deviceEvents: readonly { readonly deviceId: Uint8Array; readonly category: string; readonly index: number }[]
  /** What the block adds to the replay window (`ReplayWindow.pack`). */
  readonly replayRecords: Uint8Array
}

/** The operations that write height 0: version, chain id, and what the genesis puts into state. */
export function genesisOperations(chainId: Uint8Array, genesis: LedgerChanges): StoreOperation[] {
  const operations: StoreOperation[] = [
    { key: textKey('meta', META.formatVersion), value: Uint8Array.of(0, 0, 0, STORE_FORMAT_VERSION) },
    { key: textKey('meta', META.chainId), value: chainId },
    { key: textKey('meta', META.committedHeight), value: encodeHeight(0) },
    { key: textKey('meta', META.prunedBelow), value: encodeHeight(0) },
    { key: hashKey('heightByHash', chainId), value: encodeHeight(0) },
  ]
  appendChanges(operations, genesis)
  return operations
}

/** The operations that write `block`. Throws an Error where an event names no transaction of the block: a bug. */
export function blockOperations(block: LedgerBlock): StoreOperation[] {
  const { height } = block.header.header
  const heightBytes = encodeHeight(height)
  const operations: StoreOperation[] = [
    { key: heightKey('headers', height), value: block.header.bytes },
    { key: hashKey('heightByHash', block.header.hash), value: heightBytes },
    { key: heightKey('bodies', height), value: block.body },
    { key: heightKey('treeRoots', height), value: concat(...block.treeRoots) },
    { key: heightKey('replayRecords', height), value: block.replayRecords },
    { key: textKey('meta', META.committedHeight), value: heightBytes },
  ]
  if (block.certificate !== null) operations.push({ key: heightKey('certificates', height), value: block.certificate })
  else operations.push({ key: textKey('meta', META.committedBy), value: encodeHeight(block.committedBy) })
  block.transactionIds.forEach((id, index) => {
    operations.push({ key: hashKey('transactions', id), value: encodePosition(height, index) })
  })
  for (const { deviceId, category, index } of block.deviceEvents) {
    const id = block.transactionIds[index]
    if (id === undefined)
      throw new Error(`an event of transaction ${index} in a block of ${block.transactionIds.length}`)
    const key = concat(deviceEventPrefix(deviceId, category), encodePosition(height, index))
    operations.push({ key, value: id })
  }
  appendChanges(operations, block)
  return operations
}

function appendChanges(operations: StoreOperation[], changes: LedgerChanges): void {
  for (const { key, entry } of changes.stateChanges)
    operations.push({ key: textKey('state', key), value: entry ?? undefined })
  for (const { keyHash, valueHash } of changes.leafChanges)
    operations.push({ key: hashKey('leaves', keyHash), value: valueHash ?? undefined })
  for (const [level, index, hash] of changes.historyNodes)
    operations.push({ key: historyKey(level, index), value: hash })
  for (const set of changes.memberSets) operations.push({ key: hashKey('memberSets', sha3(set)), value: set })
}
