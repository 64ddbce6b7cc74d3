import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveSenml } from '../../protocol/senml.ts'

const resolved = (pack: unknown, receivedAt?: number) => resolveSenml(JSON.stringify(pack), receivedAt)
const problem = (pack: unknown): string => {
  const answer = resolved(pack)
  return answer.ok ? 'none' : answer.problem
}

describe('senml', () => {
  it('senml: base fields apply to the records after them (RFC 8428 §5.1.3, with its times made absolute)', () => {
    const answer = resolved([
      { bn: 'urn:dev:ow:10e2073a01080063:', bt: 1.276020076001e9, bu: 'A', bver: 10 },
      { n: 'voltage', u: 'V', v: 120.1 },
      { n: 'current', t: -5, v: 1.2 },
      { n: 'current', t: -4, v: 1.3 },
    ])
    expect(answer).toEqual({
      ok: true,
      records: [
        { name: 'urn:dev:ow:10e2073a01080063:voltage', unit: 'V', time: 1276020076001, value: 120.1, sum: undefined },
        { name: 'urn:dev:ow:10e2073a01080063:current', unit: 'A', time: 1276020071001, value: 1.2, sum: undefined },
        { name: 'urn:dev:ow:10e2073a01080063:current', unit: 'A', time: 1276020072001, value: 1.3, sum: undefined },
      ],
    })
  })

  it('senml: base value and base sum are added; texts, truths, data and a sum alone are values', () => {
    const answer = resolved([
      { bn: 'a', bt: 1e9, bv: 10, bs: 5, v: 1.5, s: 2 },
      { n: '/b', vs: 'open' },
      { n: '/c', vb: false },
      { n: '/d', vd: 'aGk' },
      { n: '/e', s: 0 },
    ])
    expect(answer.ok && answer.records.map(({ value, sum }) => [value, sum])).toEqual([
      [11.5, 7],
      ['open', undefined],
      [false, undefined],
      ['aGk', undefined],
      [undefined, 5],
    ])
  })

  it('senml: a relative time counts from the receipt, and is refused where there is none', () => {
    const pack = [{ n: 'a', t: -2.5, v: 1 }]
    expect(resolved(pack, 1_700_000_000_000)).toMatchObject({ ok: true, records: [{ time: 1_699_999_997_500 }] })
    expect(problem(pack)).toBe('record 1: time is relative to the present (below 2^28 s)')
  })

  it.each([
    [
      'a field that must be understood',
      [{ n: 'a', t: 1e9, v: 1, x_: 1 }],
      'record 1: unknown field x_ must be understood',
    ],
    ['two values', [{ n: 'a', t: 1e9, v: 1, vb: true }], 'record 1: more than one value (v, vb)'],
    ['no value', [{ n: 'a', t: 1e9 }], 'record 1: no value'],
    ['no name', [{ t: 1e9, v: 1 }], 'record 1: not a name'],
    ['a name that begins with a dot', [{ n: '.a', t: 1e9, v: 1 }], 'record 1: not a name'],
    ['a number as text', [{ n: 'a', t: 1e9, v: '1' }], 'record 1: v is not a number'],
    ['a later version', [{ bver: 11, n: 'a', t: 1e9, v: 1 }], 'record 1: bver is not 10'],
    ['base values only', [{ bn: 'a' }], 'base values only, no measurement'],
    ['an object', { n: 'a' }, 'not a list of records'],
    ['too many records', Array.from({ length: 65 }, () => ({ n: 'a', t: 1e9, v: 1 })), 'more than 64 records'],
  ])('senml: %s → refused, the place named', (_what, pack, expected) => {
    expect(problem(pack)).toBe(expected)
  })

  it('senml: an overflow on the way to a value is refused, as JSON cannot write infinity but 1e308 + 1e308 is one', () => {
    expect(problem([{ bn: 'a', bt: 1e9, bv: 1e308, v: 1e308 }])).toBe('record 1: out of range')
  })

  it('senml: nothing throws, and what resolves is finite, whatever a sensor sends', () => {
    const key = fc.constantFrom(
      'bn',
      'bt',
      'bu',
      'bv',
      'bs',
      'bver',
      'n',
      'u',
      'v',
      'vs',
      'vb',
      'vd',
      's',
      't',
      'ut',
      'x_',
      'y',
    )
    const value = fc.oneof(fc.string(), fc.double(), fc.integer(), fc.boolean(), fc.constant(null), fc.constant('a'))
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.array(fc.dictionary(key, value), { maxLength: 5 }).map((pack) => JSON.stringify(pack)),
    )
    fc.assert(
      fc.property(text, (pack) => {
        const answer = resolveSenml(pack)
        if (!answer.ok) expect(answer.problem).not.toBe('')
        for (const { time, value: v, sum } of answer.ok ? answer.records : []) {
          expect(Number.isSafeInteger(time)).toBe(true)
          if (typeof v === 'number') expect(Number.isFinite(v)).toBe(true)
          if (sum !== undefined) expect(Number.isFinite(sum)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
