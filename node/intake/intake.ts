/**
 * Intake: transactions on their way into the pool. Stage: **report** → pool.
 * From the API, from devices and from other members' gossip alike: decode, recover the signer in a worker, ask the state machine, put
 * into the pool; what came from here is gossiped in pieces of at most `pieceBytesMax`, reports of devices on a topic of their own.
 * Invariants: nothing unverified enters the pool; each refusal has a code; the work under way is bounded by the signature pool.
 */
import { concat, toHex } from '../../protocol/bytes.ts'
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts'
import { bytes, list } from '../../protocol/codec.ts'
import {
  checkTransaction,
  type Identity,
  identityOf,
  namesOf,
  type SignedTransaction,
  type SignerNames,
  type Surroundings,
} from '../../protocol/execution.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { DOMAINS } from '../../protocol/signature.ts'
import { decodeTransaction, type Transaction } from '../../protocol/transaction.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { SignatureItem } from '../crypto/packing.ts'
import { AlthingError, isAlthingError } from '../errors.ts'
import type { GossipTopic, GossipVerdict } from '../network/network.ts'
import type { Pool } from '../pool/pool.ts'
import { inSteps, type Pace, type Steps } from '../steps.ts'

/** Topics that carry transactions: `reports` those of the kind `device.report`, `transactions` all others. */
export type TransactionTopic = Extract<GossipTopic, 'transactions' | 'reports'>

/** Bounds of the intake. */
export type IntakeOptions = {
  readonly chainId: Uint8Array
  /** Largest gossiped piece, bytes. */
  readonly pieceBytesMax: number
  /** How long a transaction may wait for others to be gossiped with, ms. */
  readonly gatherMs: number
}
/** What the intake uses. */
export type IntakeDependencies = {
  readonly clock: Clock
  readonly pool: Pool
  recover(items: readonly SignatureItem[]): Promise<(Uint8Array | undefined)[]>
  /** What the next block's transactions depend on (`Executor.surroundings`). */
  surroundings(): Surroundings
  publish(topic: TransactionTopic, piece: Uint8Array): Promise<unknown>
  /** A transaction came into the pool. */
  arrived(): void
  /** A transaction that was submitted here came into the pool. */
  submitted(transaction: Transaction): void
  /** Whether submitters are to be pushed back. */
  isBusy(): boolean
  readonly pace: Pace
}

/** Most transactions in one gossiped piece. */
export const PIECE_TRANSACTIONS_MAX = 1000
const pieceCodec = list(bytes(1, LIMITS.transactionBytesMax), PIECE_TRANSACTIONS_MAX, 1)
/** Bytes that CBOR puts around one transaction in a piece at most. */
const FRAME_BYTES = 5

/** Transactions admitted before what their outcome depends on is looked at anew. */
const FRESH_EVERY = 256

/** Signers whose names are kept. */
const NAMES_MAX = 4096

/** Transactions that wait for a worker to be free, beside those that it has: more are refused with POOL_FULL. */
const ASKED_MAX = 16_384

/** Transactions whose signers are asked for. */
type Asked = {
  readonly transactions: readonly Transaction[]
  readonly resolve: (signers: readonly (Uint8Array | undefined)[]) => void
  readonly reject: (error: unknown) => void
}
/** What of one topic waits to be gossiped together. */
type Pile = { waiting: Uint8Array[]; bytes: number; timer: TimerHandle | undefined }
const emptyPile = (): Pile => ({ waiting: [], bytes: FRAME_BYTES, timer: undefined })

const topicOf = ({ kind }: Transaction): TransactionTopic => (kind === deviceReport.name ? 'reports' : 'transactions')

