import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseLog } from '../../../../node/rtu/replay/log.ts'

const problemsOf = (text: string): string[] => parseLog(text).problems.map(({ line, what }) => `${line}: ${what}`)
const minute = (i: number): string => new Date(Date.UTC(2026, 0, 1, 0, i)).toISOString()
const csv = (...lines: string[]): string => ['time,temperature,site', ...lines].join('\n')

describe('rtu/replay/log', () => {
  it('CSV: numbers are channels, words are not; commas, semicolons and tabs; times of every common form', () => {
    const { log, problems } = parseLog(csv(`${minute(0)},20.5,north`, `${minute(1)},-2e1,north`))
    expect(problems).toEqual([])
    expect(log.channels).toEqual(['temperature'])
    expect(log.rows).toEqual([
      { timeMs: Date.parse(minute(0)), values: [20.5] },
      { timeMs: Date.parse(minute(1)), values: [-20] },
    ])
    for (const time of ['2026-01-01 00:00:00', '2026-01-01T01:00:00+01:00', '1767225600', '1767225600000'])
      expect(parseLog(`timestamp;a;b\n${time};1;2`).log.rows).toEqual([{ timeMs: Date.UTC(2026), values: [1, 2] }])
  })

  it('everything wrong is said at once, with its line', () => {
    const problems = problemsOf(
      csv(
        `${minute(0)},20,a`,
        `${minute(1)},,a`,
        `${minute(2)},NaN,a`,
        `${minute(3)},68 °F,a`,
        'yesterday,20,a',
        `${minute(5)},20`,
        `${minute(4)},20,a`,
        `${minute(2)},20,a`,
      ),
    )
    expect(problems).toEqual([
      '3: temperature: is empty: a gap',
      '4: temperature: “NaN” is no number',
      '5: temperature: “68 °F”: a number with a unit; units belong into the first line',
      '6: “yesterday” is no time',
      '7: has 2 cells, the first line has 3',
      '9: the clock runs back by 120 s',
    ])
  })

  it('a clock that leaps is a problem, a longer pause is none', () => {
    const rows = Array.from({ length: 50 }, (_, i) => `${minute(i)},20,a`)
    expect(problemsOf(csv(...rows, `${minute(100)},20,a`))).toEqual([])
    expect(problemsOf(csv(...rows, `${minute(1_000_000)},20,a`))).toEqual([expect.stringContaining('the clock leaps')])
  })

  it('what is no log says why', () => {
    expect(problemsOf('')).toEqual(['1: the first line names no column time, timestamp, datetime or date'])
    expect(problemsOf('time,a')).toEqual(['1: no column holds numbers'])
    expect(problemsOf('time,a\n1767225600,word')).toEqual(['1: no column holds numbers'])
    expect(problemsOf('[{"n":')).toEqual(['1: it begins as JSON and is none'])
  })

  it('SenML: base fields, records of one moment, and what is not known', () => {
    const { log, problems } = parseLog(
      JSON.stringify([
        { bn: 'urn:dev:1:', bt: 1_767_225_600, bu: 'Cel', n: 'in', v: 20 },
        { n: 'out', v: 5 },
        { n: 'in', t: 60, v: 21 },
      ]),
    )
    expect(problems).toEqual([])
    expect(log).toEqual({
      channels: ['urn:dev:1:in', 'urn:dev:1:out'],
      rows: [
        { timeMs: 1_767_225_600_000, values: [20, 5] },
        { timeMs: 1_767_225_660_000, values: [21, Number.NaN] },
      ],
    })
  })

  it('SenML: a unit that changes, no number, no name, a time relative to now', () => {
    const bt = 1_767_225_600
    expect(
      problemsOf(
        JSON.stringify([
          { n: 'a', u: 'Cel', v: 20, t: bt },
          { n: 'a', u: 'K', v: 293, t: bt + 1 },
          { n: 'a', u: 'Cel', vs: 'warm', t: bt + 2 },
          { v: 1, t: bt + 3 },
          { n: 'a', u: 'Cel', v: 20, t: -5 },
          7,
        ]),
      ),
    ).toEqual([
      '2: a: is in “K” here, and in “Cel” before',
      '3: a: has no number as v',
      '4: has no name',
      '5: a: has no time of its own',
      '6: is no record',
    ])
  })

  it('whatever the text, the rows that are left are in order and hold numbers', () => {
    const cell = fc.oneof(
      fc.constantFrom('time', 'a', '1767225600', '1767225601.5', 'NaN', '', '-1', '1e5'),
      fc.string({ maxLength: 6 }),
    )
    const text = fc.oneof(
      fc
        .array(
          fc.array(cell, { maxLength: 4 }).map((cells) => cells.join(',')),
          { maxLength: 8 },
        )
        .map((lines) => lines.join('\n')),
      fc
        .array(fc.dictionary(fc.constantFrom('n', 'v', 't', 'u', 'bn', 'bt', 'bv'), fc.jsonValue()), { maxLength: 5 })
        .map((all) => JSON.stringify(all)),
    )
    fc.assert(
      fc.property(text, (one) => {
        const { log } = parseLog(one)
        for (const [i, { timeMs, values }] of log.rows.entries()) {
          expect(values).toHaveLength(log.channels.length)
          expect(timeMs).toBeGreaterThanOrEqual(log.rows[i - 1]?.timeMs ?? Number.NEGATIVE_INFINITY)
        }
      }),
    )
  })
})
