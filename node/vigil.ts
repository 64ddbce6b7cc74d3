/**
 * A watch over this process itself: how long it did not run. Stage: all; agreement.md §4.3 is why.
 * Invariant: a gap counts once, for whoever looks first after it.
 */
import type { Clock, TimerHandle, Vigil } from './clock.ts'

/**
 * Begins one: looks every `periodMs` and tells `looked` of the gap, ms. A clock that knows by itself when its process did not run looks only
 * then, so that an idle process in a simulation has nothing to do.
 */
export function keepVigil(clock: Clock, periodMs: number, looked: (gapMs: number) => void): Vigil {
  if (clock.vigil !== undefined) return clock.vigil(looked)
  let awakeAt = clock.monotonic()
  let timer: TimerHandle
  const look = (): number => {
    const now = clock.monotonic()
    const gapMs = now - awakeAt
    awakeAt = now
    return gapMs
  }
  const again = (): void => {
    timer = clock.after(periodMs, () => {
      again()
      looked(look())
    })
  }
  again()
  return { look, stop: () => timer.cancel() }
}
