/**
 * The network as one simulated process sees it: node/network/network.ts over wires.ts, with the same bounds. Roles, rates, penalties and queues are
 * kept as by node/network/host.ts; what stands in its place are sockets, noise and gossipsub, which test/network tries for real.
 */
import { AlthingError } from '../../node/errors.ts'
import type { NetworkDependencies } from '../../node/network/host.ts'
import type { NetworkOptions } from '../../node/network/libp2p.ts'
import { PerPeer, TokenBucket } from '../../node/network/limiter.ts'
import { NETWORK_LIMITS } from '../../node/network/limits.ts'
import type {
  GossipTopic,
  GossipVerdict,
  Network,
  PeerInfo,
  PeerRole,
  PushSubscription,
  RequestHandler,
  RequestLimits,
  RoleOf,
  ServeLimits,
  Traffic,
} from '../../node/network/network.ts'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf, sha3 } from '../../protocol/crypto.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import type { Scope } from './schedule.ts'
import { type Answer, Servers } from './servers.ts'
import type { NetworkWatch, Outgoing } from './twist.ts'
import type { Wires } from './wires.ts'

type Frame = { readonly isSmall: boolean; readonly bytes: Uint8Array }
type Link = {
  readonly other: SimulatedNetwork
  /** Frames held back while the direction is cut, small and large. */
  held: Frame[]
  heldBytes: number
  /** When the last frame of each channel arrives, so that none overtakes another. */
  smallAt: number
  pushAt: number
  readonly since: number
}
type Subscriber = {
  readonly deliver: (bytes: Uint8Array) => void
  readonly closed: (error?: Error) => void
  waiting: number
}

/** Gossiped pieces that a process remembers having seen. */
const SEEN_MAX = 20_000

export class SimulatedNetwork implements Network {
  readonly publicKey: PublicKeyHex
  readonly role: PeerRole
  /** Name of the machine. */
  readonly place: string
  readonly scope: Scope
  readonly #wires: Wires
  readonly #roleOf: RoleOf
  readonly #watch: NetworkWatch
  readonly #now: () => number
  readonly #run: Uint8Array
  readonly #links = new Map<SimulatedNetwork, Link>()
  /** Frames of peers whose side of the link was up first. */
  readonly #early = new Map<SimulatedNetwork, Frame[]>()
  readonly #paused = new Map<PublicKeyHex, number>()
  readonly #penalties: PerPeer<TokenBucket>
  readonly #offences: PerPeer<TokenBucket>
  readonly #servers: Servers
  readonly #seen = new Set<string>()
  readonly #subscribers = new Map<PublicKeyHex, Subscriber>()
  /** Questions that wait for an answer: they end with the network. */
  readonly #asked = new Set<() => void>()
  readonly #cuts: Record<string, number> = {}
  #validating = 0
  #dropped = 0
  #phase: 'made' | 'running' | 'stopped' = 'made'
  #message: Parameters<Network['onMessage']>[0] | undefined
  #push: Parameters<Network['onPush']>[0] | undefined
  #link: Parameters<Network['onLink']>[0] | undefined
  #gossip: Parameters<Network['onGossip']>[0] | undefined
  #subscribe: Parameters<Network['onSubscribe']>[0] | undefined
  /** Most frames and bytes that waited for one peer so far. */
  heldFramesMax = 0
  heldBytesMax = 0

