/**
 * Requests and answers: one short stream each. Request: one frame. Answer: one frame, whose first byte says how it went.
 * Invariants: per peer at most `concurrencyMax` at once and `ratePerSecond` over time; beyond that the answer is `busy` and the request
 * is not read.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { concat } from '../../protocol/bytes.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { AlthingError } from '../errors.ts'
import { Framed, FrameError } from './framed.ts'
import { PerPeer, TokenBucket } from './limiter.ts'
import type { RequestHandler, RequestLimits, RoleOf, ServeLimits } from './network.ts'

/** First byte of an answer. */
const STATUS = { answer: 0, busy: 1, refused: 2, tooLarge: 3 } as const
const statusFrame = (status: number): Uint8Array => Uint8Array.of(status)

/** Asks `bytes` on `connection`. Rejects with the AlthingErrors listed at `Network`. */
export async function askOn(
  connect: (signal: AbortSignal) => Promise<Connection>,
  protocol: string,
  bytes: Uint8Array,
  { timeoutMs = 5000, bytesMax = 4 * 1024 * 1024 }: RequestLimits,
): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(timeoutMs)
  let framed: Framed | undefined
  try {
    const connection = await connect(signal)
    const stream = await connection.newStream(protocol, { signal, maxOutboundStreams: 256 })
    framed = new Framed(stream, { frameBytesMax: bytesMax + 1 })
    // The answer may come before the request is written: a busy peer does not read it.
    const written = framed.write(bytes, timeoutMs)
    written.catch(() => {})
    const answer = await framed.read(signal)
    if (answer === undefined || answer.length === 0) throw new FrameError('no answer')
    if (answer[0] === STATUS.answer) await written
    void stream.close({ signal }).catch(() => {})
    return unwrap(answer, protocol)
  } catch (error) {
    framed?.abort('request failed')
    throw mapped(error, signal, protocol)
  }
}

function unwrap(answer: Uint8Array, protocol: string): Uint8Array {
  switch (answer[0]) {
    case STATUS.answer:
      return answer.subarray(1)
    case STATUS.busy:
      throw new AlthingError('NETWORK_BUSY', `the peer is busy (${protocol}); retry later`)
    case STATUS.tooLarge:
      throw new AlthingError('NETWORK_TOO_LARGE', `the peer refuses a request of this size (${protocol})`)
    default:
      throw new AlthingError('NETWORK_REFUSED', `the peer could not answer (${protocol})`)
  }
}

function mapped(error: unknown, signal: AbortSignal, protocol: string): AlthingError {
  if (error instanceof AlthingError) return error
  const failure = (code: string, message: string): AlthingError =>
    new AlthingError(code, `${message} (${protocol})`, { cause: error })
  if (signal.aborted) return failure('NETWORK_TIMEOUT', 'no answer in time')
  if (error instanceof FrameError && error.message.startsWith('frame of'))
    return failure('NETWORK_TOO_LARGE', 'the answer is larger than asked for')
  const name = error instanceof Error ? error.name : ''
  if (name === 'UnsupportedProtocolError') return failure('NETWORK_UNSUPPORTED', 'the peer does not serve this')
  // Beyond its number of streams libp2p resets without a reason.
  if (name === 'TooManyOutboundProtocolStreamsError' || name === 'StreamResetError')
    return failure('NETWORK_BUSY', 'the peer took no further request; retry later')
  return failure('NETWORK_BROKEN', 'the exchange broke off')
}

/** What a server tells of requests that it did not answer: a handler that threw, and a peer that asks too often or too much at once. */
export type RequestFaults = {
  failed(peer: PublicKeyHex, error: unknown): void
  fault(peer: PublicKeyHex, code: 'MESSAGE_RATE' | 'MESSAGE_TOO_LARGE'): void
}

/** The serving side of one request name. */
export class RequestServer {
  readonly #handler: RequestHandler
  readonly #limits: Required<ServeLimits>
  readonly #roleOf: RoleOf
  readonly #failed: (peer: PublicKeyHex, error: unknown) => void
  readonly #fault: RequestFaults['fault']
  readonly #usage: PerPeer<{ bucket: TokenBucket; running: number }>

  constructor(handler: RequestHandler, limits: ServeLimits, roleOf: RoleOf, { failed, fault }: RequestFaults) {
    this.#handler = handler
    this.#failed = failed
    this.#fault = fault
    this.#roleOf = roleOf
    this.#limits = {
      bytesMax: 1024 * 1024,
      concurrencyMax: 4,
      ratePerSecond: 50,
      burst: 100,
      timeoutMs: 10_000,
      roles: ['member', 'device'],
      ...limits,
    }
    const { ratePerSecond, burst } = this.#limits
    this.#usage = new PerPeer(() => ({ bucket: new TokenBucket(ratePerSecond, burst), running: 0 }))
  }

  /** Streams that libp2p should let through per connection: enough to answer `busy` to the next ones. */
  get inboundStreamsMax(): number {
    return this.#limits.concurrencyMax * 4 + 16
  }

  /** Answers one stream. Never rejects. */
  async accept(peer: PublicKeyHex, stream: Stream): Promise<void> {
    const { bytesMax, concurrencyMax, timeoutMs, roles } = this.#limits
    const framed = new Framed(stream, { frameBytesMax: bytesMax })
    const role = this.#roleOf(peer)
    if (role === null || !roles.includes(role)) return this.#finish(framed, statusFrame(STATUS.refused))
    const usage = this.#usage.get(peer)
    if (usage.running >= concurrencyMax || !usage.bucket.take()) {
      this.#fault(peer, 'MESSAGE_RATE')
      return this.#finish(framed, statusFrame(STATUS.busy))
    }
    usage.running++
    const gone = new AbortController()
    stream.addEventListener('close', () => gone.abort(new Error('the peer went away')))
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), gone.signal])
    try {
      await this.#finish(framed, await this.#answer(peer, framed, signal))
    } finally {
      usage.running--
    }
  }

  async #answer(peer: PublicKeyHex, framed: Framed, signal: AbortSignal): Promise<Uint8Array> {
    let request: Uint8Array | undefined
    try {
      request = await framed.read(signal)
    } catch (error) {
      if (!(error instanceof FrameError)) return statusFrame(STATUS.refused)
      if (error.message.startsWith('frame of')) this.#fault(peer, 'MESSAGE_TOO_LARGE')
      return statusFrame(STATUS.tooLarge)
    }
    if (request === undefined) return statusFrame(STATUS.refused)
    try {
      const late = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
      return concat(statusFrame(STATUS.answer), await Promise.race([this.#handler(peer, request, signal), late]))
    } catch (error) {
      // The asker learns nothing of the cause; the operator does.
      this.#failed(peer, error)
      return statusFrame(STATUS.refused)
    }
  }

  async #finish(framed: Framed, answer: Uint8Array): Promise<void> {
    try {
      await framed.write(answer, this.#limits.timeoutMs)
      await framed.stream.close({ signal: AbortSignal.timeout(this.#limits.timeoutMs) })
      await closedByPeer(framed.stream)
    } catch {
      framed.abort('not answered')
    }
  }
}

/** Waits until the other side has closed too, so that an unread request does not stay open; resets after a second. */
async function closedByPeer(stream: Stream): Promise<void> {
  if (stream.status !== 'open' || stream.remoteWriteStatus === 'closed') return
  const closed = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    stream.abort(new Error('left open'))
    closed.resolve()
  }, 1000)
  for (const event of ['remoteCloseWrite', 'close'] as const)
    stream.addEventListener(event, () => closed.resolve(), { once: true })
  await closed.promise
  clearTimeout(timer)
}
