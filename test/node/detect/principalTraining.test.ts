/** PCA with T² and Q: training and scores (node/detect/principalTraining.ts, protocol/detect/principal.ts). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { trainPrincipal } from '../../../node/detect/principalTraining.ts'
import { ALARM_PPM } from '../../../protocol/detect/configuration.ts'
import { Principal } from '../../../protocol/detect/principal.ts'

const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000 - 0.5
/** Two channels that move together, one that moves alone. */
const vector = (i: number): number[] => [noise(i), 2 * noise(i) + 0.1 * noise(i + 7777), noise(i + 99_999)]
const healthy = Array.from({ length: 400 }, (_, i) => vector(i))
const scoresOf = (model: ReturnType<typeof trainPrincipal>, vectors: readonly number[][]): number[] => {
  const detector = new Principal(model)
  for (const one of healthy) detector.step(one)
  return vectors.map((one) => detector.step(one))
}

describe('node/detect/principalTraining', () => {
  const model = trainPrincipal(healthy)

  it('what goes on as it was is rarely alarmed', () => {
    const scores = scoresOf(
      model,
      Array.from({ length: 400 }, (_, i) => vector(400 + i)),
    )
    expect(scores.filter((score) => score >= ALARM_PPM).length).toBeLessThan(40)
  })

  it('a channel that parts from the one it moves with is alarmed, though each is where it always was', () => {
    const parted = Array.from({ length: 100 }, (_, i) => [0.3, -0.6, noise(i)])
    expect(scoresOf(model, parted).at(-1)).toBeGreaterThanOrEqual(ALARM_PPM)
  })

  it('a channel that wanders or stands still is left out; with none left → RangeError', () => {
    const vectors = healthy.map((one, i) => [...one, i / 10, 5])
    expect([...trainPrincipal(vectors).channels]).toEqual([0, 1, 2])
    expect(() => trainPrincipal(healthy.map((_, i) => [i]))).toThrow(RangeError)
    expect(() => trainPrincipal(healthy.slice(0, 10))).toThrow(RangeError)
  })

  it('scores are integers of 0 … 1 000 000, and a value that is no number gives 0 and changes nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.double(), fc.double(), fc.double()), { maxLength: 30 }), (vectors) => {
        for (const score of scoresOf(model, vectors))
          expect(Number.isInteger(score) && score >= 0 && score <= 1_000_000).toBe(true)
      }),
      { numRuns: 30 },
    )
    const [alone] = scoresOf(model, [[0.1, 0.2, 0]])
    const [nothing, after] = scoresOf(model, [
      [Number.NaN, 0, 0],
      [0.1, 0.2, 0],
    ])
    expect(nothing).toBe(0)
    expect(after).toBe(alone)
  })

  it('the unit of a channel does not matter', () => {
    const scaled = trainPrincipal(healthy.map(([a, b, c]) => [(a as number) * 1024, b as number, c as number]))
    const detector = new Principal(scaled)
    const plain = new Principal(model)
    for (let i = 0; i < 50; i++) {
      const [a, b, c] = vector(i + 5000) as [number, number, number]
      expect(detector.step([a * 1024, b, c])).toBeCloseTo(plain.step([a, b, c]), -1)
    }
  })
})
