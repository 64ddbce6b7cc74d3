/**
 * Reports in the state: 'report/<id>' → how many there were of a device and what the last one was, so that silence is visible;
 * 'event/<id>/<category>' → how often it was reported in a category, and when last. The reports themselves are in the blocks.
 */
import { decodeAs, encodeAs, integer, record, type TypeOf } from '../../codec.ts'
import { transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'
import { CATEGORY_NAMES, type CategoryName } from './categories.ts'

/** All reports about one device, those without events too. */
export type ReportsRecord = TypeOf<typeof reportsCodec>
const reportsCodec = record({
  /** Reports since registration. */
  count: integer(1),
  lastHeight: integer(1),
  lastTransaction: transactionId,
  /** `observedAt` of the last one: a claim, ms since 1970-01-01T00:00Z. */
  observedAt: integer(),
})

/** State key of the reports of the device `id` (hexadecimal). */
export const reportsStateKey = (id: string): string => `report/${id}`

/** Reports of the device `id` (hexadecimal), or undefined if there were none. */
export function readReports(state: StateReader, id: string): ReportsRecord | undefined {
  const value = state.get(reportsStateKey(id))
  return value === undefined ? undefined : decodeAs(reportsCodec, value, 'reports')
}

/** Counts one more report of the device `id` (hexadecimal). */
export function addReport(state: StateView, id: string, last: Omit<ReportsRecord, 'count'>): void {
  const count = (readReports(state, id)?.count ?? 0) + 1
  state.put(reportsStateKey(id), encodeAs(reportsCodec, { count, ...last }))
}

/** Events of one device in one category. */
export type EventRecord = TypeOf<typeof eventCodec>
const eventCodec = record({
  /** Events since registration. */
  count: integer(1),
  lastHeight: integer(1),
  /** The last report that holds one. */
  lastTransaction: transactionId,
})

/** State key of the events of the device `id` (hexadecimal) in `category`. */
export const eventStateKey = (id: string, category: CategoryName): string => `event/${id}/${category}`

/** Events of the device `id` (hexadecimal) in `category`, or undefined if there were none. */
export function readEvents(state: StateReader, id: string, category: CategoryName): EventRecord | undefined {
  const value = state.get(eventStateKey(id, category))
  return value === undefined ? undefined : decodeAs(eventCodec, value, 'events')
}

/** Events of the device `id` (hexadecimal) in all categories that have any, in the published order. At most one lookup each. */
export function readAllEvents(state: StateReader, id: string): ReadonlyMap<CategoryName, EventRecord> {
  const all = new Map<CategoryName, EventRecord>()
  for (const category of CATEGORY_NAMES) {
    const events = readEvents(state, id, category)
    if (events !== undefined) all.set(category, events)
  }
  return all
}

/** Adds `added` (at least 1) events of `category` to the device `id` (hexadecimal). */
export function addEvents(
  state: StateView,
  id: string,
  category: CategoryName,
  added: number,
  lastHeight: number,
  lastTransaction: Uint8Array,
): void {
  const count = (readEvents(state, id, category)?.count ?? 0) + added
  state.put(eventStateKey(id, category), encodeAs(eventCodec, { count, lastHeight, lastTransaction }))
}
