/**
 * `quality`: a window of readings of one sensor → believability, one score in ppm per aspect: accuracy, timeliness, frequency, noise, outliers,
 * freezing; 1 000 000 is beyond doubt.
 * Input, f64: lowest and highest value that the sensor can give, time between readings (s), age of the newest that still is fresh (s), usual
 * standard deviation of the differences between readings, time of judging (s); then per reading its time (s) and its value. A missing value is NaN.
 * - accuracy: share of the readings that are numbers within the range (of all readings);
 * - timeliness: 1 up to the fresh age, then falling as its share of the age;
 * - frequency: the readings that came, of those due between the first and the time of judging, at most 1;
 * - noise: the usual deviation over the one seen, at most 1;
 * - outliers: one less the share of values further than 3.5 robust deviations from the median (Iglewicz & Hoaglin 1993);
 * - freezing: one less the share of the longest run of equal values beyond 3, where the usual deviation is above 0.
 */
import { alloc, begin, finish, float, floatCount, open, put, refuse } from './abi'

export { abiVersion, alloc } from './abi'

const HEAD: i32 = 6
const READINGS_MAX: i32 = 256

/** 2: quality. */
export function moduleKind(): i32 {
  return 2
}

/** Sorts `count` f64 at `at`, in place (Shell 1959, gaps of Ciura 2001): within the steps of a call for 256. */
function sort(at: usize, count: i32): void {
  for (let pass = 0; pass < 8; pass++) {
    const gap = pass == 0 ? 701 : pass == 1 ? 301 : pass == 2 ? 132 : pass == 3 ? 57 : pass == 4 ? 23 : pass == 5 ? 10 : pass == 6 ? 4 : 1
    for (let i = gap; i < count; i++) {
      const value = load<f64>(at + ((<usize>i) << 3))
      let j = i
      for (; j >= gap && load<f64>(at + ((<usize>(j - gap)) << 3)) > value; j -= gap)
        store<f64>(at + ((<usize>j) << 3), load<f64>(at + ((<usize>(j - gap)) << 3)))
      store<f64>(at + ((<usize>j) << 3), value)
    }
  }
}

function median(at: usize, count: i32): f64 {
  const half = count >> 1
  const upper = load<f64>(at + ((<usize>half) << 3))
  return (count & 1) == 1 ? upper : (load<f64>(at + ((<usize>(half - 1)) << 3)) + upper) / 2
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes)) return refuse(1)
  const readings = (floatCount - HEAD) >> 1
  if (floatCount < HEAD + 2 || (floatCount & 1) != 0 || readings > READINGS_MAX) return refuse(1)
  const lowest = float(0)
  const highest = float(1)
  const interval = float(2)
  const fresh = float(3)
  const usual = float(4)
  const now = float(5)
  if (!(lowest <= highest && interval > 0 && fresh > 0 && usual >= 0 && now >= 0)) return refuse(1)

  const values = <usize>alloc(readings << 3)
  let count = 0
  let within = 0
  let squares: f64 = 0
  let run = 1
  let longest = 1
  let previous: f64 = 0
  let last: f64 = float(HEAD)
  for (let i = 0; i < readings; i++) {
    const time = float(HEAD + 2 * i)
    const value = float(HEAD + 2 * i + 1)
    if (!(time >= last)) return refuse(1)
    last = time
    if (value != value) continue
    if (value >= lowest && value <= highest) within++
    if (count > 0) {
      const difference = value - previous
      squares += difference * difference
      run = difference == 0 ? run + 1 : 1
      longest = max(longest, run)
    }
    store<f64>(values + ((<usize>count) << 3), value)
    previous = value
    count++
  }
  if (count == 0) return refuse(2)

  const age = max<f64>(now - last, 0)
  const due = Math.floor((now - float(HEAD)) / interval) + 1
  const deviation = count > 1 ? Math.sqrt(squares / <f64>(count - 1)) : 0.0
  sort(values, count)
  const middle = median(values, count)
  for (let i = 0; i < count; i++) {
    const at = values + ((<usize>i) << 3)
    store<f64>(at, Math.abs(load<f64>(at) - middle))
  }
  sort(values, count)
  // Where half of the values are equal, the usual deviation has to do.
  const scale = max<f64>(median(values, count) / 0.6745, usual)
  let outlying = 0
  if (scale > 0)
    for (let i = 0; i < count; i++) if (load<f64>(values + ((<usize>i) << 3)) > 3.5 * scale) outlying++

  begin()
  put((<f64>within / <f64>readings) * 1000000)
  put(age <= fresh ? 1000000 : (fresh / age) * 1000000)
  put(due <= <f64>readings ? 1000000 : (<f64>readings / due) * 1000000)
  put(deviation <= usual ? 1000000 : (usual / deviation) * 1000000)
  put((1 - <f64>outlying / <f64>count) * 1000000)
  put(usual > 0 && longest > 3 ? (1 - <f64>(longest - 3) / <f64>count) * 1000000 : 1000000)
  return finish()
}
