/**
 * Aggregation: voices about one device → its trust (ledger.md §3). Apart from everything else, so that simulations and properties run
 * exactly what members compute.
 * Invariants: integers only; the answer depends on the set of voices and not on their order; while liars hold less than half of the
 * weight, it lies between the lowest and the highest honest value.
 */

/** What one rater says, and what its word weighs: both 0 … 1 000 000. */
export type Voice = { readonly trustPpm: number; readonly weightPpm: number }

/**
 * The lower weighted median: the smallest value that, with all smaller ones, has at least half of the weight. undefined without weight.
 * With at most `LIMITS.ratersMax` voices sums stay below 10⁸, far from where integers end.
 */
export function weightedMedian(voices: readonly Voice[]): number | undefined {
  let total = 0
  for (const { weightPpm } of voices) total += weightPpm
  if (total === 0) return undefined
  const ascending = voices.filter(({ weightPpm }) => weightPpm > 0).sort((a, b) => a.trustPpm - b.trustPpm)
  let below = 0
  for (const { trustPpm, weightPpm } of ascending) {
    below += weightPpm
    if (2 * below >= total) return trustPpm
  }
  throw new Error('the parts of a sum are less than the sum')
}
