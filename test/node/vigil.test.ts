import { describe, expect, it } from 'vitest'
import { keepVigil } from '../../node/vigil.ts'
import { HandClock } from './intake/handClock.ts'

describe('a watch over the own process', () => {
  it('a process that runs is seen at every period; a gap counts once, for whoever looks first', async () => {
    const clock = new HandClock(0)
    const gaps: number[] = []
    const vigil = keepVigil(clock, 10, (gapMs) => gaps.push(gapMs))
    await clock.pass(30)
    expect(gaps).toEqual([10, 10, 10])
    vigil.stop()
    await clock.pass(70)
    expect(gaps).toHaveLength(3)
    expect(vigil.look()).toBe(70)
    expect(vigil.look()).toBe(0)
  })

  it('a clock that knows by itself when its process did not run needs no timer', () => {
    const told: ((gapMs: number) => void)[] = []
    const gaps: number[] = []
    const own = { look: () => 0, stop() {} }
    const vigil = (looked: (gapMs: number) => void) => {
      told.push(looked)
      return own
    }
    const knowing = { now: () => 0, monotonic: () => 0, after: () => ({ cancel() {} }), vigil }
    expect(keepVigil(knowing, 10, (gapMs) => gaps.push(gapMs))).toBe(own)
    told[0]?.(400)
    expect(gaps).toEqual([400])
  })
})
