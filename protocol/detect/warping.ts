/**
 * Stage: detectors. How far two series are apart if one may lag the other a little: dynamic time warping.
 * Source: Sakoe and Chiba, Dynamic programming algorithm optimization for spoken word recognition, IEEE Trans. ASSP 1978, with their band.
 * Invariant: time and memory are bounded by the band: length × (2 · band + 1) steps, two rows.
 */

/**
 * Mean absolute difference along the best way through both series. `band`: values that one may lag. RangeError unless both are of one length, at
 * least 1.
 */
export function warpedDistance(one: ArrayLike<number>, other: ArrayLike<number>, band: number): number {
  const n = one.length
  if (n === 0 || other.length !== n) throw new RangeError('both series must have the same length of at least 1')
  let before = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY)
  let row = new Float64Array(n + 1)
  before[0] = 0
  for (let i = 1; i <= n; i++) {
    row.fill(Number.POSITIVE_INFINITY)
    const last = Math.min(n, i + band)
    for (let j = Math.max(1, i - band); j <= last; j++) {
      const step = Math.min(before[j - 1] as number, before[j] as number, row[j - 1] as number)
      row[j] = step + Math.abs((one[i - 1] as number) - (other[j - 1] as number))
    }
    const spare = before
    before = row
    row = spare
  }
  return (before[n] as number) / n
}
