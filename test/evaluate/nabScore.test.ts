import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normalise, probationOf, scoreSeries, type Window } from './nabScore.ts'

const STANDARD = { tpWeight: 1, fnWeight: 1, fpWeight: 0.11 }
const alarmsAt = (rows: number, ...at: number[]): boolean[] => Array.from({ length: rows }, (_, i) => at.includes(i))
const windows: Window[] = [
  [400, 499],
  [700, 799],
]

describe('evaluate/nabScore', () => {
  it('known values: nothing said is 0, the left edge of every window 100', () => {
    expect(normalise(scoreSeries(alarmsAt(1000), windows, STANDARD).raw, 2, STANDARD)).toBe(0)
    expect(normalise(scoreSeries(alarmsAt(1000, 400, 700), windows, STANDARD).raw, 2, STANDARD)).toBeCloseTo(100, 9)
    // The null detector of the benchmark, over its 116 windows (config/thresholds.json).
    expect(normalise(-116, 116, STANDARD)).toBe(0)
    // The best raw score that the benchmark lists there, for ARTime, and its place in the table of results: 74.9.
    expect(normalise(57.66075157860638, 116, STANDARD)).toBeCloseTo(74.9, 1)
    expect(normalise(46.634450197137596, 116, STANDARD)).toBeCloseTo(70.1, 1)
    expect(normalise(3.98356657241316, 116, STANDARD)).toBeCloseTo(51.7, 1)
    // The windowed Gaussian was scored over fewer rows there than in the table of results.
    expect(normalise(-44.7538610655, 116, STANDARD)).toBeCloseTo(30.7, 1)
  })

  it('halfway into a window is worth what the sigmoid of the paper says, .848 of .987', () => {
    const [half] = [scoreSeries(alarmsAt(1000, 450), [[400, 499]], STANDARD).raw]
    expect(half).toBeCloseTo(0.84828 / 0.98661, 4)
  })

  it('an alarm far from any window costs the weight of a false alarm, one just behind a window little', () => {
    const cost = (at: number): number =>
      scoreSeries(alarmsAt(1000, 400, at), [[400, 499]], STANDARD).raw -
      scoreSeries(alarmsAt(1000, 400), [[400, 499]], STANDARD).raw
    expect(cost(300)).toBeCloseTo(-0.11, 9)
    expect(cost(900)).toBeCloseTo(-0.11, 9)
    expect(cost(500)).toBeGreaterThan(-0.01)
  })

  it('alarms in the probation count for nothing', () => {
    expect(probationOf(1000)).toBe(150)
    expect(probationOf(22_695)).toBe(750)
    expect(scoreSeries(alarmsAt(1000, 0, 149), windows, STANDARD).falseAlarms).toBe(0)
  })

  it('no detector scores above 100, and one more alarm never finds fewer windows', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { maxLength: 20 }),
        fc.integer({ min: 0, max: 999 }),
        (at, more) => {
          const before = scoreSeries(alarmsAt(1000, ...at), windows, STANDARD)
          const after = scoreSeries(alarmsAt(1000, ...at, more), windows, STANDARD)
          expect(normalise(before.raw, 2, STANDARD)).toBeLessThanOrEqual(100 + 1e-9)
          expect(after.found).toBeGreaterThanOrEqual(before.found)
        },
      ),
    )
  })
})
