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
}

/** Runs the segments 1 … `segments`, each with one strategy in turn, under every share of liars and aggregation. */
export function study(segments: number, shares: readonly number[] = SHARES): Cell[] {
  const cells: Cell[] = []
  for (const strategy of STRATEGIES)
    for (const aggregation of Object.keys(AGGREGATIONS) as AggregationName[])
      for (const sharePercent of shares) cells.push(cellOf(strategy, aggregation, sharePercent, segments))
  return cells
}

function cellOf(strategy: Strategy, aggregation: AggregationName, sharePercent: number, segments: number): Cell {
  let [honest, honestCut, guilty, guiltyCut] = [0, 0, 0, 0]
  for (let seed = 1 + STRATEGIES.indexOf(strategy); seed <= segments; seed += STRATEGIES.length) {
    const result = runSegment(planOf(seed, strategy, sharePercent / 100), aggregation)
    honest += result.honest
    honestCut += result.honestCut
    guilty += result.guilty
    guiltyCut += result.guiltyCut
  }
  return {
    ...{ strategy, aggregation, sharePercent },
    detected: guiltyCut / guilty,
    falselyCut: honestCut / honest,
  }
}
