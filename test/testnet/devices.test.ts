import { describe, expect, it } from 'vitest'
import { type DeviceStory, doubtsOf, problemOf } from '../../testnet/devices.ts'
import { readDevice, readFirstEvent, readPoint, readReason } from '../../testnet/status.ts'

const story: DeviceStory = {
  rtu: 'rtu-3',
  cyclesFromCompromise: 2.1,
  cyclesFromReport: 1.2,
  reported: ['process.unknown'],
  cause: 'opinions',
  finalTrustPpm: 70_000,
  raters: 4,
}

describe('devices', () => {
  it('devices: whom nobody touched has to be trusted, everywhere', () => {
    const standing = { status: 'trusted', blacklistedAt: undefined, lastReportAt: 9 }
    expect(problemOf('rtu-1', 'north', standing, false)).toBeNull()
    expect(problemOf('rtu-1', 'north', { ...standing, status: 'suspect' }, false)).toBe(
      'north has rtu-1, which nobody touched, as suspect',
    )
    expect(problemOf('rtu-1', 'north', { ...standing, status: 'registered' }, false)).toMatch(/as registered/)
  })

  it('devices: who was compromised has to be cut off, and no report counts after that', () => {
    const standing = { status: 'blacklisted', blacklistedAt: 40, lastReportAt: 40 }
    expect(problemOf('rtu-3', 'west', standing, true)).toBeNull()
    expect(problemOf('rtu-3', 'west', { ...standing, lastReportAt: 41 }, true)).toBe(
      'west counts a report of rtu-3 at height 41, after it was cut off at 40',
    )
    expect(problemOf('rtu-3', 'west', { ...standing, status: 'trusted' }, true)).toMatch(/compromised, as trusted/)
  })

  it('devices: a good story has no doubts; each thing that is missing is one', () => {
    expect(doubtsOf(story)).toEqual([])
    expect(doubtsOf({ ...story, cyclesFromReport: 3 })).toEqual([])
    expect(doubtsOf({ ...story, cyclesFromReport: 3.1 })).toEqual([
      'rtu-3 was cut off 3.1 cycles after its report, more than 3',
    ])
    expect(doubtsOf({ ...story, cause: 'request' })).toEqual(['rtu-3 was cut off by request, not by the rule of trust'])
    expect(doubtsOf({ ...story, cause: null, raters: 0, reported: [], cyclesFromReport: null })).toHaveLength(4)
  })

  it('devices: the first report since then, and only its categories; without any there is none', () => {
    const event = (observedAt: number, category: string): object => ({ observedAt, category })
    const events = [event(300, 'network.peer'), event(200, 'process.unknown'), event(200, 'network.listener')]
    expect(readFirstEvent([...events, event(100, 'resource.cpu')], 150)).toEqual({
      observedAt: 200,
      categories: ['network.listener', 'process.unknown'],
    })
    expect(readFirstEvent(events, 400)).toBeUndefined()
    expect(readFirstEvent([], 0)).toBeUndefined()
  })

  it('devices: answers that are something else are read as nothing', () => {
    expect(readDevice(undefined)).toEqual({ status: 'unknown', blacklistedAt: undefined, lastReportAt: undefined })
    expect(
      readDevice({ status: 'blacklisted', blacklist: { height: 7 }, reports: { count: 2, lastHeight: 6 } }),
    ).toEqual({
      status: 'blacklisted',
      blacklistedAt: 7,
      lastReportAt: 6,
    })
    expect(readPoint(null)).toEqual({ status: '', time: 0 })
    expect(readReason({ blacklist: null })).toEqual({ cause: undefined, finalScorePpm: undefined, raters: 0 })
    expect(readReason({ blacklist: { cause: 'opinions', finalScorePpm: 1, opinions: [1, 2] } })).toEqual({
      cause: 'opinions',
      finalScorePpm: 1,
      raters: 2,
    })
  })
})
