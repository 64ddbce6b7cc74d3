/** What a node believes about its own removal: ends of eras that follow from its ledger, and nothing else. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { erasAnswer } from '../../node/light/messages.ts'
import { lastSeat } from '../../node/membership.ts'
import { follow, type Removal, RemovalWatch, removalSentence } from '../../node/removal.ts'
import { toHex } from '../../protocol/bytes.ts'
import { encodeAs } from '../../protocol/codec.ts'
import type { EraLink, TrustedEra } from '../../protocol/light.ts'
import { key } from '../protocol/kinds/consortium.ts'
import { adding, CHAIN_ID, endEra, GENESIS, type Node, open } from './executor/world.ts'
import { HandClock } from './intake/handClock.ts'

const hex = (n: number): string => toHex(key(n))
const FIRST: TrustedEra = { era: 0, height: 0, memberSet: GENESIS.memberSet }
const FIVE = [1, 2, 3, 4, 5]
const remove = (n: number) => ({ kind: 'remove' as const, publicKey: key(n) })
let node: Node
let links: EraLink[]
/** Five joins, four is removed, and joins again. */
beforeEach(async () => {
  node = await open()
  await endEra(node, adding(5))
  await endEra(node, remove(4), FIVE)
  await endEra(node, adding(4), [1, 2, 3, 5])
  links = node.executor.reads.eraLinks(0, 3) as EraLink[]
})

describe('removal', () => {
  it('the first era without the own key, with who signed its beginning; the others were never removed', () => {
    const found = follow(FIRST, links, hex(4), CHAIN_ID)
    expect(found).toEqual({ removal: { era: 2, height: 4, by: ['m1', 'm2', 'm3'], isKeyReplaced: false } })
    expect(follow(FIRST, links, hex(2), CHAIN_ID)).toMatchObject({ trusted: { era: 3, height: 6 } })
    expect(removalSentence((found as { removal: Removal }).removal)).toContain(
      'removed in era 2 at height 4 by m1, m2, m3',
    )
  })

  it('what does not follow from the own ledger says nothing', () => {
    const [first, second] = links as [EraLink, EraLink, EraLink]
    for (const lie of [
      [second],
      [first, first],
      [first, { ...second, memberSet: first.memberSet }],
      [first, { ...second, certificate: first.certificate }],
    ])
      expect(follow(FIRST, lie, hex(4), CHAIN_ID)).toBeUndefined()
  })

  it('a node whose ledger went on knows it from there, also after a restart', async () => {
    expect(lastSeat(node.executor.reads, 3, hex(5))?.trusted.era).toBe(2)
    await endEra(node, remove(5), FIVE)
    const seat = lastSeat(node.executor.reads, 4, hex(5))
    expect(seat && follow(seat.trusted, [seat.link], hex(5), CHAIN_ID)).toMatchObject({ removal: { era: 4 } })
    expect(lastSeat(node.executor.reads, 4, hex(9))).toBeUndefined()
  })
})

describe('a node that was off when it was removed', () => {
  let clock: HandClock
  let watch: RemovalWatch
  let present: TrustedEra | undefined
  let linked: string[]
  let asked: string[]
  let said: string[]
  let answerOf: (peer: string) => readonly EraLink[] | undefined
  beforeEach(() => {
    clock = new HandClock(0)
    ;[present, linked, asked, said] = [FIRST, [], [], []]
    answerOf = () => links
    watch = new RemovalWatch({
      own: hex(4),
      chainId: CHAIN_ID,
      clock,
      memberOf: () => present,
      lastSeat: () => undefined,
      network: {
        linkedPeers: () => linked,
        async request(peer) {
          asked.push(peer)
          const answer = answerOf(peer)
          if (answer === undefined) throw new Error('refused')
          return encodeAs(erasAnswer, [...answer])
        },
      },
      log: { error: (_fields: object, message: string) => void said.push(message) } as never,
    })
    watch.start()
  })
  afterEach(() => watch.stop())

  it('asks those who were members with it, says it once, and asks no more', async () => {
    await clock.pass(5_000)
    await clock.pass(60_000)
    expect(watch.removal).toMatchObject({ era: 2, height: 4 })
    expect(said).toEqual([expect.stringContaining('This node was removed in era 2 at height 4')])
    expect(asked.sort()).toEqual([1, 2, 3].map(hex).sort())
  })

  it('a liar among them changes nothing, and refusals only mean that it goes on asking', async () => {
    answerOf = () => undefined
    await clock.pass(20_000)
    answerOf = (peer) => (peer === hex(1) ? [links[1] as EraLink] : peer === hex(2) ? links : undefined)
    expect(watch.removal).toBeUndefined()
    await clock.pass(10_000)
    expect(watch.removal).toMatchObject({ era: 2 })
  })

  it('while a member is linked it asks nobody; once its ledger has come further, that says how it is', async () => {
    linked = [hex(1)]
    await clock.pass(30_000)
    expect(asked).toEqual([])
    linked = []
    await clock.pass(5_000)
    expect(watch.removal).toBeDefined()
    // Added again meanwhile.
    present = { ...FIRST, era: 3, height: 6 }
    expect(watch.removal).toBeUndefined()
    present = undefined
    expect(watch.removal).toBeUndefined()
  })
})
