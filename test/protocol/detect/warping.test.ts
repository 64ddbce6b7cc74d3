import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { warpedDistance } from '../../../protocol/detect/warping.ts'

/** The definition, by all ways. */
function naive(a: readonly number[], b: readonly number[], band: number, i = a.length - 1, j = b.length - 1): number {
  if (i < 0 || j < 0) return i === j ? 0 : Number.POSITIVE_INFINITY
  if (Math.abs(i - j) > band) return Number.POSITIVE_INFINITY
  const before = Math.min(naive(a, b, band, i - 1, j - 1), naive(a, b, band, i - 1, j), naive(a, b, band, i, j - 1))
  return before + Math.abs((a[i] as number) - (b[j] as number))
}

const pair = fc
  .integer({ min: 1, max: 6 })
  .chain((n) =>
    fc.tuple(...[0, 1].map(() => fc.array(fc.integer({ min: -9, max: 9 }), { minLength: n, maxLength: n }))),
  )

describe('detect/warping', () => {
  it('the distance is that of the best of all ways inside the band', () => {
    fc.assert(
      fc.property(pair, fc.integer({ min: 0, max: 4 }), ([a, b], band) => {
        const [one, other] = [a as number[], b as number[]]
        expect(warpedDistance(one, other, band) * one.length).toBeCloseTo(naive(one, other, band), 9)
      }),
    )
  })

  it('without a band it is the mean difference, and a wider band never makes it greater', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const [one, other] = [a as number[], b as number[]]
        const plain = one.reduce((sum, value, i) => sum + Math.abs(value - (other[i] as number)), 0) / one.length
        expect(warpedDistance(one, other, 0)).toBeCloseTo(plain, 9)
        expect(warpedDistance(one, other, 2)).toBeLessThanOrEqual(plain + 1e-9)
      }),
    )
  })

  it('a series that lags by less than the band is near; series of different lengths → RangeError', () => {
    const wave = (lag: number): number[] => Array.from({ length: 100 }, (_, i) => Math.sin((i - lag) / 5))
    expect(warpedDistance(wave(0), wave(4), 6)).toBeLessThan(0.1)
    expect(warpedDistance(wave(0), wave(4), 0)).toBeGreaterThan(0.3)
    expect(() => warpedDistance([1], [1, 2], 1)).toThrow(RangeError)
    expect(() => warpedDistance([], [], 1)).toThrow(RangeError)
  })
})
