import { beforeEach, describe, expect, it } from 'vitest'
import { encodeFeatures, featuresOf } from '../../../node/rtu/features.ts'
import { JUDGE_DEFAULTS, Judge, type Snapshot, TRUST_TABLE_MAX, type TrustRow } from '../../../node/rtu/judge.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { CATEGORY_NAMES, type CategoryName } from '../../../protocol/kinds/report/categories.ts'
import { type Report, scoreOf } from '../../../protocol/kinds/report/report.ts'

const id = (n: number): string => n.toString(16).padStart(40, '0')
let nowMs: number
let known: string[]
let isConnected: boolean
let own: Snapshot
let asked: number[]
let told: { device: string; trustPpm: number; observedAt: number }[][]
beforeEach(() => {
  nowMs = 1000
  known = [id(1), id(2)]
  isConnected = true
  own = { own: new Map(), observable: new Set(CATEGORY_NAMES) }
  asked = []
  told = []
})

const judgeOf = (restored: readonly TrustRow[] = []): Judge =>
  new Judge(
    JUDGE_DEFAULTS,
    {
      snapshot: async (maxAgeMs) => {
        asked.push(maxAgeMs)
        return own
      },
      isKnown: (device) => known.includes(device),
      known: () => known,
      isConnected: () => isConnected,
      monotonic: () => nowMs,
      now: () => 1_700_000_000_000 + nowMs,
      tell: async (opinions) =>
        void told.push(opinions.map((opinion) => ({ ...opinion, device: toHex(opinion.device) }))),
    },
    restored,
  )

const report = (
  findings: Partial<Record<CategoryName, number>> = {},
  findingCount = Object.keys(findings).length,
): Report => ({
  device: new Uint8Array(20),
  observedAt: 1,
  events: (Object.entries(findings) as [CategoryName, number][]).map(([category, severityPpm]) => ({
    ...{ category, severityPpm, confidencePpm: 900_000, detail: '' },
    scorePpm: scoreOf(severityPpm, 900_000),
  })),
  features: encodeFeatures(featuresOf({ findingCount }, [])),
  model: null,
  scores: [],
})

const rowOf = (judge: Judge, n: number): TrustRow | undefined => judge.table.find(({ device }) => device === id(n))

/** `n` report cycles of the devices, each with what it reports. */
async function cycles(judge: Judge, n: number, says: Record<number, Report>): Promise<void> {
  for (let i = 0; i < n; i++) {
    nowMs += 5000
    for (const [device, one] of Object.entries(says)) judge.hear(id(Number(device)), one)
    await judge.turn()
  }
}

describe('judging', () => {
  it('a peer that reports what nobody else sees loses trust at once, and keeps losing while it does not take it back', async () => {
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000 }), 2: report() })
    expect(rowOf(judge, 1)?.trustPpm).toBeLessThan(300_000)
    expect(rowOf(judge, 2)?.trustPpm).toBe(706_000)
    // What lasts is not reported again: the count of findings says that it does.
    await cycles(judge, 3, { 1: report({}, 1), 2: report() })
    expect(rowOf(judge, 1)).toMatchObject({ judgements: 4, phiPpm: 190_000 })
    const low = rowOf(judge, 1)?.trustPpm ?? 0
    await cycles(judge, 3, { 1: report(), 2: report() })
    expect(rowOf(judge, 1)?.phiPpm).toBe(1_000_000)
    expect(rowOf(judge, 1)?.trustPpm).toBeGreaterThan(low)
    expect(rowOf(judge, 1)?.trustPpm).toBeLessThan(300_000)
  })

  it('a snapshot is taken anew where there is something to compare, and the last cycle’s does where there is not', async () => {
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report() })
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000 }) })
    expect(asked).toEqual([10_000, 1000])
  })

  it('what the rater cannot see is not held against the peer, nor counted for it', async () => {
    own = { own: new Map(), observable: new Set() }
    const judge = judgeOf()
    await cycles(judge, 3, { 1: report({ 'process.unknown': 900_000 }) })
    expect(rowOf(judge, 1)).toMatchObject({ judgements: 0, trustPpm: 700_000, phiPpm: null })
    expect(told).toEqual([])
  })

  it('a device that the chain does not know is not judged; once it does, what it reported before counts', async () => {
    known = [id(2)]
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000 }) })
    expect(rowOf(judge, 1)?.judgements).toBe(0)
    known = [id(1), id(2)]
    await cycles(judge, 1, { 1: report({}, 1) })
    expect(rowOf(judge, 1)?.phiPpm).toBe(190_000)
  })

  it('features that cannot be read say nothing: what was reported still holds', async () => {
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000 }) })
    await cycles(judge, 1, { 1: { ...report(), features: Uint8Array.of(0xff) } })
    expect(rowOf(judge, 1)?.phiPpm).toBe(190_000)
  })
})

