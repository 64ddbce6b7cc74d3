/** A clock for tests that stands until it is moved by hand. */
import type { Clock } from '../../../node/clock.ts'

type Timer = { readonly at: number; readonly run: () => void }

/** Wall clock and monotonic clock are one, in ms. */
export class HandClock implements Clock {
  #nowMs: number
  readonly #timers: Timer[] = []

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  now(): number {
    return this.#nowMs
  }
  monotonic(): number {
    return this.#nowMs
  }
  after(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { at: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        const place = this.#timers.indexOf(timer)
        if (place >= 0) this.#timers.splice(place, 1)
      },
    }
  }

  /** Timers that have not run. */
  get timers(): number {
    return this.#timers.length
  }

  /** Moves on by `ms`; whatever is due meanwhile runs at its time, with what follows from it. */
  async pass(ms: number): Promise<void> {
    const end = this.#nowMs + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#nowMs = next.at
      next.run()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#nowMs = end
  }
}
