/**
 * RTU, stage 3: what of the findings is reported, when, and as which payload.
 * Invariants: a finding that lasts is reported when it begins, when it grows clearly worse, and again after `repeatMs`; never in each
 * cycle. Where there is nothing to say, a report without events is due every `heartbeatMs`, so that silence means something. The
 * memory is bounded, and what does not fit into one report waits for the next cycle's instead of being lost.
 */
import type { CborValue } from '../../protocol/cbor.ts'
import { deviceReport, type Report, type ReportEvent, scoreOf } from '../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { encodeFeatures, type Features } from './features.ts'
import { type Finding, worstFirst } from './monitor.ts'

/** Times by the machine's monotonic clock. `heartbeatMs` 0: a report in each cycle. */
export type ReportOptions = {
  readonly heartbeatMs: number
  readonly repeatMs: number
  /** A rise of the severity by so much is news before `repeatMs` has passed. */
  readonly worseByPpm: number
}
/** A sign of life a minute, and what lasts again every hour. */
export const REPORT_DEFAULTS: ReportOptions = { heartbeatMs: 60_000, repeatMs: 3_600_000, worseByPpm: 150_000 }

/** What was reported when. */
export type ReportMemory = {
  readonly lastReportMs: number | null
  readonly reported: ReadonlyMap<string, { readonly atMs: number; readonly severityPpm: number }>
}
/** Nothing was reported yet: the first cycle gives a sign of life. */
export const EMPTY_REPORT_MEMORY: ReportMemory = { lastReportMs: null, reported: new Map() }

/** Findings remembered; beyond, the longest not reported are forgotten (and so repeated early rather than never). */
export const REMEMBERED_MAX = 2048

/**
 * What to report at `nowMs` (monotonic): the findings that are news, worst first and at most 64, or none of them for a mere sign of life;
 * null where nothing is due. `memory` is what holds once that report is safely in the outbox.
 */
export function selectReport(
  findings: readonly Finding[],
  before: ReportMemory,
  nowMs: number,
  { heartbeatMs, repeatMs, worseByPpm }: ReportOptions,
): { findings: readonly Finding[]; memory: ReportMemory } | null {
  const news = new Map<string, Finding>()
  for (const finding of findings) {
    const key = `${finding.category} ${finding.subject}`
    const last = before.reported.get(key)
    const due =
      last === undefined || nowMs - last.atMs >= repeatMs || finding.severityPpm - last.severityPpm >= worseByPpm
    if (due && !news.has(key)) news.set(key, finding)
  }
  const chosen = worstFirst([...news.values()]).slice(0, LIMITS.reportEventsMax)
  if (chosen.length === 0 && before.lastReportMs !== null && nowMs - before.lastReportMs < heartbeatMs) return null
  // An entry outlives its finding, so that one which comes and goes is not reported each time it comes.
  const reported = new Map([...before.reported].filter(([, { atMs }]) => nowMs - atMs < repeatMs))
  for (const finding of chosen) {
    const key = `${finding.category} ${finding.subject}`
    // Taken out first: a Map keeps the place of a key that is set again, and the order here is that of reporting.
    reported.delete(key)
    reported.set(key, { atMs: nowMs, severityPpm: finding.severityPpm })
  }
  for (const key of reported.keys()) {
    if (reported.size <= REMEMBERED_MAX) break
    reported.delete(key)
  }
  return { findings: chosen, memory: { lastReportMs: nowMs, reported } }
}

/** The event of a finding, with the score that everyone recomputes. */
export const eventOf = ({ category, severityPpm, confidencePpm, detail }: Finding): ReportEvent => ({
  category,
  severityPpm,
  confidencePpm,
  scorePpm: scoreOf(severityPpm, confidencePpm),
  detail,
})

/** What a report is made of. `device`: 20 bytes; `observedAt`: wall clock, ms since 1970-01-01T00:00Z. */
export type ReportParts = {
  readonly device: Uint8Array
  readonly observedAt: number
  readonly findings: readonly Finding[]
  readonly features: Features
  /** The model that gave the scores; null for the fixed rules of the monitors. */
  readonly model: Report['model']
}

/** A `device.report` of `parts`. */
export const reportOf = ({ device, observedAt, findings, features, model }: ReportParts): Report => ({
  device,
  observedAt,
  events: findings.map(eventOf),
  features: encodeFeatures(features),
  model,
  scores: [],
})

/** The payload of `report` for a transaction. */
export const payloadOf = (report: Report): CborValue => deviceReport.payload.to(report)
