import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { createLibp2p, type Libp2p } from 'libp2p'
import { Uint8ArrayList } from 'uint8arraylist'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { guardedYamux } from '../../node/network/muxer.ts'
import { secretOf, until } from './helper.ts'

const PROTOCOL = '/gathered/1'
let listener: Libp2p
let dialler: Libp2p
let connection: Connection
const received: number[] = []
let ended = 0
/** Sizes of what went down to the encryption, one entry a call. */
const packets: number[] = []

const node = (i: number, listen: string[]): Promise<Libp2p> =>
  createLibp2p({
    privateKey: privateKeyFromRaw(secretOf(i)),
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [guardedYamux({})],
    connectionGater: { denyDialMultiaddr: () => false },
  })

beforeAll(async () => {
  listener = await node(111, ['/ip4/127.0.0.1/tcp/0'])
  dialler = await node(112, [])
  await listener.handle(PROTOCOL, (stream: Stream) => {
    stream.addEventListener('message', ({ data }) => received.push(...data.subarray()))
    stream.addEventListener('remoteCloseWrite', () => {
      ended += 1
    })
  })
  connection = await dialler.dial(listener.getMultiaddrs())
  const { maConn } = connection as unknown as { maConn: { send(data: { byteLength: number }): boolean } }
  const send = maConn.send.bind(maConn)
  maConn.send = (data) => {
    packets.push(data.byteLength)
    return send(data)
  }
})
afterAll(() => Promise.all([listener.stop(), dialler.stop()]))

async function openedStream(): Promise<Stream> {
  const stream = await connection.newStream(PROTOCOL)
  received.length = 0
  stream.send(Uint8Array.of(0))
  await until(() => received.length === 1, 'the stream is open')
  received.length = 0
  packets.length = 0
  return stream
}

describe('muxer', () => {
  it('muxer: a packet whose length is not here yet → noise is told so by one and the same error', () => {
    type Encrypted = { decoder: { lengthDecoder(data: Uint8ArrayList): number } }
    const { muxer } = connection as unknown as { muxer: { maConn: Encrypted } }
    const { decoder } = muxer.maConn
    const thrown = [new Uint8Array(0), Uint8Array.of(1)].map((bytes) => {
      try {
        return decoder.lengthDecoder(new Uint8ArrayList(bytes))
      } catch (error) {
        return error
      }
    })
    expect(thrown[0]).toBeInstanceOf(RangeError)
    expect(thrown[1]).toBe(thrown[0])
    expect(decoder.lengthDecoder(new Uint8ArrayList(Uint8Array.of(1), Uint8Array.of(2, 3)))).toBe(0x0102)
  })

  it('muxer: many frames sent in one turn → one packet, and they arrive in order', async () => {
    const stream = await openedStream()
    for (let i = 0; i < 100; i++) stream.send(Uint8Array.of(i))
    expect(packets).toEqual([])
    await until(() => received.length === 100, 'all frames arrived')
    expect(received).toEqual(Array.from({ length: 100 }, (_, i) => i))
    // Beside it only what libp2p says of its own accord, such as a ping.
    expect(packets.filter((bytes) => bytes > 100 * 12)).toHaveLength(1)
    expect(packets.length).toBeLessThan(5)
    stream.abort(new Error('done'))
  })

  it('muxer: more than is gathered, sent in one turn → leaves at once, piece by piece', async () => {
    const stream = await openedStream()
    for (let i = 0; i < 10; i++) stream.send(new Uint8Array(20_000).fill(i))
    expect(packets.length).toBeGreaterThan(3)
    await until(() => received.length === 200_000, 'all bytes arrived')
    expect(received.every((byte, at) => byte === Math.floor(at / 20_000))).toBe(true)
    stream.abort(new Error('done'))
  })

  it('muxer: a frame and the end of the connection in one turn → the frame arrives, and the end', async () => {
    const stream = await openedStream()
    ended = 0
    stream.send(Uint8Array.of(7))
    await connection.close()
    await until(() => received.length === 1 && ended === 1, 'the last frame and the end arrived')
    expect(received).toEqual([7])
    expect(stream.status).not.toBe('open')
  })
})
