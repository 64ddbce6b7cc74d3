import { describe, expect, it } from 'vitest'
import { monotonicOf } from '../../node/clock.ts'

describe('clock', () => {
  const times = { bootS: 100, runningMs: 5000 }
  const pass = (ms: number, suspendedMs = 0): void => {
    times.runningMs += ms
    times.bootS += (ms + suspendedMs) / 1000
  }
  const clock = monotonicOf({ sinceBootS: () => times.bootS, runningMs: () => times.runningMs })

  it('clock: while the machine runs → as the running clock, whatever the coarse one rounds', () => {
    const start = clock()
    for (let i = 0; i < 50; i++) {
      pass(20)
      times.bootS = Math.round(times.bootS * 100) / 100
      clock()
    }
    expect(clock() - start).toBeCloseTo(1000, 5)
  })

  it('clock: the machine was suspended for a minute → the minute counts', () => {
    const start = clock()
    pass(15, 60_000)
    expect(clock() - start).toBeGreaterThan(60_000)
    expect(clock() - start).toBeLessThan(60_100)
    pass(5)
    expect(clock() - start).toBeGreaterThan(60_000)
  })
})
