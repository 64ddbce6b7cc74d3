/**
 * Bodies: the transactions of a proposed block, from the pool or from a member that has them. Stage: pool → **block**.
 * Invariant: a body is whatever hashes to the id that the leader proposed, whoever sent it; its signer is recovered once.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import type { MemberIndex } from '../../protocol/consensus/types.ts'
import { sha3 } from '../../protocol/crypto.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { decodeTransaction } from '../../protocol/transaction.ts'
import type { Intake } from '../intake/intake.ts'
import type { Network } from '../network/network.ts'
import { type Pool, signedOf } from '../pool/pool.ts'
import { ASK_TIMEOUT_MS, pauseOf } from './pace.ts'
import { ask, bodiesAnswer, bodiesQuestion } from './serve.ts'

/** Before a body is asked for, gossip has this long to bring it: looks, and ms between them. */
const GOSSIP_LOOKS = 6
const GOSSIP_LOOK_MS = 10

/** Asking members, as the duties of a block do it. */
export type Asking = {
  /** Linked members, each time in another order. */
  others(): readonly MemberIndex[]
  /** Asks one of them; null if it did not answer, or is this member itself. */
  attempt<T>(from: MemberIndex, question: (peer: PublicKeyHex) => Promise<T>): Promise<T | null>
  /** Whether something of `height` is still worth asking for. */
  isAbove(height: number): boolean
  pause(ms: number): Promise<void>
}
/** What bodies come from. */
export type BodiesDependencies = {
  readonly pool: Pool
  readonly intake: Pick<Intake, 'signers'>
  readonly network: Pick<Network, 'request'>
}

/** Finds the transactions of blocks. */
export class Bodies {
  readonly #deps: BodiesDependencies
  readonly #asking: Asking
  #fetched = 0

  constructor(deps: BodiesDependencies, asking: Asking) {
    this.#deps = deps
    this.#asking = asking
  }

  /** The transactions of a proposed block, in order: from the pool, the rest from members that have it; null if given up. */
  async of(
    block: Uint8Array,
    height: number,
    ids: readonly Uint8Array[],
    holders: readonly MemberIndex[],
  ): Promise<readonly SignedTransaction[] | null> {
    const keys = ids.map(toHex)
    const found = new Map<string, SignedTransaction>()
    let missing = this.#fromPool(ids, keys, found)
    // A leader has what clients gave it before its gossip is through here: fetching that would check its signatures twice.
    for (let looks = 0; missing.length > 0 && looks < GOSSIP_LOOKS && this.#asking.isAbove(height); looks++) {
      await this.#asking.pause(GOSSIP_LOOK_MS)
      missing = this.#fromPool(ids, keys, found)
    }
    for (let round = 0; missing.length > 0 && this.#asking.isAbove(height); round++) {
      // First the leader, then whoever is linked: any member that voted has it.
      for (const from of [...holders, ...this.#asking.others()]) {
        if (!(await this.#fetchBodies(from, block, missing, found))) continue
        missing = this.#fromPool(ids, keys, found)
        break
      }
      if (missing.length > 0) await this.#asking.pause(pauseOf(round))
      missing = this.#fromPool(ids, keys, found)
    }
    return missing.length > 0 ? null : keys.map((key) => found.get(key) as SignedTransaction)
  }

  /** Adds to `found` what of `ids` waits in the pool; returns those that are still missing. */
  #fromPool(
    ids: readonly Uint8Array[],
    keys: readonly string[],
    found: Map<string, SignedTransaction>,
  ): readonly Uint8Array[] {
    return ids.filter((_, i) => {
      const key = keys[i] as string
      if (found.has(key)) return false
      const entry = this.#deps.pool.get(key)
      if (entry === undefined) return true
      found.set(key, signedOf(entry))
      return false
    })
  }

  /** Asks one member for bodies; whether it had any of them, which then stand in `found`. */
  async #fetchBodies(
    from: MemberIndex,
    block: Uint8Array,
    missing: readonly Uint8Array[],
    found: Map<string, SignedTransaction>,
  ): Promise<boolean> {
    const question = [bodiesQuestion, { block, ids: missing }] as const
    const answer = await this.#asking.attempt(from, (peer) =>
      ask(this.#deps.network, peer, 'bodies', question, bodiesAnswer, ASK_TIMEOUT_MS),
    )
    // An answer may be longer than the question: that is the other's doing, and nothing here may fail over it.
    const bodies = (answer ?? [])
      .slice(0, missing.length)
      .filter((body, i): body is Uint8Array => body !== null && equalBytes(sha3(body), missing[i] as Uint8Array))
    this.#fetched += bodies.length
    for (const item of (await this.signed(bodies)) ?? []) found.set(toHex(item.transaction.id), item)
    return bodies.length > 0
  }

  /** Bodies of transactions that had to be fetched, because gossip had not brought them. */
  get fetched(): number {
    return this.#fetched
  }

  /** Decodes transactions and recovers their signers; null if one is malformed or signed by nobody. */
  async signed(encoded: readonly Uint8Array[]): Promise<SignedTransaction[] | null> {
    try {
      const transactions = encoded.map((data) => decodeTransaction(data))
      const signers = await this.#deps.intake.signers(transactions)
      return transactions.map((transaction, i) => {
        const signer = signers[i]
        if (signer === undefined) throw new RangeError('signed by nobody')
        return { transaction, signer }
      })
    } catch {
      return null
    }
  }
}
