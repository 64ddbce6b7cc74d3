/**
 * Stage: detectors. Order statistics that a few wrong values cannot move: Huber, Robust Statistics, 1981.
 * Invariants: no input is changed; NaN and infinities are the caller's to leave out; an empty list has no statistic (NaN).
 */

/** Makes the median absolute deviation of normal values their standard deviation. */
export const MAD_TO_DEVIATION = 1.4826

/** Position of the first of the `count` ascending values of `sorted` that is not below `value`. */
export function lowerBound(sorted: Float64Array, count: number, value: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The `share` quantile, 0 … 1, of the first `count` ascending values of `sorted`: the smallest value that so many do not exceed. */
export function quantileOfSorted(sorted: Float64Array, count: number, share: number): number {
  if (count === 0) return Number.NaN
  const at = Math.ceil(share * count) - 1
  return sorted[at < 0 ? 0 : at >= count ? count - 1 : at] as number
}

/** The `share` quantile of `values`. */
export const quantile = (values: ArrayLike<number>, share: number): number =>
  quantileOfSorted(Float64Array.from(values).sort(), values.length, share)

/** Median; of an even number of values the lower middle one, so that it is always one of them. */
export const median = (values: ArrayLike<number>): number => quantile(values, 0.5)

/** Standard deviation as the median absolute deviation from `centre` tells it. */
export function deviationAround(values: ArrayLike<number>, centre: number): number {
  const distances = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) distances[i] = Math.abs((values[i] as number) - centre)
  return MAD_TO_DEVIATION * median(distances)
}

/** Arithmetic mean of `values[from … to − 1]`. */
export function meanOf(values: ArrayLike<number>, from = 0, to = values.length): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += values[i] as number
  return sum / (to - from)
}

/** Standard deviation of `values[from … to − 1]` (over n). */
export function deviationOf(values: ArrayLike<number>, from = 0, to = values.length): number {
  const mean = meanOf(values, from, to)
  let sum = 0
  for (let i = from; i < to; i++) sum += ((values[i] as number) - mean) ** 2
  return Math.sqrt(sum / (to - from))
}

/** All scores so far, in order; beyond its capacity every second one is kept, which leaves the quantiles where they are. */
export class History {
  private readonly sorted: Float64Array
  private held = 0

  constructor(capacity: number) {
    this.sorted = new Float64Array(capacity)
  }

  /** How many are held. */
  get count(): number {
    return this.held
  }

  /** Puts `value` where it belongs. */
  add(value: number): void {
    if (this.held === this.sorted.length) {
      const half = this.held >> 1
      for (let i = 0; i < half; i++) this.sorted[i] = this.sorted[2 * i + (i & 1)] as number
      this.held = half
    }
    const at = lowerBound(this.sorted, this.held, value)
    this.sorted.copyWithin(at + 1, at, this.held)
    this.sorted[at] = value
    this.held++
  }

  /** The `share` quantile of what is held; NaN if that is nothing. */
  quantile(share: number): number {
    return quantileOfSorted(this.sorted, this.held, share)
  }
}
