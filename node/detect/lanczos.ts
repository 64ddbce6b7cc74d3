/**
 * Detectors, training. The strongest singular vectors of a trajectory matrix without the matrix: Golub–Kahan–Lanczos bidiagonalisation with
 * full reorthogonalisation, as Korobeynikov, Computation- and space-efficient implementation of SSA, Statistics and Its Interface 2010.
 * Invariants: the start is fixed, so the same series gives the same bits on the same machine; what has not converged is not returned.
 */
import { Matrix, SVD } from 'ml-matrix'

/** The strongest part of a singular value decomposition. */
export type Singular = {
  /** One left singular vector after the other. */
  readonly left: Float64Array
  /** Singular values, descending. */
  readonly values: Float64Array
}

/** Error of a singular value, relative to the greatest, below which it has converged. */
const TOLERANCE = 1e-12
const STEP = 40

const norm = (v: Float64Array): number => {
  let sum = 0
  for (const x of v) sum += x * x
  return Math.sqrt(sum)
}

/** Takes out of `v` what lies along `basis`; twice, since once leaves rounding behind (Kahan: “twice is enough”). */
function orthogonalise(v: Float64Array, basis: readonly Float64Array[]): void {
  for (let round = 0; round < 2; round++)
    for (const b of basis) {
      let dot = 0
      for (let i = 0; i < v.length; i++) dot += (v[i] as number) * (b[i] as number)
      for (let i = 0; i < v.length; i++) v[i] = (v[i] as number) - dot * (b[i] as number)
    }
}

/** X v or, with the roles of rows and columns exchanged, Xᵀ v, for X[i][j] = series[i + j]: `rows` values. */
function times(series: Float64Array, rows: number, v: Float64Array): Float64Array {
  const product = new Float64Array(rows)
  for (let i = 0; i < rows; i++) {
    let sum = 0
    for (let j = 0; j < v.length; j++) sum += (series[i + j] as number) * (v[j] as number)
    product[i] = sum
  }
  return product
}

/** Scales `v` to length 1 and gives the length that it had. */
function unit(v: Float64Array): number {
  const length = norm(v)
  if (length > 0) for (let i = 0; i < v.length; i++) v[i] = (v[i] as number) / length
  return length
}

/** The `wanted` strongest left singular vectors of the trajectory matrix of `series` with `lag` rows. RangeError if there are not so many. */
export function strongest(series: Float64Array, lag: number, wanted: number): Singular {
  const columns = series.length - lag + 1
  const most = Math.min(lag, columns)
  if (wanted < 1 || wanted > most) throw new RangeError('more dimensions than the trajectory matrix has')
  const lefts: Float64Array[] = []
  const rights: Float64Array[] = []
  const diagonal: number[] = []
  const above: number[] = []
  // A fixed start that is orthogonal to nothing in particular.
  const start = Float64Array.from({ length: columns }, (_, i) => 1 + 0.1 * Math.sin(1 + i * i))
  unit(start)
  rights.push(start)
  for (;;) {
    const k = lefts.length
    const u = times(series, lag, rights[k] as Float64Array)
    orthogonalise(u, lefts)
    const alpha = unit(u)
    lefts.push(u)
    diagonal.push(alpha)
    const v = times(series, columns, u)
    orthogonalise(v, rights)
    const beta = unit(v)
    const spent = k + 1 === most || beta <= TOLERANCE * (diagonal[0] as number)
    if (spent || (k + 1 >= wanted && (k + 1) % STEP === 0)) {
      const found = ritz(lefts, diagonal, above, spent ? 0 : beta, wanted)
      if (found !== null) return found
      if (spent) throw new RangeError('the series has fewer dimensions than were asked for')
    }
    above.push(beta)
    rights.push(v)
  }
}

/** Singular vectors from the bidiagonal matrix; null as long as they have not converged. */
function ritz(
  lefts: readonly Float64Array[],
  diagonal: readonly number[],
  above: readonly number[],
  beta: number,
  wanted: number,
): Singular | null {
  const k = diagonal.length
  if (k < wanted) return null
  const small = Matrix.zeros(k, k)
  for (let i = 0; i < k; i++) {
    small.set(i, i, diagonal[i] as number)
    if (i + 1 < k) small.set(i, i + 1, above[i] as number)
  }
  const svd = new SVD(small)
  const vectors = svd.leftSingularVectors
  const greatest = svd.diagonal[0] as number
  for (let d = 0; d < wanted; d++) if (beta * Math.abs(vectors.get(k - 1, d)) > TOLERANCE * greatest) return null
  // What is left is rounding.
  if ((svd.diagonal[wanted - 1] as number) <= TOLERANCE * greatest) return null
  const length = (lefts[0] as Float64Array).length
  const left = new Float64Array(wanted * length)
  for (let d = 0; d < wanted; d++)
    for (let i = 0; i < k; i++) {
      const weight = vectors.get(i, d)
      const u = lefts[i] as Float64Array
      for (let j = 0; j < length; j++)
        left[d * length + j] = (left[d * length + j] as number) + weight * (u[j] as number)
    }
  return { left, values: Float64Array.from(svd.diagonal.slice(0, wanted)) }
}
