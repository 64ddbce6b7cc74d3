/** agreement.md §4.2 and §4.3: commits, the weak wait, echoes and stalls. */
import { describe, expect, it } from 'vitest'
import { at, blames, child, commits, DELTA_MS, FIRST, Hand, hashes, ofType, receivers, sent, votes } from './helper.ts'

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const c1 = child(FIRST, 'c1')
const s1 = at(0, 0, b1)

/** A member (the last of n) that has voted for b1 at (0, 0). */
const voter = (n: number, percent = 51): Hand => {
  const h = new Hand(n, n - 1, { percent }).start()
  h.accept(h.proposal(0, 0, b1))
  return h
}
const first = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('§4.2 commits at once on a strong certificate', () => {
  /** n, votes of others that make the certificate strong: s − 1 (own included), s from §1. */
  const strong = [
    [2, 51, 1],
    [3, 51, 2],
    [4, 51, 2],
    [5, 51, 3],
    [7, 51, 5],
    [5, 67, 3],
  ] as const
  it.each(strong)('n = %i at %i %%: with %i votes of others, and not with one fewer', (n, percent, others) => {
    const h = voter(n, percent)
    h.receiveVotes(s1, first(others - 1))
    expect(hashes(h.effects, 'commit')).toEqual([])
    const effects = h.receiveVotes(s1, [others - 1])
    expect(hashes(effects, 'commit')).toEqual(['b1'])
    expect(receivers(effects, 'commit')).toEqual(first(n - 1))
    expect(sent(effects, 'commit')[0]?.certificate?.signatures.size).toBe(others + 1)
  })

  it('§1: n = 1 alone builds, proposes, votes, commits', () => {
    const h = new Hand(1, 0).start()
    expect(ofType(h.effects, 'build')).toEqual([{ type: 'build', view: 0, seq: 0, parent: 'first', height: 1 }])
    h.give({ type: 'built', view: 0, seq: 0, block: b1 })
    expect(ofType(h.effects, 'commit').map(({ certificate }) => certificate.hash)).toEqual(['b1'])
    expect(ofType(h.effects, 'build').at(-1)).toMatchObject({ seq: 1, parent: 'b1', height: 2 })
  })

  it('§3: a CC counts as a strong certificate', () => {
    const h = voter(5)
    expect(hashes(h.receive(h.cc(commits(s1, [0, 1, 2]))), 'commit')).toEqual(['b1'])
  })

  it('§4.2: without an own vote there is no commit', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.proposal(0, 0, b1))
    h.receiveVotes(s1, [0, 1, 2])
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('§4.2: after quitting there is no commit', () => {
    const h = voter(4)
    h.receive(h.bc(blames(0, [0, 1])))
    expect(hashes(h.receiveVotes(s1, [0, 1, 2]), 'commit')).toEqual([])
  })

  it('§4.2: an equivocation does not stop a commit on a strong certificate', () => {
    const h = voter(5)
    h.receiveVotes(at(0, 0, c1), [1])
    expect(hashes(h.receiveVotes(s1, [0, 2, 3]), 'commit')).toEqual(['b1'])
  })

  it('§4.2: q commits commit the block, once; more of them raise its assurance', () => {
    const h = voter(5)
    const certificate = votes(s1, [0, 1, 2])
    // The certificate and the own vote are s votes: the member's own commit is the second.
    h.receive(h.commit(0, certificate))
    expect(hashes(h.effects, 'commit')).toEqual(['b1'])
    expect(ofType(h.effects, 'commit')).toEqual([])
    h.receive(h.commit(1, certificate))
    expect(ofType(h.effects, 'commit')).toHaveLength(1)
    const effects = h.receive(h.commit(3, certificate))
    expect(ofType(effects, 'commit')).toEqual([])
    expect(ofType(effects, 'assurance')).toHaveLength(1)
  })

  it('§3: a commit without the certificate it rests on is ignored', () => {
    const h = voter(4)
    for (const from of [0, 1, 2]) h.receive({ ...h.commit(from, votes(s1, [0, 1, 2])), certificate: null })
    expect(ofType(h.effects, 'commit')).toEqual([])
    expect(hashes(h.effects, 'commit')).toEqual([])
  })
})

