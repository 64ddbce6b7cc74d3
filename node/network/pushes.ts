/**
 * Pushes to light peers: a device opens one stream, says hello, and from then on the member writes frames to it as they come.
 * Invariants: one subscription per device; a slow device loses the oldest frames and costs at most one queue; of the frames of one
 * slot only the newest waits; who subscribes again and again, or says anything else than hello, has it held against it.
 */
import type { Connection, Stream } from '@libp2p/interface'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import { AlthingError } from '../errors.ts'
import { Framed, FrameError } from './framed.ts'
import { exchangeHello, type Hello, HelloError } from './hello.ts'
import { PerPeer, TokenBucket } from './limiter.ts'
import type { PushSubscription } from './network.ts'

/** Bounds of pushes. */
export type PushOptions = {
  protocol: string
  hello: Hello
  frameBytesMax: number
  helloTimeoutMs: number
  writeTimeoutMs: number
  subscribersMax: number
  /** Frames waiting per subscriber. */
  queueFramesMax: number
  /** Subscriptions of one device per second over time, and at once after a rest. */
  subscriptionsPerSecond: number
  subscriptionsBurst: number
}

type Waiting = { readonly bytes: Uint8Array; readonly slot: string | undefined }
type Subscriber = { framed: Framed; queue: Waiting[]; wake: (() => void) | undefined; closed: boolean }

/** The member's side. */
export class PushServer {
  readonly #options: PushOptions
  readonly #fault: (peer: PublicKeyHex, code: Code) => void
  readonly #rates: PerPeer<TokenBucket>
  readonly #subscribers = new Map<PublicKeyHex, Subscriber>()
  /** Called for each new subscriber, which can be pushed to from then on. */
  subscribed: (peer: PublicKeyHex) => void = () => {}
  /** Frames dropped because a subscriber's queue was full. */
  framesDropped = 0

  /** `fault` hears of what a device did wrong. */
  constructor(options: PushOptions, fault: (peer: PublicKeyHex, code: Code) => void) {
    this.#options = options
    this.#fault = fault
    this.#rates = new PerPeer(() => new TokenBucket(options.subscriptionsPerSecond, options.subscriptionsBurst))
  }

  /** Peers that are subscribed now. */
  peers(): PublicKeyHex[] {
    return [...this.#subscribers.keys()]
  }

  has(peer: PublicKeyHex): boolean {
    return this.#subscribers.has(peer)
  }

  /** Serves a subscription for as long as its stream lives. Never rejects. */
  async accept(peer: PublicKeyHex, stream: Stream): Promise<void> {
    const framed = new Framed(stream, { frameBytesMax: 1024 })
    if (!this.#rates.get(peer).take()) {
      this.#fault(peer, 'MESSAGE_RATE')
      return framed.abort('subscribes too often')
    }
    try {
      await exchangeHello(framed, this.#options.hello, false, this.#options.helloTimeoutMs)
    } catch (error) {
      if (error instanceof HelloError) this.#fault(peer, 'MESSAGE_MALFORMED')
      return framed.abort(error instanceof Error ? error.message : 'no hello')
    }
    if (!this.#subscribers.has(peer) && this.#subscribers.size >= this.#options.subscribersMax)
      return framed.abort('too many subscribers')
    this.#end(this.#subscribers.get(peer), 'replaced by a newer subscription')
    const mine: Subscriber = { framed, queue: [], wake: undefined, closed: false }
    this.#subscribers.set(peer, mine)
    const leave = (reason: string): void => {
      this.#end(mine, reason)
      if (this.#subscribers.get(peer) === mine) this.#subscribers.delete(peer)
    }
    stream.addEventListener('close', () => leave('closed'))
    if (stream.status !== 'open') return leave('closed')
    this.subscribed(peer)
    // A subscriber only listens; reading notices its end and refuses anything else.
    framed.read().then(
      (frame) => {
        if (frame !== undefined) this.#fault(peer, 'MESSAGE_MALFORMED')
        leave('ended by the subscriber')
      },
      () => leave('failed'),
    )
    await this.#writeQueue(mine).catch(() => leave('does not read'))
  }

  /** See `Network.pushToSubscribers`. */
  push(bytes: Uint8Array, slot?: string): number {
    for (const peer of this.#subscribers.keys()) this.pushTo(peer, bytes, slot)
    return this.#subscribers.size
  }

  /** See `Network.pushTo`. */
  pushTo(peer: PublicKeyHex, bytes: Uint8Array, slot?: string): boolean {
    if (bytes.length > this.#options.frameBytesMax) throw new RangeError(`push of ${bytes.length} bytes`)
    const subscriber = this.#subscribers.get(peer)
    if (subscriber === undefined) return false
    const { queue } = subscriber
    const at = slot === undefined ? -1 : queue.findIndex((waiting) => waiting.slot === slot)
    if (at >= 0) queue[at] = { bytes, slot }
    else {
      if (queue.length >= this.#options.queueFramesMax) {
        queue.shift()
        this.framesDropped++
      }
      queue.push({ bytes, slot })
    }
    subscriber.wake?.()
    subscriber.wake = undefined
    return true
  }

  closePeer(peer: PublicKeyHex): void {
    this.#end(this.#subscribers.get(peer), 'closed')
  }

  stop(): void {
    for (const subscriber of [...this.#subscribers.values()]) this.#end(subscriber, 'stopping')
  }

  async #writeQueue(subscriber: Subscriber): Promise<void> {
    while (!subscriber.closed) {
      const next = subscriber.queue.shift()
      if (next !== undefined) await subscriber.framed.write(next.bytes, this.#options.writeTimeoutMs)
      else
        await new Promise<void>((resolve) => {
          subscriber.wake = resolve
        })
    }
  }

  #end(subscriber: Subscriber | undefined, reason: string): void {
    if (subscriber === undefined || subscriber.closed) return
    subscriber.closed = true
    subscriber.queue.length = 0
    subscriber.wake?.()
    subscriber.framed.abort(reason)
  }
}

/** The device's side: subscribes on `connection`. See `Network.openPush`. */
export async function subscribe(
  peer: PublicKeyHex,
  connection: Connection,
  options: PushOptions,
  handler: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>,
): Promise<PushSubscription> {
  let framed: Framed
  try {
    const signal = AbortSignal.timeout(options.helloTimeoutMs)
    const stream = await connection.newStream(options.protocol, { signal })
    framed = new Framed(stream, { frameBytesMax: options.frameBytesMax })
  } catch (cause) {
    throw new AlthingError('NETWORK_BROKEN', 'cannot open the subscription', { cause })
  }
  try {
    await exchangeHello(framed, options.hello, true, options.helloTimeoutMs)
  } catch (cause) {
    framed.abort('no hello')
    throw new AlthingError('NETWORK_REFUSED', 'the member did not accept the subscription', { cause })
  }
  let closed = false
  const read = async (): Promise<Error | undefined> => {
    try {
      for (let frame = await framed.read(); frame !== undefined && !closed; frame = await framed.read())
        await handler(peer, frame)
      return closed ? undefined : new AlthingError('NETWORK_BROKEN', 'the member ended the subscription')
    } catch (cause) {
      if (cause instanceof FrameError) framed.abort(cause.message)
      return closed ? undefined : new AlthingError('NETWORK_BROKEN', 'the subscription broke off', { cause })
    }
  }
  return {
    ended: read(),
    close() {
      closed = true
      framed.abort('unsubscribed')
    },
  }
}
