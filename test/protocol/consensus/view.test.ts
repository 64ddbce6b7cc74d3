/** agreement.md §4.4 and §5: blames, the change of view, locks, the new leader, the end of an era. */
import { describe, expect, it } from 'vitest'
import type { Effect } from '../../../protocol/consensus/events.ts'
import type { Certificate } from '../../../protocol/consensus/types.ts'
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
const b3 = child(b2, 'b3')
const c1 = child(FIRST, 'c1')
const c2 = child(c1, 'c2')
const s1 = at(0, 0, b1)
const s2 = at(0, 1, b2)
const closing = commits(at(0, 3, child(b3, 'b4')), [0, 1, 2])
const BASE_MS = 1000 + 8 * DELTA_MS + 200

/** Member `me` of n that has entered view 1 through a BC, after the certificates of view 0 arrived. */
function blamedIn(
  n: number,
  me: number,
  certificates: readonly Certificate[] = [],
  blocks = [b1, b2, b3, c1, c2],
): Hand {
  const h = new Hand(n, me).start()
  h.give({ type: 'headers', blocks })
  for (const certificate of certificates)
    h.receive(certificate.kind === 'commit' ? h.cc(certificate) : h.answer(0, START, { tip: certificate }))
  h.receive(h.bc(blames(0, h.others.slice(0, h.era.f + 1))))
  h.elapse('quit')
  return h
}

describe('§4.4 blames', () => {
  it('no committed block in time → one blame to everyone; the timer is heartbeat + 8Δ + body allowance', () => {
    const h = new Hand(4, 3).start()
    expect(h.timer('progress').afterMs).toBe(BASE_MS)
    expect(receivers(h.elapse('progress'), 'blame')).toEqual([0, 1, 2])
    expect(sent(h.give({ type: 'censored', view: 0 }), 'blame')).toEqual([])
  })

  it('a commit in the view starts the time over, and the earlier timer is stale', () => {
    const h = new Hand(4, 3).start()
    const { timer } = h.timer('progress')
    h.give({ type: 'headers', blocks: [b1] })
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    expect(h.timer('progress')).not.toEqual({ timer, afterMs: BASE_MS })
    expect(sent(h.give({ type: 'elapsed', timer }), 'blame')).toEqual([])
    expect(sent(h.elapse('progress'), 'blame')).toHaveLength(1)
  })

  it('the time doubles with each view without a commit, up to the cap', () => {
    const h = new Hand(4, 3).start()
    const times = [0, 1, 2, 3, 4].map((view) => {
      h.receive(h.bc(blames(view, [0, 1])))
      h.elapse('quit')
      return h.timer('progress').afterMs / BASE_MS
    })
    // View v = 1 … 5, no CC at all: k = v − 1 − (−1) = v; the cap is 3.
    expect(times).toEqual([2, 4, 8, 8, 8])
  })

  it('a CC of an earlier view that is learnt late makes the doublings fewer, and the shorter time counts from then on', () => {
    const h = new Hand(4, 3).start()
    for (const view of [0, 1, 2]) {
      h.receive(h.bc(blames(view, [0, 1])))
      h.elapse('quit')
    }
    const { timer, afterMs } = h.timer('progress')
    expect(afterMs).toBe(8 * BASE_MS)
    h.give({ type: 'headers', blocks: [b1, b2] })
    const progress = (effects: readonly Effect[]) =>
      ofType(effects, 'startTimer').filter((effect) => effect.timer.kind === 'progress')
    // k = 3 − 1 − 1, then 3 − 1 − 2.
    expect(progress(h.receive(h.cc(commits(at(1, 0, b1), [0, 1, 2]))))).toMatchObject([{ timer, afterMs: 2 * BASE_MS }])
    expect(progress(h.receive(h.cc(commits(at(2, 0, b2), [0, 1, 2]))))).toMatchObject([{ timer, afterMs: BASE_MS }])
    expect(sent(h.elapse('progress'), 'blame')).toMatchObject([{ view: 3 }])
    // Those that ran beside it say nothing new.
    expect(sent(h.give({ type: 'elapsed', timer }), 'blame')).toEqual([])
  })

  it('a CC that changes nothing about the doublings starts no timer', () => {
    const h = blamedIn(4, 3, [commits(s1, [0, 1, 2])])
    const effects = h.receive(h.cc(commits(s2, [0, 1, 2])))
    expect(ofType(effects, 'startTimer').filter(({ timer }) => timer.kind === 'progress')).toEqual([])
  })

  it('an equivocation → a blame with the proof, at once', () => {
    const h = new Hand(5, 4).start()
    h.receiveVotes(s1, [1])
    const [blame] = sent(h.receiveVotes(at(0, 0, c1), [2]), 'blame')
    expect(blame?.equivocation).toMatchObject({ first: s1, second: at(0, 0, c1) })
  })

  it('censorship → a blame; of another view → none', () => {
    const h = new Hand(5, 4).start()
    expect(sent(h.give({ type: 'censored', view: 1 }), 'blame')).toEqual([])
    expect(sent(h.give({ type: 'censored', view: 0 }), 'blame')).toMatchObject([{ view: 0, equivocation: null }])
  })
})

