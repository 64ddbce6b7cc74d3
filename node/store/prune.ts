/**
 * Pruning (ledger.md §4): what of an old block is dropped, and what stays. Stage: the disk at the end of the river.
 * Dropped: the body, the replay records, and the index of the device events in it, which leads to nothing without the body. Kept for ever: header,
 * certificate, tree roots, node of the history log, the ids of its transactions and where each stands. So the inclusion of a transaction can
 * be proved to whoever has kept its bytes.
 * Invariants: one step is one batch, with the mark of how far it goes, so that a crash leaves no body without a mark and no mark without its ids;
 * a step is bounded by blocks and bytes; nothing here waits for the disk longer than one read.
 */
import { concat } from '../../protocol/bytes.ts'
import { deviceEventPrefix, encodeHeight, encodePosition, heightKey, META, textKey } from './buckets.ts'
import type { LedgerBlock } from './ledgerBatch.ts'
import type { KeyValueStore, StoreOperation } from './store.ts'

/** Blocks whose bodies go in one step. */
export const PRUNE_STEP_BLOCKS = 64
/** Bytes of bodies after which a step ends. */
const PRUNE_STEP_BYTES = 512 * 1024

/** What the store does not know of a body: ids of its transactions, in order, and the events in it. Throws on bytes that are no body. */
export type BodyReader = (body: Uint8Array) => Pick<LedgerBlock, 'transactionIds' | 'deviceEvents'>

/** Blocks `from` … `to` − 1 lost their bodies, of so many bytes. */
export type PrunedStep = { readonly from: number; readonly to: number; readonly bytes: number }

/** The batch that drops the bodies from `from` to below `below` at most, while `isOld`; empty where there is nothing to drop. */
export async function pruneOperations(
  store: Pick<KeyValueStore, 'get'>,
  from: number,
  below: number,
  isOld: (height: number) => boolean,
  readBody: BodyReader,
): Promise<{ operations: StoreOperation[]; to: number; bytes: number }> {
  const operations: StoreOperation[] = []
  let bytes = 0
  let to = from
  for (; to < below && to < from + PRUNE_STEP_BLOCKS && bytes < PRUNE_STEP_BYTES && isOld(to); to++) {
    const body = await store.get(heightKey('bodies', to))
    operations.push({ key: heightKey('bodies', to), value: undefined })
    operations.push({ key: heightKey('replayRecords', to), value: undefined })
    if (body === undefined) continue
    bytes += body.length
    const { transactionIds, deviceEvents } = readBody(body)
    operations.push({ key: heightKey('transactionIds', to), value: concat(...transactionIds) })
    for (const { deviceId, category, index } of deviceEvents)
      operations.push({
        key: concat(deviceEventPrefix(deviceId, category), encodePosition(to, index)),
        value: undefined,
      })
  }
  if (to > from) operations.push({ key: textKey('meta', META.prunedBelow), value: encodeHeight(to) })
  return { operations, to, bytes }
}

/** Hashes of 32 bytes that stand one after the other. */
export function unpackHashes(packed: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = []
  for (let i = 0; i + 32 <= packed.length; i += 32) hashes.push(packed.subarray(i, i + 32))
  return hashes
}
