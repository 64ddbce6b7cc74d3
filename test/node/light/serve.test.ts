import type { Connection } from '@libp2p/interface'
import { encode } from 'uint8-varint'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../node/clock.ts'
import type { CommittedBlock } from '../../../node/executor/executor.ts'
import { LIGHT_LIMITS } from '../../../node/light/limits.ts'
import { decodeAnswer, decodeFrame } from '../../../node/light/messages.ts'
import { serveDevices } from '../../../node/light/serve.ts'
import { Framed } from '../../../node/network/framed.ts'
import { exchangeHello, NETWORK_VERSION } from '../../../node/network/hello.ts'
import type { NetworkLimits } from '../../../node/network/limits.ts'
import { toHex } from '../../../protocol/bytes.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import { chainIdOf } from '../../../protocol/genesis.ts'
import { dial, gone, keyOf, type Party, party, stopAll, stranger, until } from '../../network/helper.ts'
import { registration, report } from '../../protocol/kinds/consortium.ts'
import { GENESIS, grow, type Node, open, put, signed } from '../executor/world.ts'

afterEach(stopAll)

const CHAIN_ID = chainIdOf(GENESIS)
const hello = { chainId: CHAIN_ID, version: NETWORK_VERSION, run: new Uint8Array(16).fill(5) }
const protocolOf = (name: string): string => `/althing/${toHex(CHAIN_ID).slice(0, 16)}/${name}/1`
const PUSHES = '/althing/pushes/1'

type Served = {
  member: Party
  node: Node
  submitted: Uint8Array[]
  commit(block: Partial<CommittedBlock>): void
  report(one: SignedTransaction): void
}

/** Party 1 serves the chain of `node` to the devices 21 and 22. */
async function served(limits: Partial<NetworkLimits> = {}): Promise<Served> {
  const node = await open()
  await grow(node, [signed('device.register', 11, registration(21)), signed('device.register', 11, registration(22))])
  const submitted: Uint8Array[] = []
  const commits: ((blocks: readonly CommittedBlock[]) => void)[] = []
  const reports: ((one: SignedTransaction) => void)[] = []
  const member = await party(1, {
    roles: new Map([
      [keyOf(21), 'device'],
      [keyOf(22), 'device'],
    ]),
    chainId: CHAIN_ID,
    limits,
  })
  serveDevices({
    chainId: CHAIN_ID,
    network: member.network,
    executor: node.executor,
    clock: systemClock,
    intake: {
      submit: async (encoded) => {
        submitted.push(...encoded)
        return encoded.map(() => 'OK')
      },
      onReport: (listener) => reports.push(listener),
    },
    onCommitted: (listener) => commits.push(listener),
  })
  return {
    member,
    node,
    submitted,
    commit: (block) => commits[0]?.([{ devicesChanged: [], ...block } as unknown as CommittedBlock]),
    report: (one) => reports[0]?.(one),
  }
}

/** Asks on a stream of its own, without the manners of our own client; the frame that came back, or how it failed. */
async function ask(connection: Connection, name: string, bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const stream = await connection.newStream(protocolOf(name), { maxOutboundStreams: 1000 })
  const framed = new Framed(stream, { frameBytesMax: 1 << 20 })
  await framed.write(bytes, 2000)
  const answer = await framed.read(AbortSignal.timeout(2000))
  await stream.close()
  return answer
}

/** Does it again and again, until the connection is cut or ten seconds have passed. */
async function untilCut(connection: Connection, deed: () => Promise<unknown>): Promise<void> {
  // A stream that is being opened when the connection is cut would be waited for in vain.
  const closed = new Promise((resolve) => connection.addEventListener('close', resolve, { once: true }))
  const end = performance.now() + 10_000
  while (connection.status === 'open' && performance.now() < end) {
    await Promise.race([deed().catch(() => undefined), closed])
    await new Promise(setImmediate)
  }
  await gone(connection, 'cut')
}

async function subscribe(connection: Connection): Promise<Framed> {
  const framed = new Framed(await connection.newStream(PUSHES, { maxOutboundStreams: 1000 }), {
    frameBytesMax: 1 << 20,
  })
  await exchangeHello(framed, hello, true, 2000)
  return framed
}

const cuts = (member: Party): number => member.network.traffic().cuts['penalties'] ?? 0
const STATUS_ANSWER = 0
const STATUS_BUSY = 1

