/** agreement.md §5.5: how an era ends, and how the next one starts. */
import { describe, expect, it } from 'vitest'
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
  receivers,
  STARTED,
  sent,
  votes,
} from './helper.ts'

const b1 = child(FIRST, 'b1')
const ending = child(b1, 'e2', true)
const s1 = at(0, 0, b1)
const tip = votes(at(0, 1, ending), [0, 1, 2])
const cc = commits(at(0, 1, ending), [0, 1, 2])
const bc0 = blames(0, [0, 1, 2])

const knowing = (n = 5): Hand => {
  const h = new Hand(n, n - 1).start()
  h.give({ type: 'headers', blocks: [b1, ending] })
  return h
}
const ended = (): Hand => {
  const h = knowing()
  h.receiveFrom(0, h.cc(cc), 'the cc')
  return h
}

describe('§5.5 the block that ends the era', () => {
  it('closes its view: no proposal follows it, and no vote for one', () => {
    const h = new Hand(4, 0).start()
    h.give({ type: 'built', view: 0, seq: 0, block: child(FIRST, 'e1', true) })
    expect(ofType(h.receiveVotes(at(0, 0, child(FIRST, 'e1')), [1, 2]), 'build')).toEqual([])
    const voter = knowing(4)
    voter.accept(voter.proposal(0, 0, b1))
    voter.accept(voter.proposal(0, 1, ending, { parentCertificate: votes(s1, [0, 1, 2]) }))
    voter.accept(voter.proposal(0, 2, child(ending, 'x'), { parentCertificate: tip }))
    expect(hashes(voter.effects, 'vote')).toEqual(['b1', 'e2'])
  })

  it('certified and not committed, it ends nothing', () => {
    const h = knowing()
    h.receive(h.commit(0, tip))
    expect(h.state.phase).toBe('running')
  })

  it('a leader of a later view whose pick it is proposes the same block again as its seq 0', () => {
    const h = new Hand(5, 1).start()
    h.accept(h.proposal(0, 0, b1))
    h.accept(h.proposal(0, 1, ending, { parentCertificate: votes(s1, [0, 1, 2]) }))
    h.receiveVotes(at(0, 1, ending), [0, 2])
    h.receive(h.bc(blames(0, [0, 2, 3])))
    h.elapse('quit')
    h.receive(h.status(0, 1, null), h.status(2, 1, null))
    expect(sent(h.elapse('leader'), 'proposal')).toMatchObject([
      { view: 1, seq: 0, block: ending, justification: { tip: { hash: 'e2' } } },
    ])
    expect(ofType(h.effects, 'build')).toEqual([])
  })

  it('it is voted and committed there as (v′, 0), once; a child of it is not voted for', () => {
    const justification = { reason: blamedBy(bc0), tip, strong: null }
    for (const [block, expected] of [
      [ending, ['e2']],
      [child(ending, 'x'), []],
    ] as const) {
      const h = knowing()
      h.receive(h.commit(0, tip))
      h.receive(h.bc(bc0))
      h.elapse('quit')
      h.accept(h.proposal(1, 0, block, { justification }))
      expect(hashes(h.effects, 'vote')).toEqual(expected)
    }
  })

  it('a block that does not end the era is not proposed again on its own certificate', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.commit(0, votes(s1, [0, 1, 2])))
    h.receive(h.bc(bc0))
    h.elapse('quit')
    h.accept(
      h.proposal(1, 0, b1, { justification: { reason: blamedBy(bc0), tip: votes(s1, [0, 1, 2]), strong: null } }),
    )
    expect(hashes(h.effects, 'vote')).toEqual([])
  })

  it('its CC from whichever view ends every view, quit or not, entered above or not', () => {
    for (const [view, happens] of [
      [0, () => undefined],
      [6, () => undefined],
      [0, (h: Hand) => h.receive(h.bc(blames(0, [0, 1, 2])))],
      [0, (h: Hand) => [h.receive(h.bc(blames(3, [0, 1, 2]))), h.elapse('quit')]],
    ] as const) {
      const h = knowing()
      happens(h)
      const effects = h.receive(h.cc(commits(at(view, 0, ending), [0, 1, 2])))
      expect(h.state.phase).toBe('ended')
      expect(ofType(effects, 'commit').map(({ certificate }) => certificate.hash)).toEqual(['e2'])
    }
  })

  it('the end is written down before the next era may start, and after it nothing is written', () => {
    const h = knowing()
    h.diskHeld = true
    expect(ofType(h.receive(h.cc(cc)), 'eraEnded')).toEqual([])
    expect(h.record).toMatchObject({ highest: { hash: 'e2' } })
    expect(ofType(h.write(), 'eraEnded')).toMatchObject([{ certificate: { hash: 'e2' } }])
    h.diskHeld = false
    const before = h.effects.length
    h.give({ type: 'applied', hash: 'e2' })
    h.receiveFrom(1, h.cc(commits(at(0, 1, ending), [0, 1, 3])), 'again')
    expect(ofType(h.effects.slice(before), 'persist')).toEqual([])
  })

  it('a write that is under way is finished first', () => {
    const h = knowing()
    h.diskHeld = true
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.cc(cc))
    expect(ofType(h.write(), 'eraEnded')).toEqual([])
    expect(ofType(h.write(), 'eraEnded')).toHaveLength(1)
    expect(hashes(h.effects, 'vote')).toEqual([])
  })

  it('whoever has left shows the CC to everyone until each has acknowledged it, acknowledges all, and signs nothing', () => {
    const h = ended()
    expect(receivers(h.effects, 'cc')).toEqual([0, 1, 2, 3])
    expect(ofType(h.effects, 'acknowledge')).toContainEqual({ type: 'acknowledge', to: 0, keys: ['the cc'] })
    expect(ofType(h.receiveFrom(2, h.vote(2, s1), 'v'), 'acknowledge')).toHaveLength(1)
    h.give({ type: 'acknowledged', from: 0, run: 'run 1', keys: ['cc/0/1/e2'] })
    expect([...new Set([1, 2, 3].flatMap(() => receivers(h.elapse('repeat'), 'cc')))].sort()).toEqual([1, 2, 3])
    const before = h.effects.length
    h.accept(h.proposal(0, 0, b1))
    h.give({ type: 'censored', view: 0 })
    for (const kind of ['vote', 'blame', 'status'] as const) expect(sent(h.effects.slice(before), kind)).toEqual([])
  })

  it('it adds its late commit, which the last record names', () => {
    const h = ended()
    expect(h.record.commit).toEqual(at(0, 1, ending))
    expect(hashes(h.give({ type: 'applied', hash: 'e2' }), 'commit')).toEqual(['e2'])
  })

  it('a restart from the last record starts the next era at once', () => {
    const h = ended()
    const again = new Hand(5, 4, { beginning: { kind: 'restart', record: h.record } }).start()
    expect(again.state.phase).toBe('ended')
    expect(ofType(again.effects, 'eraEnded')).toMatchObject([{ certificate: { hash: 'e2' } }])
    expect(receivers(again.effects, 'cc')).toEqual([0, 1, 2, 3])
  })

  it('one that only follows leaves with it, and writes nothing at all', () => {
    const h = new Hand(5, 4, { me: -1 }).start()
    h.give({ type: 'headers', blocks: [b1, ending] })
    h.receive(h.cc(commits(at(0, 3, child(b1, 'b4')), [0, 1, 2])))
    expect(ofType(h.receive(h.cc(cc)), 'eraEnded')).toHaveLength(1)
    expect(ofType(h.effects, 'persist')).toEqual([])
    expect(ofType(h.effects, 'send')).toEqual([])
  })
})

