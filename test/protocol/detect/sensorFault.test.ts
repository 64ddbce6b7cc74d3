import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Sample, trainForest } from '../../../node/detect/forestTraining.ts'
import {
  SENSOR_CLASSES,
  SENSOR_FEATURES,
  sensorClass,
  sensorFeatures,
  sensorPast,
} from '../../../protocol/detect/sensorFault.ts'

const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000 - 0.5
const day = (i: number): number => 20 + 5 * Math.sin((2 * Math.PI * i) / 288) + 0.1 * noise(i)

/** A series with each kind of fault in it, and its labels; `shift` moves the noise. */
function faulty(shift: number): { series: Float64Array; labels: number[] } {
  const labels = Array.from({ length: 3000 }, (_, i) => {
    if (i > 700 && i < 800 && i % 6 === 0) return 1
    if (i >= 1000 && i < 1100) return 2
    if (i >= 1400 && i < 1500) return 3
    return i >= 1900 && i < 1970 ? 5 : 0
  })
  const series = Float64Array.from(labels, (label, i) => {
    const value = day(i + shift)
    if (label === 1) return 2.5 * value
    if (label === 2) return value + 6 * noise(i * 3 + shift)
    if (label === 3) return 1.5 * day(1400 + shift)
    return label === 5 ? value + (i - 1900) : value
  })
  return { series, labels }
}

const samplesOf = ({ series, labels }: ReturnType<typeof faulty>): Sample[] => {
  const features = sensorFeatures(series)
  return labels.map((label, i) => ({
    features: features.subarray(i * SENSOR_FEATURES, (i + 1) * SENSOR_FEATURES),
    label,
  }))
}

describe('detect/sensorFault', () => {
  it('faults of one sensor are told from each other and from health by what another one taught', () => {
    const forest = trainForest(samplesOf(faulty(0)), SENSOR_CLASSES.length)
    const votes = new Int32Array(SENSOR_CLASSES.length)
    const judged = samplesOf(faulty(50_000)).map(({ features, label }) => ({
      label,
      said: sensorClass(forest, features, votes).winner,
    }))
    for (const kind of [1, 2, 3, 5]) {
      const all = judged.filter(({ label }) => label === kind)
      expect(all.filter(({ said }) => said === kind).length / all.length, SENSOR_CLASSES[kind]).toBeGreaterThan(0.7)
    }
    const clean = judged.filter(({ label }) => label === 0)
    expect(clean.filter(({ said }) => said !== 0).length / clean.length).toBeLessThan(0.03)
  })

  it('features do not change when the series is scaled and shifted', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: -500, max: 500 }), (scale, shift) => {
        const { series } = faulty(3)
        const part = series.subarray(680, 900)
        const before = sensorFeatures(part)
        const after = sensorFeatures(part.map((value) => value * scale + shift))
        for (let i = 0; i < before.length; i++)
          // Still values may cease to be still to the last digit.
          if (i % SENSOR_FEATURES !== 5 && i % SENSOR_FEATURES !== 10 && i % SENSOR_FEATURES !== 6)
            expect(Math.abs((after[i] as number) - (before[i] as number))).toBeLessThan(1e-6)
      }),
      { numRuns: 10 },
    )
  })

  it('features are finite, also of constant series and of the shortest', () => {
    for (const series of [new Float64Array(50).fill(3), new Float64Array(700), Float64Array.of(1, 2, 3)])
      expect(sensorFeatures(series).every(Number.isFinite)).toBe(true)
  })

  it('a stretch of faults shorter than half of the past does not move what is usual', () => {
    const healthy = Float64Array.from({ length: 576 }, (_, i) => day(i))
    const hit = healthy.map((value, i) => (i >= 200 && i < 300 ? 500 : value))
    const { level, spread } = sensorPast(healthy, 0, 576)
    expect(Math.abs(sensorPast(hit, 0, 576).level - level)).toBeLessThan(spread)
  })
})
