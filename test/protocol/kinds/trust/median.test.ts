/** What liars can and cannot do to the median, for any values and weights. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Voice, weightedMedian } from '../../../../protocol/kinds/trust/median.ts'
import { LIMITS } from '../../../../protocol/limits.ts'

const ppm = fc.integer({ min: 0, max: 1_000_000 })
const voice: fc.Arbitrary<Voice> = fc.record({ trustPpm: ppm, weightPpm: ppm })
const voices = fc.array(voice, { minLength: 1, maxLength: LIMITS.ratersMax })
const weightOf = (all: readonly Voice[]): number => all.reduce((sum, { weightPpm }) => sum + weightPpm, 0)

describe('median', () => {
  it.each([
    ['nobody', [], undefined],
    ['nobody whose word weighs anything', [[5, 0]], undefined],
    ['one', [[5, 1]], 5],
    [
      'two of equal weight: the lower',
      [
        [9, 4],
        [5, 4],
      ],
      5,
    ],
    [
      'three',
      [
        [1, 1],
        [3, 1],
        [2, 1],
      ],
      2,
    ],
    [
      'one that weighs more than the others together',
      [
        [1, 10],
        [8, 4],
        [9, 5],
      ],
      1,
    ],
    [
      'exactly half of the weight below',
      [
        [1, 5],
        [8, 2],
        [9, 3],
      ],
      1,
    ],
    [
      'weightless voices, which are not heard',
      [
        [0, 0],
        [0, 0],
        [7, 1],
      ],
      7,
    ],
  ] as const)('%s', (_what, pairs, expected) => {
    const all = pairs.map(([trustPpm, weightPpm]) => ({ trustPpm, weightPpm }))
    expect(weightedMedian(all)).toBe(expected)
  })

  it('while liars hold less than half of the weight, it lies within the honest values, whatever they say', () => {
    fc.assert(
      fc.property(voices, voices, (honest, lies) => {
        fc.pre(weightOf(lies) < weightOf(honest))
        const heard = honest.filter(({ weightPpm }) => weightPpm > 0).map(({ trustPpm }) => trustPpm)
        const median = weightedMedian([...lies, ...honest]) as number
        expect(median).toBeGreaterThanOrEqual(Math.min(...heard))
        expect(median).toBeLessThanOrEqual(Math.max(...heard))
      }),
      { numRuns: 2000 },
    )
  })

  it('the order of voices does not matter, and nothing is changed in the list', () => {
    fc.assert(
      fc.property(voices, fc.integer(), (all, seed) => {
        const before = structuredClone(all)
        const shuffled = all.map((item, i) => ({ item, at: Math.imul(i + 1, seed) })).sort((a, b) => a.at - b.at)
        expect(weightedMedian(shuffled.map(({ item }) => item))).toBe(weightedMedian(all))
        expect(all).toEqual(before)
      }),
      { numRuns: 1000 },
    )
  })

  it('is the value at which a walk with unbounded integers passes half of the weight', () => {
    fc.assert(
      fc.property(voices, (all) => {
        const total = all.reduce((sum, { weightPpm }) => sum + BigInt(weightPpm), 0n)
        const values = [...new Set(all.filter(({ weightPpm }) => weightPpm > 0).map(({ trustPpm }) => trustPpm))]
        const upTo = (value: number): bigint =>
          all.reduce((sum, { trustPpm, weightPpm }) => (trustPpm <= value ? sum + BigInt(weightPpm) : sum), 0n)
        const expected = values.sort((a, b) => a - b).find((value) => 2n * upTo(value) >= total)
        expect(weightedMedian(all)).toBe(expected)
      }),
      { numRuns: 1000 },
    )
  })

  it('as many voices as there may be, all of full weight, stay integers', () => {
    const all = Array.from({ length: LIMITS.ratersMax }, (_, i) => ({ trustPpm: i, weightPpm: 1_000_000 }))
    expect(weightedMedian(all)).toBe(LIMITS.ratersMax / 2 - 1)
    expect(Number.isSafeInteger(2 * weightOf(all))).toBe(true)
  })
})
