/**
 * Work in steps: one description of a long computation, run at once or with room for other work in between. A member whose process does not
 * run for Δ/4 counts as stalled (agreement.md §4.3), so nothing on the way of a block may hold it for as long.
 */

import { setImmediate as immediately } from 'node:timers/promises'

/** How long computations give way to what else is due: `nowMs` measures a slice, `breathe` lets others run in between. */
export type Pace = {
  /** ms from an arbitrary beginning. */
  nowMs(): number
  breathe(): Promise<void>
}

/** The pace of a running node: the process reads its sockets in between. */
export const systemPace: Pace = { nowMs: () => performance.now(), breathe: () => immediately() }

/** A computation that yields wherever it may be interrupted. */
export type Steps<T> = Generator<void, T, void>

/** Steps run in a row before the clock is looked at, and time in a row before others get theirs, ms. */
const STEPS_PER_LOOK = 16
const SLICE_MS = 5

/** Runs all steps now. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Runs the steps in slices of about 5 ms; in between the process does what else is due. */
export async function inSteps<T>(steps: Steps<T>, pace: Pace): Promise<T> {
  let sliceEnd = pace.nowMs() + SLICE_MS
  for (let taken = 1; ; taken++) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (taken % STEPS_PER_LOOK !== 0 || pace.nowMs() < sliceEnd) continue
    await pace.breathe()
    sliceEnd = pace.nowMs() + SLICE_MS
  }
}

/**
 * Lets a few begin in one turn of the event loop, and the others in the turns after it, in order: what one read of a socket brings, such as hundreds
 * of requests on one connection, does not run in a row. Those that begin at once and the next ones may share a turn after a rest: twice as many.
 */
export class Turnstile {
  readonly #perTurn: number
  readonly #pace: Pick<Pace, 'breathe'>
  readonly #waiting: (() => void)[] = []
  #begun = 0
  #isTurning = false

  /** `perTurn`: how many, at least 1. */
  constructor(perTurn: number, pace: Pick<Pace, 'breathe'> = systemPace) {
    this.#perTurn = perTurn
    this.#pace = pace
  }

  /** Resolves when the caller may begin. */
  pass(): Promise<void> {
    if (!this.#isTurning) void this.#turn()
    if (this.#waiting.length === 0 && this.#begun < this.#perTurn) {
      this.#begun++
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Counts anew in each turn until nobody waits. */
  async #turn(): Promise<void> {
    this.#isTurning = true
    do {
      await this.#pace.breathe()
      const next = this.#waiting.splice(0, this.#perTurn)
      this.#begun = next.length
      for (const begin of next) begin()
    } while (this.#begun > 0)
    this.#isTurning = false
  }
}