describe('§5.1 quit', () => {
  it.each([
    [3, 1],
    [4, 1],
    [5, 2],
    [7, 3],
  ])('n = %i: f blames of others are no BC, one more is (f = %i)', (n, f) => {
    const h = new Hand(n, n - 1).start()
    for (let from = 0; from < f; from++) h.receive(h.blame(from, 0))
    expect(sent(h.effects, 'bc')).toEqual([])
    const effects = h.receive(h.blame(f, 0))
    expect(receivers(effects, 'bc')).toEqual(h.others)
    expect(h.timer('quit').afterMs).toBeGreaterThan(2 * DELTA_MS)
    expect(h.state.view).toBe(0)
    h.elapse('quit')
    expect(h.state).toMatchObject({ view: 1, reason: { kind: 'blamed' }, quit: null })
  })

  it('the same member twice is no BC', () => {
    const h = new Hand(5, 4).start()
    for (let i = 0; i < 5; i++) h.receive(h.blame(0, 0), h.blame(1, 0))
    expect(sent(h.effects, 'bc')).toEqual([])
  })

  it('a BC of a later view restarts the wait and leads to the view after it', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.bc(blames(0, [0, 1, 2])))
    const { timer } = h.timer('quit')
    expect(receivers(h.receive(h.bc(blames(3, [0, 1, 2]))), 'bc')).toEqual([0, 1, 2, 3])
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(h.state.view).toBe(0)
    h.elapse('quit')
    expect(h.state.view).toBe(4)
  })

  it('a BC of a view that is behind, or below the highest, changes nothing', () => {
    const h = new Hand(5, 4).start()
    h.receive(h.bc(blames(3, [0, 1, 2])))
    const before = h.timer('quit')
    h.receive(h.bc(blames(1, [0, 1, 2])))
    expect(h.timer('quit')).toEqual(before)
    h.elapse('quit')
    h.receive(h.bc(blames(2, [0, 1, 2])))
    expect(h.state).toMatchObject({ view: 4, quit: null })
  })

  it('a BC inside a proposal counts as seen then', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.proposal(1, 0, b1, { justification: { reason: blamedBy(blames(0, [0, 1])), tip: null, strong: null } }))
    expect(h.state.quit?.view).toBe(0)
  })

  it('the CC of a closing block → the next view at once, relayed, locked as (u, seq, seq), also out of a quit wait', () => {
    for (const quits of [false, true]) {
      const h = new Hand(4, 3).start()
      h.give({ type: 'headers', blocks: [b1, b2, b3, child(b3, 'b4')] })
      if (quits) h.receive(h.bc(blames(0, [0, 1])))
      expect(receivers(h.receive(h.cc(closing)), 'cc')).toEqual([0, 1, 2])
      expect(h.state).toMatchObject({ view: 1, reason: { kind: 'closed' }, quit: null })
      expect(rank(h.state.lock)).toEqual([0, 3, 3, 'b4'])
    }
  })

  it('the same CC after quitting a later view → stays in the quit wait', () => {
    const h = new Hand(4, 3).start()
    h.give({ type: 'headers', blocks: [b1, b2, b3, child(b3, 'b4')] })
    h.receive(h.bc(blames(1, [0, 1])), h.cc(closing))
    expect(h.state.view).toBe(0)
    h.elapse('quit')
    expect(h.state.view).toBe(2)
  })

  it('a CC that does not close its view hands nothing over', () => {
    const h = new Hand(4, 3).start()
    h.give({ type: 'headers', blocks: [b1] })
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    expect(h.state.view).toBe(0)
  })
})

