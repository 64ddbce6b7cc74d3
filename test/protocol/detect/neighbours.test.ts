import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LagOptions, Neighbours } from '../../../protocol/detect/neighbours.ts'

/** The definition, word for word: all earlier vectors that share no value with the newest, the nearest few of them. */
function naive(series: readonly number[], { width, stride, neighbours, capacity }: LagOptions): number {
  const span = width * stride
  const vectors: number[][] = []
  for (let end = span; end <= series.length; end++)
    vectors.push(
      Array.from({ length: width }, (_, j) => {
        const piece = series.slice(end - span + j * stride, end - span + (j + 1) * stride)
        return piece.reduce((sum, value) => sum + value, 0) / stride
      }),
    )
  const newest = vectors.pop()
  if (newest === undefined) return 0
  const distances = vectors
    .slice(Math.max(0, vectors.length - capacity), Math.max(0, vectors.length - span))
    .map((vector) => Math.hypot(...vector.map((value, j) => value - (newest[j] as number))))
    .sort((a, b) => a - b)
    .slice(0, neighbours)
  return distances.length === 0 ? 0 : distances.reduce((sum, one) => sum + one, 0) / distances.length
}

describe('detect/neighbours', () => {
  it('each step equals the definition, for any shape of the lag vector and any memory', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 14, max: 40 }),
        (series, width, stride, neighbours, capacity) => {
          const options = { width, stride, neighbours, capacity }
          const detector = new Neighbours(options)
          for (const [i, value] of series.entries())
            expect(detector.step(value)).toBeCloseTo(naive(series.slice(0, i + 1), options), 9)
        },
      ),
    )
  })

  it('a series that repeats itself is not strange, and a new level is', () => {
    const detector = new Neighbours({ width: 4, stride: 1, neighbours: 2, capacity: 100 })
    let last = 1
    for (let i = 0; i < 40; i++) last = detector.step(i % 4)
    expect(last).toBe(0)
    expect(detector.step(50)).toBeGreaterThan(40)
  })
})
