/**
 * Stage: the operator. A network of TCP relays in this process: each member has for each other one an address of its own here, behind which
 * bytes are delayed, slowed, held or cut. Works anywhere, without root.
 * Invariants: bytes are never changed, reordered or lost within a connection (TCP's promise; loss is the stall of a retransmission); what
 * waits is bounded, and back-pressure reaches the sender; while a link is held, no end or reset passes it either, as on a broken line.
 */
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { MemberPlace } from './homes.ts'
import { type Condition, type Conditions, type Link, linksAmong, OPEN } from './links.ts'
import { freePorts } from './ports.ts'
import { multiaddrAt, type Seat, type Transport } from './transport.ts'

const HOST = '127.0.0.1'
/** Bytes that wait in one direction of a connection before its sender is paused. */
const WAITING_BYTES_MAX = 1024 * 1024
const SEGMENT_BYTES = 1448
/** A lost segment costs the shortest retransmission timeout of Linux. */
const RETRANSMISSION_MS = 200
/** Pieces that are let through one after the other, so that a rate is smooth. */
const PIECE_BYTES = 16 * 1024

/** One direction of one connection. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  readonly #condition: () => Condition
  readonly #queue: { readonly bytes: Buffer | null; readonly dueMs: number }[] = []
  #waiting = 0
  #dueMs = 0
  #freeMs = 0
  #timer: NodeJS.Timeout | undefined

  /** Carries what `from` reads to `to`. */
  constructor(from: Socket, to: Socket, condition: () => Condition) {
    this.#from = from
    this.#to = to
    this.#condition = condition
    from.on('data', (bytes) => this.#take(bytes as Buffer))
    // An end, orderly or not, queues up behind the bytes.
    from.on('end', () => this.#take(null))
    from.on('close', () => this.#take(null))
    to.on('drain', () => this.poke())
  }

  #take(bytes: Buffer | null): void {
    const now = performance.now()
    for (let at = 0; at < (bytes?.length ?? 1); at += PIECE_BYTES) {
      const piece = bytes?.subarray(at, at + PIECE_BYTES) ?? null
      const { delayMs, jitterMs, lossPercent, rateBitsPerS } = this.#condition()
      const length = piece?.length ?? 0
      const segments = Math.ceil(length / SEGMENT_BYTES)
      const lost = Math.random() > (1 - lossPercent / 100) ** segments
      this.#freeMs = Math.max(now, this.#freeMs) + (rateBitsPerS === null ? 0 : (length * 8000) / rateBitsPerS)
      const jitter = jitterMs === 0 ? 0 : (2 * Math.random() - 1) * jitterMs
      const due = this.#freeMs + Math.max(0, delayMs + jitter) + (lost ? RETRANSMISSION_MS : 0)
      // In order: what came later is never due earlier.
      this.#dueMs = Math.max(this.#dueMs, due)
      this.#queue.push({ bytes: piece, dueMs: this.#dueMs })
      this.#waiting += length
    }
    if (this.#waiting > WAITING_BYTES_MAX) this.#from.pause()
    this.poke()
  }

  /** Lets through what is due; called when a condition has changed. */
  poke(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (this.#condition().passage !== 'open' || this.#to.writableNeedDrain) return
      const waitMs = head.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.poke(), waitMs)
        return
      }
      this.#queue.shift()
      this.#waiting -= head.bytes?.length ?? 0
      if (head.bytes === null) this.#to.end()
      else if (!this.#to.destroyed) this.#to.write(head.bytes)
    }
    if (this.#from.isPaused() && this.#waiting <= WAITING_BYTES_MAX / 2) this.#from.resume()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
  }
}

/** One connection: the member that dialled, the member that was dialled, and both directions between them. */
class Relayed {
  readonly #there: Link
  readonly #back: Link
  readonly #near: Socket
  readonly #far: Socket
  readonly #lanes: readonly Lane[]

  constructor(near: Socket, far: Socket, there: Link, conditions: () => Conditions, gone: () => void) {
    this.#near = near
    this.#far = far
    this.#there = there
    this.#back = { from: there.to, to: there.from }
    this.#lanes = [
      new Lane(near, far, () => conditions()(this.#there)),
      new Lane(far, near, () => conditions()(this.#back)),
    ]
    let closed = 0
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        closed += 1
        if (closed < 2) return
        for (const lane of this.#lanes) lane.stop()
        gone()
      })
    }
  }

  changed(conditions: Conditions): void {
    const isCut = [this.#there, this.#back].some((link) => conditions(link).passage === 'cut')
    if (isCut) this.reset()
    else for (const lane of this.#lanes) lane.poke()
  }

  reset(): void {
    for (const socket of [this.#near, this.#far]) socket.resetAndDestroy()
  }
}

/** A server per directed pair of members. */
export class Relay implements Transport {
  readonly name = 'relay'
  readonly #members: readonly MemberPlace[]
  readonly #servers = new Map<string, { readonly server: Server; readonly port: number }>()
  readonly #relayed = new Set<Relayed>()
  #conditions: Conditions = () => OPEN

  constructor(members: readonly MemberPlace[]) {
    this.#members = members
  }

  async open(): Promise<void> {
    const links = linksAmong(this.#members.map(({ name }) => name))
    // Members do not listen yet, but will.
    const taken = this.#members.flatMap(({ p2pPort, apiPort, metricsPort }) => [p2pPort, apiPort, metricsPort])
    const ports = await freePorts(links.length, Math.random, taken)
    for (const [i, link] of links.entries()) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => this.#connect(near, link))
      const port = ports[i] as number
      await new Promise<void>((done, failed) => {
        server.once('error', failed)
        server.listen({ host: HOST, port, exclusive: true }, done)
      })
      this.#servers.set(`${link.from} ${link.to}`, { server, port })
    }
  }

  #connect(near: Socket, link: Link): void {
    const { to } = link
    near.on('error', () => undefined)
    const isCut = [link, { from: to, to: link.from }].some((one) => this.#conditions(one).passage === 'cut')
    if (isCut) {
      near.resetAndDestroy()
      return
    }
    const port = this.#members.find(({ name }) => name === to)?.p2pPort as number
    const far = createConnection({ host: HOST, port, allowHalfOpen: true })
    // Nobody listens there: the dialler learns it as it would without us.
    far.once('error', () => near.resetAndDestroy())
    const relayed = new Relayed(
      near,
      far,
      link,
      () => this.#conditions,
      () => this.#relayed.delete(relayed),
    )
    this.#relayed.add(relayed)
    near.resume()
  }

  seatOf(member: string): Seat {
    const peers = this.#members
      .filter(({ name }) => name !== member)
      .map((peer) => {
        const port = this.#servers.get(`${member} ${peer.name}`)?.port as number
        return `${peer.name}=${multiaddrAt(HOST, { ...peer, p2pPort: port })}`
      })
    // A lone member has no peers, and an empty list needs no override.
    const settings: Record<string, string> = peers.length === 0 ? {} : { 'network.peers': peers.join(',') }
    return { before: [], settings, apiHost: HOST }
  }

  refuses(): null {
    return null
  }

  async apply(conditions: Conditions): Promise<void> {
    this.#conditions = conditions
    for (const relayed of this.#relayed) relayed.changed(conditions)
  }

  async close(): Promise<void> {
    for (const relayed of this.#relayed) relayed.reset()
    await Promise.all(
      [...this.#servers.values()].map(({ server }) => new Promise<void>((done) => server.close(() => done()))),
    )
  }
}
