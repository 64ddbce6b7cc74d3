/**
 * Intake: transactions on their way into the pool. Stage: **report** → pool.
 * From the API, from devices and from other members' gossip alike: decode, recover the signer in a worker, ask the state machine, put
 * into the pool; what came from here is gossiped in pieces of at most `pieceBytesMax`.
 * Invariants: nothing unverified enters the pool; each refusal has a code; the work under way is bounded by the signature pool.
 */

import { concat, toHex } from '../../protocol/bytes.ts'
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts'
import { bytes, list } from '../../protocol/codec.ts'
import { checkTransaction, type SignedTransaction, type Surroundings } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { DOMAINS } from '../../protocol/signature.ts'
import { decodeTransaction, type Transaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { SignatureItem } from '../crypto/packing.ts'
import { isAlthingError } from '../errors.ts'
import type { Pool } from '../pool/pool.ts'
import { inSteps, type Steps } from '../steps.ts'

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
  publish(piece: Uint8Array): Promise<unknown>
  /** A transaction came into the pool. */
  arrived(): void
  /** Lets the process do what else is due. */
  breathe(): Promise<void>
}

/** Most transactions in one gossiped piece. */
export const PIECE_TRANSACTIONS_MAX = 1000
const pieceCodec = list(bytes(1, LIMITS.transactionBytesMax), PIECE_TRANSACTIONS_MAX, 1)
/** Bytes that CBOR puts around one transaction in a piece at most. */
const FRAME_BYTES = 5

/** Transactions admitted before what their outcome depends on is looked at anew. */
const FRESH_EVERY = 256

/** Transactions whose signers are asked for. */
type Asked = {
  readonly transactions: readonly Transaction[]
  readonly resolve: (signers: readonly (Uint8Array | undefined)[]) => void
  readonly reject: (error: unknown) => void
}

/** Takes transactions in and passes them on. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #deps: IntakeDependencies
  readonly #prefix: Uint8Array
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #timer: TimerHandle | undefined
  #asked: Asked[] = []
  #asking = false

  constructor(options: IntakeOptions, deps: IntakeDependencies) {
    this.#options = options
    this.#deps = deps
    this.#prefix = concat(DOMAINS.transaction, options.chainId)
  }

  /** Submits transactions given here; the accepted ones are gossiped. One code each, `OK` where it now waits in the pool. */
  async submit(encoded: readonly Uint8Array[]): Promise<Code[]> {
    const codes = await this.#take(encoded)
    codes.forEach((code, i) => {
      if (code === 'OK') this.#gather(encoded[i] as Uint8Array)
    })
    return codes
  }

  /** A gossiped piece of transactions. `malformed`: not a piece at all. Else the codes of its transactions. */
  async receive(piece: Uint8Array): Promise<Code[] | 'malformed'> {
    let encoded: readonly Uint8Array[]
    try {
      encoded = pieceCodec.from(decodeCbor(piece), 'piece')
    } catch {
      return 'malformed'
    }
    // Copies: a transaction that waits in the pool must not keep the whole piece that it came in.
    return this.#take(encoded.map((data) => Uint8Array.from(data)))
  }

  /** Signers of `transactions` that came with a block and not through the pool; undefined where the signature recovers to nobody. */
  async signers(transactions: readonly Transaction[]): Promise<(Uint8Array | undefined)[]> {
    return this.#deps.recover(
      transactions.map(({ body, signature }) => ({ body: concat(this.#prefix, body), signature })),
    )
  }

  async #take(encoded: readonly Uint8Array[]): Promise<Code[]> {
    const { pool, breathe } = this.#deps
    const codes: Code[] = new Array(encoded.length).fill('TX_MALFORMED')
    const fresh: { place: number; transaction: Transaction }[] = []
    encoded.forEach((data, place) => {
      if (data.length > LIMITS.transactionBytesMax) {
        codes[place] = 'TX_TOO_LARGE'
        return
      }
      try {
        const transaction = decodeTransaction(data)
        if (pool.has(toHex(transaction.id))) codes[place] = 'POOL_DUPLICATE'
        else fresh.push({ place, transaction })
      } catch {
        codes[place] = 'TX_MALFORMED'
      }
    })
    let signers: readonly (Uint8Array | undefined)[]
    try {
      signers = await this.#signersSoon(fresh.map(({ transaction }) => transaction))
    } catch (error) {
      if (!isAlthingError(error, 'SIGNATURE_POOL_FULL')) throw error
      for (const { place } of fresh) codes[place] = 'POOL_FULL'
      return codes
    }
    await inSteps(this.#admitting(fresh, signers, codes), breathe)
    return codes
  }

  *#admitting(
    fresh: readonly { place: number; transaction: Transaction }[],
    signers: readonly (Uint8Array | undefined)[],
    codes: Code[],
  ): Steps<void> {
    let surroundings = this.#deps.surroundings()
    for (const [i, { place, transaction }] of fresh.entries()) {
      const signer = signers[i]
      codes[place] = signer === undefined ? 'TX_SIGNATURE' : this.#admit({ transaction, signer }, surroundings)
      yield
      // A commit may have come in between.
      if (i % FRESH_EVERY === 0) surroundings = this.#deps.surroundings()
    }
  }

  /**
   * Signers of `transactions`: at once while no worker is asked, else together with all that come until it has answered, so that many small
   * pieces cost the hop between threads once.
   */
  #signersSoon(transactions: readonly Transaction[]): Promise<readonly (Uint8Array | undefined)[]> {
    if (transactions.length === 0) return Promise.resolve([])
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

  #admit(signed: SignedTransaction, surroundings: Surroundings): Code {
    const refusal = checkTransaction(signed, surroundings)
    if (refusal !== null) return refusal
    const code = this.#deps.pool.add(signed.transaction, toHex(signed.signer))
    if (code === 'OK') this.#deps.arrived()
    return code
  }

  #gather(data: Uint8Array): void {
    const size = data.length + FRAME_BYTES
    if (this.#waitingBytes + size > this.#options.pieceBytesMax || this.#waiting.length >= PIECE_TRANSACTIONS_MAX)
      this.#flush()
    this.#waiting.push(data)
    this.#waitingBytes += size
    this.#timer ??= this.#deps.clock.after(this.#options.gatherMs, () => this.#flush())
  }

  #flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#waiting.length === 0) return
    const piece = encodeCbor(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = FRAME_BYTES
    // Gossip is best effort: a block that holds one of these carries its id, and whoever lacks the body asks for it.
    void this.#deps.publish(piece).catch(() => undefined)
  }

  /** Gossips what still waits. */
  stop(): void {
    this.#flush()
  }
}
