/** agreement.md §7: what is evidence against a member, and what is not. */
import { describe, expect, it } from 'vitest'
import type { Evidence } from '../../../protocol/consensus/events.ts'
import { at, blamedBy, blames, child, commits, FIRST, Hand, ofType, START, votes } from './helper.ts'

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const c1 = child(FIRST, 'c1')
const c2 = child(c1, 'c2')
const evidence = (h: Hand): Evidence[] => ofType(h.effects, 'evidence').map((effect) => effect.evidence)
const against = (h: Hand, member: number): string[] =>
  evidence(h).flatMap((one) => (one.kind !== 'fork' && one.member === member ? [one.kind] : []))

/** Member 4 of 5; `run` happens to it; kinds of evidence against member 1. */
const rows: readonly (readonly [string, (h: Hand) => unknown, readonly string[]])[] = [
  ['one vote', (h) => h.receiveVotes(at(0, 0, b1), [1]), []],
  [
    'votes for a block and its child',
    (h) => [
      h.give({ type: 'headers', blocks: [b1, b2] }),
      h.receiveVotes(at(0, 0, b1), [1]),
      h.receiveVotes(at(0, 1, b2), [1]),
    ],
    [],
  ],
  [
    'two votes at one place for different blocks',
    (h) => [h.receiveVotes(at(0, 0, b1), [1]), h.receiveVotes(at(0, 0, c1), [1])],
    ['conflict'],
  ],
  [
    'two votes of one view at different places, for conflicting blocks',
    (h) => [
      h.give({ type: 'headers', blocks: [b1, b2, c1, c2] }),
      h.receiveVotes(at(0, 0, b1), [1]),
      h.receiveVotes(at(0, 1, c2), [1]),
    ],
    ['conflict'],
  ],
  [
    'the same, places apart',
    (h) => [
      h.give({ type: 'headers', blocks: [b1, c1, c2, child(c2, 'c3')] }),
      h.receiveVotes(at(0, 2, child(c2, 'c3')), [1]),
      h.receiveVotes(at(0, 0, b1), [1]),
    ],
    ['conflict'],
  ],
  [
    'the same, the headers that show it are missing',
    (h) => [h.receiveVotes(at(0, 0, b1), [1]), h.receiveVotes(at(0, 1, c2), [1])],
    [],
  ],
  [
    'the same, the headers come later',
    (h) => [
      h.receiveVotes(at(0, 0, b1), [1]),
      h.receiveVotes(at(0, 1, c2), [1]),
      h.give({ type: 'headers', blocks: [c2, c1] }),
    ],
    ['conflict'],
  ],
  [
    'a vote and a commit of one view for conflicting blocks',
    (h) => [h.receiveVotes(at(0, 0, b1), [1]), h.receive(h.commit(1, votes(at(0, 0, c1), [0, 2, 3])))],
    ['conflict'],
  ],
  [
    'two commits of one view for conflicting blocks: not named by the text',
    (h) => [
      h.receive(h.commit(1, votes(at(0, 0, b1), [0, 2, 3]))),
      h.receive(h.commit(1, votes(at(0, 0, c1), [0, 2, 3]))),
    ],
    [],
  ],
  [
    'commits of different views for conflicting blocks',
    (h) => [
      h.receive(h.commit(1, votes(at(0, 0, b1), [0, 2, 3]))),
      h.receive(h.commit(1, votes(at(1, 0, c1), [0, 2, 3]))),
    ],
    [],
  ],
  [
    'votes of different views for conflicting blocks',
    (h) => [h.receiveVotes(at(0, 0, b1), [1]), h.receiveVotes(at(1, 0, c1), [1])],
    [],
  ],
  [
    'votes for the same block with different heights: no conflict, and no quorum together',
    (h) => [h.receiveVotes(at(0, 0, b1), [1]), h.receiveVotes({ ...at(0, 0, b1), height: 9 }, [1])],
    [],
  ],
]

/** A seq 0 of view 2 on `tip`, voted for by member 1, after its commit for b1 in view 0. */
function committedThenVoted(h: Hand, tip: Parameters<typeof votes>[0] | null, block: typeof b1): void {
  h.give({ type: 'headers', blocks: [b1, b2, c1, c2] })
  h.receive(h.commit(1, votes(at(0, 0, b1), [0, 1, 2])))
  h.receive(h.bc(blames(1, [0, 1, 2])))
  h.elapse('quit')
  const reason = blamedBy(blames(1, [0, 1, 2]))
  const justification = { reason, tip: tip === null ? null : votes(tip, [0, 1, 2]), strong: null }
  h.receive(h.proposal(2, 0, block, { justification }))
  h.receiveVotes(at(2, 0, block), [1])
}

