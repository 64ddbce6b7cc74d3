/**
 * RTU: waiting that can be cut short. One waiter; a ring while nobody waits ends the next wait at once.
 */

/** An alarm that rings when it is told to, or after a time. */
export class Alarm {
  #rung = false
  #wake: (() => void) | undefined

  /** Ends the present wait, or else the next one. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Resolves after `ms` (undefined: never by itself), at a ring, or when `signal` aborts. Never rejects. */
  async wait(ms: number | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const woken = Promise.withResolvers<void>()
      const wake = (): void => woken.resolve()
      this.#wake = wake
      const timer = ms === undefined ? undefined : setTimeout(wake, ms)
      signal.addEventListener('abort', wake, { once: true })
      await woken.promise
      signal.removeEventListener('abort', wake)
      clearTimeout(timer)
      this.#wake = undefined
    }
    this.#rung = false
  }
}

/** `ms`, shortened or lengthened by up to a half, so that many devices do not come back in step. `random`: 0 … 1. */
export const withJitter = (ms: number, random: () => number = Math.random): number => Math.round(ms * (0.5 + random()))
