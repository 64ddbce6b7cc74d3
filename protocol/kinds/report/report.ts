/**
 * `device.report`: structured anomaly events with the features and the model behind them (ledger.md §2, §3). Owns 'report/' and 'event/'.
 * Invariants: the score of an event is a function of severity and confidence that everyone recomputes with integers; the scores of a model are
 * what the module that is active at the block's height says of the features, and everyone recomputes those as well.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import { bytes, integer, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { moduleVersion } from '../../genesis.ts'
import { LIMITS } from '../../limits.ts'
import { type ModuleScores, moduleEngine } from '../../modules/engine.ts'
import { deviceInService } from '../device/record.ts'
import { deviceId, PPM, ppm, remark } from '../fields.ts'
import type { Kind, KindContext, StateReader } from '../kind.ts'
import { activeModule, readModuleCode } from '../module/record.ts'
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
  /** What the model read: an input of docs/modules.md where there is a model. */
  features: bytes(0, FEATURES_BYTES_MAX),
  /** The `anomaly` module that gave the scores. null, for fixed rules, is for API keys, and for devices while no module is active. */
  model: optional(record({ hash: bytes(32), version: moduleVersion })),
  /** What the module says of the features; none where it says nothing of them (a trap, too many steps …), or without a model. */
  scores: list(ppm, LIMITS.moduleResultsMax),
})

/**
 * floor(severity × confidence / 1 000 000), all in ppm. The product is at most 10¹² and thus exact in a double; the remainder is taken off
 * before dividing, so that the quotient is exact too and no rounding can differ between machines.
 */
export function scoreOf(severityPpm: number, confidencePpm: number): number {
  const product = severityPpm * confidencePpm
  return (product - (product % PPM)) / PPM
}

/** The scores that belong to `features` by the module with `hash`, which is in `state`: none where it says nothing. */
export function scoresBy(state: StateReader, hash: string, features: Uint8Array): ModuleScores {
  const code = (): Uint8Array => {
    const bytes = readModuleCode(state, hash)
    if (bytes === undefined) throw new Error(`the active module ${hash} is not in the state`)
    return bytes
  }
  const scores = moduleEngine().score(hash, code, features)
  return typeof scores === 'string' ? [] : scores
}

/** REPORT_MODEL, REPORT_SCORE, or null for a report whose model and scores are right at the height of `context`. */
function judgeScores({ model, scores, features }: Report, { role, height }: KindContext, state: StateReader) {
  const active = activeModule(state, 'anomaly', height)
  if (model === null) {
    if (active !== null && role.is === 'device') return 'REPORT_MODEL'
    return scores.length === 0 ? null : 'REPORT_SCORE'
  }
  if (active === null || active.version !== model.version || !equalBytes(active.hash, model.hash)) return 'REPORT_MODEL'
  const right = scoresBy(state, toHex(active.hash), features)
  return right.length === scores.length && right.every((score, i) => score === scores[i]) ? null : 'REPORT_SCORE'
}

/**
 * Counts the events of a device. TX_FORBIDDEN if a device reports about another; REPORT_MODEL, REPORT_SCORE; DEVICE_UNKNOWN, DEVICE_RETIRED,
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
    // Last of all checks, as the dearest.
    const refusal = judgeScores(payload, context, state)
    if (refusal !== null) return refusal
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
