/**
 * Detectors, on their way into a security module: what was learnt as the f64 that the modules of `protocol/modules/assembly/detect` take as their
 * model, little endian.
 * Invariant: module and `protocol/detect` give the same parts per million on the same input; a test says so.
 */
import type { BelievabilityRules, Usual } from '../../protocol/detect/believability.ts'
import { PRINCIPAL } from '../../protocol/detect/configuration.ts'
import type { Forest } from '../../protocol/detect/forest.ts'
import type { PasadModel } from '../../protocol/detect/pasad.ts'
import type { PrincipalModel } from '../../protocol/detect/principal.ts'

function bytesOf(...parts: readonly ArrayLike<number>[]): Uint8Array {
  const values = parts.flatMap((part) => Array.from(part))
  const view = new DataView(new ArrayBuffer(8 * values.length))
  for (const [i, value] of values.entries()) view.setFloat64(8 * i, value, true)
  return new Uint8Array(view.buffer)
}

/** Model of `detect/pasad`. */
export const pasadBytes = ({ lag, dimensions, basis, centroid, weights }: PasadModel, threshold: number): Uint8Array =>
  bytesOf([lag, dimensions, threshold], basis, centroid, weights)

/** Model of `detect/principal`. */
export const principalBytes = (model: PrincipalModel): Uint8Array =>
  bytesOf(
    [model.channels.length, model.dimensions, model.limitT2, model.limitQ, PRINCIPAL.weight, PRINCIPAL.clip],
    model.channels,
    model.means,
    model.deviations,
    model.centre,
    model.variances,
    model.directions,
  )

/** Model of `detect/forest`. */
export const forestBytes = ({ classes, roots, features, thresholds, lefts, rights }: Forest): Uint8Array =>
  bytesOf(
    [classes, roots.length, features.length],
    roots,
    Array.from(features).flatMap((feature, node) => [
      feature,
      thresholds[node] as number,
      lefts[node] as number,
      rights[node] as number,
    ]),
  )

/** Model of `detect/quality`. */
export const qualityBytes = ({ level, noise, interval }: Usual, { aspects }: BelievabilityRules): Uint8Array =>
  bytesOf(
    [level.centre, level.deviation, noise, interval],
    [aspects.noise, aspects.frequency, aspects.trend, aspects.changePoints, aspects.outliers].flatMap(
      ({ full, none, weight }) => [full, none, weight],
    ),
  )
