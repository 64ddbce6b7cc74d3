import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RISK_LEVELS, riskLevel, riskOf } from '../../../protocol/detect/risk.ts'

const ppm = fc.integer({ min: 0, max: 1_000_000 })

describe('detect/risk', () => {
  it('risk is an integer of 0 … 1 000 000, no more than any of its parts, and grows with each', () => {
    fc.assert(
      fc.property(ppm, ppm, ppm, ppm, (severity, confidence, impact, more) => {
        const risk = riskOf(severity, confidence, impact)
        expect(Number.isInteger(risk)).toBe(true)
        expect(risk).toBeGreaterThanOrEqual(0)
        expect(risk).toBeLessThanOrEqual(Math.min(severity, confidence, impact))
        expect(riskOf(Math.min(1_000_000, severity + more), confidence, impact)).toBeGreaterThanOrEqual(risk)
        expect(riskOf(severity, confidence, Math.min(1_000_000, impact + more))).toBeGreaterThanOrEqual(risk)
      }),
    )
    expect(riskOf(1_000_000, 1_000_000, 1_000_000)).toBe(1_000_000)
  })

  it('every risk has a name, and the names begin where the table says', () => {
    for (const { name, fromPpm } of RISK_LEVELS) {
      expect(riskLevel(fromPpm)).toBe(name)
      if (fromPpm > 0) expect(riskLevel(fromPpm - 1)).not.toBe(name)
    }
    expect(riskLevel(1_000_000)).toBe('critical')
  })
})
