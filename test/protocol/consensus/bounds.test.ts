/** agreement.md §3, Reception: what is remembered is bounded per sender, and no sender displaces another's. */
import { describe, expect, it } from 'vitest'
import type { Effect, Event } from '../../../protocol/consensus/events.ts'
import { LATER_VIEWS_MAX } from '../../../protocol/consensus/reception.ts'
import { step } from '../../../protocol/consensus/step.ts'
import { entriesOf } from '../../simulation/checker.ts'
import { at, blamedBy, blames, child, commits, FIRST, Hand, hashes, ofType, votes } from './helper.ts'

const b1 = child(FIRST, 'b1')
const c1 = child(FIRST, 'c1')
const acknowledged = (effects: readonly Effect[]): number => ofType(effects, 'acknowledge').length
const leaderSignature = new Uint8Array(1)

describe('§3 Reception', () => {
  it('votes of one sender in later views: a few views are remembered; the rest is not acknowledged, so that it is repeated', () => {
    const h = new Hand(4, 3).start()
    for (let view = 20; view < 60; view++) h.receiveVotes(at(view, 0, b1), [1])
    expect([...h.state.views.keys()].filter((view) => view > 0)).toHaveLength(LATER_VIEWS_MAX)
    const refused = h.receiveFrom(1, h.vote(1, at(70, 0, b1)), 'far')
    expect(acknowledged(refused)).toBe(0)
    expect(h.state.views.has(70)).toBe(false)
    // Another one's are taken all the same.
    expect(acknowledged(h.receiveFrom(2, h.vote(2, at(71, 0, b1)), 'far'))).toBe(1)
    expect(h.state.views.has(71)).toBe(true)
  })

  it('views that are entered free the places of later ones', () => {
    const h = new Hand(4, 3).start()
    for (let view = 1; view <= LATER_VIEWS_MAX; view++) h.receive(h.blame(1, view))
    expect(acknowledged(h.receiveFrom(1, h.blame(1, 30), 'far'))).toBe(0)
    h.receive(h.bc(blames(5, [0, 1])))
    h.elapse('quit')
    expect(acknowledged(h.receiveFrom(1, h.blame(1, 30), 'far'))).toBe(1)
  })

  it('equivocations shown with blames of far views count for the sender that shows them', () => {
    const h = new Hand(4, 3).start()
    for (let view = 4; view < 4004; view += 4) {
      const equivocation = {
        first: { ...at(view, 0, b1), leaderSignature },
        second: { ...at(view, 0, c1), leaderSignature },
      }
      h.receive({ ...h.blame(0, view), equivocation })
    }
    expect(h.state.views.size).toBeLessThanOrEqual(LATER_VIEWS_MAX + 1)
  })

  it('places far above what is certified are refused; as certificates come they are taken', () => {
    const h = new Hand(4, 3, { termBlocks: 10_000 }).start()
    for (let seq = 0; seq < 500; seq++) h.receiveVotes(at(0, seq, b1), [1])
    expect(h.state.views.get(0)?.places.size).toBe(64)
    expect(acknowledged(h.receiveFrom(1, h.vote(1, at(0, 200, b1)), 'high'))).toBe(0)
    h.receive(h.commit(2, votes(at(0, 150, c1), [0, 1, 2])))
    expect(acknowledged(h.receiveFrom(1, h.vote(1, at(0, 200, b1)), 'high'))).toBe(1)
  })

  it('a third block of one sender at one place is not kept', () => {
    const h = new Hand(4, 3).start()
    for (let i = 0; i < 20; i++) h.receiveVotes(at(0, 0, child(FIRST, `x${i}`)), [0])
    h.receiveVotes(at(0, 0, b1), [1, 2])
    const candidates = h.state.views.get(0)?.places.get(0) ?? []
    expect(candidates.filter((candidate) => candidate.votes.has(0))).toHaveLength(2)
    expect(candidates.find(({ slot }) => slot.hash === 'b1')?.votes.size).toBe(2)
  })

  it('certificates of very many later views are not all kept, and the CC that closes the highest one still takes the member there', () => {
    const h = new Hand(4, 3).start()
    for (let view = 1; view < 200; view++) h.receive(h.commit(1, votes(at(view, 0, b1), [0, 1, 2])))
    expect(h.state.views.size).toBeLessThan(60)
    h.receive(h.cc(commits(at(300, 3, b1), [0, 1, 2])))
    expect(h.state.view).toBe(301)
  })

  it('a certificate of heights that differ is none', () => {
    const h = new Hand(4, 3).start()
    h.accept(h.proposal(0, 0, b1))
    h.receiveVotes({ ...at(0, 0, b1), height: 9 }, [0])
    h.receiveVotes(at(0, 0, b1), [1])
    expect(hashes(h.effects, 'commit')).toEqual([])
  })

  it('what an era has outranked is acknowledged and forgotten', () => {
    const h = new Hand(4, 3).start()
    h.receive(h.bc(blames(0, [0, 1])))
    h.elapse('quit')
    h.receive(h.bc(blames(1, [0, 1])))
    h.elapse('quit')
    const before = entriesOf(h.state)
    expect(acknowledged(h.receiveFrom(1, h.vote(1, at(0, 0, b1)), 'old'))).toBe(1)
    expect(acknowledged(h.receiveFrom(1, h.blame(1, 0), 'old'))).toBe(1)
    expect(entriesOf(h.state)).toBe(before)
  })

  it('ten thousand messages of f liars: the state stays small, and the honest ones’ are all taken', () => {
    const h = new Hand(7, 6, { termBlocks: 1000 }).start()
    for (let i = 0; i < 3334; i++)
      for (const from of [0, 1, 2]) {
        const view = (i * 7919) % 5000
        const block = { ...b1, hash: `x${i}` }
        const message = [
          h.vote(from, at(view, i % 1000, block)),
          h.blame(from, view),
          h.status(from, view + 1, null),
          h.proposal(view, i % 1000, block),
          h.commit(from, votes(at(0, 0, b1), [0, 1, 2, 3])),
          h.answer(view, blamedBy(blames(Math.max(0, view - 1), [0, 1, 2, 3])), {
            tip: votes(at(0, 0, b1), [0, 1, 2, 3]),
          }),
        ][i % 6]
        if (message !== undefined && message.kind !== 'answer') h.receiveFrom(from, message, `${i}`)
      }
    expect(entriesOf(h.state)).toBeLessThan(1500)
    const view = h.state.view
    const effects = [3, 4, 5].flatMap((from) => h.receiveFrom(from, h.vote(from, at(view, 0, b1)), 'honest'))
    expect(acknowledged(effects)).toBe(3)
  })

  it('3000 blocks later the state is as large as after 250', () => {
    const h = new Hand(4, 3, { termBlocks: 100 }).start()
    const sizes: number[] = []
    let tip = FIRST
    for (let i = 0; i < 3000; i++) {
      const view = Math.floor(i / 100)
      const seq = i % 100
      const block = child(tip, `x${i}`)
      const slot = at(view, seq, block)
      h.give({ type: 'headers', blocks: [block] })
      h.receiveVotes(slot, [0, 1, 2])
      h.receive(h.cc(commits(slot, [0, 1, 2])))
      if (i % 11 === 0) h.elapse('repeat')
      h.effects.length = Math.min(h.effects.length, 4)
      tip = block
      if (i === 250 || i === 2950) sizes.push(entriesOf(h.state))
    }
    expect(sizes[1]).toBeLessThanOrEqual((sizes[0] ?? 0) + 70)
  })
})

