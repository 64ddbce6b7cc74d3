import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  afterSilence,
  consistencyOf,
  firstTrust,
  JUDGEMENT_RULE,
  judged,
  type LocalTrust,
  timesPpm,
} from '../../protocol/judgement.ts'
import { CATEGORY_NAMES, type CategoryName } from '../../protocol/kinds/report/categories.ts'

const all: ReadonlySet<CategoryName> = new Set(CATEGORY_NAMES)
const weights = (entries: Partial<Record<CategoryName, number>>): Map<CategoryName, number> =>
  new Map(Object.entries(entries) as [CategoryName, number][])
const phi = (
  peer: Partial<Record<CategoryName, number>>,
  own: Partial<Record<CategoryName, number>> = {},
  observable = all,
): number | null => consistencyOf({ peer: weights(peer), own: weights(own), observable })

/** Trust after the judgements, from `before` on. */
const trustAfter = (phis: readonly number[], before: LocalTrust = firstTrust(JUDGEMENT_RULE)): LocalTrust =>
  phis.reduce((trust, one) => judged(trust, one, JUDGEMENT_RULE), before)
const times = <T>(n: number, value: T): T[] => Array.from({ length: n }, () => value)

describe('consistency', () => {
  it('both see nothing → one whole; both see the same → one whole', () => {
    expect(phi({})).toBe(1_000_000)
    expect(phi({ 'process.unknown': 810_000 }, { 'process.unknown': 810_000 })).toBe(1_000_000)
  })

  it('what only the peer reports costs its weight: a trifle little, a rootkit nearly everything, several everything', () => {
    expect(phi({ 'resource.cpu': 180_000 })).toBe(820_000)
    expect(phi({ 'process.unknown': 810_000 })).toBe(190_000)
    expect(phi({ 'process.unknown': 810_000, 'network.listener': 617_500 })).toBe(0)
  })

  it('what the rater alone sees on its own machine is not held against the peer; in what all see, it is', () => {
    expect(phi({}, { 'process.unknown': 810_000 })).toBe(1_000_000)
    expect(phi({}, { 'position.spoofed': 810_000 })).toBe(190_000)
  })

  it('a lone device whose peers are blind is not punished for reporting more than they see', () => {
    const blind = new Set([...all].filter((category) => category !== 'position.spoofed'))
    expect(phi({ 'position.spoofed': 900_000 }, {}, blind)).toBeNull()
    expect(phi({ 'position.spoofed': 900_000, 'process.unknown': 0 }, {}, blind)).toBeNull()
    // What can be compared besides still is.
    expect(phi({ 'position.spoofed': 900_000, 'process.unknown': 810_000 }, {}, blind)).toBe(190_000)
  })

  it('what the rater sees and nobody reports says nothing while it is blind there', () => {
    expect(phi({}, { 'position.spoofed': 900_000 }, new Set())).toBe(1_000_000)
  })

  it('any weights → an integer from 0 to 1 000 000', () => {
    const side = fc.dictionary(fc.constantFrom(...CATEGORY_NAMES), fc.integer({ min: 0, max: 1_000_000 }))
    fc.assert(
      fc.property(side, side, fc.subarray(CATEGORY_NAMES), (peer, own, seen) => {
        const value = phi(peer, own, new Set(seen))
        return value === null || (Number.isInteger(value) && value >= 0 && value <= 1_000_000)
      }),
    )
  })
})

describe('local trust', () => {
  it('one judgement downward weighs forty-five times one upward', () => {
    expect(trustAfter([1_000_000]).trustPpm).toBe(706_000)
    expect(trustAfter([200_000]).trustPpm).toBe(250_000)
  })

  it('a rootkit: below the threshold of blacklisting with one judgement, from the highest trust too', () => {
    const trusted: LocalTrust = { trustPpm: 1_000_000, memoryPpm: 0 }
    expect(trustAfter([190_000], trusted).trustPpm).toBe(271_000)
    expect(trustAfter([190_000, 190_000], trusted).trustPpm).toBeLessThan(300_000)
  })

  it('a trifle in every report never leads to the threshold', () => {
    expect(trustAfter(times(10_000, 820_000)).trustPpm).toBeGreaterThan(700_000)
  })

  it('an on-off attacker does not buy trust back: its memory grows with each bad turn and stays over the good ones', () => {
    let trust = firstTrust(JUDGEMENT_RULE)
    const peaks: number[] = []
    for (let round = 0; round < 8; round++) {
      trust = trustAfter([...times(3, 190_000), ...times(60, 1_000_000)], trust)
      peaks.push(trust.trustPpm)
    }
    // After five minutes of good behaviour each time, for ever less.
    expect(peaks[0]).toBeLessThan(500_000)
    expect(peaks.slice(1).every((peak, i) => peak < (peaks[i] as number))).toBe(true)
    expect(peaks.at(-1)).toBeLessThan(200_000)
  })

  it('one honest mistake is forgiven within the hour', () => {
    const later = trustAfter([460_000, ...times(720, 1_000_000)])
    expect(later.trustPpm).toBeGreaterThan(900_000)
  })

  it('silence takes trust slowly, not at once, and alone not to the threshold', () => {
    let trust = firstTrust(JUDGEMENT_RULE)
    trust = afterSilence(trust, JUDGEMENT_RULE)
    expect(trust.trustPpm).toBe(693_000)
    for (let i = 0; i < 10_000; i++) trust = afterSilence(trust, JUDGEMENT_RULE)
    expect(trust).toEqual({ trustPpm: 350_000, memoryPpm: 0 })
    const low = { trustPpm: 100_000, memoryPpm: 5 }
    expect(afterSilence(low, JUDGEMENT_RULE)).toEqual(low)
  })

  it('any history → integers from 0 to 1 000 000, never above the whole less the memory once a judgement has lowered it', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 200 }), (phis) => {
        const { trustPpm, memoryPpm } = trustAfter(phis)
        return [trustPpm, memoryPpm].every((v) => Number.isInteger(v) && v >= 0 && v <= 1_000_000)
      }),
    )
  })

  it('products of ppm are exact, also where both are the whole', () => {
    expect(timesPpm(1_000_000, 1_000_000)).toBe(1_000_000)
    expect(timesPpm(999_999, 999_999)).toBe(999_998)
    expect(timesPpm(1, 999_999)).toBe(0)
  })
})
