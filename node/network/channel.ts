/**
 * A channel between members: per pair and direction one long-lived stream of one purpose. Consensus and proposals each have their own,
 * so that no vote waits behind a body (agreement.md §3, Delivery).
 * Invariants: up means that both directions have exchanged hellos with one and the same run of the peer; no frame is delivered
 * before `up` or after `down`; what waits per peer is bounded in frames and bytes; a peer's frames are taken at a bounded rate, in slices.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { equalBytes } from '../../protocol/bytes.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { Framed, FrameError } from './framed.ts'
import { exchangeHello, type Hello, HelloError } from './hello.ts'
import { FramePace, PerPeer, type Rates } from './limiter.ts'

/** Fixed properties of a channel. */
export type ChannelOptions = {
  protocol: string
  hello: Hello
  frameBytesMax: number
  /** Frames and bytes waiting for one peer, beside the one being written. */
  queueFramesMax: number
  queueBytesMax: number
  /** When the queue is full: drop the oldest, or refuse the new one. */
  overflow: 'drop-oldest' | 'refuse'
  /** What one peer may send over time, whatever it does with its connections. */
  rates: Rates
  helloTimeoutMs: number
  /** A peer that takes nothing for this long loses its stream. */
  writeTimeoutMs: number
}

/** What a channel tells. */
export type ChannelEvents = {
  isMember(peer: PublicKeyHex): boolean
  frame(peer: PublicKeyHex, bytes: Uint8Array): void | Promise<void>
  up(peer: PublicKeyHex, run: Uint8Array): void
  down(peer: PublicKeyHex): void
  /** The peer broke a rule (`fault`), or only failed to answer. The connection should be cut. */
  failed(peer: PublicKeyHex, connection: Connection, error: Error, fault: boolean): void
}

type Waiting = { bytes: Uint8Array; taken(ok: boolean): void }
type Half = { framed: Framed; run: Uint8Array; closed: boolean }
type Outbound = Half & { queue: Waiting[]; queuedBytes: number; wake: (() => void) | undefined }
/** `opened` settles when frames may be delivered (true) or never will (false). */
type Inbound = Half & { opened: PromiseWithResolvers<boolean> }
type PeerState = { outbound?: Outbound; inbound?: Inbound; opening: boolean; up: boolean }

/** Bytes of frames that are written together: about one packet of the encryption. */
const BATCH_BYTES = 48 * 1024

const ignore = (): void => {}

/** One purpose, all members. */
export class Channel {
  readonly #options: ChannelOptions
  readonly #events: ChannelEvents
  readonly #peers = new Map<PublicKeyHex, PeerState>()
  readonly #paces: PerPeer<FramePace>
  #stopped = false
  /** Frames dropped because a queue was full. */
  framesDropped = 0

  constructor(options: ChannelOptions, events: ChannelEvents) {
    this.#options = options
    this.#events = events
    this.#paces = new PerPeer(() => new FramePace(options.rates))
  }

  isUp(peer: PublicKeyHex): boolean {
    return this.#peers.get(peer)?.up === true
  }

  upPeers(): PublicKeyHex[] {
    return [...this.#peers].filter(([, state]) => state.up).map(([peer]) => peer)
  }

  /** Opens our direction on `connection` unless it is open or being opened. */
  open(peer: PublicKeyHex, connection: Connection): void {
    const state = this.#state(peer)
    if (this.#stopped || state.opening || state.outbound !== undefined) return
    state.opening = true
    void this.#openOutbound(peer, state, connection).finally(() => {
      state.opening = false
      this.#forget(peer, state)
    })
  }

