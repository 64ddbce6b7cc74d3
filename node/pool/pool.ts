/**
 * The pool: transactions that wait for a block. Stage: report → **pool** → block.
 *
 * Order. Members blame a leader that passes a transaction over for longer than the inclusion timeout while it takes one that arrived more
 * than that timeout later (agreement.md §4.4), so arrival order binds the leader, but only at that grain. Fairness uses the room this leaves:
 * arrivals are gathered into spans of `spanMs`; spans are emptied strictly in order, and within a span the signers take turns, first
 * transactions before second ones, each round in order of arrival. So a transaction is overtaken only by one that arrived less than `spanMs`
 * after it. Members see arrivals at other times than the leader, by gossip; `spanMs` of at most a quarter of the inclusion timeout leaves the
 * rest for that. The place of a transaction is fixed when it arrives, and nothing can be put before it once its span is over: nobody starves.
 *
 * Quota. A signer may hold as much as is free besides what it holds: one alone fills half of the pool, k greedy ones 1/(k+1) each, and the last
 * share stays free for whoever comes. Invariants: what was accepted leaves only by commit, expiry, or a code that its submitter is told;
 * every collection is bounded; `stats` equals what is held. `countMax` and `bytesMax` are to be what blocks can take within the
 * inclusion timeout: a pool refuses what would not fit in time.
 */
import { fromHex } from '../../protocol/bytes.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Transaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'

/** Bounds of a pool. */
export type PoolOptions = {
  /** Transactions held at most. */
  readonly countMax: number
  /** Bytes of transactions held at most; at least two of the largest transactions. */
  readonly bytesMax: number
  /** Width of a span of arrivals, ms: at most a quarter of the inclusion timeout. */
  readonly spanMs: number
  /** Ids remembered after their commit, the oldest forgotten first. */
  readonly committedMax: number
  /** Listeners waiting for an outcome, of all transactions together. */
  readonly listenersMax: number
  /** Block time (ms) of the last committed block. */
  readonly blockTime: number
}

/** How the wait of a transaction ended. */
export type Outcome =
  | { readonly kind: 'committed'; readonly blockTime: number }
  | { readonly kind: 'refused'; readonly code: Code }
  | { readonly kind: 'expired' }

/** A waiting transaction. */
export type PoolEntry = {
  readonly transaction: Transaction
  /** Id in lower-case hexadecimal. */
  readonly id: string
  readonly signer: PublicKeyHex
  /** Transaction and signer as they were checked; what executing them asks for again is computed once. */
  readonly signed: SignedTransaction | undefined
  /** When it came in, ms of the pool's clock; never falls from one entry to the next. */
  readonly arrivedAt: number
}

/** What was checked when `entry` came in. */
export const signedOf = ({ transaction, signer, signed }: PoolEntry): SignedTransaction =>
  signed ?? { transaction, signer: fromHex(signer) }

/** Counts for metrics and `status`. */
export type PoolStats = {
  readonly count: number
  readonly bytes: number
  readonly signers: number
  /** Arrival of the oldest span that still holds something, ms; null when empty. */
  readonly oldestSpanAt: number | null
  readonly listeners: number
}

/** Hears how waiting transactions left, for metrics and for those who ask later. */
export type PoolObserver = {
  /** Committed, `waitedMs` after it came in here. */
  committed(id: string, waitedMs: number): void
  /** Refused with `code` after it had been accepted, or expired (TX_EXPIRED). */
  dropped(entry: PoolEntry, code: Code): void
}

type Arrival = PoolEntry & { readonly nonce: string }
type Held = Arrival & { readonly span: Span; readonly round: Round; gone: boolean }
/** What one signer holds; `spanRounds` counts its arrivals in the newest span. */
type Signer = { count: number; bytes: number; readonly nonces: Set<string>; span: Span | undefined; spanRounds: number }
/** A round: the transactions whose signers had `round` earlier ones in the span, in order of arrival. */
type Round = { entries: Held[]; live: number }
type Span = { readonly startedAt: number; rounds: Round[]; live: number; liveRounds: number }

/** Transactions too large for what is left of a block that `take` looks beyond before it ends. */
const MISFITS_MAX = 32
/** Gone entries that a list may hold beyond as many as it has live ones, before it is written anew. */
const GONE_MAX = 32
/** Granularity of the expiry index, ms. */
const EXPIRY_SLOT_MS = 1000

/** Waiting transactions of one node. */
export class Pool {
  readonly #options: PoolOptions
  readonly #now: () => number
  readonly #observer: PoolObserver | undefined
  readonly #entries = new Map<string, Held>()
  readonly #signers = new Map<PublicKeyHex, Signer>()
  readonly #spans: Span[] = []
  /** validUntil / EXPIRY_SLOT_MS → entries; at most an hour of slots, for later ones are refused. */
  readonly #expiries = new Map<number, Set<Held>>()
  /** Ids of the last commits, in order. */
  readonly #committed = new Map<string, number>()
  readonly #listeners = new Map<string, Set<(outcome: Outcome) => void>>()
  #listenerCount = 0
  #bytes = 0
  #blockTime: number
  #lastArrival = 0

