import { describe, expect, it } from 'vitest'
import { readStatus } from '../../testnet/status.ts'
import { compactLine, cut, LiveArea, type TestnetView, tableLines, wrap } from '../../testnet/table.ts'

const statusJson = {
  height: 57,
  headHash: 'ab',
  view: 3,
  era: 0,
  leader: { name: 'west', publicKey: '02', isThisMember: false },
  quorum: { members: 4, needed: 3, tolerated: 1, strong: 3 },
  assurance: {
    height: 57,
    signed: 4,
    liarsTolerated: 2,
    sentence: '4 of 4 signed: holds even if 2 members lie on an arbitrarily slow network',
  },
  standstill: null,
  pool: { count: 12, bytes: 3600 },
  transactions: { committed: 1200, perSecond: 12.04 },
  latency: { p50Ms: 31.4, p99Ms: 90, samples: 100 },
  warnings: [],
}

const view = (over: Partial<TestnetView> = {}): TestnetView => ({
  elapsedMs: 42_000,
  remainingMs: 18_000,
  members: ['north', 'south', 'east', 'west'].map((name, i) => ({
    name,
    state: (['running', 'paused', 'killed', 'running'] as const)[i]!,
    api: `http://127.0.0.1:2100${i}`,
    status: i === 0 || i === 3 ? readStatus({ ...statusJson, height: 57 - i }) : undefined,
  })),
  rtus: [
    {
      name: 'rtu-1',
      state: 'running',
      owner: 'north',
      reports: 5,
      lastHeight: 55,
      lastAgeMs: 2100,
      trusts: [{ name: 'rtu-2', trustPpm: 706_000 }],
    },
    {
      name: 'rtu-2',
      state: 'running',
      owner: 'south',
      reports: 0,
      lastHeight: undefined,
      lastAgeMs: undefined,
      trusts: [],
    },
  ],
  signed: { height: 57, names: ['north', 'west', 'east'] },
  notices: ['east was killed (SIGKILL, process 77)'],
  ...over,
})

describe('status', () => {
  it('status: an answer without a height is none, and what is missing or of another type counts as unknown', () => {
    for (const value of [undefined, null, 7, 'x', [], {}, { height: '7' }, { height: Number.NaN }])
      expect(readStatus(value)).toBeUndefined()
    const poor = readStatus({ height: 1, leader: null, pool: 'many', latency: [], assurance: { sentence: 'x' } })
    expect(poor).toMatchObject({ height: 1, leader: '', pool: 0, p50Ms: undefined, assurance: undefined })
  })
})

describe('table', () => {
  it('table: at 120 columns it says everything, in words', () => {
    expect(tableLines(view(), 120, 40)).toEqual([
      'althing testnet  0:42 (ends in 0:18)   4 members, 2 RTUs',
      'height 57   view 3   leader west',
      'signed 57: north west east (3 of 4, 3 needed)',
      'assurance: 4 of 4 signed: holds even if 2 members lie on an arbitrarily slow network',
      '12.0 tx/s   commit latency p50 31 ms, p99 90 ms   1200 transactions',
      '',
      'MEMBER  STATE    ROLE    HEIGHT  VIEW  SIGNED  POOL    P50  API',
      'north   running              57     3  yes       12  31 ms  127.0.0.1:21000',
      'south   paused                -     -  no         -      -  127.0.0.1:21001',
      'east    killed                -     -  yes        -      -  127.0.0.1:21002',
      'west    running  leader      54     3  yes       12  31 ms  127.0.0.1:21003',
      '',
      'RTU    STATE    OWNER  REPORTS  LAST REPORT         TRUSTS',
      'rtu-1  running  north        5  2 s ago, height 55  rtu-2 71 %',
      'rtu-2  running  south        0  none yet            -',
      '> east was killed (SIGKILL, process 77)',
    ])
  })

  it('table: at 80 columns no line is wider, and the columns of members are whole', () => {
    const lines = tableLines(view(), 80, 40)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
    expect(lines.find((line) => line.startsWith('west'))).toContain('127.0.0.1:21003')
  })

  it('table: it has no colour and no other control sequences, whatever a member calls itself', () => {
    const status = readStatus({ ...statusJson, leader: { name: '\u001b[31mevil\r\n' }, height: 99 })
    const members = [{ name: 'north', state: 'running' as const, api: 'http://x', status }]
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is there is the point
    for (const line of tableLines(view({ members }), 120, 40)) expect(line).not.toMatch(/[\u0000-\u001f]/)
  })

  it('table: a standstill is said with its reason', () => {
    const standstill = { forMs: 42_000, votes: 2, needed: 3, missing: ['east'], sentence: '2 of 3 votes; missing east' }
    const members = [
      { name: 'north', state: 'running' as const, api: 'http://x', status: readStatus({ ...statusJson, standstill }) },
    ]
    expect(tableLines(view({ members }), 80, 40)).toContain('STANDS STILL: 2 of 3 votes; missing east')
    expect(compactLine(view({ members }))).toContain('STANDS STILL: 2 of 3 votes; missing east')
  })

  it('table: it never has more lines than the terminal; RTUs that do not fit are left out and said so', () => {
    const rtus = Array.from({ length: 50 }, (_, i) => ({ ...view().rtus[0]!, name: `rtu-${i + 1}` }))
    const lines = tableLines(view({ rtus }), 80, 24)
    expect(lines.length).toBeLessThanOrEqual(24)
    expect(lines).toContain('(more RTUs than lines)')
    expect(lines.at(-1)).toBe('> east was killed (SIGKILL, process 77)')
    for (const height of [1, 2, 5, 12])
      expect(tableLines(view({ rtus }), 80, height).length).toBeLessThanOrEqual(height)
  })

  it('table: where no member answers it says so', () => {
    const members = view().members.map((member) => ({ ...member, status: undefined }))
    expect(tableLines(view({ members }), 80, 24)[1]).toBe('no member answers')
    expect(compactLine(view({ members }))).toContain('no member answers')
  })

  it('compact line: one line with height, signers, rate, reports and whoever does not run', () => {
    expect(compactLine(view())).toBe(
      '0:42, height 57, view 3, leader west, signed by 3 of 4, 12.0 tx/s, p50 31 ms, reports 5, none yet from rtu-2, south paused, east killed',
    )
  })

  it('live area: each drawing is one write that covers the one before and erases what is left over', () => {
    const writes: string[] = []
    const area = new LiveArea((text) => writes.push(text))
    area.draw(['a', 'b'])
    area.draw(['c'])
    area.leave()
    expect(writes).toEqual([
      '\u001b[?25la\u001b[K\nb\u001b[K\n\u001b[J',
      '\u001b[2A\rc\u001b[K\n\u001b[J',
      '\u001b[?25h',
    ])
  })

  it('wrap: sentences are broken at spaces and later lines indented; a word that is too long stays whole', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', '  three'])
    expect(wrap('one', 2)).toEqual(['one'])
    expect(tableLines(view(), 80, 40).slice(3, 5)).toEqual([
      'assurance: 4 of 4 signed: holds even if 2 members lie on an arbitrarily slow',
      '  network',
    ])
  })

  it('cut: a mark shows that something was cut off', () => {
    expect([cut('abc', 3), cut('abcd', 3), cut('abc', 1), cut('abc', 0)]).toEqual(['abc', 'ab…', 'a', ''])
  })
})
