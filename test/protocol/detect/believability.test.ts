import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { believabilityRules } from '../../../config/believability.ts'
import {
  aspectScore,
  aspectScores,
  type BelievabilityRules,
  believabilityPpm,
  clusterMeasure,
  groupScore,
  harmonicMean,
  levelScore,
  type Readings,
  referenceMeasure,
  SeriesBelief,
  usualOf,
  valueMeasures,
  windowMeasures,
} from '../../../protocol/detect/believability.ts'

const rules = believabilityRules(
  readFileSync(new URL('../../../config/believability.toml', import.meta.url), 'utf8'),
) as BelievabilityRules
const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000 - 0.5
const readings = (
  from: number,
  to: number,
  change: (value: number, i: number) => number = (value) => value,
): Readings => ({
  times: Array.from({ length: to - from }, (_, i) => 60 * (from + i)),
  values: Array.from({ length: to - from }, (_, i) => change(10 + noise(from + i), i)),
})
const usual = usualOf(readings(0, 200))
const windowScores = (window: Readings) => aspectScores(windowMeasures(window, usual), rules)

describe('detect/believability', () => {
  it('a window like those before is believed wholly', () => {
    expect(levelScore(windowScores(readings(200, 224)), rules)).toBe(1)
  })

  it('each aspect falls for what it is there for', () => {
    const cases: [string, Readings][] = [
      ['noise', readings(200, 224, () => 10)],
      ['noise', readings(200, 224, (value) => 10 + 500 * (value - 10))],
      ['trend', readings(200, 224, (value, i) => value + i / 4)],
      ['changePoints', readings(200, 224, (value, i) => value + (i < 12 ? 0 : 4))],
      ['outliers', readings(200, 224, (value, i) => (i % 3 === 0 ? 100 : value))],
      ['frequency', { ...readings(200, 224), times: Array.from({ length: 24 }, (_, i) => i) }],
    ]
    for (const [aspect, window] of cases)
      expect(windowScores(window)[aspect as keyof typeof rules.aspects], aspect).toBeLessThan(1)
    const range = { least: 0, greatest: 20 }
    expect(valueMeasures(25, 30, range, usual).accuracy).toBeGreaterThan(3)
    expect(valueMeasures(15, 30, range, usual)).toEqual({ accuracy: 0, timeliness: 0.5 })
    expect(aspectScores(valueMeasures(Number.NaN, 0, range, usual), rules).accuracy).toBe(0)
  })

  it('a lagging reference is agreed with, another series is not', () => {
    const wave = (lag: number): number[] => Array.from({ length: 60 }, (_, i) => 3 * Math.sin((i - lag) / 5))
    const score = (reference: number[]): number =>
      aspectScore(referenceMeasure(wave(0), reference, 5, usual), rules.aspects.reference)
    expect(score(wave(3))).toBe(1)
    expect(score(wave(0).map((value) => value + 5))).toBe(0)
  })

  it('who reads otherwise than the cluster is not believed, and with fewer than three others nobody knows', () => {
    const score = (value: number): number =>
      aspectScore(clusterMeasure(value, [10, 10.2, 9.9, 10.1], usual), rules.aspects.cluster)
    expect(score(10)).toBe(1)
    expect(score(30)).toBe(0)
    expect(clusterMeasure(10, [10, 10], usual)).toBeNaN()
    expect(aspectScores({ cluster: Number.NaN }, rules)).toEqual({})
  })

  it('scores stay in [0, 1], fall as the measure grows, and a 0 cannot be covered', () => {
    const measure = fc.double({ min: 0, noNaN: true })
    fc.assert(
      fc.property(measure, measure, (one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)]
        for (const rule of Object.values(rules.aspects)) {
          const score = aspectScore(less, rule)
          expect(score >= 0 && score <= 1).toBe(true)
          expect(aspectScore(more, rule)).toBeLessThanOrEqual(score)
        }
      }),
    )
    const score = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(fc.array(score, { minLength: 1, maxLength: 9 }), (scores) => {
        const mean = groupScore(scores)
        expect(mean).toBeGreaterThanOrEqual(Math.min(...scores) - 1e-9)
        expect(mean).toBeLessThanOrEqual(Math.max(...scores) + 1e-9)
        expect(groupScore([...scores, 0])).toBe(0)
        expect(Number.isInteger(believabilityPpm(mean))).toBe(true)
      }),
    )
    expect(harmonicMean([0, 1], [0, 1])).toBe(1)
    expect(harmonicMean([], [])).toBe(1)
  })

  it('an alarm begins after as many windows below the threshold as the rules say, and is not repeated', () => {
    const belief = new SeriesBelief(rules)
    const bad = { outliers: 0 }
    expect(belief.step({ outliers: 1 })).toEqual([])
    const alarms = Array.from({ length: 6 }, () => belief.step(bad).map(({ what }) => what))
    expect(alarms[0]).toEqual([])
    expect(alarms[1]).toContain('outliers')
    expect(alarms.flat().filter((what) => what === 'outliers')).toHaveLength(1)
    expect(alarms.flat()).toContain('series')
    expect(belief.score).toBeLessThan(rules.levels.series.alarm)
    for (let i = 0; i < 20; i++) belief.step({ outliers: 1 })
    expect(belief.score).toBeGreaterThan(0.9)
  })
})
