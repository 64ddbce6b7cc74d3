/**
 * What the rest of the node sees of the network: peers by public key, bytes in, bytes out. No libp2p type passes this file, so that a
 * simulated network can stand in its place.
 * Invariants of every implementation: only peers with a role get a connection; every queue is bounded; `from` is always the
 * authenticated key of the other end; bytes handed over are not changed afterwards by either side.
 */
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'

/**
 * What a connected peer may do: members speak everything, devices make requests and subscribe to pushes. `sync`: between members and a node that
 * is none (yet), which is served committed blocks and nothing else; each side has the other in this role.
 */
export type PeerRole = 'member' | 'device' | 'sync' | 'former'
/** Who may be connected; asked at every connection and by `enforceRoles`. null: nobody we know. Synchronous and cheap. */
export type RoleOf = (peer: PublicKeyHex) => PeerRole | null

/** Gossip topics. On the wire each carries the chain id, so that two chains never mix. */
export const GOSSIP_TOPICS = ['transactions', 'reports', 'proposals', 'stix'] as const
/** One of `GOSSIP_TOPICS` between members; `segment` between the devices of one segment. */
export type GossipTopic = (typeof GOSSIP_TOPICS)[number] | 'segment'
/** accept: pass on. ignore: do not pass on, nobody's fault. reject: the peer that passed it on is at fault. */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'

/** Where a member can be reached. `addresses` are multiaddrs as text, such as `/dns4/hub.example/tcp/4001`. */
export type MemberAddresses = { readonly publicKey: PublicKeyHex; readonly addresses: readonly string[] }

/** One connected peer, for status pages. Times in ms; bytes on the wire, encryption included, handshake not. */
export type PeerInfo = {
  readonly publicKey: PublicKeyHex
  readonly role: PeerRole
  /** ms since epoch. */
  readonly connectedSince: number
  /** Last measured round trip, undefined before the first ping. */
  readonly roundTripMs: number | undefined
  readonly bytesIn: number
  readonly bytesOut: number
  /** Members: whether the consensus channel is open both ways. Devices: whether it is subscribed. */
  readonly linked: boolean
}

/** Totals since the start of this process, closed connections included. */
export type Traffic = {
  readonly bytesIn: number
  readonly bytesOut: number
  /** Frames thrown away because a peer's queue was full. */
  readonly framesDropped: number
  /** Connections ended by us, by cause. */
  readonly cuts: Readonly<Record<string, number>>
}

/** Bounds of one served request. Rates and concurrency are per peer. */
export type ServeLimits = {
  /** Largest request accepted, bytes. Default 1 MiB. */
  readonly bytesMax?: number
  /** Requests being answered at once for one peer. Default 4. */
  readonly concurrencyMax?: number
  /** Requests per second over time for one peer. Default 50. */
  readonly ratePerSecond?: number
  /** Requests at once after a rest. Default 100. */
  readonly burst?: number
  /** Time for reading the request and for the answer. Default 10 000. */
  readonly timeoutMs?: number
  /** Who may ask. Default: members and devices. */
  readonly roles?: readonly PeerRole[]
}

/** Bounds of one request made. */
export type RequestLimits = {
  /** Whole exchange, connecting included. Default 5000. */
  readonly timeoutMs?: number
  /** Largest answer accepted, bytes. Default 4 MiB. */
  readonly bytesMax?: number
}

