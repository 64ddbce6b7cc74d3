/**
 * The scorer of the Numenta Anomaly Benchmark: Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms, ICMLA 2015, §II.C; the
 * positions in a window are those of version 1.1. Written from that definition.
 * Invariants: the first 15 % of a series, at most 750 rows, count for nothing; in a window only the detection that is worth most counts.
 */

/** Weights of an application profile (config/profiles.json of the benchmark). */
export type Profile = { readonly tpWeight: number; readonly fpWeight: number; readonly fnWeight: number }
/** First and last row of a labelled window, both in it. */
export type Window = readonly [first: number, last: number]

/** Rows that a detector may learn from without being judged. */
export const probationOf = (rows: number): number => Math.min(Math.floor(0.15 * rows), 750)

/** 1 far before the right edge of a window, 0 at it, −1 from three widths behind it on. */
const scaledSigmoid = (position: number): number => (position >= 3 ? -1 : 2 / (1 + Math.exp(5 * position)) - 1)

/** What one series is worth: `raw`, and how often it was alarmed outside of every window. */
export type SeriesScore = { readonly raw: number; readonly found: number; readonly falseAlarms: number }

/** Scores the rows at which `alarms` is true. `windows` are in order and do not overlap. */
export function scoreSeries(alarms: readonly boolean[], windows: readonly Window[], profile: Profile): SeriesScore {
  const judged = probationOf(alarms.length)
  let raw = 0
  let found = 0
  for (const [first, last] of windows) {
    let best = -profile.fnWeight
    // A window that lies in the probation altogether is not judged.
    if (last < judged) continue
    for (let i = Math.max(first, judged); i <= last; i++)
      if (alarms[i] === true) {
        const worth = (scaledSigmoid(-(last - i + 1) / (last - first + 1)) * profile.tpWeight) / scaledSigmoid(-1)
        if (worth > best) best = worth
      }
    if (best > -profile.fnWeight) found++
    raw += best
  }
  let falseAlarms = 0
  let at = 0
  for (let i = judged; i < alarms.length; i++) {
    while (at < windows.length && (windows[at] as Window)[1] < i) at++
    if (alarms[i] !== true || (at < windows.length && (windows[at] as Window)[0] <= i)) continue
    falseAlarms++
    const before = windows[at - 1]
    raw += profile.fpWeight * (before === undefined ? -1 : scaledSigmoid((i - before[1]) / (before[1] - before[0])))
  }
  return { raw, found, falseAlarms }
}

/** A raw score of a corpus on the scale on which the detector that says nothing has 0 and the perfect one 100. */
export function normalise(raw: number, windows: number, profile: Profile): number {
  const nothing = -windows * profile.fnWeight
  return (100 * (raw - nothing)) / (windows * profile.tpWeight - nothing)
}
