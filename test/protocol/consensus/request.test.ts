/** agreement.md §§2, 3 (Service), 4.1, 5.3: nobody is stuck for want of a proposal, a body or a header. */
import { describe, expect, it } from 'vitest'
import type { Effect } from '../../../protocol/consensus/events.ts'
import {
  at,
  blamedBy,
  blames,
  child,
  commits,
  FIRST,
  Hand,
  hashes,
  ofType,
  rank,
  START,
  sent,
  votes,
} from './helper.ts'

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const b3 = child(b2, 'b3')
const c1 = child(FIRST, 'c1')
const s1 = at(0, 0, b1)
const s2 = at(0, 1, b2)
const bc0 = blames(0, [0, 1, 4])
const fetched = (effects: readonly Effect[]): string[] =>
  ofType(effects, 'fetchProposal').map(({ slot }) => `${slot.view}/${slot.seq}/${slot.hash}`)
/** Ticks of the repeat timer in about 4Δ. */
const wait = (h: Hand): Effect[] => Array.from({ length: 40 }, () => h.elapse('repeat')).flat()

describe('§4.1 proposals', () => {
  it('votes for a block whose proposal is missing → it is asked for of those who voted', () => {
    const h = new Hand(4, 3).start()
    expect(ofType(h.receiveVotes(s1, [1]), 'fetchProposal')).toEqual([
      { type: 'fetchProposal', slot: s1, holders: [1] },
    ])
  })
  it('it is asked for again while it does not come, and of more members as soon as there are more', () => {
    const h = new Hand(5, 4).start()
    h.receiveVotes(s1, [1])
    expect(ofType(h.receiveVotes(s1, [2]), 'fetchProposal')[0]?.holders).toEqual([1, 2])
    expect(fetched(wait(h))).toEqual(['0/0/b1'])
    expect(fetched(wait(h))).toEqual(['0/0/b1'])
  })
  it('no more once it is here, or the view has been quit, or its leader has equivocated', () => {
    for (const happens of [
      (h: Hand) => h.receive(h.proposal(0, 0, b1)),
      (h: Hand) => h.receive(h.bc(blames(0, [0, 1]))),
      (h: Hand) => h.receiveVotes(at(0, 0, c1), [2]),
    ]) {
      const h = new Hand(4, 3).start()
      h.receiveVotes(s1, [1])
      happens(h)
      expect(fetched(wait(h))).toEqual([])
    }
  })
  it('a verdict that does not come is asked for again', () => {
    const h = new Hand(4, 3).start()
    expect(ofType(h.receive(h.proposal(0, 0, b1)), 'validate')).toHaveLength(1)
    expect(ofType(wait(h), 'validate')).toHaveLength(1)
    h.valid(b1)
    expect(ofType(wait(h), 'validate')).toEqual([])
  })
  it('a block that is not built is asked for again', () => {
    const h = new Hand(4, 0).start()
    expect(ofType(h.effects, 'build')).toHaveLength(1)
    expect(ofType(wait(h), 'build')).toHaveLength(1)
  })
  it('a member that missed a proposal keeps voting: the parent is asked for, then both are voted for', () => {
    const h = new Hand(4, 3).start()
    const second = h.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1, 2]) })
    expect(fetched(h.receive(second))).toEqual(['0/0/b1'])
    h.accept(h.proposal(0, 0, b1))
    h.valid(b2)
    expect(hashes(h.effects, 'vote')).toEqual(['b1', 'b2'])
  })
  it('a member that missed proposals under a CC votes above it at once', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.give({ type: 'headers', blocks: [b2] })
    h.receive(h.cc(commits(s2, [0, 1, 2])))
    h.accept(h.proposal(0, 2, b3, { parentCertificate: votes(s2, [0, 1, 2]) }))
    expect(hashes(h.effects, 'vote')).toEqual(['b1', 'b3'])
  })
  it('a member that enters late, without any proposal below a CC, votes above it; the CC’s own block it judges by §5.4', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, b2] })
    h.receive(h.cc(commits(s2, [0, 1, 2])))
    h.accept(h.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1, 2]) }))
    expect(hashes(h.effects, 'vote')).toEqual([])
    h.accept(h.proposal(0, 2, b3, { parentCertificate: votes(s2, [0, 1, 2]) }))
    expect(hashes(h.effects, 'vote')).toEqual(['b3'])
  })
  it('ancestors of a proposal in earlier views are asked for, down to one that is valid', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.bc(bc0))
    h.elapse('quit')
    const tip = votes(s2, [0, 1, 2])
    const justification = { reason: blamedBy(bc0), tip, strong: null }
    expect(fetched(h.receive(h.proposal(1, 0, b3, { justification })))).toEqual(['0/1/b2'])
    const next = h.receive(h.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1, 2]) }))
    expect(fetched(next)).toEqual(['0/0/b1'])
    expect(ofType(h.receive(h.proposal(0, 0, b1)), 'validate').map(({ proposal }) => proposal.block.hash)).toEqual([
      'b1',
    ])
    h.valid(b1, b2, b3)
    expect(hashes(h.effects, 'vote')).toEqual(['b3'])
  })
  it('the ancestors of a block that ends the era and is proposed again are asked for where it was proposed first', () => {
    const ending = child(b1, 'e2', true)
    const h = new Hand(5, 4).start()
    h.receive(h.bc(bc0))
    h.elapse('quit')
    const justification = { reason: blamedBy(bc0), tip: votes(at(0, 1, ending), [0, 1, 2]), strong: null }
    expect(fetched(h.receive(h.proposal(1, 0, ending, { justification })))).toEqual(['0/1/e2'])
    expect(fetched(h.receive(h.proposal(0, 1, ending, { parentCertificate: votes(s1, [0, 1, 2]) })))).toEqual([
      '0/0/b1',
    ])
  })
})

