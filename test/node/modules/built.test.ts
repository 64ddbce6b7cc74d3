/** What the modules of protocol/modules/assembly say, through node/modules/host.ts. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SecurityModule } from '../../../node/modules/host.ts'
import { encodeFeatures, featuresOf } from '../../../node/rtu/features.ts'
import { encodeModuleInput } from '../../../protocol/modules/input.ts'

const PPM = 1_000_000
const moduleOf = (name: string): SecurityModule => {
  const file = new URL(`../../../protocol/modules/built/${name}.wasm`, import.meta.url)
  const module = SecurityModule.load(new Uint8Array(readFileSync(file)))
  if (typeof module === 'string') throw new Error(module)
  return module
}

describe('anomaly', () => {
  const module = moduleOf('anomaly')
  const scoreOf = (counts: Parameters<typeof featuresOf>[0]) => module.score(encodeFeatures(featuresOf(counts, ['x'])))

  it('features in their usual range score low and have no reason; nothing observed scores 0', () => {
    expect(scoreOf({})).toEqual([0, 0])
    const usual = scoreOf({ processCount: 200, cpuPpm: 300_000, memoryPpm: 600_000, diskPpm: 500_000 })
    expect(usual[0]).toBeLessThan(200_000)
    expect(usual[1]).toBe(0)
  })

  it('one unknown process is one half, and its place the reason; two are a whole', () => {
    expect(scoreOf({ processUnknownCount: 1, listenerUnknownCount: 0 })).toEqual([500_000, 2])
    expect(scoreOf({ processUnknownCount: 2 })).toEqual([PPM, 2])
  })

  it('what is no input is MODULE_INPUT', () => {
    expect(module.score(new Uint8Array(8))).toBe('MODULE_INPUT')
  })
})

describe('trust', () => {
  const module = moduleOf('trust')
  type Category = { peer: number; own: number; observable: boolean; host: boolean }
  const RULE = [20_000, 800_000, 700_000, 400_000, 2000]
  const ask = (trust: number, memory: number, categories: readonly Category[], rule = RULE) => {
    const flags = ({ observable, host }: Category): number => (observable ? 1 : 0) + (host ? 2 : 0)
    const rows = categories.flatMap((one) => [one.peer, one.own, flags(one)])
    return module.score(encodeModuleInput({ floats: [], integers: [trust, memory, ...rule, ...rows] }))
  }

  it('agreement raises trust slowly, disagreement lowers it fast and is remembered', () => {
    const agreed = { peer: 500_000, own: 500_000, observable: true, host: false }
    expect(ask(700_000, 0, [agreed])).toEqual([PPM, 706_000, 0])
    expect(ask(700_000, 0, [{ ...agreed, peer: PPM, own: 0 }])).toEqual([0, 140_000, 400_000])
    // The memory caps what good behaviour can win back.
    expect(ask(600_000, 400_000, [agreed])).toEqual([PPM, 600_016, 399_200])
  })

  it('of what concerns the machine alone a peer is held only to what it reports', () => {
    const rootkit = { observable: true, host: true }
    expect(ask(500_000, 0, [{ ...rootkit, peer: 0, own: 900_000 }])[0]).toBe(PPM)
    expect(ask(500_000, 0, [{ ...rootkit, peer: 900_000, own: 0 }])[0]).toBe(100_000)
  })

  it('a peer that reports only what the rater cannot see: nothing can be said', () => {
    expect(ask(500_000, 0, [{ peer: 5, own: 0, observable: false, host: false }])).toBe('MODULE_NAN')
  })

  it('the same as the rule in integers, over random judgements', () => {
    const ppm = fc.integer({ min: 0, max: PPM })
    const category = fc.record({ peer: ppm, own: ppm, observable: fc.boolean(), host: fc.boolean() })
    const rule = fc.array(ppm, { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(ppm, ppm, fc.array(category, { maxLength: 20 }), rule, (trust, memory, categories, constants) => {
        const expected = byRule(trust, memory, categories, constants)
        expect(ask(trust, memory, categories, constants)).toEqual(expected)
      }),
    )
  })

  /** ledger.md §3 in JavaScript. */
  function byRule(trust: number, memory: number, categories: readonly Category[], rule: readonly number[]): unknown {
    const [up, down, misbehaviour, remember, forget] = rule as [number, number, number, number, number]
    const times = (a: number, b: number): number => Number((BigInt(a) * BigInt(b)) / BigInt(PPM))
    let [disagreed, seen, skipped] = [0, 0, false]
    for (const { peer, own, observable, host } of categories)
      if (!observable) skipped ||= peer > 0
      else if (host && own >= peer) seen += peer
      else {
        seen += Math.max(peer, own)
        disagreed += Math.abs(peer - own)
      }
    if (skipped && seen === 0) return 'MODULE_NAN'
    const whole = Math.max(PPM, seen)
    const phi = Math.floor(((whole - disagreed) * PPM) / whole)
    const remembered =
      phi < misbehaviour ? memory + times(PPM - memory, times(PPM - phi, remember)) : memory - times(memory, forget)
    const aim = Math.min(phi, PPM - remembered)
    const after = aim < trust ? trust - times(trust - aim, down) : trust + times(aim - trust, up)
    return [phi, after, remembered]
  }
})

