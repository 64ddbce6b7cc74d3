import { expect, it } from 'vitest'
import { Congestion } from '../../../node/intake/congestion.ts'

class HandClock {
  at = 0
  #due: { at: number; run: () => void } | undefined
  now = (): number => this.at
  monotonic = (): number => this.at
  after = (delayMs: number, run: () => void): { cancel(): void } => {
    this.#due = { at: this.at + delayMs, run }
    return { cancel: () => (this.#due = undefined) }
  }
  /** The timer that is due fires `lateMs` after its time. */
  fire(lateMs = 0): void {
    const due = this.#due
    if (due === undefined) throw new Error('nothing is due')
    this.#due = undefined
    this.at = due.at + lateMs
    due.run()
  }
}

it('congestion: a late event loop while much waits → high for a while; a punctual one, or little that waits → not', () => {
  const clock = new HandClock()
  let waiting = 1000
  const congestion = new Congestion({ lagMsMax: 25, waitingMin: 500 }, clock, () => waiting)
  clock.fire(25)
  expect(congestion.isHigh).toBe(false)
  clock.fire(26)
  expect(congestion.isHigh).toBe(true)
  waiting = 499
  expect(congestion.isHigh).toBe(false)
  waiting = 500
  for (let i = 0; i < 19; i++) clock.fire()
  expect(congestion.isHigh).toBe(true)
  clock.fire()
  expect(congestion.isHigh).toBe(false)
  congestion.stop()
  expect(() => clock.fire()).toThrow('nothing is due')
})
