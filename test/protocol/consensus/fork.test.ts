/** agreement.md §4.2, last paragraph, and §2: forks, and CCs whose place in the tree is not known yet. */
import { describe, expect, it } from 'vitest'
import type { Block } from '../../../protocol/consensus/types.ts'
import { at, blames, child, commits, FIRST, Hand, hashes, ofType, receivers, sent, votes } from './helper.ts'

const b1 = child(FIRST, 'b1')
const b2 = child(b1, 'b2')
const c1 = child(FIRST, 'c1')
const c2 = child(c1, 'c2')
const ccB1 = commits(at(0, 0, b1), [0, 1, 2])
const ccC1 = commits(at(0, 0, c1), [0, 3, 4])

/** Member 4 of 5 that holds CCs of b1 and c1. */
const forked = (): Hand => {
  const h = new Hand(5, 4).start()
  h.give({ type: 'headers', blocks: [b1, c1] })
  h.receive(h.cc(ccB1), h.cc(ccC1))
  return h
}

describe('§4.2 a member that holds CCs of two conflicting blocks', () => {
  it('tells it as evidence, once, against nobody', () => {
    const h = forked()
    h.receive(h.cc(ccC1))
    const found = ofType(h.effects, 'evidence').map(({ evidence }) => evidence)
    expect(found).toMatchObject([{ kind: 'fork', era: 0, first: { hash: 'b1' }, second: { hash: 'c1' } }])
  })

  it('shows both to everyone, until each has acknowledged, and to whoever connects later', () => {
    const h = forked()
    for (const hash of ['b1', 'c1'])
      expect(
        receivers(
          h.effects.filter((e) => e.type === 'send' && e.key === `cc/0/0/${hash}`),
          'cc',
        ),
      ).toEqual(expect.arrayContaining([0, 1, 2, 3]))
    h.give({ type: 'acknowledged', from: 1, run: 'run 1', keys: ['cc/0/0/b1'] })
    const again = [h.elapse('repeat'), h.elapse('repeat'), h.elapse('repeat')].flat()
    expect(again.flatMap((e) => (e.type === 'send' && e.to === 1 ? [e.key] : []))).toContain('cc/0/0/c1')
    expect(again.flatMap((e) => (e.type === 'send' && e.to === 1 ? [e.key] : []))).not.toContain('cc/0/0/b1')
    const later = h.give({ type: 'connected', member: 2, run: 'run 2' })
    expect(sent(later, 'cc').map(({ certificate }) => certificate.hash)).toEqual(['b1', 'c1'])
  })

  it('signs nothing more', () => {
    const h = forked()
    const before = h.effects.length
    h.accept(h.proposal(0, 0, b1))
    h.accept(h.proposal(0, 1, b2, { parentCertificate: votes(at(0, 0, b1), [0, 1, 2]) }))
    h.give({ type: 'censored', view: 0 })
    h.receive(h.bc(blames(0, [0, 1, 2])))
    for (const kind of ['vote', 'commit', 'blame', 'bc', 'status'] as const)
      expect(sent(h.effects.slice(before), kind)).toEqual([])
  })

  it('goes on serving: answers and acknowledges', () => {
    const h = forked()
    expect(sent(h.receiveFrom(2, { kind: 'ask', era: 0, nonce: 3 }), 'answer')).toHaveLength(1)
    expect(ofType(h.receiveFrom(2, h.vote(2, at(0, 1, b2)), 'v'), 'acknowledge')).toHaveLength(1)
  })

  it('writes it down, and is forked again after a restart', () => {
    const h = forked()
    expect(h.record.fork).toMatchObject({ first: { hash: 'b1' }, second: { hash: 'c1' } })
    const again = new Hand(5, 4, { beginning: { kind: 'restart', record: h.record } }).start()
    expect(again.state.phase).toBe('forked')
    expect(sent(again.effects, 'cc').map(({ certificate }) => certificate.hash)).toEqual(['b1', 'c1'])
    again.accept(again.proposal(0, 0, b1))
    expect(hashes(again.effects, 'vote')).toEqual([])
  })

  it('a fork in an earlier era stops the core of the present one, durably', () => {
    const ending = child(FIRST, 'e1', true)
    const h = new Hand(5, 4, { era: 1, first: ending }).start()
    h.give({ type: 'forked', fork: { era: 0, first: ccB1, second: ccC1 } })
    expect(h.state.phase).toBe('forked')
    expect(h.record.fork?.era).toBe(0)
    expect(sent(h.effects, 'cc')).toEqual([])
  })
})

