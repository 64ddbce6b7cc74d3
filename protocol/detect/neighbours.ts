/**
 * Stage: detectors. How unlike everything earlier the newest piece of a series is: mean distance to its nearest lag vectors.
 * Source: Burnaev and Ishimtsev, Conformalized density- and distance-based anomaly detection in time-series data, 2016 (KNN-CAD).
 * Invariants: memory is bounded and taken at the start; the vectors that share values with the newest one are not compared with it.
 */

/** Shape of a lag vector: `width` means of `stride` values each. */
export type LagOptions = {
  readonly width: number
  readonly stride: number
  /** Nearest vectors that count. */
  readonly neighbours: number
  /** Vectors that are remembered; then the oldest is forgotten. */
  readonly capacity: number
}

/** Remembers lag vectors and compares the newest with them. */
export class Neighbours {
  private readonly options: LagOptions
  /** The last width · stride values, as a ring. */
  private readonly recent: Float64Array
  private readonly vectors: Float64Array
  private readonly newest: Float64Array
  private readonly nearest: Float64Array
  private seen = 0
  private stored = 0

  constructor(options: LagOptions) {
    this.options = options
    this.recent = new Float64Array(options.width * options.stride)
    this.vectors = new Float64Array(options.width * options.capacity)
    this.newest = new Float64Array(options.width)
    this.nearest = new Float64Array(options.neighbours)
  }

  /** Mean distance of the vector that ends with `value` to its nearest ones, then remembers it; 0 as long as there is nothing to compare. */
  step(value: number): number {
    const { width, stride, capacity } = this.options
    const span = width * stride
    this.recent[this.seen % span] = value
    this.seen++
    if (this.seen < span) return 0
    for (let j = 0; j < width; j++) {
      let sum = 0
      for (let q = 0; q < stride; q++) sum += this.recent[(this.seen + j * stride + q) % span] as number
      this.newest[j] = sum / stride
    }
    const score = this.distance(Math.max(0, this.stored - capacity), this.stored - span)
    this.vectors.set(this.newest, (this.stored % capacity) * width)
    this.stored++
    return score
  }

  /** Compares with the vectors `from` … `to − 1`, counted since the beginning. */
  private distance(from: number, to: number): number {
    const { width, capacity, neighbours } = this.options
    // Fields are read once: this loop is what the detector costs.
    const { vectors, newest, nearest } = this
    nearest.fill(Number.POSITIVE_INFINITY)
    const end = capacity * width
    let start = (from % capacity) * width
    let worst = Number.POSITIVE_INFINITY
    for (let p = from; p < to; p++) {
      let distance = 0
      // The end differs first when something begins, so that most vectors are given up early.
      for (let j = width - 1; j >= 0 && distance < worst; j--) {
        const difference = (newest[j] as number) - (vectors[start + j] as number)
        distance += difference * difference
      }
      start += width
      if (start === end) start = 0
      if (distance >= worst) continue
      let at = neighbours - 1
      while (at > 0 && (nearest[at - 1] as number) > distance) {
        nearest[at] = nearest[at - 1] as number
        at--
      }
      nearest[at] = distance
      worst = nearest[neighbours - 1] as number
    }
    let sum = 0
    let count = 0
    for (let i = 0; i < neighbours; i++)
      if ((this.nearest[i] as number) < Number.POSITIVE_INFINITY) {
        sum += Math.sqrt(this.nearest[i] as number)
        count++
      }
    return count === 0 ? 0 : sum / count
  }
}
