/**
 * Stage: detectors. Many channels of one machine: Hotelling's T² in the principal subspace and Q (squared prediction error) outside of it,
 * on a moving average of the standardised channels.
 * Sources: Jackson and Mudholkar, Control Procedures for Residuals Associated with Principal Component Analysis, Technometrics 1979; Lowry
 * and others, A Multivariate Exponentially Weighted Moving Average Control Chart, Technometrics 1992. Training is `node/detect/principalTraining.ts`.
 * Invariants: the model is a value; limits come from the learning stretch alone.
 */
import { ALARM_PPM, PRINCIPAL } from './configuration.ts'

/** What training gave; p channels are used of those that a vector has. */
export type PrincipalModel = {
  /** Positions of the p channels in a vector. */
  readonly channels: Int32Array
  readonly means: Float64Array
  readonly deviations: Float64Array
  /** Mean of the moving average over the learning stretch: p values. */
  readonly centre: Float64Array
  /** p principal directions of p values, the strongest first. */
  readonly directions: Float64Array
  /** Variance along each. */
  readonly variances: Float64Array
  /** How many of them are the subspace. */
  readonly dimensions: number
  readonly limitT2: number
  readonly limitQ: number
}

/** T² and Q of one vector. */
export type Statistics = { readonly t2: number; readonly q: number }

/** The moving average of `vector`'s channels, standardised; `average` (p values) is brought forward in place. */
export function bringForward(model: PrincipalModel, average: Float64Array, vector: ArrayLike<number>): void {
  for (let j = 0; j < average.length; j++) {
    const value = vector[model.channels[j] as number] as number
    const z = (value - (model.means[j] as number)) / (model.deviations[j] as number)
    const clipped = Math.max(-PRINCIPAL.clip, Math.min(PRINCIPAL.clip, z))
    average[j] = (average[j] as number) + PRINCIPAL.weight * (clipped - (average[j] as number))
  }
}

/** T² and Q of a moving average. */
export function statisticsOf(model: PrincipalModel, average: Float64Array): Statistics {
  const { directions, variances, centre, dimensions } = model
  const p = average.length
  let t2 = 0
  let q = 0
  for (let d = 0; d < p; d++) {
    let score = 0
    for (let j = 0; j < p; j++)
      score += (directions[d * p + j] as number) * ((average[j] as number) - (centre[j] as number))
    if (d < dimensions) t2 += (score * score) / (variances[d] as number)
    else q += score * score
  }
  return { t2, q }
}

/** The detector of one machine. */
export class Principal {
  private readonly model: PrincipalModel
  private readonly average: Float64Array

  constructor(model: PrincipalModel) {
    this.model = model
    this.average = new Float64Array(model.channels.length)
  }

  /** Takes the next vector; parts per million, `ALARM_PPM` where the first limit is reached. A vector with a value that is not finite gives 0. */
  step(vector: ArrayLike<number>): number {
    for (let j = 0; j < this.average.length; j++)
      if (!Number.isFinite(vector[this.model.channels[j] as number])) return 0
    bringForward(this.model, this.average, vector)
    const { t2, q } = statisticsOf(this.model, this.average)
    const ratio = Math.max(t2 / this.model.limitT2, q / this.model.limitQ)
    return Math.min(1_000_000, Math.floor(ratio * ALARM_PPM))
  }
}
