/**
 * Member links: one dialler per pair (no duplicate connections), endless reconnection with jitter, and a watchdog that cuts a connection
 * whose channels or gossip are dead. libp2p does not re-open a lost gossip stream on a live connection; only a new connection heals it.
 * Invariant: state is kept for listed members only. A device only looks its members' addresses up here: it dials when it has to.
 */
import type { Connection, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { peerIdOf } from './identity.ts'
import type { MemberAddresses, NetworkLog } from './network.ts'

/** Times of the watchdog. */
export type LinkOptions = {
  /** Own key: the smaller of a pair dials. */
  self: PublicKeyHex
  tickMs: number
  /** Ticks in a row without a whole link before the connection is cut. Ticks, not time: a stalled main thread cuts nobody. */
  badTicksMax: number
  /** After this long the greater key of a pair dials too (one-way firewalls). */
  takeoverMs: number
  dialTimeoutMs: number
}

/** What links need from the host. */
export type LinkDependencies = {
  connections(peer: PublicKeyHex): Connection[]
  dial(addresses: Multiaddr[], signal: AbortSignal): Promise<Connection>
  mayDial(peer: PublicKeyHex): boolean
  /** Opens what is missing on the connection. */
  ensure(peer: PublicKeyHex, connection: Connection): void
  /** Whether channels and gossip with the peer work. */
  isWhole(peer: PublicKeyHex): boolean
  cut(peer: PublicKeyHex, reason: string): void
  log: NetworkLog
}

type Target = {
  addresses: Multiaddr[]
  waitingSince: number | undefined
  dialAt: number
  failures: number
  dialling: boolean
  badTicks: number
}

/** Longest pause between two dials, before jitter: a member that comes back should be heard again within seconds. */
const REDIAL_MS_MAX = 2000

/** Keeps one live connection to each listed member. */
export class MemberLinks {
  readonly #options: LinkOptions
  readonly #dependencies: LinkDependencies
  #targets = new Map<PublicKeyHex, Target>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: LinkOptions, dependencies: LinkDependencies) {
    this.#options = options
    this.#dependencies = dependencies
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#options.tickMs)
    this.#tick()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Replaces the list; members that stay keep their state. Addresses that do not parse are logged and left out. */
  setMembers(members: readonly MemberAddresses[]): void {
    const targets = new Map<PublicKeyHex, Target>()
    for (const { publicKey, addresses } of members) {
      if (publicKey === this.#options.self) continue
      const parsed = this.#parse(publicKey, addresses)
      const known = this.#targets.get(publicKey)
      if (known !== undefined) known.addresses = parsed
      targets.set(
        publicKey,
        known ?? { addresses: parsed, waitingSince: undefined, dialAt: 0, failures: 0, dialling: false, badTicks: 0 },
      )
    }
    this.#targets = targets
    if (this.#timer !== undefined) this.#tick()
  }

  /** Addresses of a listed member, each with its identity; empty if it is unknown. */
  addressesOf(peer: PublicKeyHex): Multiaddr[] {
    return this.#targets.get(peer)?.addresses ?? []
  }

  #parse(publicKey: PublicKeyHex, addresses: readonly string[]): Multiaddr[] {
    const parsed: Multiaddr[] = []
    let id: PeerId
    try {
      id = peerIdOf(publicKey)
    } catch {
      this.#dependencies.log.warn({ peer: publicKey }, 'a member key that is no point of the curve: not dialled')
      return parsed
    }
    for (const text of addresses) {
      try {
        const address = multiaddr(text)
        const named = address.getComponents().some((component) => component.name === 'p2p')
        // With its identity, or whoever answers at that address would be taken.
        parsed.push(named ? address : address.encapsulate(`/p2p/${id.toString()}`))
      } catch {
        this.#dependencies.log.warn({ peer: publicKey, address: text }, 'not a multiaddr: left out')
      }
    }
    return parsed
  }

  #tick(): void {
    const { connections, ensure, isWhole, cut } = this.#dependencies
    for (const [peer, target] of this.#targets) {
      const open = connections(peer)
      const newest = open.at(-1)
      if (newest === undefined) {
        target.badTicks = 0
        this.#dial(peer, target)
        continue
      }
      target.waitingSince = undefined
      target.failures = 0
      ensure(peer, newest)
      target.badTicks = isWhole(peer) ? 0 : target.badTicks + 1
      if (target.badTicks < this.#options.badTicksMax) continue
      target.badTicks = 0
      cut(peer, 'link not whole')
    }
  }

  #dial(peer: PublicKeyHex, target: Target): void {
    const nowMs = performance.now()
    target.waitingSince ??= nowMs
    const mine = this.#options.self < peer || nowMs - target.waitingSince > this.#options.takeoverMs
    if (!mine || target.dialling || nowMs < target.dialAt || target.addresses.length === 0) return
    if (!this.#dependencies.mayDial(peer)) return
    target.dialling = true
    this.#dependencies
      .dial(target.addresses, AbortSignal.timeout(this.#options.dialTimeoutMs))
      .then(
        () => {
          // A dial succeeds even where the other side refuses a moment later: the next one waits a little in any case.
          target.dialAt = performance.now() + this.#options.tickMs / 2
        },
        (error: unknown) => {
          target.failures++
          const pauseMs = Math.min(REDIAL_MS_MAX, 250 * 2 ** Math.min(target.failures, 6)) * (0.5 + Math.random())
          target.dialAt = performance.now() + pauseMs
          this.#dependencies.log.debug({ peer, error, pauseMs: Math.round(pauseMs) }, 'dial failed')
        },
      )
      .finally(() => {
        target.dialling = false
      })
  }
}
