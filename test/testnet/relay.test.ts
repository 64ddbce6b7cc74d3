import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MemberPlace } from '../../testnet/homes.ts'
import { LinkFaults } from '../../testnet/links.ts'
import { freePorts } from '../../testnet/ports.ts'
import { Relay } from '../../testnet/relay.ts'
import { until } from '../../testnet/testnet.ts'

const there = { from: 'north', to: 'south' }
const back = { from: 'south', to: 'north' }
let server: Server
let relay: Relay
let faults: LinkFaults
let accepted: Socket[] = []
const opened: Socket[] = []

/** A server that gives back what it gets, and the relay before it. */
beforeEach(async () => {
  accepted = []
  server = createServer((socket) => {
    accepted.push(socket)
    socket.on('error', () => undefined).pipe(socket)
  })
  const ports = await freePorts(6)
  const placeOf = (name: string, i: number): MemberPlace => ({
    name,
    p2pPort: ports[3 * i] as number,
    apiPort: ports[3 * i + 1] as number,
    metricsPort: ports[3 * i + 2] as number,
  })
  const [north, south] = [placeOf('north', 0), placeOf('south', 1)]
  await new Promise<void>((done) => server.listen(south.p2pPort, '127.0.0.1', done))
  relay = new Relay([north, south])
  faults = new LinkFaults()
  await relay.open()
})
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy()
  await relay.close()
  for (const socket of accepted) socket.destroy()
  await new Promise((done) => server.close(done))
})

/** A connection from north to south, and what came back on it. */
async function dial(): Promise<{ socket: Socket; text: () => string; ended: () => string | undefined }> {
  const port = Number(/tcp\/([0-9]+)$/.exec(relay.seatOf('north').settings['network.peers'] ?? '')?.[1])
  const socket = createConnection(port, '127.0.0.1')
  opened.push(socket)
  let [text, ended] = ['', undefined as string | undefined]
  socket.on('data', (part) => (text += part.toString()))
  socket.on('end', () => (ended ??= 'end'))
  socket.on('error', (error: NodeJS.ErrnoException) => (ended ??= error.code))
  // A connection that is reset at once may never say that it was made.
  await new Promise<void>((done) => socket.once('connect', () => done()).once('close', () => done()))
  return { socket, text: () => text, ended: () => ended }
}

const put = async (links: readonly { from: string; to: string }[], effect: object): Promise<() => Promise<void>> => {
  const remove = faults.add(links, effect)
  await relay.apply(faults.of)
  return async () => {
    remove()
    await relay.apply(faults.of)
  }
}

describe('relay', () => {
  it('relay: bytes go there and back unchanged, much of them too', async () => {
    const { socket, text } = await dial()
    const sent = `${'x'.repeat(3_000_000)}end`
    socket.write(sent)
    expect(await until(() => text().length === sent.length, 10_000)).toBe(true)
    expect(text() === sent).toBe(true)
  })

  it('relay: a delay is added in its direction, and in both it adds up', async () => {
    const { socket, text } = await dial()
    await put([there, back], { delayMs: 120 })
    const at = performance.now()
    socket.write('a')
    expect(await until(() => text() === 'a', 5000)).toBe(true)
    expect(performance.now() - at).toBeGreaterThanOrEqual(235)
  })

  it('relay: jitter and loss never change the order', async () => {
    const { socket, text } = await dial()
    await put([there, back], { delayMs: 10, jitterMs: 10, lossPercent: 3 })
    const sent = Array.from({ length: 60 }, (_, i) => `${i},`)
    for (const part of sent) {
      socket.write(part)
      await new Promise((done) => setImmediate(done))
    }
    expect(await until(() => text() === sent.join(''), 15_000)).toBe(true)
  })

  it('relay: a rate is kept', async () => {
    const { socket, text } = await dial()
    // 100 kB at 1.6 Mbit/s take half a second.
    await put([there], { rateBitsPerS: 1_600_000 })
    const at = performance.now()
    socket.write('x'.repeat(100_000))
    expect(await until(() => text().length === 100_000, 10_000)).toBe(true)
    expect(performance.now() - at).toBeGreaterThanOrEqual(480)
  })

  it('relay: held one way, bytes and even the end wait there, and arrive when it is healed; the other way goes on', async () => {
    const { socket, text, ended } = await dial()
    socket.write('before ')
    expect(await until(() => text() === 'before ', 5000)).toBe(true)
    const heal = await put([there], { passage: 'held' })
    socket.write('held ')
    accepted[0]?.write('back ')
    expect(await until(() => text() === 'before back ', 5000)).toBe(true)
    socket.end('last')
    await new Promise((done) => setTimeout(done, 50))
    expect([text(), ended(), accepted[0]?.readableEnded]).toEqual(['before back ', undefined, false])
    await heal()
    expect(await until(() => text() === 'before back held last', 5000)).toBe(true)
    expect(await until(() => ended() === 'end', 5000)).toBe(true)
  })

  it('relay: cut, connections are reset and new ones too; healed, new ones work', async () => {
    const { ended } = await dial()
    const heal = await put([back], { passage: 'cut' })
    expect(await until(() => ended() !== undefined, 5000)).toBe(true)
    expect(ended()).toBe('ECONNRESET')
    const refused = await dial()
    expect(await until(() => refused.ended() !== undefined, 5000)).toBe(true)
    await heal()
    const again = await dial()
    again.socket.write('a')
    expect(await until(() => again.text() === 'a', 5000)).toBe(true)
  })

  it('relay: who does not listen cannot be reached through it either', async () => {
    server.close()
    const { ended } = await dial()
    expect(await until(() => ended() !== undefined, 5000)).toBe(true)
  })

  it('relay: a sender is held back while much waits, and nothing of it is lost', async () => {
    const { socket, text } = await dial()
    const heal = await put([there], { passage: 'held' })
    const piece = 'x'.repeat(1024 * 1024)
    for (let i = 0; i < 24; i++) socket.write(piece)
    // What the relay and the kernel take is bounded; the rest stays with the sender.
    await new Promise((done) => setTimeout(done, 300))
    expect(socket.writableLength).toBeGreaterThan(0)
    await heal()
    expect(await until(() => text().length === 24 * piece.length, 15_000)).toBe(true)
  })
})
