/**
 * Congestion: whether this process is so busy that taking more in would cost the agreement. A member whose event loop is late by Δ/4 counts as
 * stalled and signs nothing for Δ (agreement.md §4.3), so submitters are pushed back well before that: what is not taken in now is handed in
 * again, and what was taken in goes on.
 * Invariant: little work is never refused, however late the loop is: below `waitingMin` waiting transactions nothing is.
 */
import type { Clock, Vigil } from '../clock.ts'
import { keepVigil } from '../vigil.ts'

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
  readonly #vigil: Vigil
  #lateUntil = Number.NEGATIVE_INFINITY

  /** `waiting`: transactions that wait for a block. */
  constructor(options: CongestionOptions, clock: Clock, waiting: () => number) {
    this.#options = options
    this.#clock = clock
    this.#waiting = waiting
    this.#vigil = keepVigil(clock, LOOK_MS, (gapMs) => {
      if (gapMs - LOOK_MS > options.lagMsMax) this.#lateUntil = clock.monotonic() + REMEMBERED_MS
    })
  }

  /** Whether submitters are to be pushed back now. */
  get isHigh(): boolean {
    return this.#clock.monotonic() < this.#lateUntil && this.#waiting() >= this.#options.waitingMin
  }

  stop(): void {
    this.#vigil.stop()
  }
}
