/**
 * Bounds of one node's network: queues, rates and times of its own. What all members must share stands in protocol/limits.ts.
 */
import { LIMITS } from '../../protocol/limits.ts'

/** Defaults; any of them can be set in `NetworkOptions.limits`. Times in ms, sizes in bytes. */
export const NETWORK_LIMITS = {
  /** Small messages waiting per peer. */
  sendQueueFramesMax: 2048,
  sendQueueBytesMax: 8 * 1024 * 1024,
  /** Small messages taken from one peer over time, and at once after a rest: some times what a busy chain needs. */
  consensusFramesPerSecond: 1000,
  consensusFramesBurst: 4000,
  consensusBytesPerSecond: 2 * 1024 * 1024,
  consensusBytesBurst: 8 * 1024 * 1024,
  /** The same for the proposals channel. */
  proposalFramesPerSecond: 100,
  proposalFramesBurst: 400,
  proposalBytesPerSecond: 8 * 1024 * 1024,
  proposalBytesBurst: 16 * 1024 * 1024,
  /** Largest frame of the proposals channel: a full block and its certificates. */
  pushBytesMax: 3 * 1024 * 1024,
  pushQueueFramesMax: 16,
  pushQueueBytesMax: 12 * 1024 * 1024,
  /** Light peers that may be subscribed at once, the headers waiting for each, and the largest of those. */
  subscribersMax: 1024,
  subscriberQueueFramesMax: 32,
  subscriberFrameBytesMax: 256 * 1024,
  /** Subscriptions of one device: over time, and at once after a rest. */
  subscriptionsPerSecond: 0.5,
  subscriptionsBurst: 10,
  /** Penalty points (the table of verdicts) that one peer is forgiven per second, and at once after a rest. */
  penaltyPointsPerSecond: 2,
  penaltyPointsBurst: 200,
  /** Requests above their rate that a member is forgiven: over time, and at once after a rest. Each further one is MESSAGE_RATE. */
  excessRequestsPerSecond: 20,
  excessRequestsBurst: 300,
  /** A hello must come within this time of opening a stream. */
  helloTimeoutMs: 5000,
  /** A peer that takes nothing from a stream for this long loses it. */
  writeTimeoutMs: 10_000,
  dialTimeoutMs: 5000,
  /** Period of the link watchdog, and how many bad looks in a row cut a connection. */
  linkTickMs: 1000,
  linkBadTicksMax: 5,
  takeoverMs: 15_000,
  /** How long a peer that broke a rule gets no connection. */
  offenderPauseMs: 30_000,
  /** Connections of one peer; beyond it the oldest goes. */
  connectionsPerPeerMax: 4,
  connectionsMax: 1500,
  /** New inbound connections per second and address; more are refused. Devices behind one NAT share an address. */
  inboundPerSecondMax: 200,
  gossipBytesMax: LIMITS.transactionBytesMax,
  gossipBytesPerSecond: 4 * 1024 * 1024,
  gossipBytesBurst: 8 * 1024 * 1024,
  gossipPiecesPerSecond: 2000,
  gossipPiecesBurst: 8000,
  gossipOffencesMax: 50,
  gossipValidationsMax: 4096,
  /** The same for gossip within a segment, from one device, which passes on what all others say: reports are a few hundred bytes each. */
  segmentBytesPerSecond: 128 * 1024,
  segmentBytesBurst: 1024 * 1024,
  segmentPiecesPerSecond: 100,
  segmentPiecesBurst: 400,
  segmentValidationsMax: 256,
  /** `stop` gives libp2p this long, then ends the connections by itself. */
  stopTimeoutMs: 2500,
} as const

/** Values for the bounds. */
export type NetworkLimits = { -readonly [K in keyof typeof NETWORK_LIMITS]: number }
