import { beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../node/clock.ts'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { Intake } from '../../../node/intake/intake.ts'
import { Pool } from '../../../node/pool/pool.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeCbor, encodeCbor } from '../../../protocol/cbor.ts'
import { recoverDigest, sha3 } from '../../../protocol/crypto.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { registration, report } from '../../protocol/kinds/consortium.ts'
import { CHAIN_ID, grow, type Node, open, put, signed, TIME } from '../executor/world.ts'

installNativePrimitives()
let node: Node
let pool: Pool
let intake: Intake
let published: { topic: string; ids: string[] }[]

beforeEach(async () => {
  node = await open()
  await grow(node, [signed('device.register', 11, registration(21))])
  published = []
  const bounds = { countMax: 1000, bytesMax: 1_000_000, spanMs: 10, committedMax: 10, listenersMax: 10 }
  pool = new Pool({ ...bounds, blockTime: TIME }, () => 0)
  intake = new Intake(
    { chainId: CHAIN_ID, pieceBytesMax: 48 * 1024, gatherMs: 0 },
    {
      clock: systemClock,
      pool,
      recover: async (items) =>
        items.map((item) => ('body' in item ? recoverDigest(sha3(item.body), item.signature) : undefined)),
      surroundings: () => node.executor.surroundings(TIME),
      publish: async (topic, piece) => {
        published.push({ topic, ids: (decodeCbor(piece) as Uint8Array[]).map((bytes) => toHex(sha3(bytes))) })
      },
      arrived: () => undefined,
      submitted: () => undefined,
      isBusy: () => false,
      pace: { nowMs: () => 0, breathe: async () => undefined },
    },
  )
})

const piece = (...transactions: SignedTransaction[]): Uint8Array =>
  encodeCbor(transactions.map(({ transaction }) => transaction.bytes))

describe('intake', () => {
  it('what is submitted is gossiped on the topic of its kind: reports of devices apart from the rest', async () => {
    const own = signed('device.report', 21, report(21))
    const behalf = signed('device.report', 11, report(21))
    const other = put('x')
    const bytes = [own, other, behalf].map(({ transaction }) => transaction.bytes)
    expect(await intake.submit(bytes)).toEqual(['OK', 'OK', 'OK'])
    intake.flush()
    expect(published).toEqual([
      { topic: 'transactions', ids: [toHex(other.transaction.id)] },
      { topic: 'reports', ids: [toHex(own.transaction.id), toHex(behalf.transaction.id)] },
    ])
  })

  it('a piece on either topic → the same path into the pool; a kind on the topic of others → GOSSIP_TOPIC and reject', async () => {
    const own = signed('device.report', 21, report(21))
    expect(await intake.receive('reports', piece(own))).toEqual(['OK'])
    expect(await intake.receive('transactions', piece(put('x')))).toEqual(['OK'])
    expect(pool.stats.count).toBe(2)
    const late = signed('device.report', 21, report(21))
    expect(await intake.receive('reports', piece(put('y'), late))).toEqual(['GOSSIP_TOPIC', 'OK'])
    expect(await intake.receive('transactions', piece(signed('device.report', 21, report(21))))).toEqual([
      'GOSSIP_TOPIC',
    ])
    expect(await intake.judge('reports', piece(put('z')))).toBe('reject')
    expect(pool.stats.count).toBe(3)
  })

  it('a verdict on a piece: what nobody honest passes on → reject; what depends on state or load → accept', async () => {
    const judge = (topic: 'reports' | 'transactions', ...transactions: SignedTransaction[]) =>
      intake.judge(topic, piece(...transactions))
    expect(await intake.judge('reports', Uint8Array.of(0xff))).toBe('reject')
    expect(await intake.judge('reports', encodeCbor([Uint8Array.of(1)]))).toBe('reject')
    expect(await intake.judge('reports', encodeCbor([new Uint8Array(LIMITS.transactionBytesMax + 1)]))).toBe('reject')
    expect(await judge('reports', signed('device.report', 21, report(21, 1)))).toBe('reject')
    expect(await judge('reports', signed('device.report', 99, report(21)))).toBe('accept')
    const own = signed('device.report', 21, report(21))
    expect(await judge('reports', own)).toBe('accept')
    expect(await judge('reports', own)).toBe('accept')
    expect(await intake.judge('proposals', piece(put('x')))).toBe('ignore')
  })

  it('each report that comes into the pool is heard once, from wherever it came; nothing else is', async () => {
    const heard: SignedTransaction[] = []
    intake.onReport((one) => heard.push(one))
    const [own, gossiped] = [signed('device.report', 21, report(21)), signed('device.report', 21, report(21))]
    await intake.submit([own.transaction.bytes, put('x').transaction.bytes])
    await intake.receive('reports', piece(gossiped, own))
    expect(heard.map(({ transaction }) => transaction.id)).toEqual([own.transaction.id, gossiped.transaction.id])
    expect(heard.map(({ signer }) => signer)).toEqual([own.signer, gossiped.signer])
  })
})