describe('§5.2 the lock', () => {
  const locks: readonly (readonly [
    string,
    number,
    readonly Certificate[],
    readonly [number, number, number, string],
  ])[] = [
    ['no certificate', 5, [], [-1, 0, 0, 'first']],
    ['a weak one', 5, [votes(s1, [0, 1, 2])], [0, -1, 0, 'b1']],
    ['a strong one', 5, [votes(s1, [0, 1, 2, 3])], [0, 0, 0, 'b1']],
    ['a CC is strong', 5, [commits(s1, [0, 1, 2])], [0, 0, 0, 'b1']],
    ['a weak one on a strong one', 5, [votes(s1, [0, 1, 2, 3]), votes(s2, [0, 1, 2])], [0, 0, 1, 'b2']],
    [
      'a weak one higher on another chain than the strong one',
      5,
      [votes(s1, [0, 1, 2, 3]), votes(at(0, 1, c2), [0, 1, 2])],
      [0, 0, 0, 'b1'],
    ],
    ['two weak ones: the highest', 7, [votes(s1, [0, 1, 2, 3]), votes(at(0, 1, c2), [0, 1, 2, 3])], [0, -1, 1, 'c2']],
    ['n = 4: every certificate is strong', 4, [votes(s1, [0, 1, 2])], [0, 0, 0, 'b1']],
    ['n = 7: q = 4 is weak, s = 6', 7, [votes(s1, [0, 1, 2, 3, 4])], [0, -1, 0, 'b1']],
    [
      'one of the view entered or later does not count',
      5,
      [votes(s1, [0, 1, 2]), votes(at(1, 0, b2), [0, 1, 2])],
      [0, -1, 0, 'b1'],
    ],
  ]
  it.each(locks)('%s (n = %i)', (_, n, certificates, expected) => {
    const h = blamedIn(n, n - 1, certificates)
    expect(h.state.view).toBe(1)
    expect(rank(h.state.lock)).toEqual(expected)
    expect(rank(h.record.lock)).toEqual(expected)
  })

  it('is constant during the view, while the lock it would fix now follows', () => {
    const h = blamedIn(5, 4, [votes(s1, [0, 1, 2])])
    h.receive(h.status(0, 9, votes(at(0, 1, b2), [0, 1, 2, 3])), h.status(1, 9, votes(at(1, 0, b3), [0, 1, 2])))
    expect(rank(h.state.lock)).toEqual([0, -1, 0, 'b1'])
    expect(rank(h.state.lockNow)).toEqual([1, -1, 0, 'b3'])
  })

  it('its status goes to the new leader alone, after the write, with both certificates', () => {
    const h = blamedIn(5, 4, [votes(s1, [0, 1, 2, 3]), votes(s2, [0, 1, 2])])
    expect(receivers(h.effects, 'status')).toEqual([1])
    expect(sent(h.effects, 'status')).toMatchObject([{ view: 1, from: 4, tip: { hash: 'b2' }, strong: { hash: 'b1' } }])
  })
})

