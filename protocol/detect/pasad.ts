/**
 * Stage: detectors. PASAD: how far the newest stretch of a process signal has left the subspace in which its healthy stretches lie.
 * Source: Aoudi, Iturbe and Almgren, Truth Will Out: Departure-Based Process-Level Detection of Stealthy Attacks on Control Systems, CCS 2018,
 * with the weights of the authors' program. Training is `node/detect/pasadTraining.ts`.
 * Invariants: the model is a value; a score is a function of the model and the last `lag` values.
 */
import { ALARM_PPM } from './configuration.ts'

/** What training gave. */
export type PasadModel = {
  /** L: values of a lag vector. */
  readonly lag: number
  /** r: dimensions of the signal subspace. */
  readonly dimensions: number
  /** r orthonormal vectors of L values, one after the other. */
  readonly basis: Float64Array
  /** The centroid of the training vectors in the subspace: r values. */
  readonly centroid: Float64Array
  /** Weight of the squared distance in each dimension: r values, sum 1. */
  readonly weights: Float64Array
}

/** Squared weighted distance from the centroid of the lag vector `series[at − lag + 1 … at]`. The caller sees that it is there. */
export function departure(model: PasadModel, series: Float64Array, at: number): number {
  const { lag, dimensions, basis, centroid, weights } = model
  const start = at - lag + 1
  let score = 0
  for (let d = 0; d < dimensions; d++) {
    let projection = 0
    for (let j = 0; j < lag; j++) projection += (basis[d * lag + j] as number) * (series[start + j] as number)
    const distance = (centroid[d] as number) - projection
    score += (weights[d] as number) * distance * distance
  }
  return score
}

/** A departure on the common scale: `ALARM_PPM` at `threshold`. */
export const departurePpm = (score: number, threshold: number): number =>
  score >= 2 * threshold ? 1_000_000 : Math.max(0, Math.floor((score / threshold) * ALARM_PPM))
