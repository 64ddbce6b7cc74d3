/**
 * Virtual time for asynchronous code. Everything that a member waits for (timers, disk, network, workers) is an event of one queue; between two
 * events all promises that can settle do, so that the order of everything follows from the seed.
 * Invariant: nothing runs between events that the last event did not cause.
 */
import { createHash } from 'node:crypto'
import type { TimerHandle, Vigil } from '../../node/clock.ts'
import { Queue } from '../simulation/queue.ts'

/** Lets all settled promises run on: Node.js does all microtasks before the next tick. */
const settle = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))
/** A turn of the event loop, which costs more: rejections that nobody handled are told in between. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const EVENTS_PER_TURN = 256

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
      await (this.events % EVENTS_PER_TURN === 0 ? turn() : settle())
    }
    await turn()
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
  #stalledSince = 0
  readonly #vigils = new Set<() => void>()

  constructor(schedule: Schedule, bug: (error: unknown) => void) {
    this.#schedule = schedule
    this.#bug = bug
  }

  /** Nothing of this process runs for so long; what is due meanwhile runs afterwards, in order. */
  stall(forMs: number): void {
    const { now } = this.#schedule
    const since = this.stalled ? this.#stalledSince : now
    this.#stalledSince = since
    this.#stalledUntil = Math.max(this.#stalledUntil, now + forMs)
    this.#schedule.at(forMs, () => {
      if (!this.alive || this.stalled) return
      for (const noticed of this.#vigils) noticed()
    })
  }

  /** Watches for stalls: `looked` hears of each, unless it was looked for before. `rate`: ms of this process per ms. */
  vigil(looked: (gapMs: number) => void, rate: number): Vigil {
    let seenAt = this.#schedule.now
    const look = (): number => {
      const gapMs = this.#stalledUntil <= seenAt ? 0 : Math.max(0, this.#schedule.now - this.#stalledSince) * rate
      seenAt = this.#schedule.now
      return gapMs
    }
    const noticed = (): void => {
      const gapMs = look()
      if (gapMs > 0) looked(gapMs)
    }
    this.#vigils.add(noticed)
    return { look, stop: () => void this.#vigils.delete(noticed) }
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
