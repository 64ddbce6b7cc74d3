import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FEEDER_CHANNELS, FEEDER_FEATURES, feederFeatures } from '../../../protocol/detect/feeder.ts'

/** A window of 100 rows, `turn` radians apart, with amplitudes and angles of Ua, Ub, Uc, Ia, Ib, Ic. */
const windowOf = (turn: number, phasors: readonly (readonly [number, number])[]): Float64Array =>
  Float64Array.from({ length: 100 * FEEDER_CHANNELS }, (_, k) => {
    const [amplitude, angle] = phasors[k % FEEDER_CHANNELS] as [number, number]
    return amplitude * Math.cos(turn * Math.floor(k / FEEDER_CHANNELS) + angle)
  })
const THIRD = (2 * Math.PI) / 3
const balanced = [
  [80, 0],
  [80, -THIRD],
  [80, THIRD],
  [5, 0],
  [5, -THIRD],
  [5, THIRD],
] as const
/** Zero sequence, negative sequence over positive one, of the voltages. */
const sequences = (window: Float64Array): [number, number] => {
  const features = feederFeatures(window)
  return [features[6] as number, features[7] as number]
}

describe('detect/feeder', () => {
  it('a balanced feeder has neither zero nor negative sequence', () => {
    const [zero, negative] = sequences(windowOf(Math.PI / 10, balanced))
    expect(zero).toBeCloseTo(0, 9)
    expect(negative).toBeCloseTo(0, 9)
  })

  it('the ratio of negative to positive sequence is that of Fortescue, for any amounts of both and any sampling over whole periods', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        fc.double({ min: 0, max: 6, noNaN: true }),
        fc.constantFrom(Math.PI / 10, Math.PI / 25, (3 * Math.PI) / 50),
        (share, angle, turn) => {
          const voltages = [0, -THIRD, THIRD].map((phase) => {
            const x = Math.cos(phase) + share * Math.cos(-phase + angle)
            const y = Math.sin(phase) + share * Math.sin(-phase + angle)
            return [Math.hypot(x, y), Math.atan2(y, x)] as const
          })
          expect(sequences(windowOf(turn, [...voltages, ...balanced.slice(3)]))[1]).toBeCloseTo(share, 6)
        },
      ),
    )
  })

  it('features stay when phases are renamed and when volts or amperes are scaled', () => {
    const unbalanced = [[40, 0.1], ...balanced.slice(1, 3), [20, 0.3], ...balanced.slice(4)] as [number, number][]
    const order = [1, 2, 0, 4, 5, 3]
    const before = feederFeatures(windowOf(Math.PI / 10, unbalanced))
    const renamed = feederFeatures(
      windowOf(
        Math.PI / 10,
        order.map((k) => unbalanced[k] as [number, number]),
      ),
    )
    const scaled = feederFeatures(
      windowOf(
        Math.PI / 10,
        unbalanced.map(([amplitude, angle], k) => [amplitude * (k < 3 ? 100 : 0.01), angle] as const),
      ),
    )
    expect(before).toHaveLength(FEEDER_FEATURES)
    for (let i = 0; i < before.length; i++) {
      expect(renamed[i]).toBeCloseTo(before[i] as number, 6)
      expect(scaled[i]).toBeCloseTo(before[i] as number, 6)
    }
  })

  it('features are finite where there is no voltage or no current', () => {
    expect(feederFeatures(new Float64Array(100 * FEEDER_CHANNELS)).every(Number.isFinite)).toBe(true)
    expect(feederFeatures(new Float64Array(FEEDER_CHANNELS).fill(1)).every(Number.isFinite)).toBe(true)
  })
})