describe('§4.2 commits on a weak certificate (n = 5: q = 3, s = 4)', () => {
  const weak = (): Hand => {
    const h = voter(5)
    h.receiveVotes(s1, [0, 1])
    return h
  }

  it('waits more than 2Δ from the certificate, and for q acknowledgements, itself included', () => {
    const h = weak()
    expect(h.timer('commit').afterMs).toBeGreaterThan(2 * DELTA_MS)
    h.elapse('commit')
    h.acknowledge(s1, [0])
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(hashes(h.acknowledge(s1, [1]), 'commit')).toEqual(['b1'])
  })

  it('a timer without a certificate commits nothing', () => {
    const h = voter(5)
    h.acknowledge(s1)
    h.receiveVotes(s1, [0])
    expect(ofType(h.effects, 'startTimer').filter(({ timer }) => timer.kind === 'commit')).toEqual([])
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('the wait begins anew for nobody: votes that come in meanwhile make the certificate strong', () => {
    expect(hashes(weak().receiveVotes(s1, [2]), 'commit')).toEqual(['b1'])
  })

  it.each([
    ['an equivocation', (h: Hand) => h.receiveVotes(at(0, 0, c1), [3])],
    ['a BC for the view', (h: Hand) => h.receive(h.bc(blames(0, [0, 1, 2])))],
    [
      'a CC of a conflicting block',
      (h: Hand) => [h.give({ type: 'headers', blocks: [c1] }), h.receive(h.cc(commits(at(0, 0, c1), [0, 1, 3])))],
    ],
  ])('%s during the wait → no commit', (_, happens) => {
    const h = weak()
    h.acknowledge(s1)
    const { timer } = h.timer('commit')
    happens(h)
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('§4.3: at expiry an echo goes out, and what arrives before the answers is handled first', () => {
    const h = weak()
    h.acknowledge(s1)
    const fired = h.give({ type: 'elapsed', timer: h.timer('commit').timer })
    expect(ofType(fired, 'echo').map(({ to }) => to)).toEqual([[0, 1, 2, 3]])
    h.receiveVotes(at(0, 0, c1), [3])
    h.answerEchoes(fired)
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('§4.3: the wait ends Δ later if a link does not answer', () => {
    const h = weak()
    h.acknowledge(s1)
    const [echo] = ofType(h.give({ type: 'elapsed', timer: h.timer('commit').timer }), 'echo')
    h.give({ type: 'echoed', from: 0, nonce: echo?.nonce ?? -1 })
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(h.timer('echo').afterMs).toBe(DELTA_MS)
    expect(hashes(h.give({ type: 'elapsed', timer: h.timer('echo').timer }), 'commit')).toEqual(['b1'])
  })

  it('§4.3: a stall of at most Δ/4 changes nothing', () => {
    const h = weak()
    h.acknowledge(s1)
    h.stall(DELTA_MS / 4)
    expect(hashes(h.elapse('commit'), 'commit')).toEqual(['b1'])
  })

  it('§4.3: a stall of more than Δ/4 starts the commit wait over, after Δ', () => {
    const h = weak()
    h.acknowledge(s1)
    const { timer } = h.timer('commit')
    h.stall(DELTA_MS / 4 + 1)
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(h.timer('settle').afterMs).toBe(DELTA_MS)
    h.elapse('settle')
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(h.timer('commit').timer).not.toEqual(timer)
    expect(hashes(h.elapse('commit'), 'commit')).toEqual(['b1'])
  })
})

describe('§4.3 a stalled member', () => {
  it('neither votes nor commits for Δ, on a strong certificate either', () => {
    const h = voter(4)
    h.stall(50)
    h.receiveVotes(s1, [0, 1, 2])
    h.accept(h.proposal(0, 1, b2, { parentCertificate: votes(s1, [0, 1, 2]) }))
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(hashes(h.effects, 'vote')).toEqual(['b1'])
    const effects = h.elapse('settle')
    expect(hashes(effects, 'commit')).toContain('b1')
    expect(hashes(effects, 'vote')).toEqual(['b2'])
  })

  it('longer than Δ → as after a restart: asks all others and signs nothing for more than 2Δ', () => {
    const h = voter(4)
    const effects = h.stall(DELTA_MS + 1)
    expect(receivers(effects, 'ask')).toEqual([0, 1, 2])
    expect(h.timer('restart').afterMs).toBeGreaterThan(2 * DELTA_MS)
    h.receiveVotes(s1, [0, 1, 2])
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(hashes(h.elapse('restart'), 'commit')).toEqual(['b1'])
  })

  it('longer than Δ → no commit on a weak certificate in that view', () => {
    const h = voter(5)
    h.stall(DELTA_MS + 1)
    h.elapse('restart')
    h.receiveVotes(s1, [0, 1])
    h.acknowledge(s1)
    h.elapse('commit')
    expect(hashes(h.effects, 'commit')).toEqual([])
    expect(hashes(h.receiveVotes(s1, [2]), 'commit')).toEqual(['b1'])
  })

  it('a short stall of one that reaches fewer than q members → as after a restart', () => {
    const h = voter(4)
    for (const member of [0, 1]) h.give({ type: 'disconnected', member })
    h.stall(50)
    expect(h.state.phase).toBe('restarting')
  })

  it('the quit wait starts over', () => {
    const h = voter(4)
    h.receive(h.bc(blames(0, [0, 1])))
    const { timer } = h.timer('quit')
    h.stall(50)
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(h.state.view).toBe(0)
    h.elapse('quit')
    expect(h.state.view).toBe(1)
  })

  describe('goes on with everything else', () => {
    it('its progress timeout ends in one blame', () => {
      const h = new Hand(4, 3).start()
      h.stall(50)
      h.elapse('progress')
      h.elapse('settle')
      expect(sent(h.effects, 'blame')).toHaveLength(1)
    })
    it('censorship is blamed at once', () => {
      const h = new Hand(4, 3).start()
      h.stall(50)
      expect(sent(h.give({ type: 'censored', view: 0 }), 'blame')).toHaveLength(1)
    })
    it('it enters the next view, and its status leaves', () => {
      const h = new Hand(4, 3).start()
      h.receive(h.bc(blames(0, [0, 1])))
      h.stall(50)
      h.elapse('quit')
      expect(h.state).toMatchObject({ view: 1, settling: true })
      expect(sent(h.effects, 'status')).toHaveLength(1)
    })
    it('also through a handover', () => {
      const h = new Hand(4, 3).start()
      h.stall(50)
      h.receive(h.cc(commits(at(0, 3, b2), [0, 1, 2])))
      expect(h.state).toMatchObject({ view: 1, settling: true })
      expect(sent(h.effects, 'status')).toHaveLength(1)
    })
    it('a proposal whose write ends meanwhile leaves', () => {
      const h = new Hand(4, 0).start()
      h.diskHeld = true
      h.give({ type: 'built', view: 0, seq: 0, block: b1 })
      h.stall(50)
      expect(sent(h.write(), 'proposal')).toHaveLength(1)
    })
  })

  it('first handles all that has arrived: Δ is counted from when every link has answered an echo, or Δ has passed', () => {
    const h = voter(4)
    const effects = h.give({ type: 'stalled', stalledMs: 50 })
    expect(ofType(effects, 'echo')).toHaveLength(1)
    expect(ofType(effects, 'startTimer').map(({ timer }) => timer.kind)).not.toContain('settle')
    expect(ofType(h.answerEchoes(effects), 'startTimer')).toMatchObject([
      { timer: { kind: 'settle' }, afterMs: DELTA_MS },
    ])
  })

  it('twice: the second stall starts it over', () => {
    const h = voter(4)
    h.stall(50)
    const { timer } = h.timer('settle')
    h.stall(60)
    h.answerEchoes(h.give({ type: 'elapsed', timer }))
    expect(h.state.settling).toBe(true)
    h.elapse('settle')
    expect(h.state.settling).toBe(false)
  })

  it('longer than Δ, a write of a commit is under way → the commit does not leave with it', () => {
    const h = voter(4)
    h.diskHeld = true
    h.receiveVotes(s1, [0, 1])
    h.stall(5000)
    expect(hashes(h.write(), 'commit')).toEqual([])
  })

  it('one that no longer reaches q members, without any stall → as after a restart, until more than 2Δ after it does again', () => {
    const h = voter(4)
    h.give({ type: 'disconnected', member: 0 })
    expect(h.state.phase).toBe('running')
    h.give({ type: 'disconnected', member: 1 })
    expect(h.state.phase).toBe('restarting')
    const before = ofType(h.effects, 'startTimer').filter(({ timer }) => timer.kind === 'restart').length
    expect(before).toBe(0)
    expect(receivers(h.give({ type: 'connected', member: 1, run: 'run 1' }), 'ask')).toEqual([1])
    expect(h.timer('restart').afterMs).toBeGreaterThan(2 * DELTA_MS)
    expect(hashes(h.elapse('restart'), 'vote')).toEqual(['b1'])
  })

  it('one that has not reached q members yet since its first start is not taken for one that has stopped', () => {
    const h = new Hand(4, 3)
    h.give({ type: 'start' }, { type: 'connected', member: 0, run: 'run 1' }, { type: 'disconnected', member: 0 })
    expect(h.state.phase).toBe('running')
  })
})

describe('§4.3 every wait', () => {
  it('the progress timeout too: what is due when it fires is handled first', () => {
    const h = new Hand(4, 3).start()
    h.give({ type: 'headers', blocks: [b1] })
    const fired = h.give({ type: 'elapsed', timer: h.timer('progress').timer })
    expect(ofType(fired, 'echo')).toHaveLength(1)
    h.receive(h.cc(commits(s1, [0, 1, 2])))
    expect(sent(h.answerEchoes(fired), 'blame')).toEqual([])
  })
  it('one that has been started over meanwhile asks for no echo', () => {
    const h = voter(5)
    h.receiveVotes(s1, [0, 1])
    const { timer } = h.timer('commit')
    h.stall(50)
    expect(ofType(h.give({ type: 'elapsed', timer }), 'echo')).toEqual([])
  })
  it('acknowledgements of an earlier run do not count for a commit', () => {
    const h = voter(5)
    h.receiveVotes(s1, [0, 1])
    h.elapse('commit')
    const keys = ['vote/0/0/b1']
    expect(
      hashes(h.give(...[0, 1].map((from) => ({ type: 'acknowledged' as const, from, run: 'run 0', keys }))), 'commit'),
    ).toEqual([])
    expect(hashes(h.acknowledge(s1, [0, 1]), 'commit')).toEqual(['b1'])
  })
})
