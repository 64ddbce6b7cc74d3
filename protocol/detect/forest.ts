/**
 * Stage: detectors. A random forest that votes: Breiman, Random Forests, Machine Learning 2001. Training is `node/detect/forestTraining.ts`.
 * Invariants: a forest is five arrays, so that a module can hold it as it is; a vote is a count, and ties go to the lower class.
 */

/** Trees, laid one after the other; node i. */
export type Forest = {
  readonly classes: number
  /** Node at which each tree begins. */
  readonly roots: Int32Array
  /** Feature that is asked for; −1 at a leaf. */
  readonly features: Int32Array
  /** Up to this value to the left; NaN goes right. */
  readonly thresholds: Float64Array
  readonly lefts: Int32Array
  /** Right child; the class at a leaf. */
  readonly rights: Int32Array
}

/** Votes of the trees for each class, into `votes` (as many as there are classes). */
export function voteOf(forest: Forest, features: Float64Array, votes: Int32Array): void {
  votes.fill(0)
  for (let t = 0; t < forest.roots.length; t++) {
    let node = forest.roots[t] as number
    while ((forest.features[node] as number) >= 0)
      node = (
        (features[forest.features[node] as number] as number) <= (forest.thresholds[node] as number)
          ? forest.lefts[node]
          : forest.rights[node]
      ) as number
    const winner = forest.rights[node] as number
    votes[winner] = (votes[winner] as number) + 1
  }
}

/** The class with the most votes, and its share in parts per million. */
export function classOf(
  forest: Forest,
  features: Float64Array,
): { readonly winner: number; readonly sharePpm: number } {
  const votes = new Int32Array(forest.classes)
  voteOf(forest, features, votes)
  let winner = 0
  for (let c = 1; c < votes.length; c++) if ((votes[c] as number) > (votes[winner] as number)) winner = c
  return { winner, sharePpm: Math.floor(((votes[winner] as number) * 1_000_000) / forest.roots.length) }
}
