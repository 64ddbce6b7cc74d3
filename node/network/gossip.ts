/**
 * Gossip between members, and between the devices of one segment: gossipsub for small, loss-tolerant pieces that can be sent again.
 * A publisher sends to all members that it is linked to. Where those are all there are, the piece goes under a topic of its own that nobody
 * passes on; else everybody who hears it does.
 * Devices have one topic, that of their segment, and everybody passes on what he hears there.
 * Invariants: pieces are unsigned here (what is inside carries its own signature); an id covers all bytes; bytes per second are metered
 * at the stream, pieces per second at the validator; who goes on breaking the rules is cut off.
 */
import { hash } from 'node:crypto'
import {
  type GossipSub,
  type GossipSubComponents,
  type GossipsubOpts,
  gossipsub,
  TopicValidatorResult,
} from '@libp2p/gossipsub'
import { type Connection, type PeerId, type Stream, type StreamHandler, serviceDependencies } from '@libp2p/interface'
import { toHex } from '../../protocol/bytes.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { AlthingError } from '../errors.ts'
import { publicKeyOfPeer } from './identity.ts'
import { PerPeer, TokenBucket } from './limiter.ts'
import { GOSSIP_TOPICS, type GossipTopic, type GossipVerdict } from './network.ts'

/** Bounds per peer. */
export type GossipLimits = {
  bytesMax: number
  bytesPerSecond: number
  bytesBurst: number
  piecesPerSecond: number
  piecesBurst: number
  /** Rejected or excess pieces forgiven at once; one more is forgiven each second. */
  offencesMax: number
  /** Pieces being judged at once, of all peers; further ones are ignored. */
  validationsMax: number
}

/** What gossip tells. */
export type GossipEvents = {
  mayGossip(peer: PublicKeyHex): boolean
  judge(topic: GossipTopic, bytes: Uint8Array, from: PublicKeyHex): Promise<GossipVerdict>
  offended(peer: PublicKeyHex): void
}

const topicScore = {
  topicWeight: 1,
  timeInMeshWeight: 0,
  timeInMeshQuantum: 1000,
  timeInMeshCap: 1,
  firstMessageDeliveriesWeight: 0,
  firstMessageDeliveriesDecay: 0.5,
  firstMessageDeliveriesCap: 1,
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.5,
  meshMessageDeliveriesCap: 1,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 5000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.5,
  invalidMessageDeliveriesWeight: -1,
  invalidMessageDeliveriesDecay: 0.9,
}

/** A topic on the wire. What comes on a direct one was sent to every member and is not passed on. */
export type WireTopic = { readonly topic: GossipTopic; readonly direct: boolean }

/** Names of the topics on the wire, for one chain: two of each. */
export function topicNames(chainId: Uint8Array): ReadonlyMap<string, WireTopic> {
  return new Map<string, WireTopic>(
    GOSSIP_TOPICS.flatMap((topic): [string, WireTopic][] => [
      [`althing/${topic}/${toHex(chainId)}`, { topic, direct: false }],
      [`althing/${topic}/direct/${toHex(chainId)}`, { topic, direct: true }],
    ]),
  )
}

/** The topic of the devices of one segment, as `topicNames`. */
export const segmentTopic = (chainId: Uint8Array, segment: string): ReadonlyMap<string, WireTopic> =>
  new Map([[`althing/segment/${toHex(chainId)}/${segment}`, { topic: 'segment', direct: false }]])

/** What gossipsub asks of the host when a peer that gossips came or went. */
export type GossipTopology = {
  onConnect?(peer: PeerId, connection: Connection): void
  onDisconnect?(peer: PeerId): void
}

function gossipOptions(topics: string[]): Partial<GossipsubOpts> {
  return {
    globalSignaturePolicy: 'StrictNoSign',
    // Over all bytes: the seen-cache is filled before validation, so a shorter id would let anybody suppress a piece.
    msgIdFn: (message) => {
      const head = Buffer.from(`${message.topic}\0`)
      return hash('sha256', Buffer.concat([head, message.data]), 'buffer').subarray(0, 20)
    },
    msgIdToStrFn: (id) => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1'),
    allowedTopics: topics,
    fallbackToFloodsub: false,
    allowPublishToZeroTopicPeers: true,
    // A piece sent again within the seen time goes nowhere, and that is no failure.
    ignoreDuplicatePublishError: true,
    batchPublish: true,
    floodPublish: true,
    doPX: false,
    // Up to Dhi members keep a full mesh.
    D: 8,
    Dlo: 6,
    Dhi: 30,
    Dscore: 4,
    Dout: 2,
    Dlazy: 6,
    maxOutboundBufferSize: 16 * 1024 * 1024,
    seenTTL: 120_000,
    scoreParams: {
      // The default silences everybody behind one address translation.
      IPColocationFactorWeight: 0,
      behaviourPenaltyWeight: -1,
      topics: Object.fromEntries(topics.map((topic) => [topic, topicScore])),
    },
  }
}

/**
 * The gossipsub service of a node: only streams of peers that may gossip, metered by bytes. `topology` is given where the host tells by itself
 * who is connected: identify would, at the price of its memory, and would tell members of devices.
 */
