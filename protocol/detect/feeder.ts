/**
 * Stage: detectors. What is wrong on a three-phase feeder, from a window of instantaneous voltages and currents: physical features for the
 * forest to vote on.
 * Sources: Fortescue, Method of Symmetrical Co-ordinates, Trans. AIEE 1918; the ratio of negative to positive sequence from the ellipse of the
 * space vector, which needs no phase reference and no known sampling rate: Ignatova, Granjon and Bacha, Space Vector Method for Voltage Dips and
 * Swells Analysis, IEEE Trans. Power Delivery 2009. The classes are those of Li and others, Autonomous Smart Grid Fault Detection, 2022.
 * Invariants: a feature does not change when phases are renamed, nor when voltages or currents are
 * scaled: what a transducer or a station makes of a volt does not tell a fault.
 */

/** Classes, in the order of the forest. */
export const FEEDER_CLASSES = [
  'normal',
  'phase to ground',
  'phase to phase',
  'two phases to ground',
  'transformer',
] as const
/** Values of a row: Ua, Ub, Uc, Ia, Ib, Ic. */
export const FEEDER_CHANNELS = 6
/** Rows that are looked at together; a window is cut into such pieces to see when something begins. */
export const FEEDER_PIECE = 20
const OF_TRIPLE = 8
/** Features of a window. */
export const FEEDER_FEATURES = 4 * OF_TRIPLE + 3

type Triple = {
  /** Root mean squares of the phases. */
  readonly rms: readonly [number, number, number]
  readonly mean: number
  /** Zero sequence over the mean of the phases. */
  readonly zero: number
  /** Negative over positive sequence, 0 … 1. */
  readonly negative: number
  /** Correlations ab, bc, ca. */
  readonly correlations: readonly [number, number, number]
}

const safe = (part: number, whole: number): number => (whole > 0 ? part / whole : 0)

/** The three channels from `first` on, in the rows `from … to − 1` of `rows`. */
function tripleOf(rows: Float64Array, first: number, from: number, to: number): Triple {
  let [aa, bb, cc, ab, bc, ca, zeros] = [0, 0, 0, 0, 0, 0, 0]
  let [xx, yy, xy] = [0, 0, 0]
  for (let i = from; i < to; i++) {
    const a = rows[i * FEEDER_CHANNELS + first] as number
    const b = rows[i * FEEDER_CHANNELS + first + 1] as number
    const c = rows[i * FEEDER_CHANNELS + first + 2] as number
    aa += a * a
    bb += b * b
    cc += c * c
    ab += a * b
    bc += b * c
    ca += c * a
    zeros += ((a + b + c) / 3) ** 2
    // Clarke, Circuit Analysis of A-C Power Systems, 1943.
    const x = (2 * a - b - c) / 3
    const y = (b - c) / Math.sqrt(3)
    xx += x * x
    yy += y * y
    xy += x * y
  }
  const n = to - from
  const rms = [Math.sqrt(aa / n), Math.sqrt(bb / n), Math.sqrt(cc / n)] as const
  const mean = (rms[0] + rms[1] + rms[2]) / 3
  // Half axes of the ellipse that the space vector draws: positive plus and minus negative sequence.
  const half = (xx + yy) / 2
  const apart = Math.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
  const [long, short] = [Math.sqrt(Math.max(0, half + apart)), Math.sqrt(Math.max(0, half - apart))]
  return {
    rms,
    mean,
    zero: safe(Math.sqrt(zeros / n), mean),
    negative: safe(long - short, long + short),
    correlations: [safe(ab, Math.sqrt(aa * bb)), safe(bc, Math.sqrt(bb * cc)), safe(ca, Math.sqrt(cc * aa))],
  }
}

function putTriple({ rms, mean, zero, negative, correlations }: Triple, out: Float64Array, at: number): void {
  const phases = [...rms].sort((a, b) => a - b)
  const related = [...correlations].sort((a, b) => a - b)
  for (let k = 0; k < 3; k++) {
    out[at + k] = safe(phases[k] as number, mean)
    out[at + 3 + k] = related[k] as number
  }
  out[at + 6] = zero
  out[at + 7] = negative
}

/** Features of the window `rows`, of at least one row with `FEEDER_CHANNELS` finite values each. */
export function feederFeatures(rows: Float64Array): Float64Array {
  const count = rows.length / FEEDER_CHANNELS
  const out = new Float64Array(FEEDER_FEATURES)
  const voltages = tripleOf(rows, 0, 0, count)
  const currents = tripleOf(rows, 3, 0, count)
  let [worst, least, lowest, highest] = [currents, currents.mean, voltages.mean, voltages.mean]
  let voltagesThen = voltages
  for (let from = 0; from + FEEDER_PIECE <= count; from += FEEDER_PIECE) {
    const piece = tripleOf(rows, 3, from, from + FEEDER_PIECE)
    const tension = tripleOf(rows, 0, from, from + FEEDER_PIECE)
    if (from === 0 || piece.mean > worst.mean) [worst, voltagesThen] = [piece, tension]
    least = Math.min(least, piece.mean)
    lowest = Math.min(lowest, tension.mean)
    highest = Math.max(highest, tension.mean)
  }
  putTriple(voltages, out, 0)
  putTriple(currents, out, OF_TRIPLE)
  putTriple(voltagesThen, out, 2 * OF_TRIPLE)
  putTriple(worst, out, 3 * OF_TRIPLE)
  const most = worst.rms.indexOf(Math.max(...worst.rms))
  out[4 * OF_TRIPLE] = Math.log1p(safe(worst.mean, least))
  out[4 * OF_TRIPLE + 1] = safe(highest, Math.max(lowest, 1e-9 * highest))
  // Voltage of the phase that carries the most.
  out[4 * OF_TRIPLE + 2] = safe(voltagesThen.rms[most] as number, voltagesThen.mean)
  return out
}