describe('silence', () => {
  it('a peer that stops answering loses trust slowly, not at once', async () => {
    const judge = judgeOf()
    await cycles(judge, 5, { 1: report(), 2: report() })
    const before = rowOf(judge, 1)?.trustPpm ?? 0
    await cycles(judge, 4, { 2: report() })
    expect(rowOf(judge, 1)?.trustPpm).toBe(before)
    await cycles(judge, 2, { 2: report() })
    const soon = rowOf(judge, 1)?.trustPpm ?? 0
    expect(soon).toBeLessThan(before)
    expect(soon).toBeGreaterThan(0.97 * before)
    await cycles(judge, 60, { 2: report() })
    expect(rowOf(judge, 1)?.trustPpm).toBeLessThan(0.6 * before)
    expect(rowOf(judge, 2)?.trustPpm).toBeGreaterThan(before)
  })

  it('nobody is heard, no member and no peer → it is this device that is cut off, and nobody is blamed', async () => {
    const judge = judgeOf()
    await cycles(judge, 5, { 1: report(), 2: report() })
    const before = judge.table
    isConnected = false
    await cycles(judge, 50, {})
    expect(judge.table).toEqual(before)
  })

  it('who reports seldom is silent later', async () => {
    const judge = judgeOf()
    for (let i = 0; i < 10; i++) {
      await cycles(judge, 11, { 2: report() })
      await cycles(judge, 1, { 1: report(), 2: report() })
    }
    expect(rowOf(judge, 1)?.trustPpm).toBeGreaterThan(690_000)
  })
})

describe('telling', () => {
  it('a first opinion is told at once, then only what has moved, all together now and then; a fall at once', async () => {
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report(), 2: report() })
    expect(told.map((opinions) => opinions.map(({ device }) => device))).toEqual([[id(1), id(2)]])
    await cycles(judge, 11, { 1: report(), 2: report() })
    // Not a message a cycle: one a minute at most.
    expect(told.length).toBeLessThanOrEqual(2)
    const before = told.length
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000 }), 2: report() })
    expect(told.length).toBe(before + 1)
    expect(told.at(-1)?.find(({ device }) => device === id(1))?.trustPpm).toBeLessThan(300_000)
  })

  it('a low opinion is told again in each round, as members count rounds, and then no more', async () => {
    const judge = judgeOf()
    await cycles(judge, 1, { 1: report({ 'process.unknown': 900_000, 'network.listener': 600_000 }) })
    await cycles(judge, 60, { 1: report({}, 2) })
    const low = told.flat().filter(({ device, trustPpm }) => device === id(1) && trustPpm < 300_000)
    expect(low.length).toBeGreaterThanOrEqual(3)
    expect(low.length).toBeLessThan(25)
    const times = low.map(({ observedAt }) => observedAt)
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b))
  })

  it('an opinion that stays as it is is told again before members let it go stale', async () => {
    const judge = judgeOf([{ device: id(1), trustPpm: 999_990, memoryPpm: 0, judgements: 9, phiPpm: 1_000_000 }])
    known = [id(1)]
    await cycles(judge, 120, { 1: report() })
    expect(told.length).toBeGreaterThanOrEqual(2)
    expect(told.length).toBeLessThanOrEqual(4)
  })

  it('the table outlives the process, and is bounded', async () => {
    const judge = judgeOf([{ device: id(1), trustPpm: 5, memoryPpm: 900_000, judgements: 9, phiPpm: 0 }])
    expect(rowOf(judge, 1)).toEqual({ device: id(1), trustPpm: 5, memoryPpm: 900_000, judgements: 9, phiPpm: 0 })
    for (let n = 2; n < TRUST_TABLE_MAX + 10; n++) judge.hear(id(n), report())
    expect(judge.table).toHaveLength(TRUST_TABLE_MAX)
  })
})
