/**
 * Stage: detectors. How far a reading, a window, a series and a group can be believed, aspect by aspect, in [0, 1].
 * Sources: Wang and Strong, Beyond Accuracy: What Data Quality Means to Data Consumers, 1996 (believability as a dimension); Klein and Lehner,
 * Representing Data Quality in Sensor Data Streaming Environments, ACM JDIQ 2009 (windows, propagation to what is made of them).
 * Invariants: an aspect is a measure, of which more is worse, put on [0, 1] by a rule that people write (config/believability.toml); what could
 * not be measured (NaN) has no score and counts nowhere; a level is the weighted harmonic mean of what is below it, so that nothing covers a 0.
 * The scores of a window use only what every machine rounds alike (no logarithm, no power), for a module gives them too.
 */
import { type Level, levelOf } from './robust.ts'
import { deviationAround, median } from './statistics.ts'
import { warpedDistance } from './warping.ts'

/** What is looked at, and the unit of its measure. */
export const ASPECTS = {
  accuracy: 'spreads outside of the plausible range, or from a reference reading',
  timeliness: 'usual intervals between reading and arrival',
  noise: 'times more or less than the usual noise',
  frequency: 'times more or less than the usual interval',
  trend: 'usual spreads that a window climbs or falls',
  changePoints: 'usual spreads between both halves of a window',
  outliers: 'part of a window beyond three deviations of it',
  reference: 'usual spreads from the reference series, after warping',
  cluster: 'spreads of the cluster from its median',
} as const
/** One of `ASPECTS`. */
export type Aspect = keyof typeof ASPECTS
/** What is scored as a whole. */
export const LEVELS = ['value', 'window', 'series', 'group', 'total'] as const
/** One of `LEVELS`. */
export type BelievabilityLevel = (typeof LEVELS)[number]

/** How a measure becomes a score: 1 up to `full`, 0 from `none` on, and a straight line between. */
export type AspectRule = {
  readonly full: number
  readonly none: number
  /** How much it counts in its level; 0: it is shown, and counts for nothing. */
  readonly weight: number
  /** Below this score there is an alarm; 0: never. */
  readonly alarm: number
}
/** The rules: what config/believability.toml holds. */
export type BelievabilityRules = {
  readonly aspects: Readonly<Record<Aspect, AspectRule>>
  readonly levels: Readonly<Record<BelievabilityLevel, { readonly alarm: number }>>
  /** Weight of the newest window in the score of a series. */
  readonly memory: number
  /** Windows in a row below a threshold before there is an alarm. */
  readonly patience: number
}

/** What is usual for a series: learnt from a stretch of it. */
export type Usual = {
  readonly level: Level
  /** Deviation from one value to the next. */
  readonly noise: number
  /** Seconds from one reading to the next. */
  readonly interval: number
}

/** Readings in the order of their time, s; values finite. */
export type Readings = { readonly times: ArrayLike<number>; readonly values: ArrayLike<number> }

const differences = (list: ArrayLike<number>): Float64Array =>
  Float64Array.from({ length: Math.max(0, list.length - 1) }, (_, i) => (list[i + 1] as number) - (list[i] as number))

/** Root mean square of the moves from one value to the next, of which the greatest tenth is left out: outliers are an aspect of their own. */
function noiseOf(values: ArrayLike<number>): number {
  const moves = differences(values).map(Math.abs).sort()
  const kept = Math.max(1, Math.ceil(0.9 * moves.length))
  let sum = 0
  for (let i = 0; i < kept; i++) sum += (moves[i] ?? 0) * (moves[i] ?? 0)
  return Math.sqrt(sum / kept)
}

/** Learns from at least two readings. */
export function usualOf({ times, values }: Readings): Usual {
  const level = levelOf(values)
  return {
    level,
    noise: Math.max(noiseOf(values), 1e-3 * level.deviation),
    interval: Math.max(median(differences(times)), 1e-3),
  }
}

/** How many times more or less than usual; what is nothing counts as a thousandth. */
function timesApart(now: number, usual: number): number {
  const ratio = Math.max(now, 1e-3 * usual) / usual
  return ratio < 1 ? 1 / ratio : ratio
}

/** Measures of one value. `delay`: seconds until it arrived; `range`: what the sensor can plausibly read; NaN where not known. */
export const valueMeasures = (
  value: number,
  delay: number,
  range: { readonly least: number; readonly greatest: number },
  usual: Usual,
): Partial<Record<Aspect, number>> => ({
  // A value that is no number is as wrong as can be.
  accuracy: Number.isFinite(value)
    ? Math.max(0, range.least - value, value - range.greatest) / usual.level.deviation
    : Number.POSITIVE_INFINITY,
  timeliness: Math.abs(delay) / usual.interval,
})

