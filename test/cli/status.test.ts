import { describe, expect, it } from 'vitest'
import { statusText } from '../../cli/status.ts'

const status = {
  version: '0.1.0',
  network: 'grid',
  chainId: 'ab',
  member: { name: 'North' },
  height: 812,
  headAgeMs: 42_000,
  era: 0,
  view: 3,
  phase: 'running',
  leader: { name: 'West' },
  quorum: { members: 4, needed: 3, tolerated: 1 },
  members: [
    { name: 'North', isThisMember: true, linked: true, lastSignedHeight: 812, height: null, roundTripMs: null },
    { name: 'West', isThisMember: false, linked: false, lastSignedHeight: 700, height: null, roundTripMs: null },
  ],
  assurance: { sentence: '3 of 4 signed: holds even if 1 member lies.' },
  standstill: { sentence: 'height 812 for 42 s: 1 of 3 votes; missing West', advice: 'West has to come back.' },
  delays: { deltaMs: 250, slowestMs: 300, violated: true },
  pool: { count: 5, bytes: 1500 },
  transactions: { perSecond: 12 },
  latency: { p50Ms: 20, p99Ms: 90 },
  devices: { connected: 3 },
  evidence: 0,
  warnings: ['No link to West.\u001b[2J'],
}

describe('status for people', () => {
  it('status: why it stands still, who is missing, what to do, with units', () => {
    const text = statusText(status)
    expect(text).toContain('STANDS STILL: height 812 for 42 s: 1 of 3 votes; missing West\n  what to do: West has to')
    expect(text).toMatch(/West +NO LINK/)
    expect(text).toContain('slowest 300 ms of Δ = 250 ms, VIOLATED')
    expect(text).toContain('3 of 4 decide, 1 may lie')
  })

  it('status: text of the node cannot steer the terminal; an answer without fields is shown as dashes', () => {
    expect(statusText(status)).not.toContain('\u001b')
    expect(statusText({})).toContain('height     -, last block - ago')
    expect(statusText(null)).toContain('MEMBER')
  })
})
