/**
 * Which bounds hold where: from the one table of limits to the options of channels and of gossip.
 */
import { LIMITS } from '../../protocol/limits.ts'
import type { ChannelOptions } from './channel.ts'
import type { GossipLimits } from './gossip.ts'
import type { Hello } from './hello.ts'
import type { NetworkLimits } from './limits.ts'

/** Protocol of the consensus channel. */
export const CONSENSUS = '/althing/consensus/1'
/** Protocol of the proposals channel. */
export const PROPOSALS = '/althing/proposals/1'

/** Small messages; where too many wait, the oldest goes. */
export const consensusOptions = (limits: NetworkLimits, hello: Hello): ChannelOptions => ({
  protocol: CONSENSUS,
  hello,
  frameBytesMax: LIMITS.consensusMessageBytesMax,
  queueFramesMax: limits.sendQueueFramesMax,
  queueBytesMax: limits.sendQueueBytesMax,
  overflow: 'drop-oldest',
  rates: {
    framesPerSecond: limits.consensusFramesPerSecond,
    framesBurst: limits.consensusFramesBurst,
    bytesPerSecond: limits.consensusBytesPerSecond,
    bytesBurst: limits.consensusBytesBurst,
  },
  helloTimeoutMs: limits.helloTimeoutMs,
  writeTimeoutMs: limits.writeTimeoutMs,
})

/** Large frames; where too much waits, the next is refused. */
export const proposalsOptions = (limits: NetworkLimits, hello: Hello): ChannelOptions => ({
  protocol: PROPOSALS,
  hello,
  frameBytesMax: limits.pushBytesMax,
  queueFramesMax: limits.pushQueueFramesMax,
  queueBytesMax: limits.pushQueueBytesMax,
  overflow: 'refuse',
  rates: {
    framesPerSecond: limits.proposalFramesPerSecond,
    framesBurst: limits.proposalFramesBurst,
    bytesPerSecond: limits.proposalBytesPerSecond,
    bytesBurst: limits.proposalBytesBurst,
  },
  helloTimeoutMs: limits.helloTimeoutMs,
  writeTimeoutMs: limits.writeTimeoutMs,
})

/** Gossip of members. */
export const gossipLimits = (limits: NetworkLimits): GossipLimits => ({
  bytesMax: limits.gossipBytesMax,
  bytesPerSecond: limits.gossipBytesPerSecond,
  bytesBurst: limits.gossipBytesBurst,
  piecesPerSecond: limits.gossipPiecesPerSecond,
  piecesBurst: limits.gossipPiecesBurst,
  offencesMax: limits.gossipOffencesMax,
  validationsMax: limits.gossipValidationsMax,
})

/** Gossip of the devices of a segment. */
export const segmentLimits = (limits: NetworkLimits): GossipLimits => ({
  ...gossipLimits(limits),
  bytesPerSecond: limits.segmentBytesPerSecond,
  bytesBurst: limits.segmentBytesBurst,
  piecesPerSecond: limits.segmentPiecesPerSecond,
  piecesBurst: limits.segmentPiecesBurst,
  validationsMax: limits.segmentValidationsMax,
})
