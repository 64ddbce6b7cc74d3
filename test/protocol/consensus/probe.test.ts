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
  START,
  sent,
  votes,
} from './helper.ts'

const b1 = child(FIRST, 'b1'),
  b2 = child(b1, 'b2'),
  c1 = child(FIRST, 'c1'),
  c2 = child(c1, 'c2'),
  b3 = child(b2, 'b3')
const s1 = at(0, 0, b1),
  s2 = at(0, 1, b2)
describe('probe', () => {
  it('P1 lock without header: weak cert b2 on strong b1, header missing → fork', () => {
    const h = new Hand(5, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1, 2])
    h.receive(h.commit(2, votes(s2, [0, 1, 2])))
    h.receive(h.bc(blames(0, [0, 1, 4])))
    h.elapse('quit')
    const x2 = child(b1, 'x2')
    h.accept(
      h.proposal(1, 0, x2, {
        justification: {
          reason: blamedBy(blames(0, [0, 1, 4])),
          tip: votes(s1, [0, 1, 2, 3]),
          strong: votes(s1, [0, 1, 2, 3]),
        },
      }),
    )
    const beforeHeader = hashes(h.effects, 'vote')
    h.give({ type: 'headers', blocks: [b2] })
    expect([rank(h.state.lock), beforeHeader, hashes(h.effects, 'vote')]).toEqual([[0, 0, 1, 'b2'], ['b1'], ['b1']])
  })
  it('P2 mixed heights in one certificate', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes({ ...s1, height: 9 }, [0])
    h.receiveVotes(s1, [1])
    expect(hashes(h.effects, 'commit')).toEqual([])
  })
  it('P3 progress fires while settling', () => {
    const h = new Hand(4, 3).start()
    h.stall(50)
    h.elapse('progress')
    h.elapse('settle')
    expect(sent(h.effects, 'blame')).toHaveLength(1)
  })
  it('P4 status while settling', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.bc(blames(0, [0, 1])))
    h.stall(50)
    h.diskHeld = false
    h.elapse('quit')
    const st = h.state.settling
    h.elapse('settle')
    h.elapse('repeat')
    expect([h.state.view, st === null, sent(h.effects, 'status').length]).toEqual([1, false, 1])
  })
  it('P4b handover while settling: status', () => {
    const h = new Hand(4, 3).start()
    h.give({ type: 'headers', blocks: [b1, b2, b3, child(b3, 'b4')] })
    h.stall(50)
    h.receive(h.cc(commits(at(0, 3, child(b3, 'b4')), [0, 1, 2])))
    h.elapse('settle')
    h.elapse('repeat')
    h.elapse('repeat')
    h.elapse('repeat')
    expect([h.state.view, sent(h.effects, 'status').length]).toEqual([1, 1])
  })
  it('P4c proposal written while settling', () => {
    const h = new Hand(4, 0).start()
    h.diskHeld = true
    h.give({ type: 'built', view: 0, seq: 0, block: b1 })
    h.stall(50)
    h.write()
    h.diskHeld = false
    h.elapse('settle')
    expect(sent(h.effects, 'proposal')).toHaveLength(1)
  })
  it('P5 recover: BC seen beside answers', () => {
    const h = new Hand(5, 4, { beginning: { kind: 'recover' }, blocks: [b1, b2] }).start()
    const bc0 = blames(0, [0, 1, 2]),
      bc1 = blames(1, [0, 1, 2])
    for (const from of [0, 1, 2]) h.receiveFrom(from, h.answer(1, blamedBy(bc0)))
    h.receive(h.bc(bc1))
    h.elapse('restart')
    h.elapse('quit')
    h.accept(h.proposal(2, 0, b1, { justification: { reason: blamedBy(bc1), tip: null, strong: null } }))
    expect([h.state.view, hashes(h.effects, 'vote')]).toEqual([2, []])
  })
  it('P6 fork with lower unknown header', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, b2] })
    h.receive(h.cc(commits(s2, [0, 1, 2])))
    const e = h.receive(h.cc(commits(at(0, 0, c1), [0, 1, 3])))
    h.accept(h.proposal(0, 0, b1))
    expect([ofType(e, 'fetchHeaders').length, hashes(h.effects, 'vote')]).toEqual([1, []])
  })
  it('P7 forked: shows both to everyone', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, c1] })
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    const e = h.receive(h.cc(commits(at(0, 0, c1), [0, 3, 4])))
    expect(sent(e, 'cc').map((m) => m.certificate.hash)).toEqual(['b1', 'c1'])
  })
  it('P8 forked then restart', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, c1, b2] })
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    h.receive(h.cc(commits(at(0, 0, c1), [0, 3, 4])))
    h.receive(h.bc(blames(0, [0, 1, 2])))
    const r = new Hand(5, 4, { beginning: { kind: 'restart', record: h.record } }).start()
    r.elapse('restart')
    expect(r.state.phase).toBe('forked')
  })
  it('P9 new leader with status tip of unknown header', () => {
    const h = new Hand(5, 1).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 2, 3])
    h.receive(h.bc(blames(0, [0, 2, 3])))
    h.elapse('quit')
    h.receive(
      h.status(2, 1, votes(s2, [0, 2, 3]), votes(s1, [0, 1, 2, 3])),
      h.status(3, 1, votes(s1, [0, 1, 2, 3]), votes(s1, [0, 1, 2, 3])),
    )
    const e = h.elapse('leader')
    expect([ofType(e, 'build').map((x) => x.parent), ofType(h.effects, 'fetchHeaders').map((x) => x.hash)]).toEqual([
      [],
      ['b2'],
    ])
  })
  it('P10 leader lacks validity of the ending block', () => {
    const e1 = child(FIRST, 'e1', true)
    const h = new Hand(5, 1).start()
    h.give({ type: 'headers', blocks: [e1] })
    h.receive(h.answer(0, START, { tip: votes(at(0, 0, e1), [0, 2, 3]) }))
    h.receive(h.bc(blames(0, [0, 2, 3])))
    h.elapse('quit')
    h.receive(h.status(2, 1, null), h.status(3, 1, null))
    const e = h.elapse('leader')
    expect(
      e.filter((x) => ['validate', 'fetchProposal', 'fetchHeaders', 'send'].includes(x.type)).map((x) => x.type),
    ).not.toEqual([])
  })
  it('P11 blame equivocation of far views grows memory', () => {
    const h = new Hand(4, 3).start()
    for (let v = 4; v < 4004; v += 4)
      h.receive({
        ...h.blame(0, v),
        equivocation: {
          first: { ...at(v, 0, b1), leaderSignature: new Uint8Array() },
          second: { ...at(v, 0, c1), leaderSignature: new Uint8Array() },
        },
      })
    expect(h.state.views.size).toBeLessThan(50)
  })
  it('P12 restart: relays BC during the silent wait', () => {
    const o = new Hand(5, 4).start()
    o.accept(o.proposal(0, 0, b1))
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: o.record } }).start()
    const e = h.receive(h.bc(blames(0, [0, 1, 2])))
    expect(receivers(e, 'bc')).toEqual([])
  })
  it('P13 stall during restart wait', () => {
    const o = new Hand(5, 4).start()
    o.accept(o.proposal(0, 0, b1))
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: o.record } }).start()
    h.accept(h.proposal(0, 0, b1))
    h.stall(5000)
    expect(hashes(h.elapse('restart'), 'vote')).toEqual(['b1'])
    const h2 = new Hand(5, 4, { beginning: { kind: 'restart', record: o.record } }).start()
    const t = h2.timer('restart').timer
    h2.accept(h2.proposal(0, 0, b1))
    h2.give({ type: 'stalled', stalledMs: 5000 })
    h2.answerEchoes(h2.give({ type: 'elapsed', timer: t }))
    expect(hashes(h2.effects, 'vote')).toEqual([])
  })
  it('P14 era end relays CC / acknowledges', () => {
    const e1 = child(FIRST, 'e1', true)
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [e1] })
    const e = h.receive(h.cc(commits(at(0, 0, e1), [0, 1, 2])))
    expect([receivers(e, 'cc'), ofType(e, 'acknowledge').length]).toEqual([[0, 1, 2, 3], 1])
  })
  it('P15 dropped far vote is acknowledged', () => {
    const h = new Hand(4, 3).start()
    for (let v = 20; v < 40; v++) h.receiveVotes(at(v, 0, b1), [1])
    const e = h.receiveFrom(1, h.vote(1, at(60, 0, b1)), 'far')
    expect([h.state.views.has(60), ofType(e, 'acknowledge').length]).toEqual([false, 0])
  })
  it('P16 censored while settling', () => {
    const h = new Hand(4, 3).start()
    h.stall(50)
    expect(sent(h.give({ type: 'censored', view: 0 }), 'blame')).toHaveLength(1)
  })
  it('P17 few members reached without stall', () => {
    const h = new Hand(4, 3).start()
    for (const member of [0, 1, 2]) h.give({ type: 'disconnected', member })
    expect(h.state.phase).toBe('restarting')
  })
  it('P18 votes at different seq conflicting are evidence', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, b2, c1, c2] })
    h.receiveVotes(s1, [1])
    h.receiveVotes(at(0, 1, c2), [1])
    expect(ofType(h.effects, 'evidence').length).toBeGreaterThan(0)
  })
  it('P19 missed proposal below a CC stops voting for the rest of the view', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.cc(commits(s2, [0, 1, 2])))
    h.give({ type: 'headers', blocks: [b2] })
    h.accept(h.proposal(0, 2, b3, { parentCertificate: votes(s2, [0, 1, 2]) }))
    expect([hashes(h.effects, 'vote').includes('b3') || ofType(h.effects, 'fetchProposal').length > 0]).toEqual([true])
  })
  it('P20 CC acknowledged though not in a durable record', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.commit(0, votes(s1, [0, 1, 2])))
    h.diskHeld = true
    const e = h.receiveFrom(0, h.cc(commits(s1, [0, 1, 2])), 'cc')
    expect([ofType(e, 'acknowledge').length, h.record.highest?.kind]).toEqual([0, 'commit'])
  })
  it('P21 ack while an earlier write is in flight does it wait?', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    h.accept(h.proposal(0, 0, b1))
    const e1 = h.receiveFrom(0, h.commit(0, votes(s1, [0, 1, 2])), 'c')
    expect(ofType(e1, 'acknowledge')).toEqual([])
    const e2 = h.write()
    const e3 = h.write()
    expect([ofType(e2, 'acknowledge').length, ofType(e3, 'acknowledge').length]).toEqual([0, 1])
  })
  it('P22 blame is on progress without echo', () => {
    const h = new Hand(4, 3).start()
    const e = h.give({ type: 'elapsed', timer: h.timer('progress').timer })
    expect(ofType(e, 'echo')).toHaveLength(1)
  })
  it('P23 long stall with held write: commit released in restart', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.diskHeld = true
    h.receiveVotes(s1, [0, 1])
    h.stall(5000)
    expect(hashes(h.write(), 'commit')).toEqual([])
  })
  it('P24 ack of unsent, ack run', () => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1])
    h.elapse('commit')
    const e = h.give(
      { type: 'acknowledged', from: 0, run: 'old', keys: ['vote/0/0/b1'] },
      { type: 'acknowledged', from: 1, run: 'old', keys: ['vote/0/0/b1'] },
    )
    expect(hashes(e, 'commit')).toEqual([])
  })
})