describe('§2 headers', () => {
  it('the lock may depend on a missing header: the member asks for it and enters once it is here', () => {
    const h = new Hand(5, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1, 2])
    // A weak certificate for a block that is unknown: a child of the strong one, or of another.
    const effects = h.receive(h.commit(2, votes(s2, [0, 1, 2])))
    expect(ofType(effects, 'fetchHeaders')).toEqual([{ type: 'fetchHeaders', hash: 'b2', height: 2 }])
    h.receive(h.bc(bc0))
    h.elapse('quit')
    expect(h.state.view).toBe(0)
    h.give({ type: 'headers', blocks: [b2] })
    expect(h.state.view).toBe(1)
    expect(rank(h.state.lock)).toEqual([0, 0, 1, 'b2'])
  })
  it('it is recorded meanwhile, beside the lock that would be fixed now, so that a crash does not lose it', () => {
    const h = new Hand(5, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1, 2])
    h.receiveFrom(2, h.commit(2, votes(s2, [0, 1, 2])), 'weak')
    expect(h.record.lockNow.tip).toBe('b1')
    expect(h.record.unresolved.map(({ hash }) => hash)).toEqual(['b2'])
    const again = new Hand(5, 3, { beginning: { kind: 'restart', record: h.record } }).start()
    again.give({ type: 'headers', blocks: [b2] })
    expect(rank(again.state.lockNow)).toEqual([0, 0, 1, 'b2'])
  })
  it('§5.4 needs headers: while they are missing the tip does not pass', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.answer(0, START, { tip: votes(s1, [0, 1, 2]) }))
    h.receive(h.bc(bc0))
    h.elapse('quit')
    const justification = { reason: blamedBy(bc0), tip: votes(s2, [0, 1, 2]), strong: null }
    const effects = h.accept(h.proposal(1, 0, b3, { justification }))
    h.valid(b1, b2, b3)
    expect(hashes(h.effects, 'vote')).toEqual([])
    expect(ofType(effects, 'fetchHeaders').map(({ hash }) => hash)).toContain('b2')
    h.give({ type: 'headers', blocks: [b2, b1] })
    expect(hashes(h.effects, 'vote')).toEqual(['b3'])
  })
  it('§5.3: a new leader does not pick before the headers show what extends what', () => {
    const h = new Hand(5, 1).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 2, 3])
    h.receive(h.bc(blames(0, [0, 2, 3])))
    h.elapse('quit')
    const strong = votes(s1, [0, 1, 2, 3])
    const effects = h.receive(h.status(2, 1, votes(s2, [0, 2, 3]), strong), h.status(3, 1, strong, strong))
    expect(ofType(effects, 'fetchHeaders').map(({ hash }) => hash)).toEqual(['b2'])
    expect(ofType(h.elapse('leader'), 'build')).toEqual([])
    const then = h.give({ type: 'headers', blocks: [b2] })
    expect(ofType(then, 'build').map(({ parent }) => parent)).toEqual(['b2'])
  })
  it('§5.3: a new leader fetches the body of its pick, and never picks lower for want of it', () => {
    const ending = child(FIRST, 'e1', true)
    const h = new Hand(5, 1).start()
    h.give({ type: 'headers', blocks: [ending] })
    h.receive(h.answer(0, START, { tip: votes(at(0, 0, ending), [0, 2, 3]) }))
    h.receive(h.bc(blames(0, [0, 2, 3])))
    h.elapse('quit')
    h.receive(h.status(2, 1, null), h.status(3, 1, null))
    h.elapse('leader')
    expect(fetched(h.effects)).toContain('0/0/e1')
    expect(sent(h.effects, 'proposal')).toEqual([])
    h.receive(h.proposal(0, 0, ending))
    expect(sent(h.valid(ending), 'proposal')).toMatchObject([{ view: 1, seq: 0, block: ending }])
  })
})