describe('devices that behave', () => {
  it('hand in their report, ask for a proof and a receipt, hear headers and their segment', async () => {
    const { member, node, submitted, commit, report: tell } = await served()
    const connection = await dial(await stranger(21), member)
    const own = signed('device.report', 21, report(21))
    const frame = (await ask(connection, 'submit', own.transaction.bytes)) as Uint8Array
    expect(frame[0]).toBe(STATUS_ANSWER)
    expect(decodeAnswer(frame.subarray(1))).toEqual({ code: 'OK', proof: null })
    expect(submitted).toHaveLength(1)
    const framed = await subscribe(connection)
    expect(decodeFrame((await framed.read()) as Uint8Array).kind).toBe('header')
    tell(signed('device.report', 22, report(22)))
    tell(own)
    expect(decodeFrame((await framed.read()) as Uint8Array).kind).toBe('report')
    await grow(node, [put('x'), own])
    commit({})
    expect(decodeFrame((await framed.read()) as Uint8Array).kind).toBe('header')
    const receipt = (await ask(connection, 'receipt', own.transaction.id)) as Uint8Array
    expect(decodeAnswer(receipt.subarray(1))).toMatchObject({ code: 'OK' })
    expect(cuts(member)).toBe(0)
  })
})

describe('devices that do not', () => {
  it('rubbish handed in, again and again → a code each time, then no connection for a while; the other device is served', async () => {
    const { member, submitted } = await served()
    const good = await dial(await stranger(22), member)
    const bad = await dial(await stranger(21), member)
    const codes = new Set<string>()
    await untilCut(bad, async () => {
      const frame = await ask(bad, 'submit', Uint8Array.of(1))
      if (frame?.[0] === STATUS_ANSWER) codes.add(decodeAnswer(frame.subarray(1)).code)
    })
    expect([...codes]).toEqual(['TX_MALFORMED'])
    expect(cuts(member)).toBe(1)
    expect(submitted).toEqual([])
    const again = await dial(await stranger(21), member).catch(() => undefined)
    if (again !== undefined) await gone(again, 'still shut out')
    expect((await ask(good, 'state', new TextEncoder().encode('kv/x')))?.[0]).toBe(STATUS_ANSWER)
  })

  it.each(['submit', 'state', 'receipt'])('a flood of %s → busy beyond the rate, then cut', async (name) => {
    const { member } = await served()
    const bad = await dial(await stranger(21), member)
    let busy = 0
    await untilCut(bad, async () => {
      const frames = await Promise.all(
        Array.from({ length: 8 }, () => ask(bad, name, new Uint8Array(32)).catch(() => undefined)),
      )
      busy += frames.filter((frame) => frame?.[0] === STATUS_BUSY).length
    })
    expect(busy).toBeGreaterThan(0)
    expect(cuts(member)).toBe(1)
  })

  it('a question above its bound → held against the device, and it is cut after a few', async () => {
    const { member } = await served()
    const bad = await dial(await stranger(21), member)
    await untilCut(bad, async () => {
      const stream = await bad.newStream(protocolOf('state'))
      stream.send(encode(LIGHT_LIMITS.questionBytesMax + 1))
      await new Framed(stream, { frameBytesMax: 10 }).read(AbortSignal.timeout(2000))
      await stream.close()
    })
    expect(cuts(member)).toBe(1)
  })

  it('subscribing again and again, a wrong hello, or talking on the push stream → cut', async () => {
    for (const behaviour of ['again', 'wrong chain', 'talks'] as const) {
      const { member } = await served()
      const bad = await dial(await stranger(21), member)
      const mine = behaviour === 'wrong chain' ? { ...hello, chainId: new Uint8Array(32) } : hello
      await untilCut(bad, async () => {
        const framed = new Framed(await bad.newStream(PUSHES, { maxOutboundStreams: 1000 }), { frameBytesMax: 1 << 20 })
        await exchangeHello(framed, mine, true, 500)
        if (behaviour === 'talks') await framed.write(Uint8Array.of(1), 500)
      })
      expect(cuts(member)).toBe(1)
      await stopAll()
    }
  })

  it('a device that subscribes and does not read → frames are lost to it alone, the other hears everything newest at once', async () => {
    const { member, node, commit, report: tell } = await served({ subscriberQueueFramesMax: 8, writeTimeoutMs: 60_000 })
    const slow = await subscribe(await dial(await stranger(21), member))
    slow.stream.pause()
    const quick = await subscribe(await dial(await stranger(22), member))
    const heard: string[] = []
    void (async () => {
      for (let frame = await quick.read(); frame !== undefined; frame = await quick.read())
        heard.push(decodeFrame(frame).kind)
    })().catch(() => undefined)
    await until(() => heard.length === 1, 'first header')
    // Large reports of both, so that the slow one's window is full after a few.
    const features = new Uint8Array(16 * 1024)
    const big = (n: number): SignedTransaction => signed('device.report', n, { ...report(n), features })
    const begin = performance.now()
    for (let i = 0; i < 100; i++) {
      tell(big(22))
      tell(big(21))
    }
    expect(performance.now() - begin).toBeLessThan(5000)
    await until(() => heard.filter((kind) => kind === 'report').length > 0, 'reports')
    await grow(node, [put('newest')])
    commit({})
    await until(() => heard.at(-1) === 'header', 'the newest header')
    expect(member.network.traffic().framesDropped).toBeGreaterThan(0)
    expect(member.network.subscribers()).toHaveLength(2)
  })
})