describe('§5.3 the new leader (member 1 of 5 in view 1)', () => {
  it('waits for more than 2Δ and q statuses, its own included', () => {
    const h = blamedIn(5, 1, [votes(s1, [0, 2, 3])])
    expect(h.timer('leader').afterMs).toBeGreaterThan(2 * DELTA_MS)
    h.receive(h.status(0, 1, null), h.status(2, 1, null))
    expect(ofType(h.effects, 'build')).toEqual([])
    expect(ofType(h.elapse('leader'), 'build')).toMatchObject([{ seq: 0, parent: 'b1', height: 2 }])
  })
  it('after the wait without q statuses it goes on waiting for them', () => {
    const h = blamedIn(5, 1)
    h.receive(h.status(0, 1, null))
    h.elapse('leader')
    expect(ofType(h.effects, 'build')).toEqual([])
    expect(ofType(h.receive(h.status(2, 1, null)), 'build')).toMatchObject([{ parent: 'first' }])
  })
  it('with the statuses of all n it does not wait', () => {
    const h = blamedIn(5, 1)
    expect(ofType(h.receive(...[0, 2, 3, 4].map((from) => h.status(from, 1, null))), 'build')).toHaveLength(1)
  })
  it('statuses of another view do not count', () => {
    const h = blamedIn(5, 1)
    expect(ofType(h.receive(...[0, 2, 3, 4].map((from) => h.status(from, 2, null))), 'build')).toEqual([])
  })
  it('entered through a handover it does not wait', () => {
    const h = new Hand(5, 1).start()
    h.give({ type: 'headers', blocks: [b1, b2, b3, child(b3, 'b4')] })
    expect(ofType(h.receive(h.cc(closing)), 'build')).toMatchObject([{ view: 1, seq: 0, parent: 'b4', height: 5 }])
  })

  const strong1 = votes(s1, [0, 1, 2, 3])
  const weak2 = votes(s2, [0, 1, 2])
  const weakC2 = votes(at(0, 1, c2), [0, 1, 4])
  const picks: readonly (readonly [
    string,
    readonly Certificate[],
    readonly [Certificate | null, Certificate | null][],
    string,
    string | null,
  ])[] = [
    [
      'the highest σ before a higher τ',
      [],
      [
        [strong1, strong1],
        [weakC2, null],
      ],
      'b1',
      'b1',
    ],
    [
      'the highest τ on the strong block',
      [],
      [
        [strong1, strong1],
        [weak2, null],
      ],
      'b2',
      'b1',
    ],
    [
      'the highest τ where nothing is strong',
      [],
      [
        [votes(s1, [0, 1, 2]), null],
        [weakC2, null],
      ],
      'c2',
      null,
    ],
    [
      'a tie: its own',
      [weakC2],
      [
        [weak2, null],
        [null, null],
      ],
      'c2',
      null,
    ],
    [
      'a tie of others: the smallest hash',
      [],
      [
        [weakC2, null],
        [weak2, null],
      ],
      'b2',
      null,
    ],
  ]
  it.each(picks)('picks %s', (_, own, statuses, tip, strong) => {
    const h = blamedIn(5, 1, own)
    // A status shows a certificate to its receiver, who is locked already: its own lock stays what it was.
    h.receive(...statuses.map(([t, s], i) => h.status(i * 2, 1, t, s)))
    const [build] = ofType(h.elapse('leader'), 'build')
    expect(build?.parent).toBe(tip)
    const block = child([b1, b2, c1, c2].find(({ hash }) => hash === tip) ?? FIRST, 'new')
    const [proposal] = sent(h.give({ type: 'built', view: 1, seq: 0, block }), 'proposal')
    expect(proposal?.justification).toMatchObject({ reason: { kind: 'blamed' }, tip: { hash: tip } })
    expect(proposal?.justification?.strong?.hash ?? null).toBe(strong)
  })

  it('§4.1: the leader proposes the next seq as soon as its last one is certified, and not before', () => {
    const h = new Hand(4, 0).start()
    h.give({ type: 'built', view: 0, seq: 0, block: b1 })
    expect(ofType(h.receiveVotes(s1, [1]), 'build')).toEqual([])
    expect(ofType(h.receiveVotes(s1, [2]), 'build')).toMatchObject([{ view: 0, seq: 1, parent: 'b1' }])
    const [proposal] = sent(h.give({ type: 'built', view: 0, seq: 1, block: b2 }), 'proposal')
    expect(proposal).toMatchObject({ seq: 1, justification: null, parentCertificate: { hash: 'b1', seq: 0 } })
  })
})

