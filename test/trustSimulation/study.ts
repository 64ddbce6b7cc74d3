/** The study: many segments for each strategy, share of liars and aggregation, summed up. */
import { AGGREGATIONS, type AggregationName } from './aggregations.ts'
import { planOf, runSegment, STRATEGIES, type Strategy } from './segment.ts'

/** Shares of liars, in percent of those that rate a device. */
export const SHARES = [0, 10, 20, 30, 40, 50, 60] as const

/** What came out of all segments of one cell. Parts of one. */
export type Cell = {
  readonly strategy: Strategy
  readonly aggregation: AggregationName
  readonly sharePercent: number
  /** Guilty devices that were cut off. */
  readonly detected: number
  /** Honest devices that were cut off. */
  readonly falselyCut: number
  /** Rounds in which guilty devices misbehaved in service, of all in which they tried; the mean of segments. */
  readonly exposure: number
}

/** Runs the segments 1 … `segments` in every cell. */
export function study(segments: number, shares: readonly number[] = SHARES): Cell[] {
  const cells: Cell[] = []
  for (const strategy of STRATEGIES)
    for (const aggregation of Object.keys(AGGREGATIONS) as AggregationName[])
      for (const sharePercent of shares) cells.push(cellOf(strategy, aggregation, sharePercent, segments))
  return cells
}

function cellOf(strategy: Strategy, aggregation: AggregationName, sharePercent: number, segments: number): Cell {
  let [honest, honestCut, guilty, guiltyCut, exposure] = [0, 0, 0, 0, 0]
  for (let seed = 1; seed <= segments; seed++) {
    const result = runSegment(planOf(seed, strategy, sharePercent / 100), aggregation)
    honest += result.honest
    honestCut += result.honestCut
    guilty += result.guilty
    guiltyCut += result.guiltyCut
    exposure += result.exposure
  }
  return {
    ...{ strategy, aggregation, sharePercent },
    detected: guiltyCut / guilty,
    falselyCut: honestCut / honest,
    exposure: exposure / segments,
  }
}
