/**
 * `quality`: believability of a window (Klein and Lehner 2009). In: n times in seconds, then n values, all finite, n at least 4 and at most 128 →
 * [the window, noise, frequency, trend, change points, outliers].
 * Model, f64: what is usual (centre, deviation, noise, interval), then full, none, weight for each of the five aspects in that order. The
 * same arithmetic as protocol/detect/believability.ts.
 */
import { alloc, begin, finish, float, floatCount, open, put, refuse } from '../abi'

export { abiVersion, alloc } from '../abi'

/** Makes a median absolute deviation a standard deviation. */
const MAD_TO_DEVIATION: f64 = 1.4826

/** 2: quality. */
export function moduleKind(): i32 {
  return 2
}

// @ts-ignore: decorator
@inline
function at(base: usize, i: i32): f64 {
  return load<f64>(base + ((<usize>i) << 3))
}
// @ts-ignore: decorator
@inline
function set(base: usize, i: i32, value: f64): void {
  store<f64>(base + ((<usize>i) << 3), value)
}

/** Sorts ascending in place (insertion: windows are short, and mostly in order). */
function sort(base: usize, count: i32): void {
  for (let i = 1; i < count; i++) {
    const value = at(base, i)
    let j = i
    while (j > 0 && at(base, j - 1) > value) {
      set(base, j, at(base, j - 1))
      j--
    }
    set(base, j, value)
  }
}

/** Lower middle of `count` ascending values. */
function middle(base: usize, count: i32): f64 {
  return at(base, (count - 1) >> 1)
}

/** Median of the values `from` … `to − 1` of the window of `n`; `room` is overwritten. */
function medianOf(room: usize, n: i32, from: i32, to: i32): f64 {
  for (let i = from; i < to; i++) set(room, i - from, float(n + i))
  sort(room, to - from)
  return middle(room, to - from)
}

/** How many times more or less than usual. */
function timesApart(now: f64, usual: f64): f64 {
  const ratio = max(now, 0.001 * usual) / usual
  return ratio < 1 ? 1 / ratio : ratio
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || modelBytes != 8 * 19 || (floatCount & 1) != 0) return refuse(1)
  const n = floatCount >> 1
  if (n < 4 || n > 128) return refuse(1)
  for (let i = 0; i < floatCount; i++) if (!(float(i) - float(i) == 0)) return refuse(2)
  const model = <usize>modelAt
  const spread = at(model, 1)
  const usualNoise = at(model, 2)
  const room = <usize>alloc(8 * n)

  for (let i = 0; i + 1 < n; i++) set(room, i, Math.abs(float(n + i + 1) - float(n + i)))
  sort(room, n - 1)
  const kept = max(1, <i32>Math.ceil(0.9 * <f64>(n - 1)))
  let squares: f64 = 0
  for (let i = 0; i < kept; i++) squares += at(room, i) * at(room, i)
  const noise = timesApart(Math.sqrt(squares / <f64>kept), usualNoise)

  for (let i = 0; i + 1 < n; i++) set(room, i, float(i + 1) - float(i))
  sort(room, n - 1)
  const frequency = timesApart(middle(room, n - 1), at(model, 3))

  const third = max(1, n / 3)
  const half = n >> 1
  const trend = Math.abs(medianOf(room, n, n - third, n) - medianOf(room, n, 0, third)) / spread
  const change = Math.abs(medianOf(room, n, half, n) - medianOf(room, n, 0, half)) / spread

  const centre = medianOf(room, n, 0, n)
  for (let i = 0; i < n; i++) set(room, i, Math.abs(float(n + i) - centre))
  sort(room, n)
  const deviation = max(max(MAD_TO_DEVIATION * middle(room, n), usualNoise), 0.1 * spread)
  let beyond = 0
  for (let i = 0; i < n; i++) if (Math.abs(float(n + i) - centre) > 3 * deviation) beyond++

  set(room, 0, noise)
  set(room, 1, frequency)
  set(room, 2, trend)
  set(room, 3, change)
  const outliers = <f64>beyond / <f64>n
  return result(model + 32, room, outliers)
}

/** Scores of the four measures in `room` and of the outliers, by the rules. */
function result(rules: usize, room: usize, outliers: f64): i32 {
  const scores = <usize>alloc(8 * 5)
  let sum: f64 = 0
  let total: f64 = 0
  let nothing = false
  for (let a = 0; a < 5; a++) {
    const measure = a == 4 ? outliers : at(room, a)
    const full = at(rules, 3 * a)
    const none = at(rules, 3 * a + 1)
    const weight = at(rules, 3 * a + 2)
    const value = measure <= full ? 1.0 : measure >= none ? 0.0 : (none - measure) / (none - full)
    set(scores, a, value)
    if (weight <= 0) continue
    if (value <= 0) nothing = true
    else sum += weight / value
    total += weight
  }
  begin()
  put(nothing ? 0.0 : total == 0 ? 1000000.0 : (total / sum) * 1000000.0)
  for (let a = 0; a < 5; a++) put(at(scores, a) * 1000000.0)
  return finish()
}
