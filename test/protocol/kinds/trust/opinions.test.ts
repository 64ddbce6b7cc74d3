/** The rows of opinions against a map, and what happens when all seats are taken. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, toHex } from '../../../../protocol/bytes.ts'
import { Overlay } from '../../../../protocol/execution.ts'
import {
  forgetOpinions,
  type KeptOpinion,
  keepOpinion,
  readOpinion,
  readOpinions,
} from '../../../../protocol/kinds/trust/opinions.ts'
import { LIMITS } from '../../../../protocol/limits.ts'

const opinion = (fill: number, over: Partial<KeptOpinion> = {}): KeptOpinion => ({
  rater: new Uint8Array(20).fill(fill),
  trustPpm: 1,
  observedAt: 1000,
  height: 1,
  ...over,
})

describe('opinions', () => {
  it('behave as a map from raters, in the order of raters, whatever the order in which they come', () => {
    const one = fc.record({
      rater: fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => bytes.map((byte) => byte % 3)),
      trustPpm: fc.integer({ min: 0, max: 1_000_000 }),
      observedAt: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      height: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    })
    fc.assert(
      fc.property(fc.array(one, { maxLength: LIMITS.ratersMax }), (all) => {
        const state = new Overlay(new Map())
        const expected = new Map<string, KeptOpinion>()
        for (const next of all) {
          expect(keepOpinion(state, 'd', next, 0)).toBe(true)
          expected.set(toHex(next.rater), next)
          expect(readOpinion(state, 'd', next.rater)).toEqual(next)
        }
        expect(readOpinions(state, 'd')).toEqual([...expected.values()].sort((a, b) => compareBytes(a.rater, b.rater)))
      }),
    )
  })

  it('with all seats taken, a new voice is unheard until one is no longer fresh; a known one still is heard', () => {
    const state = new Overlay(new Map())
    for (let i = 0; i < LIMITS.ratersMax; i++)
      expect(keepOpinion(state, 'd', opinion(2 * i, { observedAt: 1000 + i }), 0)).toBe(true)
    expect(keepOpinion(state, 'd', opinion(9), 1000)).toBe(false)
    expect(readOpinion(state, 'd', opinion(9).rater)).toBeUndefined()
    expect(keepOpinion(state, 'd', opinion(8, { trustPpm: 77 }), 1000)).toBe(true)
    expect(readOpinions(state, 'd')).toHaveLength(LIMITS.ratersMax)
    expect(keepOpinion(state, 'd', opinion(9), 1002)).toBe(true)
    const left = readOpinions(state, 'd')
    // Rater 8 said 1000 again, so it goes with the two oldest.
    expect(left.map(({ rater }) => rater[0])).toEqual([
      ...[4, 6, 9],
      ...Array.from({ length: LIMITS.ratersMax - 5 }, (_, i) => 10 + 2 * i),
    ])
  })

  it('are gone once forgotten', () => {
    const state = new Overlay(new Map())
    keepOpinion(state, 'd', opinion(1), 0)
    forgetOpinions(state, 'd')
    expect(readOpinions(state, 'd')).toEqual([])
    expect([...state.changes()]).toEqual([])
  })
})
