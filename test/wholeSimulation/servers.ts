/** What a simulated process answers: the bounds and refusals of node/network/requests.ts. */
import { PerPeer, TokenBucket } from '../../node/network/limiter.ts'
import type { PeerRole, RequestHandler, RoleOf, ServeLimits } from '../../node/network/network.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Scope } from './schedule.ts'

/** An answer, or why there is none; null: it never comes. */
export type Answer =
  | Uint8Array
  | null
  | 'NETWORK_BUSY'
  | 'NETWORK_REFUSED'
  | 'NETWORK_TOO_LARGE'
  | 'NETWORK_UNSUPPORTED'

type Usage = { readonly bucket: TokenBucket; running: number }
type Server = {
  readonly handler: RequestHandler
  readonly limits: Required<ServeLimits>
  readonly usage: PerPeer<Usage>
}
type Surroundings = {
  readonly scope: Scope
  now(): number
  readonly roleOf: RoleOf
  fault(peer: PublicKeyHex, code: Code): void
}

/** The servers of one process, by name. */
export class Servers {
  readonly #process: Surroundings
  readonly #servers = new Map<string, Server>()

  constructor(process: Surroundings) {
    this.#process = process
  }

  serve(name: string, handler: RequestHandler, limits: ServeLimits): void {
    if (this.#servers.has(name)) throw new Error(`"${name}" is served already`)
    const all: Required<ServeLimits> = {
      ...{ bytesMax: 1024 * 1024, concurrencyMax: 4, ratePerSecond: 50, burst: 100, timeoutMs: 10_000 },
      roles: ['member', 'device'],
      ...limits,
    }
    const { now } = this.#process
    const usage = new PerPeer(() => ({ bucket: new TokenBucket(all.ratePerSecond, all.burst, now), running: 0 }))
    this.#servers.set(name, { handler, limits: all, usage })
  }

  async answer(peer: PublicKeyHex, name: string, bytes: Uint8Array): Promise<Answer> {
    const server = this.#servers.get(name)
    if (server === undefined) return 'NETWORK_UNSUPPORTED'
    const { handler, limits, usage } = server
    const { roleOf, fault, scope } = this.#process
    let role: PeerRole | null
    try {
      role = roleOf(peer)
    } catch {
      // Its ledger has failed, and it is about to end.
      return 'NETWORK_REFUSED'
    }
    if (role === null || !limits.roles.includes(role)) return 'NETWORK_REFUSED'
    if (bytes.length > limits.bytesMax) {
      fault(peer, 'MESSAGE_TOO_LARGE')
      return 'NETWORK_TOO_LARGE'
    }
    const used = usage.get(peer)
    if (used.running >= limits.concurrencyMax || !used.bucket.take()) {
      fault(peer, 'MESSAGE_RATE')
      return 'NETWORK_BUSY'
    }
    used.running++
    const gone = new AbortController()
    const late = scope.later(limits.timeoutMs, () => gone.abort(new Error('late')))
    try {
      return await handler(peer, bytes, gone.signal)
    } catch {
      return 'NETWORK_REFUSED'
    } finally {
      late.cancel()
      used.running--
    }
  }
}
