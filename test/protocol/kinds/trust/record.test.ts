/** The history of trust: pages that are written one after the other, and the oldest anew. */
import { describe, expect, it } from 'vitest'
import { Overlay } from '../../../../protocol/execution.ts'
import {
  addTrustPoint,
  readTrustPage,
  startingTrust,
  TRUST_PAGE_POINTS,
  TRUST_POINTS_MAX,
} from '../../../../protocol/kinds/trust/record.ts'

describe('history of trust', () => {
  it('keeps the newest points and forgets the oldest page, in no more entries than it has pages', () => {
    const state = new Overlay(new Map())
    let trust = startingTrust(700_000, 1)
    const count = TRUST_POINTS_MAX + 5
    for (let i = 0; i < count; i++) {
      const at = { height: 10 + i, time: 1000 * i, thresholdPpm: 300_000, status: 'trusted' } as const
      trust = addTrustPoint(state, 'd', { ...trust, trustPpm: i }, at)
    }
    expect(trust).toMatchObject({ points: count, pointPpm: count - 1 })
    expect(readTrustPage(state, 'd', 0)).toEqual([])
    const kept = []
    for (let first = 0; first < count; first += TRUST_PAGE_POINTS) kept.push(...readTrustPage(state, 'd', first))
    const expected = Array.from({ length: TRUST_POINTS_MAX - TRUST_PAGE_POINTS + 5 }, (_, i) => TRUST_PAGE_POINTS + i)
    expect(kept.map(({ sequence }) => sequence)).toEqual(expected)
    expect(kept.at(-1)).toMatchObject({ height: 9 + count, trustPpm: count - 1 })
    expect(state.entriesAdded).toBe(TRUST_POINTS_MAX / TRUST_PAGE_POINTS)
  })
})
