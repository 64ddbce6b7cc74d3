/**
 * Congestion: whether this process is so busy that taking more in would cost the agreement. A member whose event loop is late by Δ/4 counts as
 * stalled and signs nothing for Δ (agreement.md §4.3), so submitters are pushed back well before that: what is not taken in now is handed in
 * again, and what was taken in goes on.
 * Invariant: little work is never refused, however late the loop is: below `waitingMin` waiting transactions nothing is.
 */
import type { Clock, TimerHandle } from '../clock.ts'

/** Bounds of one node. */
export type CongestionOptions = {
  /** Lateness of the event loop, ms, beyond which submitters are pushed back. */
  readonly lagMsMax: number
  /** Waiting transactions below which nobody is. */
  readonly waitingMin: number
}

/** How often the loop is looked at, and how long a late look counts, ms. */
const LOOK_MS = 10
const REMEMBERED_MS = 200

/** Watches the event loop until `stop`. */
export class Congestion {
  readonly #options: CongestionOptions
  readonly #clock: Clock
  readonly #waiting: () => number
  #timer: TimerHandle | undefined
  #lateUntil = Number.NEGATIVE_INFINITY

  /** `waiting`: transactions that wait for a block. */
  constructor(options: CongestionOptions, clock: Clock, waiting: () => number) {
    this.#options = options
    this.#clock = clock
    this.#waiting = waiting
    this.#look()
  }

  /** Whether submitters are to be pushed back now. */
  get isHigh(): boolean {
    return this.#clock.monotonic() < this.#lateUntil && this.#waiting() >= this.#options.waitingMin
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #look(): void {
    const dueAt = this.#clock.monotonic() + LOOK_MS
    this.#timer = this.#clock.after(LOOK_MS, () => {
      const now = this.#clock.monotonic()
      if (now - dueAt > this.#options.lagMsMax) this.#lateUntil = now + REMEMBERED_MS
      this.#look()
    })
  }
}
