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
