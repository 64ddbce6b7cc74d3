/** agreement.md §3 (delivery) and §6: what is on disk before it leaves, what is repeated, restart and recovery. */
import { describe, expect, it } from 'vitest'
import type { Effect } from '../../../protocol/consensus/events.ts'
import {
  at,
  blamedBy,
  blames,
  child,
  closedBy,
  commits,
  DELTA_MS,
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

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const c1 = child(FIRST, 'c1')
const s1 = at(0, 0, b1)
const s2 = at(0, 1, b2)
const bc0 = blames(0, [0, 1, 2])
const order = (effects: readonly Effect[]): string[] =>
  effects.flatMap((effect) =>
    effect.type === 'persist' ? ['persist'] : effect.type === 'send' && effect.to === 0 ? [effect.message.kind] : [],
  )

describe('§6 before anything leaves it is on disk', () => {
  it('a vote: record first, then the write, then the vote', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    const effects = h.accept(h.proposal(0, 0, b1))
    expect(order(effects)).toEqual(['persist'])
    expect(h.record.votes).toMatchObject([s1])
    expect(order(h.write())).toContain('vote')
  })

  it('a commit, a BC, a status and a proposal too', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.diskHeld = true
    expect(order(h.receive(h.commit(0, votes(s1, [0, 1, 2]))))).toEqual(['persist'])
    expect(h.record).toMatchObject({ commit: s1, lockNow: { view: 0, strongSeq: 0, tipSeq: 0, tip: 'b1' } })
    expect(order(h.write())).toContain('commit')
    expect(order(h.receive(h.bc(blames(0, [0, 1]))))).toEqual(['persist'])
    expect(h.record.quit?.view).toBe(0)
    expect(order(h.write())).toContain('bc')

    const leader = new Hand(4, 0).start()
    leader.diskHeld = true
    expect(sent(leader.give({ type: 'built', view: 0, seq: 0, block: b1 }), 'proposal')).toEqual([])
    expect(leader.record.proposal).toEqual(s1)
    expect(receivers(leader.write(), 'proposal')).toEqual([1, 2, 3])
  })

  it('a status leaves when view, reason and lock are on disk', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.bc(blames(0, [0, 1])))
    h.diskHeld = true
    expect(sent(h.elapse('quit'), 'status')).toEqual([])
    expect(h.record).toMatchObject({ view: 1, reason: { kind: 'blamed' }, quit: null, lock: { view: -1 } })
    expect(receivers(h.write(), 'status')).toEqual([1])
  })

  it.each([
    ['a vote, an equivocation comes during the write', (h: Hand) => h.receiveVotes(at(0, 0, c1), [1])],
    ['a vote, a BC comes during the write', (h: Hand) => h.receive(h.bc(blames(0, [0, 1])))],
    [
      'a vote, a CC of a conflicting block comes during the write',
      (h: Hand) => [h.give({ type: 'headers', blocks: [c1] }), h.receive(h.cc(commits(at(0, 0, c1), [0, 1, 2])))],
    ],
    ['a vote, a stall comes during the write', (h: Hand) => h.stall(50)],
  ])('%s → it is not sent, now or later, and the record binds', (_, happens) => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    h.accept(h.proposal(0, 0, b1))
    happens(h)
    for (let i = 0; i < 4; i++) h.write()
    h.diskHeld = false
    if (h.state.settling) h.elapse('settle')
    expect(hashes(h.effects, 'vote')).toEqual([])
    expect(h.state.votes.get(0)).toMatchObject(s1)
  })

  it('a certificate is acknowledged only when it is in the record; a vote that changes nothing at once', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    const proved = h.receiveFrom(0, h.commit(0, votes(s1, [0, 1, 2])), 'the commit')
    expect(ofType(proved, 'acknowledge')).toEqual([])
    expect(h.record.lockNow.tip).toBe('b1')
    expect(ofType(h.write(), 'acknowledge')).toEqual([{ type: 'acknowledge', to: 0, keys: ['the commit'] }])
    expect(ofType(h.receiveFrom(1, h.vote(1, s2), 'the vote'), 'acknowledge')).toEqual([
      { type: 'acknowledge', to: 1, keys: ['the vote'] },
    ])
  })
})

