/**
 * Stage: detectors. How much a finding matters: severity, confidence and impact on one scale.
 * Source: NIST SP 800-30 r1, appendix I: risk from likelihood and impact; likelihood here is what `device.report` calls score.
 * Invariants: integers in parts per million; a product of two of them is exact in a double; rounding is down, in a fixed order.
 */
import { scoreOf } from '../kinds/report/report.ts'

/** Names of the scale, with the least risk of each in parts per million. */
export const RISK_LEVELS = [
  { name: 'critical', fromPpm: 640_000 },
  { name: 'high', fromPpm: 360_000 },
  { name: 'medium', fromPpm: 160_000 },
  { name: 'low', fromPpm: 40_000 },
  { name: 'negligible', fromPpm: 0 },
] as const

/**
 * Risk in parts per million: severity (harm if it is so) × confidence (how surely it is so) × impact (what depends on the device), each likewise.
 */
export const riskOf = (severityPpm: number, confidencePpm: number, impactPpm: number): number =>
  scoreOf(scoreOf(severityPpm, confidencePpm), impactPpm)

/** What people call that risk. */
export const riskLevel = (riskPpm: number): (typeof RISK_LEVELS)[number]['name'] =>
  (RISK_LEVELS.find(({ fromPpm }) => riskPpm >= fromPpm) ?? { name: 'negligible' as const }).name
