/**
 * Stage: before everything. What is wrong with text that an operator wrote: values, never exceptions, so that all problems of a
 * file are listed at once.
 * Invariant: a problem names the place in the operator's own words and never holds the content of a secret file.
 */

/** One thing that is wrong, where it is, and what to do about it. */
export type Problem = {
  /** Place as the operator wrote it: `config.toml line 12, api.listen`, `ALTHING_API_LISTEN`, `members[1].publicKey`. */
  readonly where: string
  /** What is wrong, as a clause: `is not a whole number from 1 to 10`. */
  readonly what: string
  /** What to do, as a sentence; absent where `what` already says it. */
  readonly hint?: string
}

/** A value, or everything that keeps the input from being one (never an empty list). */
export type Parsed<T> = { ok: true; value: T } | { ok: false; problems: readonly Problem[] }

/** One line for people: `where: what. hint`. */
export const problemLine = ({ where, what, hint }: Problem): string =>
  hint === undefined ? `${where}: ${what}` : `${where}: ${what}. ${hint}`

/** Largest number of edits at which a word still counts as a slip of the pen for a word of `length` characters. */
const editsMax = (length: number): number => (length <= 4 ? 1 : length <= 9 ? 2 : 3)

/**
 * The candidate nearest to `word` by edits (insert, delete, replace, swap of neighbours), or undefined when none is near.
 * Both sides are cut at 64 characters, so hostile input costs a bounded time.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.slice(0, 64).toLowerCase()
  let best: string | undefined
  let bestEdits = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const edits = editsBetween(wanted, candidate.slice(0, 64).toLowerCase())
    if (edits < bestEdits && edits <= editsMax(wanted.length)) {
      best = candidate
      bestEdits = edits
    }
  }
  return best
}

/** `Did you mean X?`, or undefined when nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const candidate = nearest(word, candidates)
  return candidate === undefined ? undefined : `Did you mean ${candidate}?`
}

// Optimal string alignment distance: Levenshtein plus swaps of neighbours, the commonest slip.
function editsBetween(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let edits = Math.min(replace, last[j]! + 1, current[j - 1]! + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, beforeLast[j - 2]! + 1)
      current.push(edits)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