/** Takes transactions in and passes them on. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #deps: IntakeDependencies
  readonly #prefix: Uint8Array
  readonly #piles: Record<TransactionTopic, Pile> = { transactions: emptyPile(), reports: emptyPile() }
  #reportListener: ((report: SignedTransaction) => void) | undefined
  readonly #names = new Map<string, SignerNames>()
  #asked: Asked[] = []
  #askedCount = 0
  #asking = false

  constructor(options: IntakeOptions, deps: IntakeDependencies) {
    this.#options = options
    this.#deps = deps
    this.#prefix = concat(DOMAINS.transaction, options.chainId)
  }

  /** Calls `listener` with each report that comes into the pool, from wherever. One listener. */
  onReport(listener: (report: SignedTransaction) => void): void {
    this.#reportListener = listener
  }

  /** Submits transactions given here; the accepted ones are gossiped. One code each, `OK` where it now waits in the pool. */
  async submit(encoded: readonly Uint8Array[]): Promise<Code[]> {
    // Before anything is spent on it.
    if (this.#deps.isBusy()) return encoded.map(() => 'INTAKE_BUSY')
    const { codes, transactions } = await this.#take(encoded)
    codes.forEach((code, i) => {
      const transaction = transactions[i]
      if (code !== 'OK' || transaction === undefined) return
      this.#gather(transaction)
      this.#deps.submitted(transaction)
    })
    return codes
  }

  /**
   * A piece of transactions, gossiped or (no topic) handed over by a member. `malformed`: not a piece at all. Else their codes; GOSSIP_TOPIC is one
   * of another topic.
   */
  async receive(topic: TransactionTopic | undefined, piece: Uint8Array): Promise<Code[] | 'malformed'> {
    let encoded: readonly Uint8Array[]
    try {
      encoded = pieceCodec.from(decodeCbor(piece), 'piece')
    } catch {
      return 'malformed'
    }
    // Copies: a transaction that waits in the pool must not keep the whole piece that it came in.
    const copies = encoded.map((data) => Uint8Array.from(data))
    return (await this.#take(copies, topic)).codes
  }

  /** The verdict of the table on a gossiped piece: what nobody honest passes on is held against who did. */
  async judge(topic: GossipTopic, piece: Uint8Array): Promise<GossipVerdict> {
    if (topic === 'proposals' || topic === 'stix' || topic === 'segment') return 'ignore'
    const codes = await this.receive(topic, piece)
    return codes === 'malformed' || codes.some((code) => VERDICTS[code].verdict === 'reject') ? 'reject' : 'accept'
  }

  /** Signers of `transactions` that came with a block and not through the pool; undefined where the signature recovers to nobody. */
  async signers(transactions: readonly Transaction[]): Promise<(Uint8Array | undefined)[]> {
    return this.#deps.recover(
      transactions.map(({ body, signature }) => ({ body: concat(this.#prefix, body), signature })),
    )
  }

  async #take(
    encoded: readonly Uint8Array[],
    topic?: TransactionTopic,
  ): Promise<{ codes: Code[]; transactions: (Transaction | undefined)[] }> {
    const { pool, pace } = this.#deps
    const codes: Code[] = new Array(encoded.length).fill('TX_MALFORMED')
    const fresh: { place: number; transaction: Transaction }[] = []
    const transactions = encoded.map((data, place) => {
      const isTooLarge = data.length > LIMITS.transactionBytesMax
      const transaction = isTooLarge ? undefined : decoded(data)
      if (transaction === undefined) codes[place] = isTooLarge ? 'TX_TOO_LARGE' : 'TX_MALFORMED'
      else if (topic !== undefined && topicOf(transaction) !== topic) codes[place] = 'GOSSIP_TOPIC'
      else if (pool.has(toHex(transaction.id))) codes[place] = 'POOL_DUPLICATE'
      else fresh.push({ place, transaction })
      return transaction
    })
    let signers: readonly (Uint8Array | undefined)[]
    try {
      signers = await this.#signersSoon(fresh.map(({ transaction }) => transaction))
    } catch (error) {
      if (!isAlthingError(error, 'SIGNATURE_POOL_FULL')) throw error
      for (const { place } of fresh) codes[place] = 'POOL_FULL'
      return { codes, transactions }
    }
    await inSteps(this.#admitting(fresh, signers, codes), pace)
    return { codes, transactions }
  }

  *#admitting(
    fresh: readonly { place: number; transaction: Transaction }[],
    signers: readonly (Uint8Array | undefined)[],
    codes: Code[],
  ): Steps<void> {
    let surroundings = this.#deps.surroundings()
    for (const [i, { place, transaction }] of fresh.entries()) {
      // A commit may have come in between.
      if (i > 0 && i % FRESH_EVERY === 0) surroundings = this.#deps.surroundings()
      const signer = signers[i]
      codes[place] =
        signer === undefined ? 'TX_SIGNATURE' : this.#admit(this.#identified(transaction, signer), surroundings)
      yield
    }
  }

  /**
   * Signers of `transactions`: at once while no worker is asked, else together with all that come until it has answered, so that many small
   * pieces cost the hop between threads once.
   */
  #signersSoon(transactions: readonly Transaction[]): Promise<readonly (Uint8Array | undefined)[]> {
    if (transactions.length === 0) return Promise.resolve([])
    if (this.#askedCount + transactions.length > ASKED_MAX)
      return Promise.reject(
        new AlthingError('SIGNATURE_POOL_FULL', 'too many signatures wait to be checked; retry later'),
      )
    this.#askedCount += transactions.length
    return new Promise((resolve, reject) => {
      this.#asked.push({ transactions, resolve, reject })
      if (!this.#asking) void this.#ask()
    })
  }

  async #ask(): Promise<void> {
    this.#asking = true
    while (this.#asked.length > 0) {
      const batch = this.#asked
      this.#asked = []
      this.#askedCount = 0
      try {
        const signers = await this.signers(batch.flatMap(({ transactions }) => transactions))
        let at = 0
        for (const { transactions, resolve } of batch) {
          resolve(signers.slice(at, at + transactions.length))
          at += transactions.length
        }
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#asking = false
  }

  /** The transaction with its identity; the names of those who sign much are kept. */
  #identified(transaction: Transaction, signer: Uint8Array): SignedTransaction & { readonly identity: Identity } {
    const key = toHex(signer)
    let names = this.#names.get(key)
    if (names === undefined) {
      names = namesOf(signer)
      if (this.#names.size >= NAMES_MAX) this.#names.delete(this.#names.keys().next().value as string)
      this.#names.set(key, names)
    }
    return { transaction, signer: names.key, identity: identityOf(transaction, names) }
  }

  #admit(signed: SignedTransaction & { readonly identity: Identity }, surroundings: Surroundings): Code {
    const refusal = checkTransaction(signed, surroundings)
    if (refusal !== null) return refusal
    const code = this.#deps.pool.add(signed.transaction, signed.identity.signer.keyHex, signed)
    if (code !== 'OK') return code
    this.#deps.arrived()
    if (topicOf(signed.transaction) === 'reports') this.#reportListener?.(signed)
    return code
  }

  #gather(transaction: Transaction): void {
    const topic = topicOf(transaction)
    const pile = this.#piles[topic]
    const size = transaction.bytes.length + FRAME_BYTES
    if (pile.bytes + size > this.#options.pieceBytesMax || pile.waiting.length >= PIECE_TRANSACTIONS_MAX)
      this.#flush(topic)
    pile.waiting.push(transaction.bytes)
    pile.bytes += size
    pile.timer ??= this.#deps.clock.after(this.#options.gatherMs, () => this.#flush(topic))
  }

  #flush(topic: TransactionTopic): void {
    const pile = this.#piles[topic]
    pile.timer?.cancel()
    const { waiting } = pile
    Object.assign(pile, emptyPile())
    if (waiting.length === 0) return
    // Gossip is best effort: a block that holds one of these carries its id, and whoever lacks the body asks for it.
    void this.#deps.publish(topic, encodeCbor(waiting)).catch(() => undefined)
  }

  /** Gossips what still waits. */
  stop(): void {
    this.#flush('transactions')
    this.#flush('reports')
  }
}

function decoded(data: Uint8Array): Transaction | undefined {
  try {
    return decodeTransaction(data)
  } catch {
    return undefined
  }
}
