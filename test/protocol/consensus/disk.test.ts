/** agreement.md §3 (delivery) and §6: what is on disk before it leaves, what is repeated, restart and recovery. */
import { describe, expect, it } from 'vitest'
import type { Effect } from '../../../protocol/consensus/events.ts'
import type { SigningRecord } from '../../../protocol/consensus/types.ts'
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

describe('§6 acknowledgements', () => {
  it('a commit that comes while an earlier write is under way waits for the write that holds its certificate', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    h.accept(h.proposal(0, 0, b1))
    expect(ofType(h.receiveFrom(0, h.commit(0, votes(s1, [0, 1, 2])), 'c'), 'acknowledge')).toEqual([])
    expect(ofType(h.write(), 'acknowledge')).toEqual([])
    expect(ofType(h.write(), 'acknowledge')).toHaveLength(1)
  })
  it('a CC waits until the record names its block, or one above it', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receive(h.commit(0, votes(s1, [0, 1, 2])))
    h.diskHeld = true
    expect(ofType(h.receiveFrom(0, h.cc(commits(s1, [0, 1, 2])), 'cc'), 'acknowledge')).toEqual([])
    expect(h.record.highest?.kind).toBe('commit')
    expect(ofType(h.write(), 'acknowledge')).toHaveLength(1)
    expect(ofType(h.receiveFrom(1, h.cc(commits(s1, [0, 1, 3])), 'cc'), 'acknowledge')).toHaveLength(1)
  })
  it('a BC waits until the record says that the view is quit', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    expect(ofType(h.receiveFrom(0, h.bc(blames(0, [0, 1])), 'bc'), 'acknowledge')).toEqual([])
    expect(ofType(h.write(), 'acknowledge')).toHaveLength(1)
  })
  it('a certificate of a view not reached yet is acknowledged once it is, when it is repeated', () => {
    const h = new Hand(4, 3).start()
    h.give({ type: 'headers', blocks: [b1] })
    const later = h.commit(0, votes(at(1, 0, b1), [0, 1, 2]))
    expect(ofType(h.receiveFrom(0, later, 'later'), 'acknowledge')).toEqual([])
    h.receive(h.bc(blames(1, [0, 1])))
    expect(ofType(h.receiveFrom(0, later, 'later'), 'acknowledge')).toHaveLength(1)
  })
  it('what is outranked, at once: lower places, lower views, another chain than the strong one', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, b2, c1] })
    h.receiveFrom(0, h.commit(0, votes(s2, [0, 1, 2, 3])), 'first')
    h.diskHeld = true
    for (const certificate of [votes(s1, [0, 1, 2]), votes(s2, [0, 1, 3]), votes(at(0, 0, c1), [0, 1, 2])])
      expect(ofType(h.receiveFrom(1, h.commit(1, certificate), 'c'), 'acknowledge')).toHaveLength(1)
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

