/** PASAD: training, scores, threshold (node/detect/pasadTraining.ts, lanczos.ts, protocol/detect/pasad.ts). */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { Matrix, SVD } from 'ml-matrix'
import { describe, expect, it } from 'vitest'
import { strongest } from '../../../node/detect/lanczos.ts'
import { pasadThreshold, trainPasad } from '../../../node/detect/pasadTraining.ts'
import { ALARM_PPM } from '../../../protocol/detect/configuration.ts'
import { departure, departurePpm } from '../../../protocol/detect/pasad.ts'

const folder = join(process.env['ALTHING_DATA'] ?? '../shared/data', 'pasad-te')
const signal = (length: number): Float64Array =>
  Float64Array.from({ length }, (_, i) => 10 + Math.sin(i / 7) + 0.3 * Math.cos(i / 3) + 0.01 * Math.sin(i * i))

describe('node/detect/pasadTraining', () => {
  it('the singular values and vectors are those of a whole decomposition', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 30, maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        (list, wanted) => {
          const series = Float64Array.from(list, (value, i) => value + 5 * Math.sin(i) + i)
          const lag = 12
          const columns = series.length - lag + 1
          const matrix = new Matrix(lag, columns)
          for (let i = 0; i < lag; i++) for (let j = 0; j < columns; j++) matrix.set(i, j, series[i + j] as number)
          const whole = new SVD(matrix, { autoTranspose: true })
          const { left, values } = strongest(series, lag, wanted)
          for (let d = 0; d < wanted; d++) {
            expect(values[d]).toBeCloseTo(whole.diagonal[d] as number, 7)
            let dot = 0
            for (let j = 0; j < lag; j++) dot += (left[d * lag + j] as number) ** 2
            expect(dot).toBeCloseTo(1, 9)
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  it('more dimensions than there are → RangeError, and a constant series has one', () => {
    expect(() => strongest(new Float64Array(20).fill(1), 5, 6)).toThrow(RangeError)
    expect(() => strongest(new Float64Array(20).fill(1), 5, 2)).toThrow(RangeError)
    expect(strongest(new Float64Array(20).fill(1), 5, 1).values[0]).toBeCloseTo(Math.sqrt(5 * 16), 9)
  })

  it('a departure is the weighted distance in the subspace: 0 at the centroid, large for another signal', () => {
    const series = signal(800)
    const model = trainPasad(series.slice(0, 400), 100, 5)
    const threshold = pasadThreshold(model, series, 400, 600)
    for (let at = 600; at < 800; at++) expect(departure(model, series, at)).toBeLessThan(threshold)
    const attacked = series.map((value, i) => (i >= 650 ? value + 1 : value))
    expect(departure(model, attacked, 760)).toBeGreaterThan(threshold)
    let total = 0
    for (const weight of model.weights) total += weight
    expect(total).toBeCloseTo(1, 12)
  })

  it('on the common scale the threshold is the alarm, and nothing leaves 0 … 1 000 000', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e12, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
        (score, threshold) => {
          const ppm = departurePpm(score, threshold)
          expect(Number.isInteger(ppm) && ppm >= 0 && ppm <= 1_000_000).toBe(true)
          if (score > threshold) expect(ppm).toBeGreaterThanOrEqual(ALARM_PPM)
          if (score < 0.999 * threshold) expect(ppm).toBeLessThan(ALARM_PPM)
        },
      ),
    )
  })

  it.skipIf(!existsSync(join(folder, 'oracle')))(
    'every departure score is within 1e-6 of the program of the authors (skipped where the data is absent)',
    () => {
      const column = Float64Array.from(
        readFileSync(join(folder, 'xmv9_hundred_data_1.csv'), 'utf8').trim().split('\n'),
        (line) => Number(line.split(',')[4]),
      )
      const oracle = readFileSync(join(folder, 'oracle/sa1_codecase.departure.txt'), 'utf8')
        .trim()
        .split('\n')
        .map(Number)
      const model = trainPasad(column.slice(0, 2200), 1100, 16)
      expect(oracle).toHaveLength(column.length - 2200)
      const worst = Math.max(...oracle.map((score, k) => Math.abs(score - departure(model, column, 2200 + k))))
      expect(worst).toBeLessThan(1e-6)
    },
  )
})