describe('quality', () => {
  const module = moduleOf('quality')
  /** Readings a second apart; judged a second after the last unless told. */
  const ask = (values: readonly number[], { usual = 0.5, now = values.length } = {}) =>
    module.score(
      encodeModuleInput({
        floats: [-40, 85, 1, 5, usual, now, ...values.flatMap((value, i) => [i, value])],
        integers: [],
      }),
    )
  const calm = Array.from({ length: 60 }, (_, i) => 20 + Math.sin(i) / 4)
  const ASPECTS = ['accuracy', 'timeliness', 'frequency', 'noise', 'outliers', 'freezing'] as const
  const worst = (scores: unknown): string => {
    if (!Array.isArray(scores)) throw new Error(String(scores))
    return ASPECTS[scores.indexOf(Math.min(...scores))] as string
  }

  it('a calm sensor is believed in every aspect', () => {
    expect(ask(calm)).toEqual([PPM, PPM, expect.any(Number), PPM, PPM, PPM])
  })

  it.each([
    ['values out of range', calm.map((value) => value + 200), {}, 'accuracy'],
    ['readings that stopped a minute ago', calm, { now: 120 }, 'timeliness'],
    ['a sensor that shakes', calm.map((value, i) => value + (i % 2) * 10), {}, 'noise'],
    ['a sensor that stands still', Array.from({ length: 60 }, () => 20), {}, 'freezing'],
  ] as const)('%s', (_what, values, options, aspect) => {
    expect(worst(ask(values, options))).toBe(aspect)
  })

  it('single values far off are outliers, and not a wrong range', () => {
    const scores = ask(calm.map((value, i) => (i === 30 ? 60 : value)))
    expect(scores[0]).toBe(PPM)
    expect(scores[4]).toBe(Math.floor((1 - 1 / 60) * PPM))
  })

  it('gaps and clock jumps: missing values count against accuracy, times that run backwards are no input', () => {
    expect(ask(calm.map((value, i) => (i < 30 ? value : Number.NaN)))[0]).toBe(500_000)
    expect(ask([Number.NaN, Number.NaN])).toBe('MODULE_NAN')
    const floats = [-40, 85, 1, 5, 0.5, 9, 5, 20, 4, 20]
    expect(module.score(encodeModuleInput({ floats, integers: [] }))).toBe('MODULE_INPUT')
  })

  it('a window as long as may be ends within the steps of a call, in the worst order', () => {
    const long = Array.from({ length: 256 }, (_, i) => (i * 7919) % 80)
    expect(typeof ask(long)).toBe('object')
    expect(typeof ask(long.toSorted((a, b) => b - a))).toBe('object')
    expect(module.stepsUsed).toBeLessThan(500_000)
    expect(ask(Array.from({ length: 257 }, () => 1))).toBe('MODULE_INPUT')
  })
})
