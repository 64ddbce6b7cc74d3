/**
 * The libp2p host: builds the node, lets in who has a role, and puts channels, gossip, requests and pushes behind `Network`.
 * Invariants: refusal happens right after the handshake has proved the peer's key, in both directions; membership is asked anew at
 * every stream; nothing here outlives `stop`.
 */
import { randomBytes } from 'node:crypto'
import type { Connection, Libp2p, StreamHandler } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { createLibp2p } from 'libp2p'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { AlthingError } from '../errors.ts'
import { CONSENSUS, consensusOptions, gossipLimits, PROPOSALS, proposalsOptions, segmentLimits } from './bounds.ts'
import { Channel } from './channel.ts'
import { Connections } from './connections.ts'
import type { Gossip, GossipTopology } from './gossip.ts'
import { type Hello, NETWORK_VERSION } from './hello.ts'
import { peerIdOf, publicKeyOfPeer } from './identity.ts'
import { libp2pOptions, type NetworkOptions } from './libp2p.ts'
import { Offenders, PerPeer, TokenBucket } from './limiter.ts'
import { NETWORK_LIMITS, type NetworkLimits } from './limits.ts'
import { MemberLinks } from './links.ts'
import type { GossipTopic, GossipVerdict, MemberAddresses, Network, NetworkLog, RoleOf } from './network.ts'
import { type PushOptions, PushServer, subscribe } from './pushes.ts'
import { askOn, RequestServer } from './requests.ts'

/** What a network is given. */
export type NetworkDependencies = { roleOf: RoleOf; log: NetworkLog }

type Handlers = {
  message: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>
  link: (peer: PublicKeyHex, up: boolean, peerRun?: Uint8Array) => void
  push: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>
  gossip: (topic: GossipTopic, bytes: Uint8Array, from: PublicKeyHex) => Promise<GossipVerdict>
}

/** A network over TCP, noise and yamux; not listening before `start`. Throws if the secret is out of range. */
export async function createNetwork(options: NetworkOptions, dependencies: NetworkDependencies): Promise<Network> {
  const host = new Host(options, dependencies)
  await host.create()
  return host
}

class Host implements Network {
  readonly publicKey: PublicKeyHex
  readonly #options: NetworkOptions
  readonly #limits: NetworkLimits
  readonly #roleOf: RoleOf
  readonly #log: NetworkLog
  readonly #connections: Connections
  readonly #offenders: Offenders
  readonly #penalties: PerPeer<TokenBucket>
  /** Requests beyond their rate that a member is forgiven. */
  readonly #excess: PerPeer<TokenBucket>
  readonly #consensus: Channel
  readonly #proposals: Channel
  readonly #pushes: PushServer
  readonly #pushOptions: PushOptions
  readonly #links: MemberLinks
  /** Devices only: links to others of the segment. */
  readonly #neighbours: MemberLinks
  readonly #servers = new Map<string, RequestServer>()
  readonly #handlers: Partial<Handlers> = {}
  #node!: Libp2p
  #gossip: Gossip | undefined
  /** Devices that gossip: how gossip hears of connections. */
  #topology: GossipTopology | undefined
  #phase: 'made' | 'running' | 'stopped' = 'made'