/** Answers one request; the signal fires at the request's timeout or when the peer goes. A throw becomes NETWORK_REFUSED at the asker. */
export type RequestHandler = (peer: PublicKeyHex, bytes: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/** A running subscription to a member's pushes. */
export type PushSubscription = {
  /** Settles when the subscription ended, with the reason, or undefined after `close`. Open a new one to go on. */
  readonly ended: Promise<Error | undefined>
  close(): void
}

/**
 * A running network. Set all handlers, then `start`. Each `on…` takes one handler and throws if there is one already.
 * Errors are AlthingError: NETWORK_UNREACHABLE, NETWORK_TIMEOUT, NETWORK_BUSY, NETWORK_REFUSED, NETWORK_UNSUPPORTED,
 * NETWORK_TOO_LARGE, NETWORK_BROKEN (the exchange failed midway), NETWORK_STOPPED.
 */
export type Network = {
  /** Our own name. */
  readonly publicKey: PublicKeyHex
  start(): Promise<void>
  /** Ends everything; resolves within 3 s in every case. Idempotent. */
  stop(): Promise<void>
  /**
   * Replaces the list of members. Members keep a connection to each other; a device connects when it asks or subscribes. Does not
   * itself disconnect anybody: see `enforceRoles`.
   */
  setMembers(members: readonly MemberAddresses[]): void
  /** Devices of one segment: replaces the list of those that this one keeps a connection to, for gossip. Nothing where it does not gossip. */
  setNeighbours(devices: readonly MemberAddresses[]): void
  /** Closes the connections of peers whose role is no longer what it was when they connected. Call after each change of roles. */
  enforceRoles(): void

  /**
   * Consensus channel: hands a small message (≤ `LIMITS.consensusMessageBytesMax`) to the peer's queue. Best effort.
   * false: no link, or the queue was full, in which case the oldest waiting message was dropped for this one.
   */
  send(peer: PublicKeyHex, bytes: Uint8Array): boolean
  /** Messages of the consensus channel, in order per peer. A returned promise holds that peer's next message back. */
  onMessage(handler: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>): void
  /**
   * A member's channel opened or closed. `peerRun` (16 random bytes of the peer's process) is given with `up`; a new one means that
   * the peer has restarted. No message of a peer comes before its `up` or after its `down`.
   */
  onLink(handler: (peer: PublicKeyHex, up: boolean, peerRun?: Uint8Array) => void): void
  /** Peers whose consensus channel is open. */
  linkedPeers(): PublicKeyHex[]

  /**
   * Proposals channel: sends a large frame (≤ `pushBytesMax`). Resolves true once the stream has taken it, false if there is no link,
   * too much is waiting already, or the link was lost before that.
   */
  push(peer: PublicKeyHex, bytes: Uint8Array): Promise<boolean>
  /** Frames of the proposals channel. A returned promise pushes back on the sender. */
  onPush(handler: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>): void

  /**
   * Gossips a piece (≤ `gossipBytesMax`) to all members, or from a device to its segment (topic `segment`). Resolves with the number of
   * peers it was handed to. Whoever hears it passes it on, unless
   * all `others` members that there are beside this one hear it from here.
   */
  publish(topic: GossipTopic, bytes: Uint8Array, others?: number): Promise<number>
  /** Judges each piece once, before it is passed on; accepting it is receiving it. `from` passed it on and may not be its author. */
  onGossip(handler: (topic: GossipTopic, bytes: Uint8Array, from: PublicKeyHex) => Promise<GossipVerdict>): void

  /** Asks a peer. `name`: `[a-z0-9-]+`. */
  request(peer: PublicKeyHex, name: string, bytes: Uint8Array, limits?: RequestLimits): Promise<Uint8Array>
  /** Answers requests of that name from now on. */
  serve(name: string, handler: RequestHandler, limits?: ServeLimits): void

  /** Subscribes to a member's pushes (devices). Rejects if it cannot be opened. A returned promise of `handler` pushes back. */
  openPush(
    peer: PublicKeyHex,
    handler: (peer: PublicKeyHex, bytes: Uint8Array) => void | Promise<void>,
  ): Promise<PushSubscription>
  /**
   * Queues `bytes` to each subscriber; where a queue is full its oldest frame goes. A frame with a `slot` takes the place of one of the
   * same slot that still waits. The bytes are shared by all queues. Returns the number of subscribers.
   */
  pushToSubscribers(bytes: Uint8Array, slot?: string): number
  /** The same to one subscriber; false if it is none. */
  pushTo(peer: PublicKeyHex, bytes: Uint8Array, slot?: string): boolean
  /** Called for each new subscriber, which can be pushed to from then on. */
  onSubscribe(handler: (peer: PublicKeyHex) => void): void
  /** Peers that are subscribed now. */
  subscribers(): PublicKeyHex[]

  /**
   * Holds the penalty of `code` (the table of verdicts) against a peer. Whoever gathers more than is forgiven over time loses its
   * connection and gets none for a while.
   */
  penalize(peer: PublicKeyHex, code: Code): void

  /** Our own addresses, with identity, as multiaddrs. */
  addresses(): string[]
  peers(): PeerInfo[]
  traffic(): Traffic
}

/** The few calls of a logger that the network uses; pino fits. */
export type NetworkLog = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}