  /** Takes a stream that a peer opened, for as long as it lives. */
  async accept(peer: PublicKeyHex, stream: Stream, connection: Connection): Promise<void> {
    const framed = new Framed(stream, this.#options)
    if (this.#stopped || !this.#events.isMember(peer)) return framed.abort('not for you')
    let inbound: Inbound | undefined
    try {
      const run = await exchangeHello(framed, this.#options.hello, false, this.#options.helloTimeoutMs)
      if (this.#stopped || stream.status !== 'open') return framed.abort('closed meanwhile')
      inbound = { framed, run, closed: false, opened: Promise.withResolvers<boolean>() }
      const state = this.#state(peer)
      if (state.inbound !== undefined) this.#close(peer, state, state.inbound, 'replaced by a newer stream')
      state.inbound = inbound
      const mine = inbound
      stream.addEventListener('close', () => this.#close(peer, state, mine, 'closed'))
      this.#settle(peer, state)
      if (!(await inbound.opened.promise)) return
      const pace = this.#paces.get(peer)
      for (let frame = await framed.read(); frame !== undefined && !inbound.closed; frame = await framed.read()) {
        await this.#events.frame(peer, frame)
        await pace.taken(frame.length)
      }
    } catch (error) {
      this.#fail(peer, connection, framed, error, inbound === undefined)
    } finally {
      const state = this.#peers.get(peer)
      if (state !== undefined && inbound !== undefined) this.#close(peer, state, inbound, 'ended')
    }
  }

  /** Queues a frame; see `Network.send`. */
  send(peer: PublicKeyHex, bytes: Uint8Array): boolean {
    return this.#enqueue(peer, { bytes, taken: ignore })
  }

  /** Queues a frame and resolves when the stream has taken it (true) or will not (false). */
  push(peer: PublicKeyHex, bytes: Uint8Array): Promise<boolean> {
    return new Promise((resolve) => {
      if (!this.#enqueue(peer, { bytes, taken: resolve })) resolve(false)
    })
  }

  /** Ends both directions with a peer. */
  closePeer(peer: PublicKeyHex, reason: string): void {
    const state = this.#peers.get(peer)
    if (state?.outbound !== undefined) this.#close(peer, state, state.outbound, reason)
    if (state?.inbound !== undefined) this.#close(peer, state, state.inbound, reason)
  }

  stop(): void {
    this.#stopped = true
    for (const peer of [...this.#peers.keys()]) this.closePeer(peer, 'stopping')
  }

  async #openOutbound(peer: PublicKeyHex, state: PeerState, connection: Connection): Promise<void> {
    let framed: Framed | undefined
    try {
      const signal = AbortSignal.timeout(this.#options.helloTimeoutMs)
      const stream = await connection.newStream(this.#options.protocol, { signal })
      framed = new Framed(stream, { frameBytesMax: this.#options.frameBytesMax })
      const run = await exchangeHello(framed, this.#options.hello, true, this.#options.helloTimeoutMs)
      if (this.#stopped || stream.status !== 'open') return framed.abort('closed meanwhile')
      const outbound: Outbound = { framed, run, closed: false, queue: [], queuedBytes: 0, wake: undefined }
      state.outbound = outbound
      stream.addEventListener('close', () => this.#close(peer, state, outbound, 'closed'))
      this.#settle(peer, state)
      void this.#writeQueue(peer, state, outbound)
      void this.#watchSilence(peer, state, connection, outbound)
    } catch (error) {
      this.#fail(peer, connection, framed, error, true)
    }
  }

  async #writeQueue(peer: PublicKeyHex, state: PeerState, outbound: Outbound): Promise<void> {
    try {
      while (!outbound.closed) {
        const batch = this.#nextBatch(outbound)
        if (batch.length === 0) {
          await new Promise<void>((resolve) => {
            outbound.wake = resolve
          })
          continue
        }
        await outbound.framed
          .writeAll(
            batch.map(({ bytes }) => bytes),
            this.#options.writeTimeoutMs,
          )
          .then(
            () => {
              for (const { taken } of batch) taken(true)
            },
            (error) => {
              for (const { taken } of batch) taken(false)
              throw error
            },
          )
      }
    } catch (error) {
      this.#close(peer, state, outbound, error instanceof Error ? error.message : 'write failed')
    }
  }

  /** What leaves together: whatever waits, up to `BATCH_BYTES`; the first frame in any case. */
  #nextBatch(outbound: Outbound): Waiting[] {
    const batch: Waiting[] = []
    let size = 0
    for (let next = outbound.queue[0]; next !== undefined; next = outbound.queue[0]) {
      if (batch.length > 0 && size + next.bytes.length > BATCH_BYTES) break
      outbound.queue.shift()
      outbound.queuedBytes -= next.bytes.length
      size += next.bytes.length
      batch.push(next)
    }
    return batch
  }

  /** After its hello the acceptor says nothing on our stream. Anything else is a fault; an end is the end of this direction. */
  async #watchSilence(peer: PublicKeyHex, state: PeerState, connection: Connection, outbound: Outbound): Promise<void> {
    try {
      const frame = await outbound.framed.read()
      if (frame !== undefined) throw new FrameError('a frame against the direction of the stream')
      this.#close(peer, state, outbound, 'the peer ended it')
    } catch (error) {
      this.#fail(peer, connection, outbound.framed, error, false)
      this.#close(peer, state, outbound, 'failed')
    }
  }

  #enqueue(peer: PublicKeyHex, item: Waiting): boolean {
    const { frameBytesMax, queueFramesMax, queueBytesMax, overflow } = this.#options
    const state = this.#peers.get(peer)
    const outbound = state?.outbound
    if (outbound === undefined || state?.up !== true) return false
    if (item.bytes.length > frameBytesMax)
      throw new RangeError(`frame of ${item.bytes.length} bytes, limit ${frameBytesMax}`)
    const isFull = (): boolean =>
      outbound.queue.length > 0 &&
      (outbound.queue.length >= queueFramesMax || outbound.queuedBytes + item.bytes.length > queueBytesMax)
    let complete = true
    while (isFull()) {
      complete = false
      this.framesDropped++
      if (overflow === 'refuse') return false
      const oldest = outbound.queue.shift() as Waiting
      outbound.queuedBytes -= oldest.bytes.length
      oldest.taken(false)
    }
    outbound.queue.push(item)
    outbound.queuedBytes += item.bytes.length
    outbound.wake?.()
    outbound.wake = undefined
    return complete
  }

  /** Declares the link up when both directions belong to one run of the peer. */
  #settle(peer: PublicKeyHex, state: PeerState): void {
    const { outbound, inbound } = state
    if (state.up || outbound === undefined || inbound === undefined) return
    if (!equalBytes(outbound.run, inbound.run)) {
      // The peer restarted between the two. Which one is the older cannot be told from here: begin both again.
      this.#close(peer, state, outbound, 'of another run')
      this.#close(peer, state, inbound, 'of another run')
      return
    }
    state.up = true
    this.#events.up(peer, inbound.run)
    inbound.opened.resolve(true)
  }

  #close(peer: PublicKeyHex, state: PeerState, half: Half, reason: string): void {
    if (half.closed) return
    half.closed = true
    if (state.outbound === half) {
      const { queue, wake } = state.outbound
      delete state.outbound
      wake?.()
      for (const waiting of queue.splice(0)) waiting.taken(false)
    } else if (state.inbound === half) {
      state.inbound.opened.resolve(false)
      delete state.inbound
    }
    half.framed.abort(reason)
    if (state.up) {
      state.up = false
      this.#events.down(peer)
      // Both directions go together, so that `up` always begins with two fresh streams and no frame of an old one follows `down`.
      if (state.outbound !== undefined) this.#close(peer, state, state.outbound, reason)
      if (state.inbound !== undefined) this.#close(peer, state, state.inbound, reason)
    }
    this.#forget(peer, state)
  }

  #fail(
    peer: PublicKeyHex,
    connection: Connection,
    framed: Framed | undefined,
    cause: unknown,
    atHello: boolean,
  ): void {
    const error = cause instanceof Error ? cause : new Error('stream failed')
    const fault = error instanceof HelloError || error instanceof FrameError
    const broken = framed !== undefined && framed.stream.status !== 'open'
    framed?.abort(error.message)
    if (this.#stopped || connection.status !== 'open') return
    // A stream that broke is opened again; a peer at fault, or silent where a hello is due, loses its connection.
    if (error instanceof HelloError || (fault && !broken) || (atHello && error.name === 'TimeoutError'))
      this.#events.failed(peer, connection, error, fault)
  }

  #state(peer: PublicKeyHex): PeerState {
    const state = this.#peers.get(peer) ?? { opening: false, up: false }
    this.#peers.set(peer, state)
    return state
  }

  #forget(peer: PublicKeyHex, state: PeerState): void {
    if (state.opening || state.outbound !== undefined || state.inbound !== undefined) return
    if (this.#peers.get(peer) === state) this.#peers.delete(peer)
  }
}
