/** Tests with running members: what was started is stopped when a test ends, and states are waited for. */
import { afterEach } from 'vitest'

/** A log that nobody reads. */
export const quiet = { debug() {}, info() {}, warn() {}, error() {} }

/** What the test has to undo, the last first. */
export const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const task of cleanUp.splice(0).reverse()) await task()
})

/** Waits for states, for `mostMs` unless told otherwise; then an Error that names the state. */
export const untilWithin =
  (mostMs: number) =>
  async (what: string, holds: () => boolean, timeoutMs = mostMs): Promise<void> => {
    const end = Date.now() + timeoutMs
    while (!holds()) {
      if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
