import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2p } from 'libp2p'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Framed, type FramedOptions, FrameError } from '../../node/network/framed.ts'
import { secretOf, until } from './helper.ts'

const PROTOCOL = '/framed/1'
let listener: Libp2p
let dialler: Libp2p
let connection: Connection
let accepted: (stream: Stream) => void = () => {}

const streamOptions = { maxStreamWindowSize: 1024 * 1024, maxReadBufferLength: 2 * 1024 * 1024 }
const node = (i: number, listen: string[]): Promise<Libp2p> =>
  createLibp2p({
    privateKey: privateKeyFromRaw(secretOf(i)),
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions })],
    connectionGater: { denyDialMultiaddr: () => false },
  })

beforeAll(async () => {
  listener = await node(101, ['/ip4/127.0.0.1/tcp/0'])
  dialler = await node(102, [])
  await listener.handle(PROTOCOL, (stream) => accepted(stream), { maxInboundStreams: 64 })
  connection = await dialler.dial(listener.getMultiaddrs())
})
afterAll(() => Promise.all([listener.stop(), dialler.stop()]))

/** Two ends of one new stream. */
async function pair(there: Partial<FramedOptions> = {}): Promise<{ here: Framed; there: Framed }> {
  const other = Promise.withResolvers<Framed>()
  accepted = (stream) => other.resolve(new Framed(stream, { frameBytesMax: 4 * 1024 * 1024, ...there }))
  const here = new Framed(await connection.newStream(PROTOCOL), { frameBytesMax: 4 * 1024 * 1024 })
  await here.write(Uint8Array.of(1), 5000)
  const framed = await other.promise
  await framed.read()
  return { here, there: framed }
}
const filled = (length: number, seed: number): Uint8Array => new Uint8Array(length).map((_, i) => i * 31 + seed)

describe('framed', () => {
  it('framed: a frame far above the high-water mark → arrives whole (no dead-lock)', async () => {
    const { here, there } = await pair({ highWaterBytes: 64 * 1024 })
    const frame = filled(3 * 1024 * 1024, 5)
    const [, received] = await Promise.all([here.write(frame, 5000), there.read(AbortSignal.timeout(5000))])
    expect(Buffer.compare(received!, frame)).toBe(0)
  })

  it('framed: the sender closes while the reader is paused → every frame still arrives, then a clean end', async () => {
    const { here, there } = await pair({ highWaterBytes: 16 * 1024 })
    const frames = Array.from({ length: 20 }, (_, i) => filled(10_000, i))
    for (const frame of frames) await here.write(frame, 5000)
    await here.stream.close()
    await until(
      () => there.stream.readStatus === 'paused' && there.stream.remoteWriteStatus === 'closed',
      'paused, closed',
    )
    for (const frame of frames) expect(Buffer.compare((await there.read())!, frame)).toBe(0)
    expect(await there.read()).toBeUndefined()
  })

  it('framed: frames of 0 bytes to 1 MiB in both directions at once, readers now and then slow → equal and in order', async () => {
    const sizes = Array.from({ length: 40 }, (_, i) => (i % 7 === 0 ? 0 : Math.min(1 << 20, 2 ** (i % 21) + i)))
    const run = async (from: Framed, to: Framed, seed: number): Promise<void> => {
      const write = async (): Promise<void> => {
        for (const [i, size] of sizes.entries()) await from.write(filled(size, seed + i), 5000)
      }
      const read = async (): Promise<void> => {
        for (const [i, size] of sizes.entries()) {
          if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
          expect(Buffer.compare((await to.read())!, filled(size, seed + i))).toBe(0)
        }
      }
      await Promise.all([write(), read()])
    }
    const pairs = await Promise.all([pair()])
    await Promise.all(pairs.flatMap(({ here, there }) => [run(here, there, 1), run(there, here, 2)]))
  })

  it('framed: a reader that does not read → the writer waits and times out; little is buffered', async () => {
    const { here, there } = await pair()
    const frame = new Uint8Array(256 * 1024)
    let written = 0
    const writing = (async () => {
      for (;;) {
        await here.write(frame, 300)
        written += frame.length
      }
    })()
    await expect(writing).rejects.toMatchObject({ code: 'NETWORK_TIMEOUT' })
    expect(written).toBeLessThan(4 * 1024 * 1024)
    expect(there.bufferedBytes + there.stream.readBufferLength).toBeLessThan(3 * 1024 * 1024)
    here.abort('done')
  })

  it('framed: frames larger than the window to a reader that reads slowly → never more than one waits at the writer', async () => {
    const { here, there } = await pair()
    const frame = new Uint8Array(3 * 1024 * 1024)
    let mostBytes = 0
    const writing = (async () => {
      for (let i = 0; i < 8; i++) {
        await here.write(frame, 5000)
        mostBytes = Math.max(mostBytes, here.stream.writeBufferLength)
      }
    })()
    for (let i = 0; i < 8; i++) expect((await there.read())?.length).toBe(frame.length)
    await writing
    expect(mostBytes).toBeLessThanOrEqual(64 * 1024)
  })

  it('framed: a frame above the limit, an endless length, an end inside a frame → FrameError', async () => {
    const large = await pair({ frameBytesMax: 1000 })
    await large.here.write(new Uint8Array(1001), 5000)
    await expect(large.there.read()).rejects.toThrow(FrameError)

    const endless = await pair()
    endless.here.stream.send(new Uint8Array(10).fill(0xff))
    await expect(endless.there.read()).rejects.toThrow(FrameError)

    const cut = await pair()
    cut.here.stream.send(Uint8Array.of(10, 1, 2, 3))
    await cut.here.stream.close()
    await expect(cut.there.read()).rejects.toThrow(FrameError)
  })

  it('framed: a signal ends a waiting read; a reset ends it with an error; writing afterwards → NETWORK_BROKEN', async () => {
    const { here, there } = await pair()
    await expect(there.read(AbortSignal.timeout(20))).rejects.toMatchObject({ name: 'TimeoutError' })
    const waiting = there.read()
    here.abort('gone')
    await expect(waiting).rejects.toThrow()
    await expect(there.write(new Uint8Array(1), 100)).rejects.toMatchObject({ code: 'NETWORK_BROKEN' })
  })
})
