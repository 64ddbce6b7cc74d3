/**
 * Detectors, training. The model of `protocol/detect/principal.ts` from a healthy stretch of vectors.
 * Invariants: a channel that wanders, or never moves, is left out, for the stretch does not tell where it will go; at least one channel
 * remains, else RangeError.
 */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import { PRINCIPAL } from '../../protocol/detect/configuration.ts'
import { bringForward, type PrincipalModel, statisticsOf } from '../../protocol/detect/principal.ts'
import { deviationOf, meanOf, quantile } from '../../protocol/detect/statistics.ts'

/**
 * Positions of the channels whose range the stretch shows: those that move, and of which the means of blocks do not account for nearly all
 * movement. A temperature that rises for an hour has been seen once, however many values there are.
 */
function stationary(columns: readonly Float64Array[]): number[] {
  return columns.flatMap((column, j) => {
    const deviation = deviationOf(column)
    const length = Math.floor(column.length / PRINCIPAL.blocks)
    const means = Float64Array.from({ length: PRINCIPAL.blocks }, (_, b) =>
      meanOf(column, b * length, (b + 1) * length),
    )
    return deviation > 0 && deviationOf(means) <= PRINCIPAL.wanderingMax * deviation ? [j] : []
  })
}

/** Learns from `vectors`, all of the same length and finite; at least 60 of them, else RangeError. */
export function trainPrincipal(vectors: readonly ArrayLike<number>[]): PrincipalModel {
  if (vectors.length < 3 * PRINCIPAL.settling) throw new RangeError('too few vectors to learn from')
  const width = (vectors[0] as ArrayLike<number>).length
  const columns = Array.from({ length: width }, (_, j) => Float64Array.from(vectors, (vector) => vector[j] as number))
  const used = stationary(columns)
  if (used.length === 0) throw new RangeError('no channel is stationary')
  const p = used.length
  const draft: PrincipalModel = {
    channels: Int32Array.from(used),
    means: Float64Array.from(used, (j) => meanOf(columns[j] as Float64Array)),
    deviations: Float64Array.from(used, (j) => deviationOf(columns[j] as Float64Array)),
    centre: new Float64Array(p),
    directions: new Float64Array(p * p),
    variances: new Float64Array(p),
    dimensions: 0,
    limitT2: 1,
    limitQ: 1,
  }
  const averages = movingAverages(draft, vectors)
  const centre = Float64Array.from({ length: p }, (_, j) => meanOf(averages.map((average) => average[j] as number)))
  const principal = directionsOf(averages, centre)
  const model = { ...draft, centre, ...principal }
  const statistics = averages.map((average) => statisticsOf(model, average))
  const limit = (values: number[]): number =>
    Math.max(quantile(values, PRINCIPAL.quantile) * PRINCIPAL.margin, Number.MIN_VALUE)
  return { ...model, limitT2: limit(statistics.map(({ t2 }) => t2)), limitQ: limit(statistics.map(({ q }) => q)) }
}

/** The moving averages after each vector, without those at the beginning. */
function movingAverages(model: PrincipalModel, vectors: readonly ArrayLike<number>[]): Float64Array[] {
  const average = new Float64Array(model.channels.length)
  return vectors
    .map((vector) => {
      bringForward(model, average, vector)
      return average.slice()
    })
    .slice(PRINCIPAL.settling)
}

/** Principal directions of `averages`, and how many of them hold the share of the variance that was asked for. */
function directionsOf(
  averages: readonly Float64Array[],
  centre: Float64Array,
): Pick<PrincipalModel, 'directions' | 'variances' | 'dimensions'> {
  const p = centre.length
  const covariance = Matrix.zeros(p, p)
  for (const average of averages)
    for (let i = 0; i < p; i++)
      for (let j = 0; j < p; j++) {
        const product =
          ((average[i] as number) - (centre[i] as number)) * ((average[j] as number) - (centre[j] as number))
        covariance.set(i, j, covariance.get(i, j) + product / averages.length)
      }
  const found = new EigenvalueDecomposition(covariance, { assumeSymmetric: true })
  const order = found.realEigenvalues.map((_, i) => i).reverse()
  // Rounding may leave a tiny variance at or below 0, by which nothing can be divided.
  const least = 1e-12 * Math.max(...found.realEigenvalues, Number.MIN_VALUE)
  const variances = Float64Array.from(order, (i) => Math.max(found.realEigenvalues[i] as number, least))
  const directions = new Float64Array(p * p)
  for (const [d, i] of order.entries())
    for (let j = 0; j < p; j++) directions[d * p + j] = found.eigenvectorMatrix.get(j, i)
  const total = variances.reduce((sum, variance) => sum + variance, 0)
  let dimensions = 0
  let held = 0
  while (dimensions < p && held < PRINCIPAL.share * total) held += variances[dimensions++] as number
  return { directions, variances, dimensions }
}
