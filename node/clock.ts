/** Time as the shell sees it: one seam, so that the whole node runs under a simulated clock. */

import { uptime } from 'node:os'

/** A timer that was started. */
export type TimerHandle = { cancel(): void }
/** A watch over this process itself (vigil.ts). */
export type Vigil = {
  /** ms since this process was last seen to run, up to a period of the watch while it runs as it should. It runs now. */
  look(): number
  stop(): void
}
/** Wall clock, a clock that never goes back and counts suspension, and timers. */
export type Clock = {
  /** ms since 1970-01-01T00:00Z. */
  now(): number
  /** ms from an arbitrary beginning, never falling. */
  monotonic(): number
  /** Calls `run` once, `delayMs` (≥ 0) later at the earliest. */
  after(delayMs: number, run: () => void): TimerHandle
  /** Of a clock that knows when its process did not run: `keepVigil` without a timer. */
  readonly vigil?: (looked: (gapMs: number) => void) => Vigil
}

/** Clocks of the system that `monotonicOf` reads; others in tests. Seconds since boot, suspension counted, and ms without it. */
export type SystemTimes = { readonly sinceBootS: () => number; readonly runningMs: () => number }

/** Differences between the two clocks below this are their resolution. */
const SUSPENDED_MS_MIN = 50
/** How often the slower clock is looked at, ms of the other. */
const LOOK_EVERY_MS = 10

/**
 * A clock that never goes back and counts the time in which the machine was suspended (agreement.md §4.3). Node's clocks stop during
 * suspension on Linux (CLOCK_MONOTONIC); the time since boot does not, but is coarse.
 */
export function monotonicOf({ sinceBootS, runningMs }: SystemTimes): () => number {
  let suspendedMs = 0
  let lookedAt = runningMs()
  let bootMs = sinceBootS() * 1000
  return () => {
    const now = runningMs()
    if (now - lookedAt >= LOOK_EVERY_MS) {
      const boot = sinceBootS() * 1000
      const missing = boot - bootMs - (now - lookedAt)
      // Small differences add up in neither direction: each look begins anew.
      if (missing > SUSPENDED_MS_MIN) suspendedMs += missing
      lookedAt = now
      bootMs = boot
    }
    return now + suspendedMs
  }
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: monotonicOf({ sinceBootS: uptime, runningMs: () => performance.now() }),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.max(0, Math.ceil(delayMs)))
    return { cancel: () => clearTimeout(timer) }
  },
}