export function meteredGossipsub(
  topics: string[],
  limits: GossipLimits,
  mayGossip: (peer: PublicKeyHex) => boolean,
  topology?: (topology: GossipTopology) => void,
): (components: GossipSubComponents) => GossipSub {
  const make = gossipsub(gossipOptions(topics))
  return (components) => {
    const buckets = new WeakMap<Connection, TokenBucket>()
    const wrap =
      (handler: StreamHandler): StreamHandler =>
      (stream, connection) => {
        const peer = publicKeyOfPeer(connection.remotePeer)
        if (peer === undefined || !mayGossip(peer)) return stream.abort(new Error('gossip is not for everyone'))
        const bucket = buckets.get(connection) ?? new TokenBucket(limits.bytesPerSecond, limits.bytesBurst)
        buckets.set(connection, bucket)
        meter(stream, bucket)
        return handler(stream, connection)
      }
    const registrar = new Proxy(components.registrar, {
      get(target, property) {
        if (property === 'handle')
          return (...[protocol, handler, options]: Parameters<typeof target.handle>) =>
            target.handle(protocol, wrap(handler), options)
        if (property === 'register' && topology !== undefined)
          return (protocol: string, given: GossipTopology) => {
            topology(given)
            return target.register(protocol, {})
          }
        const value: unknown = Reflect.get(target, property)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const { privateKey, peerId, peerStore, connectionManager, logger } = components
    const service = make({ privateKey, peerId, peerStore, connectionManager, logger, registrar })
    // It asks for identify, which it needs for nothing but what the host then tells it.
    if (topology !== undefined) Object.defineProperty(service, serviceDependencies, { value: [] })
    return service
  }
}

/** gossipsub takes whatever arrives and queues it without bound; a paused stream makes the sender wait instead. */
function meter(stream: Stream, bucket: TokenBucket): void {
  let waiting = false
  const resume = (): void => {
    if (stream.status !== 'open') return
    const waitMs = bucket.charge(0)
    if (waitMs > 0) {
      setTimeout(resume, Math.min(1000, waitMs)).unref()
      return
    }
    waiting = false
    if (stream.readStatus === 'paused') stream.resume()
  }
  stream.addEventListener('message', (event) => {
    const waitMs = bucket.charge(event.data.byteLength)
    if (waitMs === 0 || waiting) return
    waiting = true
    queueMicrotask(() => {
      if (stream.readStatus === 'readable') stream.pause()
    })
    setTimeout(resume, Math.min(1000, waitMs)).unref()
  })
}

/** Fields of the gossipsub class that its exported interface does not list (17.1.1, pinned). */
type GossipInternals = {
  peers: ReadonlyMap<string, unknown>
  streamsInbound: ReadonlyMap<string, unknown>
  streamsOutbound: ReadonlyMap<string, unknown>
}

/** Topics, limits and the judge, around a running gossipsub. */
export class Gossip {
  readonly #pubsub: GossipSub
  readonly #limits: GossipLimits
  readonly #events: GossipEvents
  readonly #names: ReadonlyMap<string, WireTopic>
  readonly #pieces: PerPeer<TokenBucket>
  readonly #offences: PerPeer<TokenBucket>
  #validations = 0

  constructor(pubsub: GossipSub, names: ReadonlyMap<string, WireTopic>, limits: GossipLimits, events: GossipEvents) {
    this.#pubsub = pubsub
    this.#limits = limits
    this.#events = events
    this.#names = names
    this.#pieces = new PerPeer(() => new TokenBucket(limits.piecesPerSecond, limits.piecesBurst))
    this.#offences = new PerPeer(() => new TokenBucket(1, limits.offencesMax))
  }

  /** Subscribes; call after the node has started. */
  start(): void {
    for (const [name, { topic, direct }] of this.#names) {
      this.#pubsub.topicValidators.set(name, async (from: PeerId, message: { data: Uint8Array }) => {
        const result = await this.#validate(topic, message.data, from)
        return direct && result === TopicValidatorResult.Accept ? TopicValidatorResult.Ignore : result
      })
      this.#pubsub.subscribe(name)
    }
  }

  /** See `Network.publish`. */
  async publish(topic: GossipTopic, bytes: Uint8Array, others: number): Promise<number> {
    if (bytes.length > this.#limits.bytesMax)
      throw new AlthingError('NETWORK_TOO_LARGE', `gossip of ${bytes.length} bytes, limit ${this.#limits.bytesMax}`)
    let chosen: string | undefined
    for (const [name, known] of this.#names)
      if (known.topic === topic && (!known.direct || this.#pubsub.getSubscribers(name).length >= others)) chosen = name
    if (chosen === undefined) throw new RangeError(`unknown topic ${topic}`)
    return (await this.#pubsub.publish(chosen, bytes)).recipients.length
  }

  /** Whether gossip flows both ways with the peer. A stream lost on a live connection never comes back by itself. */
  isWhole(peer: PeerId): boolean {
    const { peers, streamsInbound, streamsOutbound } = this.#pubsub as unknown as GossipInternals
    const id = peer.toString()
    return peers.has(id) && streamsInbound.has(id) && streamsOutbound.has(id)
  }

  async #validate(topic: GossipTopic, bytes: Uint8Array, from: PeerId): Promise<TopicValidatorResult> {
    const peer = publicKeyOfPeer(from)
    if (peer === undefined || !this.#events.mayGossip(peer)) return TopicValidatorResult.Ignore
    if (bytes.length > this.#limits.bytesMax) return this.#reject(peer)
    if (!this.#pieces.get(peer).take()) {
      this.#offend(peer)
      return TopicValidatorResult.Ignore
    }
    if (this.#validations >= this.#limits.validationsMax) return TopicValidatorResult.Ignore
    this.#validations++
    try {
      // A copy, so that keeping one piece does not keep the whole packet it came in.
      const verdict = await this.#events.judge(topic, new Uint8Array(bytes), peer)
      if (verdict === 'reject') return this.#reject(peer)
      return verdict === 'accept' ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
    } finally {
      this.#validations--
    }
  }

  #reject(peer: PublicKeyHex): TopicValidatorResult {
    this.#offend(peer)
    return TopicValidatorResult.Reject
  }

  #offend(peer: PublicKeyHex): void {
    if (!this.#offences.get(peer).take()) this.#events.offended(peer)
  }
}