describe('§3 delivery', () => {
  const voted = (): Hand => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    return h
  }
  /** Who gets the vote again in three ticks of the repeat timer. */
  const repeated = (h: Hand): number[] =>
    [...new Set([1, 2, 3].flatMap(() => receivers(h.elapse('repeat'), 'vote')))].sort()

  it('a vote is repeated until that receiver has acknowledged it, more often than Δ/4', () => {
    const h = voted()
    expect(2 * h.timer('repeat').afterMs).toBeLessThan(DELTA_MS / 4)
    expect(repeated(h)).toEqual([0, 1, 2])
    h.acknowledge(s1, [1])
    expect(repeated(h)).toEqual([0, 2])
    h.acknowledge(s1, [0, 2])
    expect(repeated(h)).toEqual([])
  })

  it('an acknowledgement of an earlier run says nothing; a new run gets everything again', () => {
    const h = voted()
    h.acknowledge(s1)
    expect(receivers(h.give({ type: 'connected', member: 1, run: 'run 2' }), 'vote')).toEqual([1])
    h.acknowledge(s1, [1])
    expect(repeated(h)).toEqual([1])
  })

  it('at a reconnection of the same run only what is not acknowledged leaves again', () => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    h.acknowledge(s1, [1])
    h.give({ type: 'disconnected', member: 0 }, { type: 'disconnected', member: 1 })
    expect(repeated(h)).toEqual([2, 3])
    expect(
      receivers(
        h.give({ type: 'connected', member: 0, run: 'run 1' }, { type: 'connected', member: 1, run: 'run 1' }),
        'vote',
      ),
    ).toEqual([0])
  })

  it('the reason for the view is kept, beside all votes of the last view', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.accept(h.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1]) }))
    h.receive(h.bc(blames(0, [0, 1])))
    h.elapse('quit')
    const again = h.give({ type: 'connected', member: 2, run: 'run 2' })
    expect(hashes(again, 'vote')).toEqual(['b1', 'b2'])
    expect(sent(again, 'bc').map(({ certificate }) => certificate.view)).toEqual([0])
  })
})

describe('§6 restart', () => {
  /** Member 4 of 5 that voted for b1 in view 0, and starts again from its record. */
  const restarted = (run: (h: Hand) => unknown = () => undefined): Hand => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    run(h)
    return new Hand(5, 4, { beginning: { kind: 'restart', record: h.record } }).start()
  }

  it('asks all others, and signs and repeats nothing for more than 2Δ', () => {
    const h = restarted()
    expect(receivers(h.effects, 'ask')).toEqual([0, 1, 2, 3])
    expect(h.timer('restart').afterMs).toBeGreaterThan(2 * DELTA_MS)
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1, 2])
    for (let i = 0; i < 3; i++) h.elapse('repeat')
    for (const kind of ['vote', 'commit', 'blame', 'status'] as const) expect(sent(h.effects, kind)).toEqual([])
  })

  it('repeats its recorded vote if it could sign it now, and commits on a strong certificate only', () => {
    const h = restarted()
    h.accept(h.proposal(0, 0, b1))
    expect(hashes(h.elapse('restart'), 'vote')).toEqual(['b1'])
    h.receiveVotes(s1, [0, 1])
    h.acknowledge(s1)
    // Whether the wait is started at all is the core's affair; no wait may end in a weak commit here.
    for (const { timer } of ofType(h.effects, 'startTimer')) h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(hashes(h.receiveVotes(s1, [2]), 'commit')).toEqual(['b1'])
  })

  it('does not repeat it after an equivocation, and votes for nothing else at that place', () => {
    const h = restarted()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes(at(0, 0, c1), [1])
    h.elapse('restart')
    expect(hashes(h.effects, 'vote')).toEqual([])
    const other = restarted()
    other.accept(other.proposal(0, 0, c1))
    expect(hashes(other.elapse('restart'), 'vote')).toEqual([])
  })

  it('does not repeat it if an answer shows the equivocation', () => {
    const h = restarted()
    h.accept(h.proposal(0, 0, b1))
    const leaderSignature = new Uint8Array(1)
    const equivocation = { first: { ...s1, leaderSignature }, second: { ...at(0, 0, c1), leaderSignature } }
    h.receiveFrom(2, h.answer(0, START, { equivocation }))
    h.elapse('restart')
    expect(hashes(h.effects, 'vote')).toEqual([])
  })

  it('a recorded vote that never left is treated alike', () => {
    const before = new Hand(5, 4).start()
    before.diskHeld = true
    before.accept(before.proposal(0, 0, b1))
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: before.record } }).start()
    h.accept(h.proposal(0, 0, c1))
    expect(hashes(h.elapse('restart'), 'vote')).toEqual([])
  })

  it('keeps view, lock and quit; the quit wait starts over after the restart wait', () => {
    const h = restarted((old) => old.receive(old.commit(0, votes(s1, [0, 1, 2])), old.bc(bc0)))
    expect(h.state).toMatchObject({ view: 0, quit: { view: 0 } })
    expect(rank(h.state.lockNow)).toEqual([0, 0, 0, 'b1'])
    h.elapse('restart')
    expect(h.state.view).toBe(0)
    h.elapse('quit')
    expect(h.state.view).toBe(1)
    expect(rank(h.state.lock)).toEqual([0, 0, 0, 'b1'])
  })

  it('a leader that recorded a proposal never proposes another block at that place', () => {
    const old = new Hand(5, 0).start()
    old.diskHeld = true
    old.give({ type: 'built', view: 0, seq: 0, block: b1 })
    const h = new Hand(5, 0, { beginning: { kind: 'restart', record: old.record } }).start()
    h.elapse('restart')
    h.give({ type: 'built', view: 0, seq: 0, block: c1 })
    expect(sent(h.effects, 'proposal')).toEqual([])
    expect(ofType(h.effects, 'build')).toEqual([])
  })

  it('is answered with reason, the lock that would be fixed now, what was signed in the view, and the highest CC', () => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    const [answer] = sent(h.receiveFrom(2, { kind: 'ask', era: 0, nonce: 7 }), 'answer')
    expect(answer).toMatchObject({
      nonce: 7,
      view: 0,
      reason: START,
      tip: { hash: 'b1' },
      highest: { hash: 'b1' },
    })
    expect(answer?.signed.map(({ kind }) => kind)).toEqual(['vote', 'commit'])
  })
})