describe('§7 evidence', () => {
  it.each(rows)('%s', (_, run, expected) => {
    const h = new Hand(5, 4).start()
    run(h)
    expect(against(h, 1)).toEqual(expected)
  })

  it('two leader signatures of one place with different hashes', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.proposal(0, 0, b1), h.proposal(0, 0, c1))
    expect(evidence(h)).toMatchObject([{ kind: 'equivocation', member: 0, equivocation: { first: { hash: 'b1' } } }])
  })

  it('it is given once for a member and view, with the headers that show it', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, c1, c2] })
    h.receiveVotes(at(0, 0, b1), [1])
    h.receiveVotes(at(0, 1, c2), [1])
    h.receiveVotes(at(0, 0, c1), [1])
    expect(evidence(h).filter(({ kind }) => kind === 'conflict')).toMatchObject([
      { first: { hash: 'c2' }, second: { hash: 'b1' }, headers: [{ hash: 'c2' }] },
    ])
  })

  it('a commit in v, and a vote for a conflicting seq 0 of a later view whose tip is of a view below v', () => {
    const h = new Hand(5, 4).start()
    committedThenVoted(h, null, c1)
    expect(evidence(h)).toMatchObject([{ kind: 'unlocked', member: 1, commit: { hash: 'b1' }, vote: { hash: 'c1' } }])
  })

  it('the vote comes before the proposal that shows its tip', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, c1] })
    h.receive(h.commit(1, votes(at(0, 0, b1), [0, 1, 2])))
    h.receive(h.bc(blames(0, [0, 1, 2])))
    h.elapse('quit')
    h.receiveVotes(at(1, 0, c1), [1])
    expect(against(h, 1)).toEqual([])
    h.receive(
      h.proposal(1, 0, c1, { justification: { reason: blamedBy(blames(0, [0, 1, 2])), tip: null, strong: null } }),
    )
    expect(against(h, 1)).toEqual(['unlocked'])
  })

  it('a tip of the commit’s view or a later one, or a block that does not conflict, is none', () => {
    for (const [tip, block] of [
      [at(0, 0, c1), c2],
      [at(1, 0, c1), c2],
      [at(0, 0, b1), b2],
      [null, b1],
    ] as const) {
      const h = new Hand(5, 4).start()
      committedThenVoted(h, tip, block)
      expect(against(h, 1)).toEqual([])
    }
  })

  it('none is given against the member itself', () => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(at(0, 0, c1), [4])
    expect(against(h, 4)).toEqual([])
  })

  it('an equivocation that a blame or an answer shows counts', () => {
    const leaderSignature = new Uint8Array(1)
    const equivocation = { first: { ...at(0, 0, b1), leaderSignature }, second: { ...at(0, 0, c1), leaderSignature } }
    const h = new Hand(5, 4).start()
    h.receive({ ...h.blame(2, 0), equivocation })
    expect(against(h, 0)).toEqual(['equivocation'])
    const other = new Hand(5, 4).start()
    other.receiveFrom(2, other.answer(0, START, { equivocation }))
    expect(against(other, 0)).toEqual(['equivocation'])
  })
})

describe('§7 late commits', () => {
  const cc = commits(at(0, 0, b1), [0, 1, 2])
  const holding = (run: (h: Hand) => unknown = () => undefined): Hand => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, c1] })
    run(h)
    h.receive(h.cc(cc))
    return h
  }
  const late = (h: Hand): string[] => {
    const effects = h.give({ type: 'applied', hash: 'b1' })
    return effects.flatMap((e) => (e.type === 'send' && e.message.kind === 'commit' && e.to === 0 ? [e.key] : []))
  }

  it('one that has applied a committed block adds its commit', () => {
    expect(late(holding())).toEqual(['commit/0/0/b1'])
  })
  it('not one that voted for a conflicting block in its view', () => {
    expect(late(holding((h) => h.accept(h.proposal(0, 0, c1))))).toEqual([])
  })
  it('nor one that did so in a later view', () => {
    const h = holding((other) => {
      other.receive(other.bc(blames(0, [0, 1, 2])))
      other.elapse('quit')
      const reason = blamedBy(blames(0, [0, 1, 2]))
      other.accept(other.proposal(1, 0, c1, { justification: { reason, tip: null, strong: null } }))
    })
    expect(late(h)).toEqual([])
  })
  it('nor one that has forgotten what it voted for in that view, because a later one is committed', () => {
    const h = holding((other) => other.accept(other.proposal(0, 0, c1)))
    h.give({ type: 'headers', blocks: [b2] })
    h.receive(h.cc(commits(at(3, 0, b2), [0, 1, 2])))
    expect(late(h)).toEqual([])
  })
  it('nor one that has signed it already', () => {
    const h = holding((other) => [other.accept(other.proposal(0, 0, b1))])
    expect(sentCommits(h)).toEqual(['commit/0/0/b1'])
    expect(late(h)).toEqual([])
  })
  it('its record is on disk before it leaves', () => {
    const h = holding()
    h.diskHeld = true
    expect(late(h)).toEqual([])
    expect(h.record).toMatchObject({ highest: { hash: 'b1' } })
    expect(h.write().some((e) => e.type === 'send' && e.message.kind === 'commit')).toBe(true)
  })

  const sentCommits = (h: Hand): string[] => [
    ...new Set(h.effects.flatMap((e) => (e.type === 'send' && e.message.kind === 'commit' ? [e.key] : []))),
  ]
})
