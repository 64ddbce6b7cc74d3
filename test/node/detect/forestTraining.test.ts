/** Forests: growing and voting (node/detect/forestTraining.ts, protocol/detect/forest.ts). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FOREST, type Sample, trainForest } from '../../../node/detect/forestTraining.ts'
import { classOf, voteOf } from '../../../protocol/detect/forest.ts'

const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000
/** Three classes in bands of the first feature; the second says nothing. */
const samples: Sample[] = Array.from({ length: 600 }, (_, i) => ({
  features: Float64Array.of((i % 3) * 2 + noise(i), noise(i + 10_000)),
  label: i % 3,
}))
const small = { ...FOREST, trees: 15, samplesOfClass: 60 }

describe('node/detect/forestTraining', () => {
  const forest = trainForest(samples, 3, small)

  it('classes that can be told apart are, on samples that were not learnt from', () => {
    for (let i = 0; i < 300; i++) {
      const features = Float64Array.of((i % 3) * 2 + noise(i + 50_000), noise(i + 70_000))
      expect(classOf(forest, features).winner).toBe(i % 3)
    }
  })

  it('the same samples give the same forest, another seed another one', () => {
    expect(trainForest(samples, 3, small)).toEqual(forest)
    expect(trainForest(samples, 3, { ...small, seed: 1 })).not.toEqual(forest)
  })

  it('every tree votes once, whatever the features, and children stand behind their parents', () => {
    fc.assert(
      fc.property(fc.double(), fc.double(), (a, b) => {
        const votes = new Int32Array(3)
        voteOf(forest, Float64Array.of(a, b), votes)
        expect(votes.reduce((sum, count) => sum + count, 0)).toBe(15)
      }),
    )
    for (let node = 0; node < forest.features.length; node++)
      if ((forest.features[node] as number) >= 0) {
        expect(forest.lefts[node]).toBeGreaterThan(node)
        expect(forest.rights[node]).toBeGreaterThan(node)
      } else expect(forest.rights[node]).toBeLessThan(3)
  })

  it('nothing to learn from → RangeError; one class alone always wins', () => {
    expect(() => trainForest([], 2)).toThrow(RangeError)
    const alone = trainForest(
      samples.filter(({ label }) => label === 2),
      3,
      small,
    )
    expect(classOf(alone, Float64Array.of(0, 0))).toEqual({ winner: 2, sharePpm: 1_000_000 })
  })
})
