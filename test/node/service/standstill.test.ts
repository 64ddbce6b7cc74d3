import { describe, expect, it } from 'vitest'
import type { RosterEntry } from '../../../node/service/roster.ts'
import { restMs, span, standstillOf } from '../../../node/service/standstill.ts'
import { at, blames, child, FIRST, Hand } from '../../protocol/consensus/helper.ts'

const b1 = child(FIRST, 'b1')
const names = ['North', 'South', 'East', 'West']
const NOW = 1_000_000_000

/** Four members as member 3 sees them; `away`: no link since so many ms. */
const roster = (away: Readonly<Record<string, number>> = {}, height = 812): RosterEntry[] =>
  names.map((name, i) => ({
    name,
    publicKey: `${i}`,
    isThisMember: i === 3,
    linked: away[name] === undefined,
    downSince: away[name] === undefined ? null : NOW - away[name],
    lastSignedHeight: null,
    height: i === 3 ? null : height,
  }))

const facts = (hand: Hand, entries: RosterEntry[], sinceMs = 42_000, slowestMs: number | null = 2) => ({
  state: hand.state,
  roster: entries,
  height: 812,
  sinceMs,
  nowMs: NOW,
  slowestMs,
})

describe('standstill', () => {
  it('standstill: a block came lately → null', () => {
    const hand = new Hand(4, 3).start()
    expect(standstillOf(facts(hand, roster(), restMs(hand.era)))).toBeNull()
    expect(standstillOf(facts(hand, roster(), restMs(hand.era) + 1))).not.toBeNull()
  })

  it('standstill: two of four away → names them, since when, how many votes there are and how many are short', () => {
    const hand = new Hand(4, 3).start()
    hand.accept(hand.proposal(0, 0, b1))
    const found = standstillOf(facts(hand, roster({ North: 600_000, East: 9000 })))
    expect(found).toMatchObject({ votes: 1, needed: 3, missing: ['North', 'East'], forMs: 42_000 })
    expect(found?.sentence).toBe(
      'height 812 for 42 s: 1 of 3 votes; missing North (offline 10 min), East (offline 9 s)',
    )
    expect(found?.advice).toContain('1 of the missing members has to come back: 3 of 4 decide')
  })

  it('standstill: all are here and the leader proposes nothing → the leader is missed', () => {
    const hand = new Hand(4, 3).start()
    expect(standstillOf(facts(hand, roster()))?.missing).toEqual(['North'])
  })

  it('standstill: votes are missing of members that are here → says who is behind and who is silent', () => {
    const hand = new Hand(4, 3).start()
    hand.accept(hand.proposal(0, 0, b1))
    const entries = roster().map((entry) => (entry.name === 'East' ? { ...entry, height: 807 } : entry))
    const found = standstillOf(facts(hand, entries))
    expect(found?.sentence).toContain('missing North (linked, silent), South (linked, silent), East (5 blocks behind)')
  })

  it('standstill: a block is certified and not committed → counts commits', () => {
    const hand = new Hand(4, 3).start()
    hand.accept(hand.proposal(0, 0, b1))
    hand.receiveVotes(at(0, 0, b1), [0, 1])
    const found = standstillOf(facts(hand, roster({ North: 5000, South: 5000 })))
    expect(found?.sentence).toBe(
      'height 812 for 42 s: 1 of 3 commits; missing North (offline 5 s), South (offline 5 s)',
    )
  })

  it('standstill: the view is changing → says so', () => {
    const hand = new Hand(4, 3).start()
    hand.receive(hand.bc(blames(0, [0, 1])))
    expect(standstillOf(facts(hand, roster()))?.sentence).toContain('(changing to view 1)')
  })

  it('standstill: messages take longer than Δ → advises about the network', () => {
    const hand = new Hand(4, 3).start()
    expect(standstillOf(facts(hand, roster(), 42_000, 140))?.advice).toBe(
      'Messages take 140 ms, Δ is 100 ms: look at the network, or raise Δ.',
    )
  })

  it('spans: in the unit that people would choose', () => {
    expect([0, 119_000, 120_000, 7_140_000, 7_200_000, 300_000_000].map(span)).toEqual([
      '0 s',
      '119 s',
      '2 min',
      '119 min',
      '2 h',
      '3 d',
    ])
  })
})
