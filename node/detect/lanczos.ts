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
  const rights: Float64Array[] = [fresh(columns, [])]
  const diagonal: number[] = []
  const above: number[] = []
  for (;;) {
    const k = lefts.length
    const u = times(series, lag, rights[k] as Float64Array)
    orthogonalise(u, lefts)
    const alpha = unit(u)
    const least = TOLERANCE * Math.max(alpha, ...diagonal)
    lefts.push(u)
    diagonal.push(alpha)
    const v = times(series, columns, u)
    orthogonalise(v, rights)
    const beta = unit(v)
    // After a new beginning nothing but rounding was found: there is no more.
    const isSpent = k + 1 === most || alpha <= least
    if (isSpent || (k + 1 >= wanted && (k + 1) % STEP === 0)) {
      const found = ritz(lefts, diagonal, above, beta, wanted, isSpent)
      if (found !== null) return found
      if (isSpent) throw new RangeError('the series has fewer dimensions than were asked for')
    }
    // A subspace that leads nowhere else is whole: equal singular values may lie outside of it, so begin anew beside it.
    const isWhole = beta <= least
    above.push(isWhole ? 0 : beta)
    rights.push(isWhole ? fresh(columns, rights) : v)
  }
}

/** A fixed vector of length 1 that is orthogonal to all of `rights` and to nothing else in particular. */
function fresh(length: number, rights: readonly Float64Array[]): Float64Array {
  const vector = Float64Array.from({ length }, (_, i) => 1 + 0.5 * Math.sin((1 + rights.length) * (1 + i * i)))
  orthogonalise(vector, rights)
  unit(vector)
  return vector
}

/** Singular vectors from the bidiagonal matrix; null as long as they have not converged. */
function ritz(
  lefts: readonly Float64Array[],
  diagonal: readonly number[],
  above: readonly number[],
  beta: number,
  wanted: number,
  isSpent: boolean,
): Singular | null {
  const k = diagonal.length
  if (k < wanted) return null
  // One column more than rows: what leads out of the right subspace belongs to the matrix as the left one sees it.
  const small = Matrix.zeros(k + 1, k)
  for (let i = 0; i < k; i++) {
    small.set(i, i, diagonal[i] as number)
    small.set(i + 1, i, i + 1 < k ? (above[i] as number) : beta)
  }
  const svd = new SVD(small)
  const vectors = svd.rightSingularVectors
  const greatest = svd.diagonal[0] as number
  for (let d = 0; d < wanted; d++)
    if (!isSpent && beta * Math.abs(vectors.get(k - 1, d)) > TOLERANCE * greatest) return null
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
