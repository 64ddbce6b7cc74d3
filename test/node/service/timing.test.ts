import { describe, expect, it } from 'vitest'
import { TimingWatch, violationSentence } from '../../../node/service/timing.ts'
import { genesisWith } from '../genesis.ts'

const NOW = Date.UTC(2026, 10, 24, 12)

describe('timing', () => {
  it('timing: nothing measured, or as fast as Δ → no violation', () => {
    const watch = new TimingWatch()
    watch.measured(null, 250, NOW)
    watch.measured(250, 250, NOW)
    expect([watch.last, watch.count]).toEqual([null, 0])
  })

  it('timing: slower than Δ → violated since then, with the largest delay; over when it is as fast again, and still told', () => {
    const watch = new TimingWatch()
    watch.measured(300, 250, NOW)
    watch.measured(500, 250, NOW + 1000)
    watch.measured(400, 250, NOW + 2000)
    expect(watch.last).toEqual({ since: NOW, until: null, largestMs: 500 })
    watch.measured(20, 250, NOW + 3000)
    watch.measured(20, 250, NOW + 9000)
    expect(watch.last).toEqual({ since: NOW, until: NOW + 3000, largestMs: 500 })
    watch.measured(260, 250, NOW + 10_000)
    expect([watch.last, watch.count]).toEqual([{ since: NOW + 10_000, until: null, largestMs: 260 }, 2])
  })

  it('timing: the warning says since when, how large, and what is certain on any network', () => {
    const { memberSet } = genesisWith(4, { createdAt: NOW, deltaMs: 250, heartbeatMs: 500 })
    const violation = { since: NOW, until: null, largestMs: 411.6 }
    expect(violationSentence(violation, 250, { height: 812, signed: 4 }, memberSet)).toBe(
      'Timing assumption violated since 2026-11-24T12:00:00.000Z: messages take up to 412 ms, Δ is 250 ms. Still certain, however slow the ' +
        'network: block 812 and all before it, even if 2 members lie. What only timely messages promise does not hold now.',
    )
    expect(violationSentence(violation, 250, null, memberSet)).toContain('no block is committed yet')
  })
})
