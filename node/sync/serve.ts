/**
 * What members ask each other for, beside consensus messages: proposals, headers, bodies of transactions, whole committed blocks.
 * Stage: block. Invariants: every question and answer has a bound; an answer is only bytes until its asker has checked it.
 */

import { decodeHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { encodeCbor } from '../../protocol/cbor.ts'
import {
  bytes,
  type Codec,
  decodeAs,
  encodeAs,
  integer,
  list,
  optional,
  record,
  type TypeOf,
} from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { BODY_BYTES_MAX } from '../executor/body.ts'
import type { Executor } from '../executor/executor.ts'
import type { Network } from '../network/network.ts'
import type { Pool } from '../pool/pool.ts'

/** Bounds of the exchange; what does not fit is left out of an answer and asked for again. */
export const EXCHANGE_LIMITS = {
  /** Headers in one answer. */
  headersMax: 256,
  /** Blocks in one answer. */
  blocksMax: 256,
  /** Bytes of one answer of blocks: at least one block goes in whatever its size. */
  blocksBytesMax: 3 * 1024 * 1024,
  /** Bytes of any answer. */
  answerBytesMax: BODY_BYTES_MAX + 1024 * 1024,
} as const

/** `proposal`: the frame of a proposal by view, seq and hash; empty if it is not here. */
export const proposalQuestion = record({ view: integer(), seq: integer(), hash: bytes(32) })
/** `headers`: headers from a block downwards. */
export const headersQuestion = record({ hash: bytes(32), count: integer(1, EXCHANGE_LIMITS.headersMax) })
/** Answer to `headers`: the block's own first, then its ancestors. */
export const headersAnswer = list(bytes(1, LIMITS.headerBytesMax), EXCHANGE_LIMITS.headersMax)
/** `bodies`: transactions of a block by id; null where one is not here or does not fit. */
export const bodiesQuestion = record({ block: bytes(32), ids: list(bytes(32), LIMITS.blockTransactionsMax, 1) })
/** Answer to `bodies`: in the order of the ids. */
export const bodiesAnswer = list(optional(bytes(1, LIMITS.transactionBytesMax)), LIMITS.blockTransactionsMax)
/** `blocks`: committed blocks from a height on. */
export const blocksQuestion = record({ from: integer(1) })
/** Answer to `blocks`: in rising order; a block that only a descendant's certificate covers has none. */
export const blocksAnswer = list(
  record({
    header: bytes(1, LIMITS.headerBytesMax),
    body: bytes(1, BODY_BYTES_MAX),
    certificate: optional(bytes(1, LIMITS.consensusMessageBytesMax)),
  }),
  EXCHANGE_LIMITS.blocksMax,
)
/** One block of an answer to `blocks`. */
export type SentBlock = TypeOf<typeof blocksAnswer>[number]

/** Asks `peer` and decodes the answer. Throws AlthingError of the network, or `CborError` on an answer of another shape. */
export async function ask<Q, A>(
  network: Pick<Network, 'request'>,
  peer: string,
  name: string,
  [question, value]: readonly [Codec<Q>, Q],
  answer: Codec<A>,
  timeoutMs: number,
): Promise<A> {
  const data = await network.request(peer, name, encodeAs(question, value), {
    timeoutMs,
    bytesMax: EXCHANGE_LIMITS.answerBytesMax,
  })
  return decodeAs(answer, data, `answer to ${name}`)
}

/** Where the answers come from. */
export type ServeDependencies = {
  readonly network: Pick<Network, 'serve'>
  readonly executor: Executor
  readonly pool: Pool
  proposalFrame(slot: { view: number; seq: number; hash: string }): Uint8Array | undefined
  /** A header that is kept with a proposal and not yet committed. */
  proposedHeader(hash: string): Uint8Array | undefined
}

/** Serves members' questions. */
export function serveBlocks({ network, executor, pool, proposalFrame, proposedHeader }: ServeDependencies): void {
  // What a member that follows or catches up needs, each asked one after the other; a stream alone costs a millisecond, an answer its own size.
  const small = { roles: ['member' as const], timeoutMs: 10_000, concurrencyMax: 8, ratePerSecond: 50, burst: 200 }
  const large = { ...small, concurrencyMax: 4, ratePerSecond: 20, burst: 40 }
  network.serve(
    'proposal',
    async (_peer, data) => {
      const { view, seq, hash } = decodeAs(proposalQuestion, data)
      return proposalFrame({ view, seq, hash: toHex(hash) }) ?? new Uint8Array(0)
    },
    { ...small, bytesMax: 256 },
  )
  network.serve(
    'headers',
    async (_peer, data) => {
      const { hash, count } = decodeAs(headersQuestion, data)
      const found: Uint8Array[] = []
      for (let at: Uint8Array = hash; found.length < count; ) {
        const sealed =
          executor.speculation(at)?.sealed.bytes ?? executor.reads.headerBy(at)?.bytes ?? proposedHeader(toHex(at))
        if (sealed === undefined) break
        found.push(sealed)
        at = decodeHeader(sealed).header.parent
      }
      return encodeAs(headersAnswer, found)
    },
    // Whoever joins by a snapshot before it is a member goes down from its header.
    { ...small, roles: ['member', 'sync'], bytesMax: 256 },
  )
  network.serve(
    'bodies',
    async (_peer, data) => {
      let left: number = EXCHANGE_LIMITS.blocksBytesMax
      const { block, ids } = decodeAs(bodiesQuestion, data)
      // Whoever voted for a block serves its body until it is pruned (agreement.md §3), also what never was in the pool.
      const executed = new Map<string, Uint8Array>()
      for (const { transaction } of executor.speculation(block)?.transactions ?? [])
        executed.set(toHex(transaction.id), transaction.bytes)
      const answer = ids.map((id) => {
        const key = toHex(id)
        const transaction = executed.get(key) ?? pool.get(key)?.transaction.bytes
        if (transaction === undefined || transaction.length > left) return null
        left -= transaction.length
        return transaction
      })
      return encodeAs(bodiesAnswer, answer)
    },
    { ...large, bytesMax: 512 * 1024 },
  )
  network.serve(
    'blocks',
    async (_peer, data) => {
      const { from } = decodeAs(blocksQuestion, data)
      const blocks: SentBlock[] = []
      let size = 0
      for (let height = from; height <= executor.head.height && blocks.length < EXCHANGE_LIMITS.blocksMax; height++) {
        const sealed = executor.reads.headerAt(height)
        const body = await executor.reads.body(height)
        if (sealed === undefined || body === undefined) break
        size += body.length + sealed.bytes.length
        if (size > EXCHANGE_LIMITS.blocksBytesMax && blocks.length > 0) break
        blocks.push({ header: sealed.bytes, body, certificate: executor.reads.certificate(height) ?? null })
      }
      return encodeCbor(blocksAnswer.to(blocks))
    },
    { ...large, roles: ['member', 'sync'], concurrencyMax: 2, ratePerSecond: 5, burst: 10, bytesMax: 256 },
  )
}