describe('§2 a CC and missing headers', () => {
  it('of a lower block: its height alone shows that it conflicts with the committed chain', () => {
    const h = new Hand(5, 4).start()
    h.give({ type: 'headers', blocks: [b1, b2] })
    h.receive(h.cc(commits(at(0, 1, b2), [0, 1, 2])))
    // The header of c1 is unknown, and not needed: the block at its height is b1.
    h.receive(h.cc(ccC1))
    expect(h.state.phase).toBe('forked')
  })

  it('of a higher block: counts as a conflict, is fetched, and looked at again', () => {
    const h = new Hand(5, 4).start()
    const effects = h.receive(h.cc(commits(at(0, 1, b2), [0, 1, 2])))
    expect(ofType(effects, 'fetchHeaders')).toEqual([{ type: 'fetchHeaders', hash: 'b2', height: 2 }])
    h.accept(h.proposal(0, 0, b1))
    expect(hashes(h.effects, 'vote')).toEqual([])
    const [commit] = ofType(h.give({ type: 'headers', blocks: [b2] }), 'commit')
    expect(commit?.certificate.hash).toBe('b2')
    expect(hashes(h.effects, 'vote')).toEqual(['b1'])
  })

  it('headers that come in parts are asked for part by part', () => {
    const chain: Block[] = []
    for (let i = 0; i < 9; i++) chain.push(child(chain.at(-1) ?? FIRST, `x${i + 1}`))
    const h = new Hand(5, 4).start()
    h.receive(h.cc(commits(at(0, 0, chain[8] as Block), [0, 1, 2])))
    const next = h.give({ type: 'headers', blocks: chain.slice(5) })
    expect(ofType(next, 'fetchHeaders')).toEqual([{ type: 'fetchHeaders', hash: 'x5', height: 5 }])
    expect(ofType(h.give({ type: 'headers', blocks: chain.slice(0, 5) }), 'commit')).toHaveLength(1)
  })

  it('of a block below all remembered headers: the ledger is asked; another block there is a fork', () => {
    for (const committed of [true, false]) {
      const h = new Hand(5, 4).start()
      let tip = FIRST
      for (let i = 0; i < 200; i++) {
        tip = child(tip, `x${i + 1}`)
        h.give({ type: 'headers', blocks: [tip] })
        h.receive(h.cc(commits(at(i, 0, tip), [0, 1, 2])))
      }
      const old = commits(at(3, 0, child(child(FIRST, 'y1'), 'y2')), [0, 1, 2])
      const effects = h.receive(h.cc(old))
      expect(ofType(effects, 'checkCommitted')).toEqual([{ type: 'checkCommitted', hash: 'y2', height: 2 }])
      h.give({ type: 'checked', hash: 'y2', committed })
      expect(h.state.phase).toBe(committed ? 'running' : 'forked')
    }
  })

  it('one member’s CC of an unknown block does not displace another’s', () => {
    const h = new Hand(5, 4).start()
    h.receiveFrom(0, h.cc(commits(at(0, 1, b2), [0, 1, 2])))
    h.receiveFrom(1, h.cc(commits(at(0, 2, child(c2, 'c3')), [0, 1, 3])))
    expect([...h.state.unplaced.values()].map(({ hash }) => hash)).toEqual(['b2', 'c3'])
  })
})