describe('§5.5 the new era', () => {
  const next = (me: number): Hand =>
    new Hand(7, me, { era: 1, first: ending, beginning: { kind: 'fresh', certificate: cc } }).start()

  it('begins as from a genesis: view 0, lock (−1, 0, 0) on that block, no waiting, no status', () => {
    const h = next(0)
    expect(h.state.view).toBe(0)
    expect(rank(h.state.lock)).toEqual([-1, 0, 0, 'e2'])
    expect(ofType(h.effects, 'build')).toEqual([{ type: 'build', view: 0, seq: 0, parent: 'e2', height: 3 }])
    expect(sent(h.effects, 'status')).toEqual([])
  })
  it('its first proposal carries the CC of the old era’s last block', () => {
    const h = next(0)
    const [proposal] = sent(h.give({ type: 'built', view: 0, seq: 0, block: child(ending, 'n3') }), 'proposal')
    expect(proposal).toMatchObject({
      era: 1,
      justification: { reason: { kind: 'start', certificate: { hash: 'e2' } } },
    })
  })
  it('votes and blames are counted in its own set: messages of another era are nothing to it', () => {
    const h = next(6)
    const n3 = child(ending, 'n3')
    h.accept({
      ...h.proposal(0, 0, n3, { justification: { ...STARTED, reason: { kind: 'start', certificate: cc } } }),
      era: 1,
    })
    h.receive(
      ...[0, 1, 2, 3].map((from) => h.vote(from, at(0, 0, n3))),
      ...[0, 1, 2, 3].map((from) => h.blame(from, 0)),
    )
    expect(hashes(h.effects, 'vote')).toEqual(['n3'])
    expect(h.state.quit).toBe(null)
    expect(h.state.lockNow.view).toBe(-1)
  })
  it('after a restart the CC is still its reason', () => {
    const h = next(6)
    const n3 = child(ending, 'n3')
    h.accept({
      ...h.proposal(0, 0, n3, { justification: { ...STARTED, reason: { kind: 'start', certificate: cc } } }),
      era: 1,
    })
    expect(h.record).toMatchObject({ era: 1, view: 0, reason: { kind: 'start', certificate: { hash: 'e2' } } })
  })
})
