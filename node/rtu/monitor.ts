/**
 * RTU, stage 1: the shape that all monitors share, and the findings they give.
 * Invariants: a detail is at most 200 characters, printable, and made of paths, names, addresses and numbers only, never of command
 * lines or environments (they may hold secrets); one observation gives at most 64 findings; a baseline is a value that `observe`
 * replaces and never mutates.
 */
import type { CategoryName } from '../../protocol/kinds/report/categories.ts'
import { scoreOf } from '../../protocol/kinds/report/report.ts'
import { BLIND_CHARACTERS_MAX, type FeatureCounts } from './features.ts'
import type { Machine } from './machine.ts'

/** One thing that is not as it was learnt. */
export type Finding = {
  readonly category: CategoryName
  /** What the finding is about: the same as long as it is the same anomaly. Not sent; decides what counts as a repetition. */
  readonly subject: string
  /** Harm if it is what it looks like, 0 … 1 000 000. */
  readonly severityPpm: number
  /** How surely it is what it looks like, 0 … 1 000 000. */
  readonly confidencePpm: number
  /** At most 200 characters, see `detailOf`. */
  readonly detail: string
}

/** What a monitor is given for one cycle. */
export type Turn = {
  /** Whether what is seen belongs to the baseline (and is no finding). */
  readonly learning: boolean
  /** `Machine.monotonicMs` after which the monitor stops and says what it left out. */
  readonly deadlineMs: number
  /** Lets the rest of the process run; awaited between batches. */
  pause(): Promise<void>
}

/** What one monitor saw in one cycle. */
export type Observation<B> = {
  /** Empty while learning. At most 64. */
  readonly findings: readonly Finding[]
  readonly baseline: B
  /** What could not be seen, in a sentence of at most 200 characters; null if nothing was missed. */
  readonly blind: string | null
  /** Empty where the monitor saw nothing at all. */
  readonly counts: FeatureCounts
}

/**
 * A monitor of one aspect of the machine. `toDisk` gives the part of a baseline that outlives the process, as JSON; `fromDisk` throws
 * on anything that `toDisk` cannot have given.
 */
export type Monitor<B> = {
  readonly name: string
  /** What it can find. A peer is judged by these only, and only while the monitor sees. */
  readonly categories: readonly CategoryName[]
  empty(): B
  observe(machine: Machine, baseline: B, turn: Turn): Promise<Observation<B>>
  toDisk(baseline: B): unknown
  fromDisk(json: unknown): B
}

/** Characters of a detail. */
export const DETAIL_CHARACTERS_MAX = 200
/** Findings of one observation. */
export const FINDINGS_MAX = 64

/** `text` on one line of at most `max` characters: control and format characters, which could forge lines of a log or turn its direction, are replaced. */
export function printable(text: string, max: number): string {
  const clean = text.slice(0, 4 * max).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '�')
  if (clean.length <= max) return clean
  // The cut must not leave half of a surrogate pair behind.
  return `${clean.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** A detail of at most 200 printable characters. */
export const detailOf = (text: string): string => printable(text, DETAIL_CHARACTERS_MAX)

/** The findings with the highest scores first; equal ones in the order they came. */
export const worstFirst = (findings: readonly Finding[]): readonly Finding[] =>
  findings
    .map((finding) => ({ finding, score: scoreOf(finding.severityPpm, finding.confidencePpm) }))
    .sort((a, b) => b.score - a.score)
    .map(({ finding }) => finding)

/** `findings` with the worst 64 kept where there are more. */
export const worstFindings = (findings: readonly Finding[]): readonly Finding[] =>
  findings.length <= FINDINGS_MAX ? findings : worstFirst(findings).slice(0, FINDINGS_MAX)

/** One sentence of several; null if there is none. */
export const blindOf = (sentences: readonly (string | null)[]): string | null => {
  const said = sentences.filter((sentence) => sentence !== null)
  return said.length === 0 ? null : printable(said.join('; '), BLIND_CHARACTERS_MAX)
}

/** What is said where the machine has no such view at all, or refuses it. */
export const cannotSee = (what: string, path: string, refusal: string): string =>
  refusal === 'ENOENT'
    ? `cannot see ${what}: this system has no ${path}`
    : `cannot see ${what}: ${path} gives ${refusal}`