  /** `now` gives ms; only differences count. Throws `RangeError` on bounds below the least. */
  constructor(options: PoolOptions, now: () => number, observer?: PoolObserver) {
    if (options.bytesMax < 2 * LIMITS.transactionBytesMax || options.countMax < 2 || options.spanMs < 1)
      throw new RangeError('pool bounds below the least')
    this.#options = options
    this.#now = now
    this.#observer = observer
    this.#blockTime = options.blockTime
  }

  /**
   * Takes in `transaction`, whose signature recovered to `signer` and which the state machine would accept now. `OK`, or the pool is
   * unchanged and the code says why: TX_EXPIRED, TX_VALIDITY_TOO_LONG, POOL_DUPLICATE, POOL_FULL, POOL_SIGNER_QUOTA.
   */
  add(transaction: Transaction, signer: PublicKeyHex, signed?: SignedTransaction): Code {
    const { validUntil } = transaction
    const size = transaction.bytes.length
    if (validUntil < this.#blockTime) return 'TX_EXPIRED'
    if (validUntil > this.#blockTime + LIMITS.transactionValidityMsMax) return 'TX_VALIDITY_TOO_LONG'
    const id = hexOf(transaction.id)
    if (this.#entries.has(id) || this.#committed.has(id)) return 'POOL_DUPLICATE'
    const known = this.#signers.get(signer)
    const nonce = hexOf(transaction.nonce)
    if (known?.nonces.has(nonce) === true) return 'POOL_DUPLICATE'
    const { countMax, bytesMax } = this.#options
    const countFree = countMax - this.#entries.size
    const bytesFree = bytesMax - this.#bytes
    if (countFree < 1 || bytesFree < size) return 'POOL_FULL'
    if (known !== undefined && (known.count + 1 > countFree || known.bytes + size > bytesFree))
      return 'POOL_SIGNER_QUOTA'
    this.#insert({ transaction, id, signer, signed, nonce }, known)
    return 'OK'
  }

  /**
   * Transactions for a block of time `blockTime` (default: of the last block), in the pool's order, without those whose ids are in
   * `except` (those of blocks under way). They stay in the pool. `bytesMax` of at least the largest transaction makes sure that the first in
   * order goes in, so one that does not fit beside others is first in the next block.
   */
  take(
    { bytesMax, countMax, blockTime = this.#blockTime }: { bytesMax: number; countMax: number; blockTime?: number },
    except: ReadonlySet<string>,
  ): PoolEntry[] {
    const taken: PoolEntry[] = []
    let bytesLeft = bytesMax
    // A signer's later transactions wait for its earlier ones: they may rest on them.
    const passed = new Set<PublicKeyHex>()
    for (const span of this.#spans) {
      for (const round of span.rounds) {
        for (const entry of round.entries) {
          if (taken.length >= countMax) return taken
          if (entry.gone || entry.transaction.validUntil < blockTime || except.has(entry.id)) continue
          if (passed.size > 0 && passed.has(entry.signer)) continue
          const size = entry.transaction.bytes.length
          if (size > bytesLeft) {
            passed.add(entry.signer)
            if (passed.size >= MISFITS_MAX) return taken
            continue
          }
          bytesLeft -= size
          taken.push(entry)
        }
      }
    }
    return taken
  }

  /** Whether `id` (hexadecimal) waits here. */
  has(id: string): boolean {
    return this.#entries.has(id)
  }

  /** The waiting transaction with `id` (hexadecimal). */
  get(id: string): PoolEntry | undefined {
    return this.#entries.get(id)
  }

  /** Drops `ids` (hexadecimal) because of `code`, which their submitters are told; unknown ids are passed over. */
  remove(ids: Iterable<string>, code: Code): void {
    for (const id of ids) {
      const entry = this.#entries.get(id)
      if (entry === undefined) continue
      this.#drop(entry)
      this.#observer?.dropped(entry, code)
      this.#tell(id, { kind: 'refused', code })
    }
  }

  /**
   * A block of time `blockTime` with `ids` (hexadecimal) was committed: they leave the pool and are remembered as committed, here or not, and
   * those that no later block can hold expire.
   */
  onCommitted(ids: Iterable<string>, blockTime: number): void {
    for (const id of ids) {
      const entry = this.#entries.get(id)
      if (entry !== undefined) {
        this.#drop(entry)
        this.#observer?.committed(id, this.#now() - entry.arrivedAt)
      }
      this.#committed.set(id, blockTime)
      this.#tell(id, { kind: 'committed', blockTime })
    }
    for (const id of this.#committed.keys()) {
      if (this.#committed.size <= this.#options.committedMax) break
      this.#committed.delete(id)
    }
    this.#expire(blockTime)
  }

  /**
   * Calls `listener` once with the outcome of `id` (hexadecimal), at once if it was committed lately. Returns what ends the wait, or
   * undefined, and never calls, if nothing of that id waits here or too many listen already.
   */
  listen(id: string, listener: (outcome: Outcome) => void): (() => void) | undefined {
    const committedAt = this.#committed.get(id)
    if (committedAt !== undefined) {
      listener({ kind: 'committed', blockTime: committedAt })
      return () => undefined
    }
    if (!this.#entries.has(id) || this.#listenerCount >= this.#options.listenersMax) return undefined
    const listeners = this.#listeners.get(id) ?? new Set()
    // A wrapper of its own: one function may listen twice.
    const own = (outcome: Outcome): void => listener(outcome)
    this.#listeners.set(id, listeners.add(own))
    this.#listenerCount++
    return () => {
      if (!listeners.delete(own)) return
      this.#listenerCount--
      if (listeners.size === 0 && this.#listeners.get(id) === listeners) this.#listeners.delete(id)
    }
  }

  /** What is held now. */
  get stats(): PoolStats {
    return {
      count: this.#entries.size,
      bytes: this.#bytes,
      signers: this.#signers.size,
      oldestSpanAt: this.#spans.find((span) => span.live > 0)?.startedAt ?? null,
      listeners: this.#listenerCount,
    }
  }

  #insert(arrival: Omit<Arrival, 'arrivedAt'>, known: Signer | undefined): void {
    const { transaction, id, signer, signed, nonce } = arrival
    // A clock that is set back must not break the order of arrivals.
    const arrivedAt = Math.max(this.#lastArrival, this.#now())
    this.#lastArrival = arrivedAt
    let span = this.#spans.at(-1)
    if (span === undefined || arrivedAt >= span.startedAt + this.#options.spanMs) {
      span = { startedAt: arrivedAt, rounds: [], live: 0, liveRounds: 0 }
      this.#spans.push(span)
    }
    const holder = known ?? { count: 0, bytes: 0, nonces: new Set(), span, spanRounds: 0 }
    if (known === undefined) this.#signers.set(signer, holder)
    if (holder.span !== span) {
      holder.span = span
      holder.spanRounds = 0
    }
    const number = holder.spanRounds++
    let round = span.rounds[number]
    if (round === undefined) {
      round = { entries: [], live: 0 }
      span.rounds.push(round)
    }
    const entry: Held = { transaction, id, signer, signed, arrivedAt, span, round, nonce, gone: false }
    round.entries.push(entry)
    if (round.live++ === 0) span.liveRounds++
    span.live++
    holder.count++
    holder.bytes += transaction.bytes.length
    holder.nonces.add(nonce)
    this.#entries.set(id, entry)
    this.#bytes += transaction.bytes.length
    const slot = slotOf(transaction.validUntil)
    const expiring = this.#expiries.get(slot)
    if (expiring === undefined) this.#expiries.set(slot, new Set([entry]))
    else expiring.add(entry)
  }

  #drop(entry: Held): void {
    const { id, signer, span, round, nonce, transaction } = entry
    entry.gone = true
    this.#entries.delete(id)
    this.#bytes -= transaction.bytes.length
    const holder = this.#signers.get(signer) as Signer
    holder.count--
    holder.bytes -= transaction.bytes.length
    holder.nonces.delete(nonce)
    if (holder.count === 0) this.#signers.delete(signer)
    const slot = slotOf(transaction.validUntil)
    const expiring = this.#expiries.get(slot) as Set<Held>
    expiring.delete(entry)
    if (expiring.size === 0) this.#expiries.delete(slot)
    // Lists are written anew once half of them is gone: constant work per transaction, memory in proportion to what is held.
    span.live--
    if (--round.live === 0) {
      round.entries = []
      span.liveRounds--
    } else if (round.entries.length > 2 * round.live + GONE_MAX) round.entries = round.entries.filter((e) => !e.gone)
    const open = span === this.#spans.at(-1)
    // The newest span keeps its empty rounds: the number of a round is its place while signers still arrive.
    if (!open && span.live === 0) this.#spans.splice(this.#spans.indexOf(span), 1)
    else if (!open && span.rounds.length > 2 * span.liveRounds + GONE_MAX)
      span.rounds = span.rounds.filter((r) => r.live > 0)
  }

  #expire(blockTime: number): void {
    this.#blockTime = Math.max(this.#blockTime, blockTime)
    const current = slotOf(this.#blockTime)
    for (const [slot, expiring] of this.#expiries) {
      if (slot > current) continue
      for (const entry of expiring) {
        if (entry.transaction.validUntil >= this.#blockTime) continue
        this.#drop(entry)
        this.#observer?.dropped(entry, 'TX_EXPIRED')
        this.#tell(entry.id, { kind: 'expired' })
      }
    }
  }

  #tell(id: string, outcome: Outcome): void {
    const listeners = this.#listeners.get(id)
    if (listeners === undefined) return
    this.#listeners.delete(id)
    this.#listenerCount -= listeners.size
    for (const listener of [...listeners]) {
      listeners.delete(listener)
      listener(outcome)
    }
  }
}

/** As `toHex`, but a flat string at once: measured, 0.3 to 0.5 kB held per transaction besides its bytes instead of 1.0 to 1.6. */
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')

const slotOf = (time: number): number => Math.floor(time / EXPIRY_SLOT_MS)
