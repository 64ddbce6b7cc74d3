/**
 * `anomaly`: PASAD (Aoudi and others, CCS 2018). In: the last L values of a signal → [departure, 500 000 at the threshold].
 * Model, f64: L, r, threshold, r basis vectors of L values, r of the centroid, r weights. The same arithmetic as protocol/detect/pasad.ts.
 */
import { begin, finish, float, floatCount, open, put, refuse } from '../abi'

export { abiVersion, alloc } from '../abi'

/** 1: anomaly. */
export function moduleKind(): i32 {
  return 1
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || modelBytes < 24) return refuse(1)
  const model = <usize>modelAt
  const lag = <i32>load<f64>(model)
  const dimensions = <i32>load<f64>(model, 8)
  const threshold = load<f64>(model, 16)
  if (lag < 1 || dimensions < 1 || lag > 65536 || dimensions > 1024) return refuse(1)
  if (floatCount != lag || <i64>modelBytes != 8 * (3 + <i64>dimensions * (<i64>lag + 2))) return refuse(1)
  const centroid = model + 24 + 8 * <usize>dimensions * <usize>lag
  const weights = centroid + 8 * <usize>dimensions
  let basis = model + 24
  let departure: f64 = 0
  for (let d = 0; d < dimensions; d++) {
    let projection: f64 = 0
    for (let j = 0; j < lag; j++) {
      projection += load<f64>(basis) * float(j)
      basis += 8
    }
    const distance = load<f64>(centroid + ((<usize>d) << 3)) - projection
    departure += load<f64>(weights + ((<usize>d) << 3)) * distance * distance
  }
  if (departure != departure) return refuse(2)
  begin()
  put(departure >= 2 * threshold ? 1000000.0 : (departure / threshold) * 500000.0)
  return finish()
}
