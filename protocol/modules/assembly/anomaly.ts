/**
 * `anomaly`: features of a report → [score, reason]. The score is that of the feature furthest from its usual range, or of several together:
 * robust z-scores (Iglewicz & Hoaglin 1993: 0.6745·(x − median)/MAD, outlying beyond 3.5), of which the largest and half of the root of the
 * sum of the squares count. The reason is the place of the feature, from 1; 0 where nothing stands out.
 * Model: one pair of f64 (median, scale) per feature, where scale = max(MAD/0.6745, a floor of the trainer's). A feature beyond the model, and
 * one that is NaN (not observed), says nothing. Without a model every feature is a share in ppm whose median is 0 and whose scale 100 000.
 */
import { begin, finish, float, floatCount, open, put, refuse } from './abi'

export { abiVersion, alloc } from './abi'

/** Outlying from here on. */
const OUTLYING: f64 = 3.5

/** 1: anomaly. */
export function moduleKind(): i32 {
  return 1
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || (modelBytes & 15) != 0) return refuse(1)
  const known = modelBytes == 0 ? floatCount : min(floatCount, modelBytes >> 4)
  let worst: f64 = 0
  let reason: i32 = 0
  let sum: f64 = 0
  for (let i = 0; i < known; i++) {
    const value = float(i)
    if (value != value) continue
    const pair = <usize>modelAt + ((<usize>i) << 4)
    const median = modelBytes == 0 ? 0.0 : load<f64>(pair)
    const scale = modelBytes == 0 ? 100000.0 : load<f64>(pair, 8)
    const z = Math.abs(value - median) / scale
    if (z != z) return refuse(2)
    if (z > worst) {
      worst = z
      reason = i + 1
    }
    sum += z * z
  }
  const together = max(worst, Math.sqrt(sum) / 2)
  begin()
  // 3.5 gives one half; what is twice as far gives all.
  put((together / (2 * OUTLYING)) * 1000000.0)
  put(together >= OUTLYING ? <f64>reason : 0.0)
  return finish()
}