  constructor(
    { secretKey, role }: Pick<NetworkOptions, 'secretKey' | 'role'>,
    { roleOf }: Pick<NetworkDependencies, 'roleOf'>,
    place: { readonly name: string; readonly scope: Scope; readonly wires: Wires; now(): number; watch: NetworkWatch },
  ) {
    this.publicKey = toHex(publicKeyOf(secretKey))
    this.role = role
    this.place = place.name
    this.scope = place.scope
    this.#wires = place.wires
    this.#watch = place.watch
    this.#now = place.now
    this.#roleOf = (peer) => (this.isPaused(peer) ? null : roleOf(peer))
    this.#run = Uint8Array.from({ length: 16 }, () => place.wires.random.below(256))
    const { penaltyPointsPerSecond, penaltyPointsBurst, gossipOffencesMax } = NETWORK_LIMITS
    this.#penalties = new PerPeer(() => new TokenBucket(penaltyPointsPerSecond, penaltyPointsBurst, this.#now))
    this.#offences = new PerPeer(() => new TokenBucket(1, gossipOffencesMax, this.#now))
    this.#servers = new Servers({
      scope: this.scope,
      now: this.#now,
      roleOf: this.#roleOf,
      fault: (peer, code) => this.#fault(peer, code),
    })
  }

  /** Devices do not gossip here. */
  setNeighbours(): void {}

  async start(): Promise<void> {
    this.#phase = 'running'
    this.#wires.join(this)
  }

  async stop(): Promise<void> {
    if (this.#phase === 'stopped') return
    this.#phase = 'stopped'
    for (const link of [...this.#links.values()]) this.unlink(link.other)
    for (const subscriber of this.#subscribers.values()) subscriber.closed()
    this.#subscribers.clear()
    for (const stopped of [...this.#asked]) stopped()
    this.#wires.leave(this)
  }

  setMembers(): void {}

  enforceRoles(): void {
    for (const peer of [...this.#subscribers.keys()]) if (this.#roleOf(peer) !== 'device') this.#cut(peer, 'role lost')
    for (const peer of this.linkedPeers()) if (this.#roleOf(peer) !== 'member') this.#cut(peer, 'role lost')
  }

  // Links.

  isLinkedTo(other: SimulatedNetwork): boolean {
    return this.#links.has(other)
  }

  linked(): SimulatedNetwork[] {
    return [...this.#links.keys()]
  }

  /** Whether `peer` is a member here. */
  accepts(peer: PublicKeyHex): boolean {
    try {
      return this.#roleOf(peer) === 'member'
    } catch {
      // Its ledger has failed, and it is about to end.
      return false
    }
  }

  isPaused(peer: PublicKeyHex): boolean {
    return this.#now() < (this.#paused.get(peer) ?? Number.NEGATIVE_INFINITY)
  }

  link(other: SimulatedNetwork): void {
    if (this.#phase !== 'running' || this.#links.has(other) || !this.accepts(other.publicKey)) return
    // One key has one link: a peer that restarted takes the place of its earlier run.
    for (const old of this.linked()) if (old.publicKey === other.publicKey) this.unlink(old)
    const since = this.#now()
    this.#links.set(other, { other, held: [], heldBytes: 0, smallAt: 0, pushAt: 0, since })
    this.#guarded(() => this.#link?.(other.publicKey, true, other.#run))
    const early = this.#early.get(other) ?? []
    this.#early.delete(other)
    for (const { isSmall, bytes } of early) this.#arrived(other, isSmall, bytes)
  }

  unlink(other: SimulatedNetwork): void {
    this.#early.delete(other)
    if (!this.#links.delete(other)) return
    this.#guarded(() => this.#link?.(other.publicKey, false))
  }

  linkedPeers(): PublicKeyHex[] {
    return [...this.#links.keys()].map(({ publicKey }) => publicKey)
  }

  #linkTo(peer: PublicKeyHex): Link | undefined {
    for (const link of this.#links.values()) if (link.other.publicKey === peer) return link
    return undefined
  }

  // Channels.

  send(peer: PublicKeyHex, bytes: Uint8Array): boolean {
    return this.#sendOn(peer, 'message', bytes)
  }

  async push(peer: PublicKeyHex, bytes: Uint8Array): Promise<boolean> {
    return this.#sendOn(peer, 'push', bytes)
  }

  #sendOn(peer: PublicKeyHex, channel: 'message' | 'push', bytes: Uint8Array): boolean {
    const link = this.#linkTo(peer)
    if (link === undefined || this.#phase !== 'running' || !this.scope.alive) return false
    for (const frame of this.#leaving({ channel, to: peer, bytes })) this.#carry(link, channel === 'message', frame)
    return true
  }

  #leaving(frame: Outgoing): readonly Uint8Array[] {
    const frames = this.#watch.twist?.sends(frame) ?? [frame.bytes]
    for (const bytes of frames) this.#watch.sent({ ...frame, bytes })
    return frames
  }

  #carry(link: Link, isSmall: boolean, bytes: Uint8Array): void {
    const { sendQueueFramesMax, sendQueueBytesMax, pushQueueFramesMax } = NETWORK_LIMITS
    if (this.#wires.isCut(this.place, link.other.place)) {
      const large = link.held.reduce((count, one) => count + (one.isSmall ? 0 : 1), 0)
      if (!isSmall && large >= pushQueueFramesMax) {
        this.#dropped++
        return
      }
      link.held.push({ isSmall, bytes })
      link.heldBytes += bytes.length
      this.#wires.figures.held++
      while (link.held.length > sendQueueFramesMax || link.heldBytes > sendQueueBytesMax + pushQueueFramesMax * 3e6) {
        link.heldBytes -= link.held.shift()?.bytes.length ?? 0
        this.#dropped++
      }
      this.heldFramesMax = Math.max(this.heldFramesMax, link.held.length)
      this.heldBytesMax = Math.max(this.heldBytesMax, link.heldBytes)
      return
    }
    for (let copies = this.#wires.copies(isSmall); copies > 0; copies--) {
      const now = this.#wires.schedule.now
      const earliest = isSmall ? link.smallAt : link.pushAt
      const at = Math.max(earliest, now + (isSmall ? this.#wires.smallMs() : this.#wires.bulkMs()))
      if (isSmall) link.smallAt = at
      else link.pushAt = at
      link.other.scope.later(at - now, () => link.other.#arrived(this, isSmall, bytes))
    }
  }

  /** The direction to `other` is whole again: what was held back goes on its way. */
  release(other: SimulatedNetwork): void {
    const link = this.#links.get(other)
    if (link === undefined) return
    const { held } = link
    link.held = []
    link.heldBytes = 0
    for (const { isSmall, bytes } of held) this.#carry(link, isSmall, bytes)
  }

  #arrived(from: SimulatedNetwork, isSmall: boolean, bytes: Uint8Array): void {
    if (this.#phase !== 'running') return
    if (!this.#links.has(from)) {
      // The other side was up first: its frames wait in the stream.
      if (from.isLinkedTo(this))
        this.#early.set(from, [...(this.#early.get(from) ?? []), { isSmall, bytes }].slice(-2048))
      return
    }
    this.#wires.schedule.note(`${from.place}>${this.place} ${isSmall ? 'm' : 'p'} ${bytes.length} ${bytes.at(-1)}`)
    this.#guarded(() => (isSmall ? this.#message : this.#push)?.(from.publicKey, bytes))
  }

  // Gossip.

  async publish(topic: GossipTopic, bytes: Uint8Array): Promise<number> {
    if (this.#phase !== 'running') throw new AlthingError('NETWORK_STOPPED', 'the network is not running')
    if (bytes.length > NETWORK_LIMITS.gossipBytesMax) throw new AlthingError('NETWORK_TOO_LARGE', 'too large to gossip')
    this.#remember(topic, bytes)
    return this.#spread(topic, bytes, undefined)
  }

  #spread(topic: GossipTopic, bytes: Uint8Array, except: SimulatedNetwork | undefined): number {
    if (!this.scope.alive) return 0
    let count = 0
    for (const { other } of this.#links.values()) {
      if (other === except || this.#wires.isCut(this.place, other.place)) continue
      count++
      for (const frame of this.#leaving({ channel: topic, to: other.publicKey, bytes }))
        for (let copies = this.#wires.copies(false); copies > 0; copies--)
          other.scope.later(this.#wires.bulkMs(), () => void other.#heard(topic, frame, this))
    }
    return count
  }

  #remember(topic: GossipTopic, bytes: Uint8Array): boolean {
    const name = `${topic}/${toHex(sha3(bytes))}`
    if (this.#seen.has(name)) return false
    this.#seen.add(name)
    if (this.#seen.size > SEEN_MAX) this.#seen.delete(this.#seen.keys().next().value as string)
    return true
  }

  async #heard(topic: GossipTopic, bytes: Uint8Array, from: SimulatedNetwork): Promise<void> {
    if (!this.#links.has(from) || this.#phase !== 'running') return
    if (this.#validating >= NETWORK_LIMITS.gossipValidationsMax || !this.#remember(topic, bytes)) return
    this.#wires.schedule.note(`${from.place}>${this.place} ${topic} ${bytes.length}`)
    this.#validating++
    let verdict: GossipVerdict = 'ignore'
    try {
      verdict = (await this.#gossip?.(topic, bytes, from.publicKey)) ?? 'ignore'
    } catch (error) {
      this.#watch.bug(error)
    }
    this.#validating--
    if (verdict === 'accept') this.#spread(topic, bytes, from)
    if (verdict === 'reject' && this.#offences.get(from.publicKey).charge(1) > 0)
      this.#offended(from.publicKey, 'gossip')
  }

  // Questions.

  request(peer: PublicKeyHex, name: string, bytes: Uint8Array, limits: RequestLimits = {}): Promise<Uint8Array> {
    const { timeoutMs = 5000, bytesMax = 4 * 1024 * 1024 } = limits
    return new Promise((resolve, reject) => {
      let over = false
      const end = (run: () => void): void => {
        if (over) return
        over = true
        this.#asked.delete(stopped)
        timer.cancel()
        run()
      }
      const fail = (
        code:
          | 'NETWORK_UNREACHABLE'
          | 'NETWORK_TIMEOUT'
          | 'NETWORK_BUSY'
          | 'NETWORK_REFUSED'
          | 'NETWORK_TOO_LARGE'
          | 'NETWORK_UNSUPPORTED'
          | 'NETWORK_STOPPED',
      ): void => end(() => reject(new AlthingError(code, `request ${name}`)))
      const timer = this.scope.later(timeoutMs, () => fail('NETWORK_TIMEOUT'))
      const stopped = (): void => fail('NETWORK_STOPPED')
      this.#asked.add(stopped)
      if (this.#phase !== 'running') return fail('NETWORK_STOPPED')
      const other = this.#wires.find(peer, this)
      if (other === undefined || this.isPaused(peer) || !this.#wires.isWhole(this.place, other.place)) {
        this.scope.later(this.#wires.bulkMs(), () => fail('NETWORK_UNREACHABLE'))
        return
      }
      if (this.#wires.copies(false) === 0) return
      other.scope.later(this.#wires.bulkMs(), () => {
        void other.#answered(this.publicKey, name, bytes).then((answer) => {
          if (answer === null || this.#wires.isCut(other.place, this.place)) return
          this.scope.later(this.#wires.bulkMs(), () => {
            if (typeof answer === 'string') return fail(answer)
            if (answer.length > bytesMax) return fail('NETWORK_TOO_LARGE')
            end(() => resolve(answer))
          })
        })
      })
    })
  }

  async #answered(peer: PublicKeyHex, name: string, bytes: Uint8Array): Promise<Answer> {
    if (this.#phase !== 'running') return null
    this.#wires.schedule.note(`${this.place} asked ${name} ${bytes.length}`)
    const answer = await this.#servers.answer(peer, name, bytes)
    const { twist } = this.#watch
    return twist === undefined || !(answer instanceof Uint8Array) ? answer : twist.answers(name, bytes, answer)
  }

  /** As host.ts: members are told to wait and not blamed. */
  #fault(peer: PublicKeyHex, code: Code): void {
    if (this.#roleOf(peer) !== 'member') this.penalize(peer, code)
  }

  serve(name: string, handler: RequestHandler, limits: ServeLimits = {}): void {
    this.#servers.serve(name, handler, limits)
  }

  // Pushes to devices.

  openPush(
    peer: PublicKeyHex,
    handler: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>,
  ): Promise<PushSubscription> {
    const ended = Promise.withResolvers<Error | undefined>()
    const other = this.#wires.find(peer, this)
    return this.scope.after(this.#wires.bulkMs(), () => {
      const refused =
        other === undefined ||
        !other.scope.alive ||
        other.#phase !== 'running' ||
        !this.#wires.isWhole(this.place, other.place) ||
        other.#roleOf(this.publicKey) !== 'device' ||
        other.#subscribers.size >= NETWORK_LIMITS.subscribersMax
      if (refused) throw new AlthingError('NETWORK_UNREACHABLE', 'cannot subscribe')
      const deliver = (bytes: Uint8Array): void => void this.scope.later(0, () => void handler(peer, bytes))
      const closed = (error?: Error): void => void this.scope.later(0, () => ended.resolve(error))
      other.scope.later(0, () => {
        other.#subscribers.get(this.publicKey)?.closed(new Error('another subscription'))
        other.#subscribers.set(this.publicKey, { deliver, closed, waiting: 0 })
        other.#guarded(() => other.#subscribe?.(this.publicKey))
      })
      return { ended: ended.promise, close: () => void other.#subscribers.delete(this.publicKey) }
    })
  }

  pushToSubscribers(bytes: Uint8Array): number {
    for (const peer of [...this.#subscribers.keys()]) this.pushTo(peer, bytes)
    return this.#subscribers.size
  }

  pushTo(peer: PublicKeyHex, bytes: Uint8Array): boolean {
    const subscriber = this.#subscribers.get(peer)
    if (subscriber === undefined) return false
    const other = this.#wires.find(peer, this)
    if (other === undefined || this.#wires.isCut(this.place, other.place)) return true
    if (subscriber.waiting >= NETWORK_LIMITS.subscriberQueueFramesMax) return true
    subscriber.waiting++
    this.#wires.schedule.at(this.#wires.bulkMs(), () => {
      subscriber.waiting--
      subscriber.deliver(bytes)
    })
    return true
  }

  subscribers(): PublicKeyHex[] {
    return [...this.#subscribers.keys()]
  }

  // Handlers and figures.

  onMessage(handler: Parameters<Network['onMessage']>[0]): void {
    this.#message = handler
  }

  onPush(handler: Parameters<Network['onPush']>[0]): void {
    this.#push = handler
  }

  onLink(handler: Parameters<Network['onLink']>[0]): void {
    this.#link = handler
  }

  onGossip(handler: Parameters<Network['onGossip']>[0]): void {
    this.#gossip = handler
  }

  onSubscribe(handler: Parameters<Network['onSubscribe']>[0]): void {
    this.#subscribe = handler
  }

  penalize(peer: PublicKeyHex, code: Code): void {
    const { penalty } = VERDICTS[code]
    if (penalty > 0 && this.#penalties.get(peer).charge(penalty) > 0) this.#offended(peer, `penalties, ${code}`)
  }

  #offended(peer: PublicKeyHex, reason: string): void {
    this.#paused.set(peer, this.#now() + NETWORK_LIMITS.offenderPauseMs)
    this.#watch.shutOut(peer, reason)
    this.#cut(peer, reason)
  }

  #cut(peer: PublicKeyHex, reason: string): void {
    this.#cuts[reason] = (this.#cuts[reason] ?? 0) + 1
    const link = this.#linkTo(peer)
    if (link !== undefined) this.#wires.breakLink(this, link.other)
    this.#subscribers.get(peer)?.closed(new Error(reason))
    this.#subscribers.delete(peer)
  }

  addresses(): string[] {
    return [`/sim/${this.place}`]
  }

  peers(): PeerInfo[] {
    return [...this.#links.values()].map(({ other, since }) => ({
      publicKey: other.publicKey,
      role: 'member' as const,
      connectedSince: since,
      roundTripMs: undefined,
      bytesIn: 0,
      bytesOut: 0,
      linked: true,
    }))
  }

  traffic(): Traffic {
    return { bytesIn: 0, bytesOut: 0, framesDropped: this.#dropped, cuts: this.#cuts }
  }

  #guarded(run: () => void | Promise<void>): void {
    try {
      const waiting = run()
      if (waiting !== undefined) waiting.catch((error) => this.#watch.bug(error))
    } catch (error) {
      this.#watch.bug(error)
    }
  }
}
