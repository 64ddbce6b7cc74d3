import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ALARM_PPM } from '../../../protocol/detect/configuration.ts'
import { Univariate } from '../../../protocol/detect/univariate.ts'

/** Noise that is the same on every machine. */
const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000

const alarmsOf = (series: readonly number[], learning: number): number[] => {
  const detector = new Univariate(learning)
  return series.flatMap((value, i) => (detector.step(value).alarm ? [i] : []))
}

describe('detect/univariate', () => {
  it('a spike in noise is alarmed at once, and as one incident', () => {
    const series = Array.from({ length: 1000 }, (_, i) => noise(i) + (i >= 700 && i < 705 ? 20 : 0))
    const alarms = alarmsOf(series, 150).filter((at) => at >= 700 && at < 760)
    expect(alarms).toEqual([700])
  })

  it('a missing beat of a regular series, with no value that is new, is alarmed by its shape', () => {
    const series = Array.from({ length: 3000 }, (_, i) => (i >= 2500 && i < 2540 ? 0 : Math.sin(i / 2)))
    expect(alarmsOf(series, 450).some((at) => at >= 2500 && at < 2560)).toBe(true)
  })

  it('a constant and an exactly periodic series are never alarmed', () => {
    expect(alarmsOf(new Array(1000).fill(5), 150)).toEqual([])
    expect(
      alarmsOf(
        Array.from({ length: 1000 }, (_, i) => i % 24),
        150,
      ),
    ).toEqual([])
  })

  it('scores are integers of 0 … 1 000 000, none before the learning stretch is over, and an alarm is at the threshold', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noDefaultInfinity: false }), { maxLength: 200 }), (series) => {
        const detector = new Univariate(50)
        for (const [i, value] of series.entries()) {
          const { scorePpm, alarm } = detector.step(value)
          expect(Number.isInteger(scorePpm) && scorePpm >= 0 && scorePpm <= 1_000_000).toBe(true)
          if (i < 50) expect(scorePpm).toBe(0)
          if (alarm) expect(scorePpm).toBeGreaterThanOrEqual(ALARM_PPM)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('the unit does not matter: degrees or thousandths of them are alarmed alike', () => {
    const series = Array.from({ length: 600 }, (_, i) => Math.round(1000 * noise(i)) + (i === 400 ? 4000 : 0))
    expect(
      alarmsOf(
        series.map((value) => value * 1024),
        90,
      ),
    ).toEqual(alarmsOf(series, 90))
  })
})