describe('§6 recover', () => {
  const recovering = (n: number): Hand =>
    new Hand(n, n - 1, { beginning: { kind: 'recover' }, blocks: [b1, b2] }).start()

  it('waits more than 2Δ and for f+1 answers (n = 5: 3)', () => {
    const h = recovering(5)
    h.elapse('restart')
    for (const from of [0, 1]) h.receiveFrom(from, h.answer(1, blamedBy(bc0)))
    expect(h.state.phase).toBe('recovering')
    h.receiveFrom(2, h.answer(1, blamedBy(bc0)))
    expect(h.state.phase).toBe('running')
  })

  it('takes the highest lock shown, and signs only in views above the highest whose reason it was shown', () => {
    const h = recovering(5)
    const tip = votes(s1, [0, 1, 2])
    h.receiveFrom(0, h.answer(1, blamedBy(bc0)))
    h.receiveFrom(1, h.answer(1, blamedBy(bc0), { tip }))
    h.receiveFrom(2, h.answer(0, START))
    h.elapse('restart')
    expect(h.state).toMatchObject({ view: 1, barredView: 1 })
    expect(rank(h.state.lock)).toEqual([0, -1, 0, 'b1'])
    h.accept(h.proposal(1, 0, b2, { justification: { reason: blamedBy(bc0), tip, strong: null } }))
    expect(hashes(h.effects, 'vote')).toEqual([])
    const bc1 = blames(1, [0, 1, 2])
    h.receive(h.bc(bc1))
    h.elapse('quit')
    h.accept(h.proposal(2, 0, b2, { justification: { reason: blamedBy(bc1), tip, strong: null } }))
    expect(hashes(h.effects, 'vote')).toEqual(['b2'])
  })

  it('answers with a handover as the reason count alike', () => {
    const h = recovering(3)
    const closing = commits(at(0, 3, child(b2, 'b4')), [0, 1])
    for (const from of [0, 1]) h.receiveFrom(from, h.answer(1, closedBy(closing)))
    h.elapse('restart')
    expect(h.state).toMatchObject({ view: 1, barredView: 1, reason: { kind: 'closed' } })
  })

  it('a member alone has nobody to ask: it goes on, but signs nothing in the view of which it knows nothing', () => {
    const h = recovering(1)
    h.elapse('restart')
    expect(h.state).toMatchObject({ phase: 'running', view: 0, barredView: 0, votesFrom: 1 })
    expect(ofType(h.effects, 'build')).toEqual([])
  })
})
