/**
 * The timing assumption (agreement.md §1: a small message takes at most Δ) as this node measures it: since when it is violated, how far, and how
 * often it was. Nothing is decided by it; it is said to people and counted for metrics.
 */
import { type MemberSet, quorumSizes } from '../../protocol/members.ts'

/** One violation. Times ms since 1970-01-01T00:00Z; `until` null: it lasts. */
export type Violation = { readonly since: number; readonly until: number | null; readonly largestMs: number }

/** Remembers violations, the last one at length. */
export class TimingWatch {
  #last: Violation | null = null
  /** How many there were since the start. */
  count = 0

  /** The violation that lasts, or the last one that ended; null if there was none since the start. */
  get last(): Violation | null {
    return this.#last
  }

  /** The slowest message measured lately took `slowestMs` one way (null: nothing is measured), where Δ allows `deltaMs`. */
  measured(slowestMs: number | null, deltaMs: number, nowMs: number): void {
    const lasting = this.#last?.until === null ? this.#last : null
    if (slowestMs === null || slowestMs <= deltaMs) {
      if (lasting !== null) this.#last = { ...lasting, until: nowMs }
    } else if (lasting !== null) this.#last = { ...lasting, largestMs: Math.max(lasting.largestMs, slowestMs) }
    else {
      this.count += 1
      this.#last = { since: nowMs, until: null, largestMs: slowestMs }
    }
  }
}

/** What an operator reads while the assumption is violated: since when, how large, what is still certain. */
export function violationSentence(
  { since, largestMs }: Violation,
  deltaMs: number,
  assured: { readonly height: number; readonly signed: number } | null,
  memberSet: MemberSet,
): string {
  const { n, q } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
  const liars = assured === null ? 0 : assured.signed + q - n - 1
  const certain =
    assured === null
      ? 'no block is committed yet'
      : `block ${assured.height} and all before it, ` +
        (liars === 0 ? 'if no member lies' : `even if ${liars} ${liars === 1 ? 'member lies' : 'members lie'}`)
  return (
    `Timing assumption violated since ${new Date(since).toISOString()}: messages take up to ${Math.round(largestMs)} ms, ` +
    `Δ is ${deltaMs} ms. Still certain, however slow the network: ${certain}. What only timely messages promise does not hold now.`
  )
}
