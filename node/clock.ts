/** Time as the shell sees it: one seam, so that the whole node runs under a simulated clock. */

/** A timer that was started. */
export type TimerHandle = { cancel(): void }
/** Wall clock, a clock that never goes back and counts suspension, and timers. */
export type Clock = {
  /** ms since 1970-01-01T00:00Z. */
  now(): number
  /** ms from an arbitrary beginning, never falling. */
  monotonic(): number
  /** Calls `run` once, `delayMs` (≥ 0) later at the earliest. */
  after(delayMs: number, run: () => void): TimerHandle
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  // performance.now() stops during suspension on Linux (CLOCK_MONOTONIC); hrtime shares that clock. Suspension is seen on the wall clock.
  monotonic: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.max(0, Math.ceil(delayMs)))
    return { cancel: () => clearTimeout(timer) }
  },
}