describe('§6 silence', () => {
  const record = (): SigningRecord => {
    const h = new Hand(5, 4).start()
    h.accept(h.proposal(0, 0, b1))
    return h.record
  }
  it('nothing is relayed either: a BC seen meanwhile leaves when the silence is over', () => {
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: record() } }).start()
    expect(receivers(h.receive(h.bc(bc0)), 'bc')).toEqual([])
    expect(h.record.quit?.view).toBe(0)
    expect(receivers(h.elapse('restart'), 'bc')).toEqual([0, 1, 2, 3])
  })
  it('a stall starts it over', () => {
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: record() } }).start()
    const { timer } = h.timer('restart')
    h.accept(h.proposal(0, 0, b1))
    h.stall(5000)
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(hashes(h.effects, 'vote')).toEqual([])
    expect(hashes(h.elapse('restart'), 'vote')).toEqual(['b1'])
  })
  it('it is counted from when a quorum is reached', () => {
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: record() } })
    h.give({ type: 'start' }, { type: 'connected', member: 0, run: 'run 1' })
    expect(ofType(h.effects, 'startTimer').map(({ timer }) => timer.kind)).toEqual(['repeat'])
    h.give({ type: 'connected', member: 1, run: 'run 1' })
    expect(h.timer('restart').afterMs).toBeGreaterThan(2 * DELTA_MS)
  })
  it('a handover waits for its end', () => {
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: record() } }).start()
    h.receive(h.cc(commits(at(0, 3, b2), [0, 1, 2])))
    expect(h.state.view).toBe(0)
    h.elapse('restart')
    expect(h.state.view).toBe(1)
  })
  it('the reason for its view and its status are sent anew afterwards', () => {
    const old = new Hand(5, 4).start()
    old.receive(old.bc(bc0))
    old.elapse('quit')
    const h = new Hand(5, 4, { beginning: { kind: 'restart', record: old.record } }).start()
    const effects = h.elapse('restart')
    expect(receivers(effects, 'bc')).toEqual([0, 1, 2, 3])
    expect(receivers(effects, 'status')).toEqual([1])
  })
  it('a recorded commit is repeated on a strong certificate, though a higher vote is recorded; on a weak one never', () => {
    const old = new Hand(5, 4).start()
    old.accept(old.proposal(0, 0, b1))
    old.receiveVotes(s1, [0, 1, 2])
    old.accept(old.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1, 2]) }))
    expect(old.record).toMatchObject({ commit: s1, votes: [{ seq: 1 }] })
    const strong = new Hand(5, 4, { beginning: { kind: 'restart', record: old.record } }).start()
    expect(hashes(strong.elapse('restart'), 'commit')).toEqual(['b1'])
    const lock = { ...old.record.lockNow, strongSeq: -1, strongCertificate: null, tipCertificate: votes(s1, [0, 1, 4]) }
    const weakRecord = { ...old.record, lockNow: lock }
    const weak = new Hand(5, 4, { beginning: { kind: 'restart', record: weakRecord } }).start()
    expect(hashes(weak.elapse('restart'), 'commit')).toEqual([])
  })
  it('the ledger may be ahead of the record: its head counts as committed', () => {
    const h = new Hand(5, 4, {
      beginning: { kind: 'restart', record: record() },
      blocks: [b1, b2],
      head: commits(s2, [0, 1, 2]),
    })
    expect(h.state.highest?.hash).toBe('b2')
    expect(ofType(h.start().effects, 'commit').map(({ certificate }) => certificate.hash)).toEqual(['b2'])
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

  it('a BC seen beside the answers bars its view too', () => {
    const h = recovering(5)
    for (const from of [0, 1, 2]) h.receiveFrom(from, h.answer(1, blamedBy(bc0)))
    const bc1 = blames(1, [0, 1, 2])
    h.receive(h.bc(bc1))
    h.elapse('restart')
    h.elapse('quit')
    expect(h.state).toMatchObject({ view: 2, barredView: 2 })
    h.accept(h.proposal(2, 0, b1, { justification: { reason: blamedBy(bc1), tip: null, strong: null } }))
    expect(hashes(h.effects, 'vote')).toEqual([])
  })
  it('answers to an earlier question do not count', () => {
    const h = recovering(5)
    const answers = [0, 1, 2].map((from) => [from, h.answer(1, blamedBy(bc0))] as const)
    h.stall(5000)
    for (const [from, answer] of answers) h.receiveFrom(from, answer)
    h.elapse('restart')
    expect(h.state.phase).toBe('recovering')
  })
  it('its question is asked again of whoever is linked and has not answered, every 18th tick of the repeat timer, and no more once it runs', () => {
    const h = recovering(5)
    h.receiveFrom(0, h.answer(1, blamedBy(bc0)))
    h.give({ type: 'disconnected', member: 1 })
    const asked = (ticks: number): number[] =>
      receivers(Array.from({ length: ticks }, () => h.elapse('repeat')).flat(), 'ask')
    expect(asked(17)).toEqual([])
    expect(asked(1)).toEqual([2, 3])
    expect(asked(18)).toEqual([2, 3])
    for (const from of [2, 3]) h.receiveFrom(from, h.answer(1, blamedBy(bc0)))
    expect(asked(36)).toEqual([])
    h.elapse('restart')
    expect(h.state.phase).toBe('running')
    expect(asked(36)).toEqual([])
  })
  it('in a later era it knows why view 0 was entered, and shows it, although its record is lost', () => {
    const certificate = commits({ ...at(7, 3, FIRST), height: 40 }, [0, 1, 2])
    const beginning = { kind: 'recover' as const, certificate }
    const h = new Hand(5, 4, { era: 1, beginning }).start()
    expect(h.state).toMatchObject({ phase: 'recovering', view: 0, reason: { kind: 'start', certificate } })
    const start = { kind: 'start' as const, certificate }
    for (const from of [0, 1, 2]) h.receiveFrom(from, { ...h.answer(0, start), era: 1 })
    h.elapse('restart')
    expect(h.state).toMatchObject({ phase: 'running', view: 0, barredView: 0, reason: start })
    expect(sent(h.receiveFrom(0, { kind: 'ask', era: 1, nonce: 9 }), 'answer')).toMatchObject([{ reason: start }])
  })
  it('it answers nobody’s question itself, and blames, which binds nobody, where it may sign nothing else', () => {
    const h = recovering(5)
    expect(sent(h.receiveFrom(0, { kind: 'ask', era: 0, nonce: 1 }), 'answer')).toEqual([])
    for (const from of [0, 1, 2]) h.receiveFrom(from, h.answer(1, blamedBy(bc0)))
    h.elapse('restart')
    expect(sent(h.effects, 'status')).toEqual([])
    expect(sent(h.elapse('progress'), 'blame')).toMatchObject([{ view: 1 }])
  })
  it('what it writes before it has recovered says so: a crash meanwhile does not end it', () => {
    const h = recovering(5)
    h.receiveFrom(0, h.cc(commits(s1, [0, 1, 2])), 'cc')
    expect(h.record.recovering).toBe(true)
    const again = new Hand(5, 4, { beginning: { kind: 'restart', record: h.record } }).start()
    expect(again.state.phase).toBe('recovering')
    again.elapse('restart')
    expect(again.state.phase).toBe('recovering')
  })
  it('a member alone has nobody to ask: it goes on, but signs nothing up to the view of its ledger’s head', () => {
    for (const [head, barredView] of [
      [undefined, 0],
      [commits(at(4, 0, b1), [0]), 4],
    ] as const) {
      const beginning = { kind: 'recover' as const }
      const h = new Hand(1, 0, { beginning, blocks: [b1, b2], ...(head === undefined ? {} : { head }) }).start()
      h.elapse('restart')
      expect(h.state).toMatchObject({ phase: 'running', barredView, votesFrom: barredView + 1 })
      expect(ofType(h.effects, 'build')).toEqual([])
    }
  })
})
