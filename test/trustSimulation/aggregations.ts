/**
 * Ways of making one trust out of many opinions: the one of the state machine (its own function), and two that others use, to compare. Each
 * takes what is said in one round and gives a trust for each device, 0 … 1 000 000, or undefined where nobody judges it.
 */
import { PPM } from '../../protocol/kinds/fields.ts'
import { type Voice, weightedMedian } from '../../protocol/kinds/trust/median.ts'

/** What is said in one round: `said[rater][device]`; `weights` of raters from before it; `raters[device]`: who has a voice about it. */
export type Round = {
  readonly said: readonly (readonly number[])[]
  readonly weights: readonly number[]
  readonly raters: readonly (readonly number[])[]
}
/** One way. */
export type Aggregation = (round: Round) => (number | undefined)[]

const over =
  (one: (voices: readonly Voice[]) => number | undefined): Aggregation =>
  ({ said, weights, raters }) =>
    raters.map((mine, device) =>
      one(
        mine.map((rater) => ({
          trustPpm: said[rater]?.[device] as number,
          weightPpm: weights[rater] as number,
        })),
      ),
    )

function weightedMean(voices: readonly Voice[]): number | undefined {
  let [sum, total] = [0, 0]
  for (const { trustPpm, weightPpm } of voices) {
    sum += trustPpm * weightPpm
    total += weightPpm
  }
  return total === 0 ? undefined : Math.floor(sum / total)
}

/** Share of EigenTrust that goes to all alike in each step, as its authors advise against cliques. */
const UNIFORM = 0.1
/** Its steps: the vector moves by less than 10⁻³ then. */
const STEPS = 15
/**
 * EigenTrust (Kamvar, Schlosser, Garcia-Molina 2003): each rater shares itself out in proportion to its opinions, and the stationary shares are
 * the trust. Shares know no level: the best scale that needs no oracle makes the average device as trusted as honest devices are at rest.
 */
const HONEST_LEVEL_PPM = 900_000
const eigenTrust: Aggregation = ({ said, raters }) => {
  const n = said.length
  const present = raters.flatMap((mine, device) => (mine.length > 0 ? [device] : []))
  const sums = new Float64Array(n)
  for (const device of present)
    for (const rater of raters[device] as readonly number[])
      sums[rater] = (sums[rater] as number) + (said[rater]?.[device] as number)
  let shares = new Float64Array(n)
  for (const device of present) shares[device] = 1 / present.length
  for (let step = 0; step < STEPS; step++) {
    const next = new Float64Array(n)
    let total = 0
    for (const device of present) {
      let share = 0
      for (const rater of raters[device] as readonly number[])
        if ((sums[rater] as number) > 0)
          share += ((shares[rater] as number) * (said[rater]?.[device] as number)) / (sums[rater] as number)
      next[device] = UNIFORM / present.length + (1 - UNIFORM) * share
      total += next[device] as number
    }
    shares = next.map((share) => share / total)
  }
  const scale = present.length * HONEST_LEVEL_PPM
  return raters.map((mine, device) =>
    mine.length === 0 ? undefined : Math.min(PPM, Math.floor((shares[device] as number) * scale)),
  )
}

/** By name, the state machine's first. */
export const AGGREGATIONS = { median: over(weightedMedian), mean: over(weightedMean), EigenTrust: eigenTrust } as const
/** A name. */
export type AggregationName = keyof typeof AGGREGATIONS
