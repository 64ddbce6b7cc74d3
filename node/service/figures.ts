/**
 * Figures of the last while: committed transactions per second and how long they waited. Memory is fixed.
 */

/** Waits that percentiles are taken of. */
const WAITS_MAX = 4096
/** Seconds that the rate is taken over. */
const RATE_SECONDS = 10

/** Counts what was committed. Times in ms of one monotonic clock. */
export class CommitFigures {
  #committed = 0
  readonly #waits = new Float64Array(WAITS_MAX)
  #waitCount = 0
  /** Transactions by second of the clock, in a ring. */
  readonly #seconds = new Map<number, number>()

  /** A block with `transactions` was committed at `nowMs`. */
  block(transactions: number, nowMs: number): void {
    this.#committed += transactions
    const second = Math.floor(nowMs / 1000)
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + transactions)
    for (const key of this.#seconds.keys()) if (key < second - RATE_SECONDS) this.#seconds.delete(key)
  }

  /** A transaction was committed `waitedMs` after it came in here. */
  waited(waitedMs: number): void {
    this.#waits[this.#waitCount++ % WAITS_MAX] = waitedMs
  }

  /** Transactions in blocks committed since the start. */
  get committed(): number {
    return this.#committed
  }

  /** Transactions per second over the last 10 whole seconds. */
  perSecond(nowMs: number): number {
    const second = Math.floor(nowMs / 1000)
    let sum = 0
    for (const [key, count] of this.#seconds) if (key >= second - RATE_SECONDS && key < second) sum += count
    return sum / RATE_SECONDS
  }

  /** Percentiles of the last waits, ms; null before the first. */
  latency(): { readonly p50Ms: number | null; readonly p99Ms: number | null; readonly samples: number } {
    const samples = Math.min(this.#waitCount, WAITS_MAX)
    if (samples === 0) return { p50Ms: null, p99Ms: null, samples }
    const sorted = this.#waits.slice(0, samples).sort()
    const at = (share: number): number => round(sorted[Math.min(samples - 1, Math.floor(share * samples))] as number)
    return { p50Ms: at(0.5), p99Ms: at(0.99), samples }
  }
}

/** Milliseconds with one decimal. */
export const round = (ms: number): number => Math.round(ms * 10) / 10