/** Measures of a window of at least 4 readings. */
export function windowMeasures({ times, values }: Readings, usual: Usual): Partial<Record<Aspect, number>> {
  const all = Float64Array.from(values)
  const half = all.length >> 1
  const centre = median(all)
  const deviation = Math.max(deviationAround(all, centre), usual.noise, 0.1 * usual.level.deviation)
  const third = Math.max(1, Math.floor(all.length / 3))
  return {
    noise: timesApart(noiseOf(all), usual.noise),
    frequency: timesApart(median(differences(times)), usual.interval),
    trend: Math.abs(median(all.subarray(-third)) - median(all.subarray(0, third))) / usual.level.deviation,
    changePoints: Math.abs(median(all.subarray(half)) - median(all.subarray(0, half))) / usual.level.deviation,
    outliers: all.filter((value) => Math.abs(value - centre) > 3 * deviation).length / all.length,
  }
}

/** How far `values` are from the same stretch of a reference series that may lead or lag by `band` values. */
export const referenceMeasure = (
  values: ArrayLike<number>,
  reference: ArrayLike<number>,
  band: number,
  usual: Usual,
): number => warpedDistance(values, reference, band) / usual.level.deviation

/** How far `value` is from what the other sensors of its cluster read at the moment; NaN with fewer than three of them. */
export function clusterMeasure(value: number, others: ArrayLike<number>, usual: Usual): number {
  if (others.length < 3) return Number.NaN
  const { centre, deviation } = levelOf(others)
  return Math.abs(value - centre) / Math.max(deviation, usual.noise)
}

/** The score of a measure. */
export function aspectScore(measure: number, { full, none }: AspectRule): number {
  if (measure <= full) return 1
  return measure >= none ? 0 : (none - measure) / (none - full)
}

/** Scores of what was measured. */
export const aspectScores = (
  measures: Partial<Record<Aspect, number>>,
  rules: BelievabilityRules,
): Partial<Record<Aspect, number>> =>
  Object.fromEntries(
    Object.entries(measures)
      .filter(([, measure]) => !Number.isNaN(measure))
      .map(([aspect, measure]) => [aspect, aspectScore(measure, rules.aspects[aspect as Aspect])]),
  )

/** Weighted harmonic mean of `scores`; 1 where nothing counts. */
export function harmonicMean(scores: readonly number[], weights: readonly number[]): number {
  let sum = 0
  let total = 0
  for (const [i, score] of scores.entries()) {
    const weight = weights[i] as number
    if (weight <= 0) continue
    if (score <= 0) return 0
    sum += weight / score
    total += weight
  }
  return total === 0 ? 1 : total / sum
}

/** The score of a value or a window from its aspects. */
export const levelScore = (scores: Partial<Record<Aspect, number>>, rules: BelievabilityRules): number =>
  harmonicMean(
    Object.values(scores),
    Object.keys(scores).map((aspect) => rules.aspects[aspect as Aspect].weight),
  )

/** A group from its series, or the total from its groups: each counts alike. */
export const groupScore = (scores: readonly number[]): number =>
  harmonicMean(
    scores,
    scores.map(() => 1),
  )

/** A score for the chain: parts per million, rounded down. */
export const believabilityPpm = (score: number): number => Math.floor(score * 1_000_000)

/** What fell below its threshold. */
export type BelievabilityAlarm = { readonly what: Aspect | BelievabilityLevel; readonly score: number }

/** Follows one series, window after window. */
export class SeriesBelief {
  private readonly rules: BelievabilityRules
  private readonly below = new Map<string, number>()
  private believed = 1

  constructor(rules: BelievabilityRules) {
    this.rules = rules
  }

  /** The score of the series so far. */
  get score(): number {
    return this.believed
  }

  /** Takes the scores of the next window; gives the alarms that begin with it. One that lasts is not repeated. */
  step(scores: Partial<Record<Aspect, number>>): BelievabilityAlarm[] {
    const window = levelScore(scores, this.rules)
    this.believed += this.rules.memory * (window - this.believed)
    const judged: [Aspect | BelievabilityLevel, number, number][] = [
      ...Object.entries(scores).map(([aspect, score]): [Aspect, number, number] => [
        aspect as Aspect,
        score,
        this.rules.aspects[aspect as Aspect].alarm,
      ]),
      ['window', window, this.rules.levels.window.alarm],
      ['series', this.believed, this.rules.levels.series.alarm],
    ]
    return judged.flatMap(([what, score, alarm]) => {
      const times = score < alarm ? (this.below.get(what) ?? 0) + 1 : 0
      this.below.set(what, times)
      return times === this.rules.patience ? [{ what, score }] : []
    })
  }
}