describe('§5.4 what passes a lock', () => {
  const w0 = (block: typeof b1, seq: number, count: number): Certificate =>
    votes(at(0, seq, block), [0, 1, 2, 3].slice(0, count))
  // Lock of member 4 of 5 in view 1; the tip and strong certificate shown; whether it votes for a child of the tip.
  const b3x = child(b2, 'b3')
  const cases: readonly (readonly [string, readonly Certificate[], Certificate | null, Certificate | null, boolean])[] =
    [
      ['w > w′', [], w0(b1, 0, 3), null, true],
      ['w < w′', [w0(b1, 0, 3)], null, null, false],
      ['w = w′, P equals T', [w0(b1, 0, 3)], w0(b1, 0, 3), null, true],
      ['w = w′, P extends T', [w0(b1, 0, 3)], w0(b2, 1, 3), null, true],
      ['w = w′, P a proper ancestor of T', [w0(b2, 1, 3)], w0(b1, 0, 3), null, false],
      ['w = w′, P a proper ancestor of T, though shown strong', [w0(b2, 1, 3)], w0(b1, 0, 4), w0(b1, 0, 4), false],
      ['conflict, σ > σ′', [w0(b2, 1, 3)], w0(c1, 0, 4), w0(c1, 0, 4), true],
      ['conflict, σ < σ′', [w0(b1, 0, 4)], w0(c2, 1, 3), null, false],
      ['conflict, σ = σ′, τ > τ′', [w0(b1, 0, 3)], w0(c2, 1, 3), null, true],
      ['conflict, σ = σ′, τ = τ′', [w0(b1, 0, 3)], w0(c1, 0, 3), null, true],
      ['conflict, σ = σ′, τ < τ′', [w0(b2, 1, 3)], w0(c1, 0, 3), null, false],
      ['conflict, the strong certificate shown is not on P’s chain', [w0(b2, 1, 3)], w0(c1, 0, 3), w0(b1, 0, 4), false],
      [
        'conflict, the strong certificate shown is of another view',
        [w0(b2, 1, 3)],
        w0(c1, 0, 3),
        votes(at(4, 0, FIRST), [0, 1, 2, 3]),
        false,
      ],
    ]
  it.each(cases)('%s', (_, held, tip, strong, passes) => {
    const h = blamedIn(5, 4, held, [b1, b2, b3x, c1, c2])
    const parent = [b1, b2, c1, c2].find(({ hash }) => hash === tip?.hash) ?? FIRST
    const justification = { reason: blamedBy(blames(0, [0, 1, 2])), tip, strong }
    h.accept(h.proposal(1, 0, child(parent, 'new'), { justification }))
    expect(hashes(h.effects, 'vote')).toEqual(passes ? ['new'] : [])
  })

  it('a seq 0 whose parent is not the tip that is shown, or whose reason is another one → no vote', () => {
    const right = { reason: blamedBy(blames(0, [0, 1, 2])), tip: w0(b1, 0, 3), strong: null }
    for (const [parent, justification] of [
      [b2, right],
      [b1, { ...right, reason: START }],
      [b1, { ...right, reason: closedBy(commits(at(4, 3, b3), [0, 1, 2])) }],
    ] as const) {
      const h = blamedIn(5, 4, [w0(b1, 0, 3)])
      h.accept(h.proposal(1, 0, child(parent, 'new'), { justification }))
      expect(hashes(h.effects, 'vote')).toEqual([])
    }
  })
})

describe('§5.1 the quit wait and the disk', () => {
  it('counts from when the BC was relayed, that is from when it is on disk', () => {
    const h = new Hand(4, 3).start()
    h.diskHeld = true
    expect(ofType(h.receive(h.bc(blames(0, [0, 1]))), 'startTimer')).toEqual([])
    expect(ofType(h.write(), 'startTimer')).toMatchObject([{ timer: { kind: 'quit' } }])
  })
  it('a BC of a later view stops the wait at once, and starts it over when it is on disk', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.bc(blames(0, [0, 1])))
    const { timer } = h.timer('quit')
    h.diskHeld = true
    h.receive(h.bc(blames(2, [0, 1])))
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(h.state.view).toBe(0)
    h.write()
    h.diskHeld = false
    h.elapse('quit')
    expect(h.state.view).toBe(3)
  })
})
