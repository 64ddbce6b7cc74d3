/** agreement.md §3 and §4.1: what is attached, and when a member votes. */
import { describe, expect, it } from 'vitest'
import {
  at,
  blamedBy,
  blames,
  child,
  closedBy,
  commits,
  FIRST,
  Hand,
  hashes,
  ofType,
  receivers,
  STARTED,
  sent,
  votes,
} from './helper.ts'

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const b3 = child(b2, 'b3')
const c1 = child(FIRST, 'c1')
const c2 = child(c1, 'c2')
const s1 = at(0, 0, b1)
const s2 = at(0, 1, b2)

type Row = readonly [section: string, situation: string, n: number, run: (h: Hand) => unknown, votes: readonly string[]]
const seq1 = (h: Hand, block = b2, parent = b1) =>
  h.proposal(0, 1, block, { parentCertificate: votes(at(0, 0, parent), [0, 1, 2].slice(0, h.era.q)) })

/** The member is the last one of n; `votes`: hashes it votes for in the whole row. */
const rows: readonly Row[] = [
  ...[2, 3, 4, 5, 7].map(
    (n): Row => ['4.1', `a valid seq 0 that passes, n = ${n}`, n, (h) => h.accept(h.proposal(0, 0, b1)), ['b1']],
  ),
  ['4.1', 'the block is not validated yet', 4, (h) => h.receive(h.proposal(0, 0, b1)), []],
  [
    '4.1',
    'the block is not valid',
    4,
    (h) => [h.receive(h.proposal(0, 0, b1)), h.give({ type: 'validated', hash: 'b1', valid: false })],
    [],
  ],
  [
    '4.1',
    'the same proposal twice',
    4,
    (h) => [h.accept(h.proposal(0, 0, b1)), h.accept(h.proposal(0, 0, b1))],
    ['b1'],
  ],
  [
    '4.1',
    'seq 1 with the certificate of its parent',
    4,
    (h) => [h.accept(h.proposal(0, 0, b1)), h.accept(seq1(h))],
    ['b1', 'b2'],
  ],
  [
    '4.1',
    'seq 1 without that certificate',
    4,
    (h) => [h.accept(h.proposal(0, 0, b1)), h.accept(h.proposal(0, 1, b2))],
    ['b1'],
  ],
  [
    '4.1',
    'seq 1, the certificate comes later, vote by vote',
    4,
    (h) => [h.accept(h.proposal(0, 0, b1)), h.accept(h.proposal(0, 1, b2)), h.receiveVotes(s1, [0, 1])],
    ['b1', 'b2'],
  ],
  [
    '3',
    'seq 1, the parent is certified by a CC',
    4,
    (h) => [
      h.accept(h.proposal(0, 0, b1)),
      h.accept(h.proposal(0, 1, b2, { parentCertificate: commits(s1, [0, 1, 2]) })),
    ],
    ['b1', 'b2'],
  ],
  ['4.1', 'seq 1 before seq 0: seq 0 of the chain has not passed yet', 4, (h) => h.accept(seq1(h)), []],
  [
    '4.1',
    'seq 1 first: voted for as soon as seq 0 of its chain passes, and seq 0 no more',
    4,
    (h) => [h.accept(seq1(h)), h.accept(h.proposal(0, 0, b1))],
    ['b2'],
  ],
  [
    '4.1',
    'seq 0 after the vote for seq 1: rising i only',
    4,
    (h) => [h.receive(h.proposal(0, 0, b1)), h.accept(seq1(h)), h.valid(b1)],
    ['b2'],
  ],
  [
    '4.1',
    'seq 1 on a block that conflicts with the vote for seq 0',
    5,
    (h) => [h.accept(h.proposal(0, 0, b1)), h.receive(h.proposal(0, 0, c1)), h.accept(seq1(h, c2, c1))],
    ['b1'],
  ],
  [
    '2, 4.1',
    'an equivocation of the leader was seen',
    4,
    (h) => [h.receive(h.proposal(0, 0, c1)), h.accept(h.proposal(0, 0, b1))],
    [],
  ],
  [
    '2, 4.1',
    'the second leader signature came with a vote',
    4,
    (h) => [h.receiveVotes(at(0, 0, c1), [1]), h.accept(h.proposal(0, 0, b1))],
    [],
  ],
  [
    '4.1',
    'an equivocation in another view',
    4,
    (h) => [h.receiveVotes(at(5, 0, c1), [1]), h.receiveVotes(at(5, 0, b1), [0]), h.accept(h.proposal(0, 0, b1))],
    ['b1'],
  ],
  [
    '4.1',
    'the block conflicts with one whose CC is held',
    5,
    (h) => [
      h.give({ type: 'headers', blocks: [c1] }),
      h.receive(h.cc(commits(at(0, 0, c1), [0, 1, 2]))),
      h.accept(h.proposal(0, 0, b1)),
    ],
    [],
  ],
  [
    '2',
    'headers of a committed block are missing: as if it conflicted',
    4,
    (h) => [h.receive(h.cc(commits(at(0, 1, c2), [0, 1, 2]))), h.accept(h.proposal(0, 0, b1))],
    [],
  ],
  [
    '2',
    'the missing headers come and show no conflict',
    4,
    (h) => [
      h.receive(h.cc(commits(s2, [0, 1, 2]))),
      h.accept(h.proposal(0, 0, b1)),
      h.give({ type: 'headers', blocks: [b2] }),
    ],
    ['b1'],
  ],
  [
    '4.1',
    'the member has quit the view',
    4,
    (h) => [h.receive(h.bc(blames(0, [0, 1]))), h.accept(h.proposal(0, 0, b1))],
    [],
  ],
  [
    '4.1',
    'a proposal of another view',
    4,
    (h) =>
      h.accept(
        h.proposal(1, 0, b1, { justification: { ...STARTED, reason: closedBy(commits(at(0, 3, b3), [0, 1])) } }),
      ),
    [],
  ],
  [
    '1, 4.1',
    'seq termBlocks: the closing block has no successor in its view',
    4,
    (h) => h.accept(h.proposal(0, 4, b1)),
    [],
  ],
  [
    '5.5',
    'a child of the block that ends the era',
    4,
    (h) => [
      h.accept(h.proposal(0, 0, child(FIRST, 'e1', true))),
      h.accept(
        h.proposal(0, 1, child(child(FIRST, 'e1', true), 'x'), {
          parentCertificate: votes(at(0, 0, child(FIRST, 'e1')), [0, 1, 2]),
        }),
      ),
    ],
    ['e1'],
  ],
  ['5.4', 'seq 0 of view 0 on a block that is not the first of the era', 4, (h) => h.accept(h.proposal(0, 0, c2)), []],
  [
    '5.1',
    'view 0 with a reason that is not the start',
    4,
    (h) => h.accept(h.proposal(0, 0, b1, { justification: { ...STARTED, reason: blamedBy(blames(4, [0, 1])) } })),
    [],
  ],
  ['4.1', 'another era', 4, (h) => h.accept({ ...h.proposal(0, 0, b1), era: 1 }), []],
]

