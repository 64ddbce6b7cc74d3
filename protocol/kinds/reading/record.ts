/**
 * Readings in the state: 'reading/<id>' → how many batches a device or API key has anchored, and the last one. The batches themselves are in
 * the blocks: a proof of the transaction is the proof of the root.
 */
import { bytes, decodeAs, encodeAs, integer, record, type TypeOf } from '../../codec.ts'
import { transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** All batches of one signer. */
export type ReadingsRecord = TypeOf<typeof readingsCodec>
const readingsCodec = record({
  batches: integer(1),
  /** Readings in all of them together. */
  readings: integer(1),
  /** Root of the last batch. */
  lastRoot: bytes(32),
  lastHeight: integer(1),
  lastTransaction: transactionId,
})

/** State key of the batches that the key with `address` (hexadecimal) has anchored. */
export const readingsStateKey = (address: string): string => `reading/${address}`

/** Batches of the signer with `address` (hexadecimal), or undefined if there are none. */
export function readReadings(state: StateReader, address: string): ReadingsRecord | undefined {
  const value = state.get(readingsStateKey(address))
  return value === undefined ? undefined : decodeAs(readingsCodec, value, 'readings')
}

/** Adds a batch of `count` readings. */
export function addBatch(
  state: StateView,
  address: string,
  count: number,
  last: Omit<ReadingsRecord, 'batches' | 'readings'>,
): void {
  const before = readReadings(state, address)
  const batches = (before?.batches ?? 0) + 1
  const readings = (before?.readings ?? 0) + count
  state.put(readingsStateKey(address), encodeAs(readingsCodec, { batches, readings, ...last }))
}
