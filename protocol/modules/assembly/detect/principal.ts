/**
 * `anomaly`: PCA with T² and Q (Jackson and Mudholkar 1979) of a moving average. In: vectors one after the other, and their width as the only
 * integer → [the greater of both statistics after the last vector, 500 000 at its limit]. A vector with a value that is NaN is passed over.
 * Model, f64: p, dimensions, limit of T², limit of Q, weight, clip, then p of each: channels, means, deviations, centre, variances, and p
 * directions of p values. The same arithmetic as protocol/detect/principal.ts.
 */
import { alloc, begin, finish, float, floatCount, integer, integerCount, open, put, refuse } from '../abi'

export { abiVersion, alloc } from '../abi'

/** 1: anomaly. */
export function moduleKind(): i32 {
  return 1
}

// @ts-ignore: decorator
@inline
function at(base: usize, i: i32): f64 {
  return load<f64>(base + ((<usize>i) << 3))
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || modelBytes < 48 || integerCount != 1) return refuse(1)
  const model = <usize>modelAt
  const p = <i32>at(model, 0)
  const dimensions = <i32>at(model, 1)
  const width = integer(0)
  if (p < 1 || p > 64 || width < 1 || width > 4096 || modelBytes != 8 * (6 + 5 * p + p * p)) return refuse(1)
  if (floatCount % width != 0) return refuse(1)
  const weight = at(model, 4)
  const clip = at(model, 5)
  const channels = model + 48
  const means = channels + ((<usize>p) << 3)
  const deviations = means + ((<usize>p) << 3)
  const centre = deviations + ((<usize>p) << 3)
  const variances = centre + ((<usize>p) << 3)
  const directions = variances + ((<usize>p) << 3)
  for (let j = 0; j < p; j++) if (!(at(channels, j) >= 0 && at(channels, j) < <f64>width)) return refuse(1)
  const average = <usize>alloc(8 * p)
  for (let j = 0; j < p; j++) store<f64>(average + ((<usize>j) << 3), 0)
  let result: f64 = 0
  for (let start = 0; start < floatCount; start += width) {
    let whole = true
    for (let j = 0; j < p; j++) {
      const value = float(start + <i32>at(channels, j))
      if (!(value - value == 0)) whole = false
    }
    result = 0
    if (!whole) continue
    for (let j = 0; j < p; j++) {
      const z = (float(start + <i32>at(channels, j)) - at(means, j)) / at(deviations, j)
      const before = at(average, j)
      store<f64>(average + ((<usize>j) << 3), before + weight * (max(-clip, min(clip, z)) - before))
    }
    if (start + width < floatCount) continue
    let t2: f64 = 0
    let q: f64 = 0
    for (let d = 0; d < p; d++) {
      let along: f64 = 0
      for (let j = 0; j < p; j++) along += at(directions, d * p + j) * (at(average, j) - at(centre, j))
      if (d < dimensions) t2 += (along * along) / at(variances, d)
      else q += along * along
    }
    result = max(t2 / at(model, 2), q / at(model, 3)) * 500000.0
  }
  begin()
  put(result)
  return finish()
}
