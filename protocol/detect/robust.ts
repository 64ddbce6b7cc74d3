/**
 * Stage: detectors. One sensor, one value after the other, with little memory.
 * Sources: Hampel, The Influence Curve and its Role in Robust Estimation, JASA 1974 (identifier of outliers); Page, Continuous Inspection
 * Schemes, Biometrika 1954 (CUSUM); Roberts, Control Chart Tests Based on Geometric Moving Averages, Technometrics 1959 (EWMA).
 * Invariants: values are finite; a deviation of 0 (a constant learning stretch) is lifted to a rounding error, so that nothing is divided by 0.
 */
import { deviationAround, median } from './statistics.ts'

/** Where a signal lies, and how far it strays. */
export type Level = { readonly centre: number; readonly deviation: number }

/** Median and deviation of `values`. */
export function levelOf(values: ArrayLike<number>): Level {
  const centre = median(values)
  return { centre, deviation: Math.max(deviationAround(values, centre), 1e-9 * (1 + Math.abs(centre))) }
}

/** How many deviations `value` is from the median of `window`: the Hampel identifier, usually with a limit of 3. */
export function hampel(window: ArrayLike<number>, value: number): number {
  const { centre, deviation } = levelOf(window)
  return Math.abs(value - centre) / deviation
}

/** Sums of what exceeds `slack` deviations upward and downward: a small shift that stays adds up. `slack` half the shift sought. */
export class Cusum {
  private readonly level: Level
  private readonly slack: number
  private up = 0
  private down = 0

  constructor(level: Level, slack: number) {
    this.level = level
    this.slack = slack
  }

  /** The greater of both sums after `value`, in deviations; usually with a limit of 5. */
  step(value: number): number {
    const z = (value - this.level.centre) / this.level.deviation
    this.up = Math.max(0, this.up + z - this.slack)
    this.down = Math.max(0, this.down - z - this.slack)
    return Math.max(this.up, this.down)
  }
}

/** Moving average that forgets geometrically, in its own deviations. `weight` of the newest value: 0 < weight ≤ 1. */
export class Ewma {
  private readonly level: Level
  private readonly weight: number
  private mean = 0
  private remaining = 1

  constructor(level: Level, weight: number) {
    this.level = level
    this.weight = weight
  }

  /** Distance of the average after `value` from the level, in deviations of the average; usually with a limit of 3. */
  step(value: number): number {
    const z = (value - this.level.centre) / this.level.deviation
    this.mean += this.weight * (z - this.mean)
    this.remaining *= (1 - this.weight) ** 2
    return Math.abs(this.mean) / Math.sqrt((this.weight / (2 - this.weight)) * (1 - this.remaining))
  }
}
