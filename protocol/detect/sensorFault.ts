/**
 * Stage: detectors. What is wrong with a sensor, from the window around a value: features without a unit for the forest to vote on.
 * Sources: the classes are those of de Bruijn, Nguyen, Bucur and Tei, Benchmark Datasets for Fault Detection and Classification in Sensor
 * Data, SENSORNETS 2016; features after Sharma, Golubchik and Govindan, Sensor Faults: Detection Methods and Prevalence, TOSN 2010.
 * Invariants: a feature does not change when the series is scaled or shifted; a judgement needs the window behind the value too, so that it
 * comes `SENSOR_WINDOW` values late; the level of the past is a median, which a stretch of faults shorter than half of it does not move.
 */
import { SENSOR } from './configuration.ts'
import { type Forest, voteOf } from './forest.ts'
import { deviationAround, deviationOf, median } from './statistics.ts'

/** Classes, in the order of the forest; the last ones only where training had them. */
export const SENSOR_CLASSES = [
  'clean',
  'random',
  'malfunction',
  'bias',
  'drift',
  'polydrift',
  'polydriftnoise',
] as const
/** Values before and behind the judged one that are looked at. */
export const SENSOR_WINDOW = 12
/** Values that tell where the signal usually lies; two days at one value in five minutes. */
export const SENSOR_PAST = 576
/** How often the level of the past is taken anew. */
const SENSOR_REFRESH = 24
/** Values on either side in which the greatest jump is sought: a fault has an edge. */
const SENSOR_EDGE = 60
/** Features of a value. */
export const SENSOR_FEATURES = 17

/** Where a signal lies, how far it strays, and how much it moves from one value to the next. */
export type SensorPast = { readonly level: number; readonly spread: number; readonly noise: number }

/** What is usual in `series[from … to − 1]`. */
export function sensorPast(series: Float64Array, from: number, to: number): SensorPast {
  const past = series.subarray(from, to)
  const level = median(past)
  const spread = Math.max(deviationAround(past, level), 1e-9 * (1 + Math.abs(level)))
  const moves = new Float64Array(Math.max(1, past.length - 1))
  for (let i = 1; i < past.length; i++) moves[i - 1] = (past[i] as number) - (past[i - 1] as number)
  // Interpolated series stand still much of the time.
  return { level, spread, noise: Math.max(deviationAround(moves, 0), 0.02 * spread) }
}

/** Features of every value of `series`, `SENSOR_FEATURES` each, one after the other. All values finite, at least 3. */
export function sensorFeatures(series: Float64Array): Float64Array {
  const features = new Float64Array(series.length * SENSOR_FEATURES)
  let past = sensorPast(series, 0, Math.min(series.length, SENSOR_PAST))
  for (let at = 0; at < series.length; at++) {
    if (at >= SENSOR_PAST && at % SENSOR_REFRESH === 0) past = sensorPast(series, at - SENSOR_PAST, at)
    featuresAt(series, at, past, features, at * SENSOR_FEATURES)
  }
  return features
}

/** Differences inside `series[from … to − 1]`: deviation, part that is 0, part that turns back, greatest. */
function movesOf(series: Float64Array, from: number, to: number): [number, number, number, number] {
  let squares = 0
  let still = 0
  let turns = 0
  let greatest = 0
  let before = 0
  for (let i = from + 1; i < to; i++) {
    const move = (series[i] as number) - (series[i - 1] as number)
    squares += move * move
    if (move === 0) still++
    if (move * before < 0) turns++
    greatest = Math.max(greatest, Math.abs(move))
    before = move
  }
  const count = Math.max(1, to - from - 1)
  return [Math.sqrt(squares / count), still / count, turns / count, greatest]
}

/** Slope of the straight line through `series[from … to − 1]` and the deviation from it. */
function lineOf(series: Float64Array, from: number, to: number): [number, number] {
  const n = to - from
  const middle = (n - 1) / 2
  let mean = 0
  for (let i = from; i < to; i++) mean += (series[i] as number) / n
  let along = 0
  let square = 0
  for (let i = 0; i < n; i++) {
    along += (i - middle) * ((series[from + i] as number) - mean)
    square += (i - middle) ** 2
  }
  const slope = square === 0 ? 0 : along / square
  let rest = 0
  for (let i = 0; i < n; i++) rest += ((series[from + i] as number) - mean - slope * (i - middle)) ** 2
  return [slope, Math.sqrt(rest / n)]
}

function featuresAt(series: Float64Array, at: number, past: SensorPast, out: Float64Array, to: number): void {
  const { level, spread, noise } = past
  const value = series[at] as number
  const from = Math.max(0, at - SENSOR_WINDOW)
  const end = Math.min(series.length, at + SENSOR_WINDOW + 1)
  const near = median(series.subarray(Math.max(0, at - 4), Math.min(series.length, at + 5)))
  const around = median(series.subarray(from, end))
  const [moves, still, turns, greatest] = movesOf(series, from, end)
  const [before] = movesOf(series, from, at + 1)
  const [behind] = movesOf(series, at, end)
  const [, stillNear] = movesOf(series, Math.max(0, at - 4), Math.min(series.length, at + 5))
  const [slope, rest] = lineOf(series, from, end)
  const [slopeBefore] = lineOf(series, from, at + 1)
  const [slopeBehind] = lineOf(series, at, end)
  const left = movesOf(series, Math.max(0, at - SENSOR_EDGE), at + 1)[3]
  const right = movesOf(series, at, Math.min(series.length, at + SENSOR_EDGE))[3]
  out[to] = Math.log1p(Math.abs(value - near) / noise)
  out[to + 1] = Math.log1p(Math.abs(value - level) / spread)
  out[to + 2] = (value > level ? 1 : -1) * Math.log1p(Math.abs(around - level) / spread)
  out[to + 3] = Math.log1p(Math.abs(around - level) / spread)
  out[to + 4] = Math.log1p(moves / noise)
  out[to + 5] = still
  out[to + 6] = turns
  out[to + 7] = Math.log1p(greatest / noise)
  out[to + 8] = Math.log1p(before / noise)
  out[to + 9] = Math.log1p(behind / noise)
  out[to + 10] = stillNear
  out[to + 11] = Math.log1p((Math.abs(slope) * SENSOR_WINDOW) / noise)
  out[to + 12] = Math.log1p(rest / noise)
  out[to + 13] = Math.log1p(left / noise)
  out[to + 14] = Math.log1p(right / noise)
  out[to + 15] = Math.log1p((Math.abs(slopeBefore - slopeBehind) * SENSOR_WINDOW) / noise)
  out[to + 16] = Math.log1p(deviationOf(series, from, end) / spread)
}

/** The class of one value by its features, and the part of the votes for it; `votes` is room for as many counts as there are classes. */
export function sensorClass(
  forest: Forest,
  features: Float64Array,
  votes: Int32Array,
): { readonly winner: number; readonly sharePpm: number } {
  voteOf(forest, features, votes)
  const trees = forest.roots.length
  const clean = votes[0] as number
  let winner = 0
  if (trees - clean >= SENSOR.faultShare * trees)
    for (let c = 1; c < votes.length; c++)
      if (winner === 0 || (votes[c] as number) > (votes[winner] as number)) winner = c
  return { winner, sharePpm: Math.floor(((votes[winner] as number) * 1_000_000) / trees) }
}
