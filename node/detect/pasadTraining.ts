/**
 * Detectors, training. A model of PASAD from a healthy stretch of a signal, and its threshold from a stretch behind that (CCS 2018, §4).
 * Invariant: the threshold never comes from the training stretch, whose vectors made the subspace and so lie nearer to it than others.
 */
import { PASAD } from '../../protocol/detect/configuration.ts'
import { departure, type PasadModel } from '../../protocol/detect/pasad.ts'
import { strongest } from './lanczos.ts'

/** Learns from all of `series`. `lag`: L, at most half of it by custom; `dimensions`: r. RangeError where they do not fit. */
export function trainPasad(series: Float64Array, lag: number, dimensions: number): PasadModel {
  const columns = series.length - lag + 1
  const { left: basis, values } = strongest(series, lag, dimensions)
  let total = 0
  for (const value of values) total += value
  const weights = Float64Array.from(values, (value) => value / total)
  const mean = new Float64Array(lag)
  for (let i = 0; i < lag; i++) {
    let sum = 0
    for (let j = 0; j < columns; j++) sum += series[i + j] as number
    mean[i] = sum / columns
  }
  const centroid = new Float64Array(dimensions)
  for (let d = 0; d < dimensions; d++) {
    let sum = 0
    for (let i = 0; i < lag; i++) sum += (basis[d * lag + i] as number) * (mean[i] as number)
    centroid[d] = sum
  }
  return { lag, dimensions, basis, centroid, weights }
}

/** The threshold that the healthy values `series[from … to − 1]`, all behind the training stretch, ask for. */
export function pasadThreshold(model: PasadModel, series: Float64Array, from: number, to: number): number {
  let greatest = 0
  for (let at = Math.max(from, model.lag - 1); at < to; at++)
    greatest = Math.max(greatest, departure(model, series, at))
  return greatest * PASAD.margin
}