  constructor(options: NetworkOptions, { roleOf, log }: NetworkDependencies) {
    this.#options = options
    this.#limits = { ...NETWORK_LIMITS, ...options.limits }
    this.#log = log
    this.publicKey = toHex(publicKeyOf(options.secretKey))
    this.#offenders = new Offenders(this.#limits.offenderPauseMs)
    const { penaltyPointsPerSecond, penaltyPointsBurst } = this.#limits
    this.#penalties = new PerPeer(() => new TokenBucket(penaltyPointsPerSecond, penaltyPointsBurst))
    const { excessRequestsPerSecond, excessRequestsBurst } = this.#limits
    this.#excess = new PerPeer(() => new TokenBucket(excessRequestsPerSecond, excessRequestsBurst))
    this.#roleOf = (peer) => (this.#offenders.has(peer) ? null : roleOf(peer))
    this.#connections = new Connections(this.#roleOf, this.#limits.connectionsPerPeerMax)
    const hello: Hello = { chainId: options.chainId, version: NETWORK_VERSION, run: Uint8Array.from(randomBytes(16)) }
    this.#consensus = this.#makeConsensusChannel(hello)
    this.#proposals = this.#makeProposalsChannel(hello)
    const { helloTimeoutMs, writeTimeoutMs, subscribersMax } = this.#limits
    this.#pushOptions = {
      protocol: '/althing/pushes/1',
      hello,
      frameBytesMax: this.#limits.subscriberFrameBytesMax,
      queueFramesMax: this.#limits.subscriberQueueFramesMax,
      ...{ helloTimeoutMs, writeTimeoutMs, subscribersMax },
      subscriptionsPerSecond: this.#limits.subscriptionsPerSecond,
      subscriptionsBurst: this.#limits.subscriptionsBurst,
    }
    this.#pushes = new PushServer(this.#pushOptions, (peer, code) => this.penalize(peer, code))
    this.#links = this.#makeLinks((peer) => this.#isMember(peer))
    this.#neighbours = this.#makeLinks((peer) => this.#roleOf(peer) === 'device')
    this.#links.setMembers(options.members)
  }

  async create(): Promise<void> {
    const { role } = this.#options
    const common = libp2pOptions(this.#options, this.#limits, this.#roleOf)
    if (role !== 'device') await this.#createMember(common)
    else if (this.#options.segment === undefined)
      this.#node = await createLibp2p({ ...common, services: { ping: ping() } })
    else await this.#createNeighbour(common, this.#options.segment)
    this.#node.addEventListener('connection:open', (event) => this.#opened(event.detail))
    this.#node.addEventListener('connection:close', (event) => this.#closed(event.detail))
    if (role === 'device') return
    const pair = { maxInboundStreams: 4, maxOutboundStreams: 4 }
    const { protocol } = this.#pushOptions
    await this.#handle(CONSENSUS, pair, (peer, stream, connection) => this.#consensus.accept(peer, stream, connection))
    await this.#handle(PROPOSALS, pair, (peer, stream, connection) => this.#proposals.accept(peer, stream, connection))
    await this.#handle(protocol, pair, (peer, stream) => this.#pushes.accept(peer, stream))
  }

  /** What only members need is loaded here, so that it takes no memory on a device. */
  async #createMember(common: ReturnType<typeof libp2pOptions>): Promise<void> {
    const [{ identify }, { Gossip, meteredGossipsub, topicNames }] = await Promise.all([
      import('@libp2p/identify'),
      import('./gossip.ts'),
    ])
    const names = topicNames(this.#options.chainId)
    const limits = gossipLimits(this.#limits)
    const isMember = (peer: PublicKeyHex): boolean => this.#isMember(peer)
    const node = await createLibp2p({
      ...common,
      services: {
        identify: identify(),
        ping: ping(),
        pubsub: meteredGossipsub([...names.keys()], limits, isMember),
      },
    })
    this.#node = node as Libp2p
    this.#gossip = new Gossip(node.services.pubsub, names, limits, this.#gossipEvents(isMember))
  }

  /** A device that gossips in its segment. No identify: members need not learn that it does, and it costs memory. */
  async #createNeighbour(common: ReturnType<typeof libp2pOptions>, segment: string): Promise<void> {
    const { Gossip, meteredGossipsub, segmentTopic } = await import('./gossip.ts')
    const names = segmentTopic(this.#options.chainId, segment)
    const limits = segmentLimits(this.#limits)
    const isDevice = (peer: PublicKeyHex): boolean => this.#roleOf(peer) === 'device'
    const pubsub = meteredGossipsub([...names.keys()], limits, isDevice, (topology) => {
      this.#topology = topology
    })
    const node = await createLibp2p({ ...common, services: { ping: ping(), pubsub } })
    this.#node = node as Libp2p
    this.#gossip = new Gossip(node.services.pubsub, names, limits, this.#gossipEvents(isDevice))
  }

  #gossipEvents(mayGossip: (peer: PublicKeyHex) => boolean): ConstructorParameters<typeof Gossip>[3] {
    return {
      mayGossip,
      judge: async (topic, bytes, from) => {
        let verdict: GossipVerdict | undefined
        await guarded(async () => {
          verdict = await this.#handlers.gossip?.(topic, bytes, from)
        })
        return verdict ?? 'ignore'
      },
      offended: (peer) => this.#offended(peer, 'gossip'),
    }
  }

  async start(): Promise<void> {
    if (this.#phase !== 'made') throw new Error('a network starts once')
    this.#phase = 'running'
    await this.#listen()
    this.#gossip?.start()
    if (this.#options.role === 'member') this.#links.start()
    if (this.#options.segment !== undefined) this.#neighbours.start()
    this.#log.info({ peer: this.publicKey, addresses: this.addresses() }, 'network started')
  }

  /** What can fail here is the world's doing: a port in use, an address that this machine does not have. */
  async #listen(): Promise<void> {
    try {
      await this.#node.start()
    } catch (cause) {
      throw new AlthingError('NETWORK_LISTEN', 'the network cannot listen at network.listen', { cause })
    }
  }

  async stop(): Promise<void> {
    if (this.#phase === 'stopped') return
    this.#phase = 'stopped'
    this.#links.stop()
    this.#neighbours.stop()
    this.#consensus.stop()
    this.#proposals.stop()
    this.#pushes.stop()
    // libp2p may not stop: it waits for peers to close in good order.
    const timeout = Promise.withResolvers<void>()
    const timer = setTimeout(timeout.resolve, this.#limits.stopTimeoutMs)
    const stopping = Promise.resolve(this.#node.stop()).catch((error: unknown) => {
      this.#log.warn({ error }, 'libp2p did not stop in good order')
    })
    await Promise.race([stopping, timeout.promise])
    clearTimeout(timer)
    this.#connections.cutAll('stopping')
  }

  setMembers(members: readonly MemberAddresses[]): void {
    this.#links.setMembers(members)
  }

  setNeighbours(devices: readonly MemberAddresses[]): void {
    this.#neighbours.setMembers(devices)
  }

  enforceRoles(): void {
    for (const peer of this.#connections.changedRoles()) this.#cut(peer, 'role lost')
  }

  send(peer: PublicKeyHex, bytes: Uint8Array): boolean {
    return this.#consensus.send(peer, bytes)
  }

  push(peer: PublicKeyHex, bytes: Uint8Array): Promise<boolean> {
    return this.#proposals.push(peer, bytes)
  }

  linkedPeers(): PublicKeyHex[] {
    return this.#consensus.upPeers()
  }

  onMessage(handler: Handlers['message']): void {
    this.#setHandler('message', handler)
  }

  onLink(handler: Handlers['link']): void {
    this.#setHandler('link', handler)
  }

  onPush(handler: Handlers['push']): void {
    this.#setHandler('push', handler)
  }

  onGossip(handler: Handlers['gossip']): void {
    this.#setHandler('gossip', handler)
  }

  async publish(topic: GossipTopic, bytes: Uint8Array, others = Number.POSITIVE_INFINITY): Promise<number> {
    this.#checkRunning()
    if (this.#gossip === undefined) throw new AlthingError('NETWORK_UNSUPPORTED', 'this device does not gossip')
    return this.#gossip.publish(topic, bytes, others)
  }

  async request(
    peer: PublicKeyHex,
    name: string,
    bytes: Uint8Array,
    limits: Parameters<Network['request']>[3] = {},
  ): Promise<Uint8Array> {
    this.#checkRunning()
    return askOn((signal) => this.#connect(peer, signal), this.#requestProtocol(name), bytes, limits)
  }

  serve(
    name: string,
    ...[handler, limits = {}]: [Parameters<Network['serve']>[1], Parameters<Network['serve']>[2]?]
  ): void {
    const protocol = this.#requestProtocol(name)
    if (this.#servers.has(name)) throw new Error(`"${name}" is served already`)
    const server = new RequestServer(handler, limits, this.#roleOf, {
      failed: (peer, error) => this.#log.warn({ peer, name, error }, 'a request could not be answered'),
      // Members ask in bursts when they catch up, and wait when they are told to; a device has no reason to.
      fault: (peer, code) => {
        if (this.#roleOf(peer) === 'device' || !this.#excess.get(peer).take()) this.penalize(peer, code)
      },
    })
    this.#servers.set(name, server)
    const streams = { maxInboundStreams: server.inboundStreamsMax, maxOutboundStreams: 256 }
    this.#handle(protocol, streams, (peer, stream) => server.accept(peer, stream)).catch(rethrow)
  }

  async openPush(peer: PublicKeyHex, handler: Handlers['push']): ReturnType<Network['openPush']> {
    this.#checkRunning()
    const connection = await this.#connect(peer, AbortSignal.timeout(this.#limits.dialTimeoutMs))
    return subscribe(peer, connection, this.#pushOptions, handler)
  }

  pushToSubscribers(bytes: Uint8Array, slot?: string): number {
    return this.#pushes.push(bytes, slot)
  }

  pushTo(peer: PublicKeyHex, bytes: Uint8Array, slot?: string): boolean {
    return this.#pushes.pushTo(peer, bytes, slot)
  }

  onSubscribe(handler: (peer: PublicKeyHex) => void): void {
    this.#pushes.subscribed = handler
  }

  subscribers(): PublicKeyHex[] {
    return this.#pushes.peers()
  }

  penalize(peer: PublicKeyHex, code: Code): void {
    const { penalty } = VERDICTS[code]
    if (penalty > 0 && this.#penalties.get(peer).charge(penalty) > 0) this.#offended(peer, 'penalties')
  }

  addresses(): string[] {
    return this.#node.getMultiaddrs().map((address) => address.toString())
  }

  peers(): ReturnType<Network['peers']> {
    return this.#connections.list((peer) => this.#consensus.isUp(peer) || this.#pushes.has(peer))
  }

  traffic(): ReturnType<Network['traffic']> {
    const framesDropped = this.#consensus.framesDropped + this.#proposals.framesDropped + this.#pushes.framesDropped
    return { ...this.#connections.bytes(), framesDropped, cuts: { ...this.#connections.cuts } }
  }

  #isMember(peer: PublicKeyHex): boolean {
    return this.#roleOf(peer) === 'member'
  }

  #checkRunning(): void {
    if (this.#phase !== 'running') throw new AlthingError('NETWORK_STOPPED', 'the network is not running')
  }

  #setHandler<K extends keyof Handlers>(name: K, handler: Handlers[K]): void {
    if (this.#handlers[name] !== undefined) throw new Error(`there is a handler for "${name}" already`)
    this.#handlers[name] = handler
  }

  /** Requests carry the chain in their name: a peer of another chain does not speak them. */
  #requestProtocol(name: string): string {
    if (!/^[a-z0-9-]{1,64}$/.test(name)) throw new RangeError(`not a request name: ${name}`)
    return `/althing/${toHex(this.#options.chainId).slice(0, 16)}/${name}/1`
  }

  async #handle(
    protocol: string,
    limits: { maxInboundStreams: number; maxOutboundStreams: number },
    accept: (peer: PublicKeyHex, ...[stream, connection]: Parameters<StreamHandler>) => Promise<void>,
  ): Promise<void> {
    const handler: StreamHandler = async (stream, connection) => {
      const peer = publicKeyOfPeer(connection.remotePeer)
      if (peer === undefined || this.#phase === 'stopped') return stream.abort(new Error('closed'))
      await accept(peer, stream, connection)
    }
    await this.#node.handle(protocol, handler, limits)
  }

  async #connect(peer: PublicKeyHex, signal: AbortSignal): Promise<Connection> {
    const open = this.#connections.of(peer).at(-1)
    if (open !== undefined) return open
    const addresses = this.#links.addressesOf(peer)
    if (addresses.length === 0) throw new AlthingError('NETWORK_UNREACHABLE', 'not connected and no address known')
    try {
      return await this.#node.dial(addresses, { signal })
    } catch (cause) {
      throw new AlthingError('NETWORK_UNREACHABLE', 'cannot connect to the peer', { cause })
    }
  }

  #opened(connection: Connection): void {
    const peer = this.#connections.add(connection)
    if (peer === undefined) return
    this.#log.debug({ peer, address: connection.remoteAddr.toString() }, 'connected')
    this.#ensureChannels(peer, connection)
    if (this.#roleOf(peer) === 'device') this.#topology?.onConnect?.(connection.remotePeer, connection)
  }

  #closed(connection: Connection): void {
    const peer = this.#connections.remove(connection)
    if (peer === undefined) return
    this.#consensus.closePeer(peer, 'disconnected')
    this.#proposals.closePeer(peer, 'disconnected')
    this.#pushes.closePeer(peer)
    this.#topology?.onDisconnect?.(connection.remotePeer)
    this.#log.debug({ peer }, 'disconnected')
  }

  #ensureChannels(peer: PublicKeyHex, connection: Connection): void {
    if (this.#options.role !== 'member' || this.#phase !== 'running' || !this.#isMember(peer)) return
    this.#consensus.open(peer, connection)
    this.#proposals.open(peer, connection)
  }

  #cut(peer: PublicKeyHex, reason: string): void {
    this.#log.info({ peer, reason }, 'connection cut')
    this.#connections.cut(peer, reason)
  }

  #offended(peer: PublicKeyHex, reason: string, error?: Error): void {
    this.#offenders.add(peer)
    this.#log.warn({ peer, reason, problem: error?.message }, 'peer broke a rule; shut out for a while')
    this.#connections.cut(peer, reason)
  }

  #makeLinks(mayDial: (peer: PublicKeyHex) => boolean): MemberLinks {
    const { linkTickMs, linkBadTicksMax, takeoverMs, dialTimeoutMs } = this.#limits
    return new MemberLinks(
      {
        self: this.publicKey,
        tickMs: linkTickMs,
        badTicksMax: linkBadTicksMax,
        takeoverMs,
        dialTimeoutMs,
      },
      {
        connections: (peer) => this.#connections.of(peer),
        dial: (addresses, signal) => this.#node.dial(addresses, { signal }),
        mayDial,
        ensure: (peer, connection) => this.#ensureChannels(peer, connection),
        isWhole: (peer) => this.#isWhole(peer),
        cut: (peer, reason) => this.#cut(peer, reason),
        log: this.#log,
      },
    )
  }

  #isWhole(peer: PublicKeyHex): boolean {
    const isGossiping = (): boolean => this.#gossip?.isWhole(peerIdOf(peer)) === true
    if (this.#options.role === 'device') return this.#roleOf(peer) !== 'device' || isGossiping()
    return !this.#isMember(peer) || (this.#consensus.isUp(peer) && this.#proposals.isUp(peer) && isGossiping())
  }

  #makeConsensusChannel(hello: Hello): Channel {
    return new Channel(consensusOptions(this.#limits, hello), {
      ...this.#channelFaults(),
      frame: (peer, bytes) => guarded(() => this.#handlers.message?.(peer, bytes)),
      up: (peer, run) => {
        this.#log.info({ peer }, 'link up')
        void guarded(() => this.#handlers.link?.(peer, true, run))
      },
      down: (peer) => {
        this.#log.info({ peer }, 'link down')
        void guarded(() => this.#handlers.link?.(peer, false))
      },
    })
  }

  #makeProposalsChannel(hello: Hello): Channel {
    return new Channel(proposalsOptions(this.#limits, hello), {
      ...this.#channelFaults(),
      frame: (peer, bytes) => guarded(() => this.#handlers.push?.(peer, bytes)),
      up: () => {},
      down: () => {},
    })
  }

  #channelFaults(): Pick<ConstructorParameters<typeof Channel>[1], 'isMember' | 'failed'> {
    return {
      isMember: (peer) => this.#isMember(peer),
      failed: (peer, connection, error, fault) => {
        if (fault) return this.#offended(peer, 'broke the protocol', error)
        this.#log.info({ peer, problem: error.message }, 'no hello in time: connection cut')
        if (connection.status === 'open') this.#connections.cut(peer, 'no hello')
      },
    }
  }
}

/** An exception in a handler is a bug of ours, not the peer's fault: it must stop the node, not a stream. */
async function guarded(handler: () => void | Promise<void>): Promise<void> {
  try {
    await handler()
  } catch (error) {
    rethrow(error)
  }
}

function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
