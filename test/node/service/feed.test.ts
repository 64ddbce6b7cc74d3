import { describe, expect, it } from 'vitest'
import type { FeedEvent } from '../../../node/api/dependencies.ts'
import { Feed, type FeedBlock } from '../../../node/service/feed.ts'
import { toHex } from '../../../protocol/bytes.ts'
import type { TrustPoint } from '../../../protocol/kinds/trust/record.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
import { CHAIN_ID, headerAt, NOW, secretKeyOf } from '../api/helper.ts'

const deviceKey = new Uint8Array(33).fill(2)
const device = addressOf(deviceKey)
const transaction = (kind: string, payload: Parameters<typeof signTransaction>[0]['payload']) => ({
  transaction: signTransaction({ kind, payload, nonce: new Uint8Array(16), validUntil: NOW }, CHAIN_ID, secretKeyOf(1)),
})
const block = (height: number, transactions: FeedBlock['transactions'] = []): FeedBlock => ({
  sealed: headerAt(height, transactions.length),
  transactions,
  trustPoints: [],
})
const ids = (events: readonly FeedEvent[]): string[] => events.map(({ id }) => id)

describe('feed', () => {
  it('feed: a block and what its transactions did to devices, each with the place in the chain as its id', () => {
    const feed = new Feed(0)
    const seen: FeedEvent[] = []
    feed.subscribe(undefined, (event) => seen.push(event))
    feed.add(
      block(1, [
        transaction('kv.put', ['a', Uint8Array.of(1)]),
        transaction('device.retire', [device]),
        transaction('device.register', [deviceKey, 'h', 'm', 'm', 'f', [], 's', 'enforce']),
      ]),
    )
    expect(seen.map(({ id, type }) => [id, type])).toEqual([
      ['1.0', 'block'],
      ['1.2', 'device.retire'],
      ['1.3', 'device.register'],
    ])
    expect(seen.slice(1).map(({ data }) => (data as { device: string }).device)).toEqual([toHex(device), toHex(device)])
  })

  it('feed: what followed for the trust in devices comes after the transactions of its block', () => {
    const feed = new Feed(0)
    const seen: FeedEvent[] = []
    feed.subscribe(undefined, (event) => seen.push(event))
    const point: TrustPoint = {
      ...{ sequence: 3, height: 1, time: NOW, trustPpm: 200_000, thresholdPpm: 300_000, raters: 3, below: 1 },
      status: 'suspect',
    }
    const trustPoints = [
      { device: 'aa', point },
      { device: 'bb', point },
    ]
    feed.add({ ...block(1, [transaction('device.retire', [device])]), trustPoints })
    expect(seen.slice(2)).toEqual([
      { id: '1.2', type: 'trust.change', data: { device: 'aa', ...point } },
      { id: '1.3', type: 'trust.change', data: { device: 'bb', ...point } },
    ])
    expect(ids(feed.subscribe('1.1', () => undefined).replay)).toEqual(['1.2', '1.3'])
  })

  it('feed: a follower that comes back → everything after its last id, and that nothing is missing', () => {
    const feed = new Feed(0)
    for (let height = 1; height <= 3; height++) feed.add(block(height, [transaction('device.retire', [device])]))
    const again = feed.subscribe('2.0', () => undefined)
    expect([ids(again.replay), again.gap]).toEqual([['2.1', '3.0', '3.1'], null])
    expect(feed.subscribe('0.0', () => undefined).gap).toBeNull()
  })

  it('feed: an id from before what is kept, or none of ours → a gap', () => {
    const feed = new Feed(100)
    feed.add(block(101))
    expect(feed.subscribe('99.0', () => undefined).gap).toBe('dropped')
    expect(feed.subscribe('100.0', () => undefined).gap).toBeNull()
    expect(feed.subscribe('of-another-node', () => undefined)).toMatchObject({ replay: [], gap: 'dropped' })
  })

  it('feed: a follower that comes from a member further on → a gap is announced, and nothing comes that it has seen', () => {
    const feed = new Feed(0)
    feed.add(block(1))
    const seen: FeedEvent[] = []
    const ahead = feed.subscribe('3.1', (event) => seen.push(event))
    expect([ahead.replay, ahead.gap]).toEqual([[], 'ahead'])
    for (let height = 2; height <= 4; height++) {
      const retire = [transaction('device.retire', [device]), transaction('device.retire', [device])]
      feed.add(block(height, retire))
    }
    expect(ids(seen)).toEqual(['3.2', '4.0', '4.1', '4.2'])
    expect(feed.subscribe('4.9', () => undefined).gap).toBeNull()
  })

  it('feed: who unsubscribed hears nothing more', () => {
    const feed = new Feed(0)
    const seen: FeedEvent[] = []
    const { close } = feed.subscribe(undefined, (event) => seen.push(event))
    expect(feed.followers).toBe(1)
    close()
    feed.add(block(1))
    expect([seen, feed.followers]).toEqual([[], 0])
  })

  it('feed: memory is bounded; what was dropped is announced to who asks for it', () => {
    const feed = new Feed(0)
    for (let height = 1; height <= 20_010; height++) feed.add(block(height))
    expect(feed.subscribe('5.0', () => undefined).gap).toBe('dropped')
    const kept = feed.subscribe('10.0', () => undefined)
    expect([kept.gap, kept.replay.length]).toEqual([null, 20_000])
  })
})
