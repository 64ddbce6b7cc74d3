/**
 * `device.report`: structured anomaly events with the features and the model behind them (ledger.md §2, §3). Owns 'report/' and 'event/'.
 * Invariant: a score is a function of severity and confidence that everyone recomputes with integers.
 */
import { toHex } from '../../bytes.ts'
import { bytes, integer, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import { deviceInService } from '../device/record.ts'
import { deviceId, label, PPM, ppm, remark } from '../fields.ts'
import type { Kind } from '../kind.ts'
import { CATEGORY_NAMES, type CategoryName } from './categories.ts'
import { addEvents, addReport } from './record.ts'

/** Bytes of the features of one report: what the model read, in the model's own encoding. */
export const FEATURES_BYTES_MAX = 16 * 1024

/** One anomaly. */
export type ReportEvent = TypeOf<typeof eventCodec>
const eventCodec = record({
  category: oneOf(...CATEGORY_NAMES),
  severityPpm: ppm,
  confidencePpm: ppm,
  /** `scoreOf(severityPpm, confidencePpm)`. */
  scorePpm: ppm,
  detail: remark,
})

/** What a device, or a system that watches it, reports. */
export type Report = TypeOf<typeof reportPayload>
const reportPayload = record({
  device: deviceId,
  /** The device's claim of when, ms since 1970-01-01T00:00Z; the chain's is the block's time. */
  observedAt: integer(),
  /** None: a heartbeat, so that silence is visible. */
  events: list(eventCodec, LIMITS.reportEventsMax),
  features: bytes(0, FEATURES_BYTES_MAX),
  /** The model that gave the scores, by hash; null for fixed rules. */
  model: optional(record({ hash: bytes(32), version: label })),
})

/**
 * floor(severity × confidence / 1 000 000), all in ppm. The product is at most 10¹² and thus exact in a double; the remainder is taken off
 * before dividing, so that the quotient is exact too and no rounding can differ between machines.
 */
export function scoreOf(severityPpm: number, confidencePpm: number): number {
  const product = severityPpm * confidencePpm
  return (product - (product % PPM)) / PPM
}

/**
 * Counts the events of a device. TX_FORBIDDEN if a device reports about another; REPORT_SCORE; DEVICE_UNKNOWN, DEVICE_RETIRED,
 * DEVICE_BLACKLISTED.
 */
export const deviceReport: Kind<Report> = {
  name: 'device.report',
  describe: 'Reports anomaly events of a device, by itself or by an API key on its behalf.',
  signers: ['device', 'apiKey'],
  payload: reportPayload,
  apply(payload, context, state) {
    const id = toHex(payload.device)
    if (context.role.is === 'device' && id !== context.signerAddress) return 'TX_FORBIDDEN'
    for (const { severityPpm, confidencePpm, scorePpm } of payload.events)
      if (scorePpm !== scoreOf(severityPpm, confidencePpm)) return 'REPORT_SCORE'
    const device = deviceInService(state, id)
    if (typeof device === 'string') return device
    addReport(state, id, {
      lastHeight: context.height,
      lastTransaction: context.transactionId,
      observedAt: payload.observedAt,
    })
    const added = new Map<CategoryName, number>()
    for (const { category } of payload.events) added.set(category, (added.get(category) ?? 0) + 1)
    for (const [category, count] of added) addEvents(state, id, category, count, context.height, context.transactionId)
    return null
  },
}
