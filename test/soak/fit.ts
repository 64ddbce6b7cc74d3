/** What a series of samples says about growth: a line through it, and how well it fits. Pure. */

/** A sample: seconds since the beginning, and a value. */
export type Sample = readonly [seconds: number, value: number]
/** Growth per hour, and the share of the changes that the line explains (R², 0 … 1). */
export type Growth = { readonly perHour: number; readonly fit: number }

/** The line of least squares through `samples`; NaN with fewer than three. */
export function growthOf(samples: readonly Sample[]): Growth {
  const n = samples.length
  if (n < 3) return { perHour: Number.NaN, fit: Number.NaN }
  const meanX = samples.reduce((sum, [x]) => sum + x, 0) / n
  const meanY = samples.reduce((sum, [, y]) => sum + y, 0) / n
  let xx = 0
  let xy = 0
  let yy = 0
  for (const [x, y] of samples) {
    xx += (x - meanX) ** 2
    xy += (x - meanX) * (y - meanY)
    yy += (y - meanY) ** 2
  }
  return { perHour: (xy / xx) * 3600, fit: yy === 0 ? 1 : (xy * xy) / (xx * yy) }
}