describe('§4.1 votes', () => {
  it.each(rows)('§%s: %s', (_section, _situation, n, run, expected) => {
    const h = new Hand(n, n - 1).start()
    run(h)
    expect(hashes(h.effects, 'vote')).toEqual(expected)
  })

  it('§3: a vote carries the leader signature and goes to every other member', () => {
    const h = new Hand(5, 3).start()
    const proposal = h.proposal(0, 0, b1)
    const effects = h.accept(proposal)
    expect(sent(effects, 'vote')).toMatchObject([{ slot: s1, from: 3, leaderSignature: proposal.leaderSignature }])
    expect(receivers(effects, 'vote')).toEqual([0, 1, 2, 4])
  })

  it('§3: a vote without leader signature is ignored', () => {
    const h = new Hand(3, 2).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive({ ...h.vote(0, s1), leaderSignature: null }, { ...h.vote(1, s1), leaderSignature: null })
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('§4.1: a certificate seen in mid-view changes nothing about what is voted for', () => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.status(1, 9, votes(at(7, 0, c1), [0, 1, 2])))
    expect(hashes(h.accept(seq1(h)), 'vote')).toEqual(['b2'])
  })

  it('§3 Reception: votes of a view not yet entered count once it is entered', () => {
    const h = new Hand(3, 2).start()
    const x = at(1, 0, b1)
    h.receiveVotes(x, [0, 1])
    h.receive(h.bc(blames(0, [0, 1])))
    h.elapse('quit')
    h.accept(h.proposal(1, 0, b1, { justification: { reason: blamedBy(blames(0, [0, 1])), tip: null, strong: null } }))
    expect(hashes(h.effects, 'commit')).toEqual(['b1'])
  })

  it('§3 Reception: a proposal of a later view is kept until that view is entered', () => {
    const h = new Hand(4, 3).start()
    const reason = blamedBy(blames(0, [0, 1]))
    h.receive(h.proposal(1, 0, b1, { justification: { reason, tip: null, strong: null } }))
    expect(ofType(h.elapse('quit'), 'validate').map(({ proposal }) => proposal.block)).toEqual([b1])
    expect(hashes(h.valid(b1), 'vote')).toEqual(['b1'])
  })
})