describe('step', () => {
  it('never changes the state that it is given: the same event twice gives the same', () => {
    const freeze = (value: unknown, seen = new Set<unknown>()): void => {
      if (typeof value !== 'object' || value === null || seen.has(value) || value instanceof Uint8Array) return
      seen.add(value)
      Object.freeze(value)
      for (const inner of value instanceof Map || value instanceof Set ? value.values() : Object.values(value))
        freeze(inner, seen)
    }
    const h = new Hand(5, 4)
    const events: Event[] = [
      { type: 'start' },
      { type: 'connected', member: 0, run: 'run 1' },
      { type: 'connected', member: 1, run: 'run 1' },
      { type: 'message', from: 0, key: 'p', message: h.proposal(0, 0, b1) },
      { type: 'validated', hash: 'b1', valid: true },
      { type: 'persisted', ticket: 1 },
      { type: 'message', from: 0, key: 'v', message: h.vote(0, at(0, 0, b1)) },
      { type: 'message', from: 1, key: 'v', message: h.vote(1, at(0, 0, b1)) },
      { type: 'message', from: 2, key: 'v', message: h.vote(2, at(0, 0, c1)) },
      { type: 'message', from: 1, key: 'b', message: h.bc(blames(0, [0, 1, 2])) },
      { type: 'elapsed', timer: { kind: 'repeat' } },
      { type: 'stalled', stalledMs: 60 },
    ]
    let { state } = h
    for (const event of events) {
      freeze(state)
      const sizes = (s: typeof state): number => entriesOf(s)
      const before = sizes(state)
      const one = step(state, event)
      const two = step(state, event)
      expect(sizes(state)).toBe(before)
      expect(two).toEqual(one)
      state = one.state
    }
  })
})
