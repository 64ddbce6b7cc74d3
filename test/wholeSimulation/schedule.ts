/**
 * Virtual time for asynchronous code. Everything that a member waits for (timers, disk, network, workers) is an event of one queue; between two
 * events all promises that can settle do, so that the order of everything follows from the seed.
 * Invariant: nothing runs between events that the last event did not cause.
 */
import { createHash } from 'node:crypto'
import type { TimerHandle } from '../../node/clock.ts'
import { Queue } from '../simulation/queue.ts'

/** Lets all settled promises run on: microtasks are done before the next turn of the event loop. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The queue of events, and the hash of what happened. */
export class Schedule {
  readonly #queue = new Queue()
  readonly #trace = createHash('sha256')
  events = 0

  /** Virtual ms since the run began. */
  get now(): number {
    return this.#queue.now
  }

  at(delayMs: number, run: () => void): void {
    this.#queue.at(delayMs, run)
  }

  /** Notes what happened in the trace, which two runs of one seed share. */
  note(what: string): void {
    this.#trace.update(`${this.now} ${what}\n`)
  }

  /** The hash of everything that was noted. Ends the trace. */
  digest(): string {
    return this.#trace.digest('hex').slice(0, 16)
  }

  /** Runs events until `untilMs` or until `isDone`. */
  async run(untilMs: number, isDone: () => boolean): Promise<void> {
    while (!isDone() && this.#queue.runNext(untilMs)) {
      this.events++
      await settle()
    }
  }
}

/**
 * What one run of one process does: ends with it. A stalled process is one whose events wait.
 * `pending` counts what waits, so that growth shows.
 */
export class Scope {
  readonly #schedule: Schedule
  readonly #bug: (error: unknown) => void
  alive = true
  pending = 0
  #stalledUntil = 0

  constructor(schedule: Schedule, bug: (error: unknown) => void) {
    this.#schedule = schedule
    this.#bug = bug
  }

  /** Nothing of this process runs for so long; what is due meanwhile runs afterwards, in order. */
  stall(forMs: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#schedule.now + forMs)
  }

  /** Whether it is held up now. */
  get stalled(): boolean {
    return this.#schedule.now < this.#stalledUntil
  }

  end(): void {
    this.alive = false
  }

  /** Runs `run` after `delayMs` in this process, unless it has ended by then. */
  later(delayMs: number, run: () => void): TimerHandle {
    let over = false
    this.pending++
    const enter = (): void => {
      if (over || !this.alive) return
      if (this.stalled) return this.#schedule.at(this.#stalledUntil - this.#schedule.now, enter)
      over = true
      this.pending--
      try {
        run()
      } catch (error) {
        this.#bug(error)
      }
    }
    this.#schedule.at(delayMs, enter)
    return {
      cancel: () => {
        if (over) return
        over = true
        this.pending--
      },
    }
  }

  /** `make()` after `delayMs`, as a promise of this process: one that never settles once it has ended. */
  after<T>(delayMs: number, make: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.later(delayMs, () => {
        try {
          resolve(make())
        } catch (error) {
          reject(error)
        }
      })
    })
  }
}
