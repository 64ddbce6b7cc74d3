/**
 * Execution: transactions, in the order of a block, applied to the state. The pool, the leader that builds a block and the members that
 * vote for it all go through `BlockExecution.apply`, so they cannot differ.
 * Invariants: the outcome is a function of the transactions, the block's context, the state and the nonces of the last hour; a refused
 * transaction leaves no trace; nothing is refused for its place in memory or the order of a map; what ends an era is the last of its block.
 */
import { concat, toHex } from './bytes.ts'
import { CborError } from './cbor.ts'
import { sha3 } from './crypto.ts'
import { ERA_STATE_KEY, type EraRecord, readEra } from './kinds/governance/record.ts'
import type { BlockContext, Kind, StateReader, StateView } from './kinds/kind.ts'
import { roleOf } from './kinds/roles.ts'
import { KINDS } from './kinds/table.ts'
import { evaluateTrust } from './kinds/trust/evaluation.ts'
import { OPINIONS_PREFIX } from './kinds/trust/opinions.ts'
import { LIMITS } from './limits.ts'
import type { PublicKeyHex } from './members.ts'
import { addressOf } from './signature.ts'
import { decodeTransaction, signerOf, type Transaction } from './transaction.ts'
import type { Code } from './verdict.ts'

/** A transaction with the key (33 bytes) that its signature recovers to. */
export type SignedTransaction = {
  readonly transaction: Transaction
  readonly signer: Uint8Array
  /** Where it was asked for already: a member executes a transaction twice and looks for its nonce more often. */
  readonly identity?: Identity
}

/** The use of a nonce by a signer, in the forms in which it is looked for. */
export type NonceUse = {
  /** Address and nonce as one hexadecimal text; both have one length. */
  readonly key: string
  /** The first 16 bytes of SHA3-256(address ‖ nonce). */
  readonly hash: Uint8Array
  /** Block time (ms) after which it may be used again. */
  readonly validUntil: number
}

/** A signer in the forms that executing a transaction asks for: key and address (20 bytes), bytes and hexadecimal. */
export type SignerNames = {
  readonly key: Uint8Array
  readonly keyHex: PublicKeyHex
  readonly address: Uint8Array
  readonly addressHex: string
}

/** The names of a signer. */
export function namesOf(key: Uint8Array): SignerNames {
  const address = addressOf(key)
  return { key, keyHex: toHex(key), address, addressHex: toHex(address) }
}

/** Who signed a transaction, and what was used up by it. */
export type Identity = { readonly signer: SignerNames; readonly use: NonceUse }

/** The identity of a transaction that was signed by `signer`. */
export function identityOf({ nonce, validUntil }: Transaction, signer: SignerNames): Identity {
  const pair = concat(signer.address, nonce)
  return { signer, use: { key: toHex(pair), hash: sha3(pair).slice(0, NONCE_HASH_BYTES), validUntil } }
}

/** Bytes of `NonceUse.hash`. */
export const NONCE_HASH_BYTES = 16

/**
 * Decodes `data` and recovers its signer: all that can be said of a transaction without state. TX_TOO_LARGE, TX_MALFORMED,
 * TX_NON_CANONICAL, TX_SIGNATURE.
 */
export function readTransaction(data: Uint8Array, chainId: Uint8Array): SignedTransaction | Code {
  if (data.length > LIMITS.transactionBytesMax) return 'TX_TOO_LARGE'
  let transaction: Transaction
  try {
    transaction = decodeTransaction(data)
  } catch (error) {
    if (!(error instanceof CborError)) throw error
    return error.nonCanonical ? 'TX_NON_CANONICAL' : 'TX_MALFORMED'
  }
  const signer = signerOf(transaction, chainId)
  return signer === undefined ? 'TX_SIGNATURE' : { transaction, signer }
}

/**
 * A state with changes on top of another, which stays as it is. Overlays nest: one per transaction over one per block over the committed
 * state. A change that puts back what was there is kept (the height of the last change counts), a delete of what never was is not.
 */
export class Overlay implements StateView {
  readonly #base: StateReader
  readonly #changes = new Map<string, Uint8Array | null>()
  #added = 0

  constructor(base: StateReader) {
    this.#base = base
  }

  get(key: string): Uint8Array | undefined {
    const change = this.#changes.get(key)
    if (change !== undefined) return change ?? undefined
    return change === null ? undefined : this.#base.get(key)
  }

  put(key: string, value: Uint8Array): void {
    if (this.get(key) === undefined) this.#added++
    this.#changes.set(key, value)
  }

  delete(key: string): void {
    if (this.get(key) === undefined) return
    this.#added--
    if (this.#base.get(key) === undefined) this.#changes.delete(key)
    else this.#changes.set(key, null)
  }

  /** Entries here minus entries of the base; negative after more deletes than new keys. */
  get entriesAdded(): number {
    return this.#added
  }

  /** What differs from the base: key → new value, or null where it is deleted. In the order of first change. */
  changes(): ReadonlyMap<string, Uint8Array | null> {
    return this.#changes
  }

  /** Makes the same changes in `target`, which must hold what the base holds. */
  commitTo(target: StateView): void {
    for (const [key, value] of this.#changes) {
      if (value === null) target.delete(key)
      else target.put(key, value)
    }
  }
}

/** Whether a committed transaction that is still valid at `time` (ms) has used this nonce of this signer. */
export type Seen = (use: NonceUse, time: number) => boolean

/** Expiry times are kept by the minute, so that forgetting costs one step per minute and not one per nonce looked at. */
const BUCKET_MS = 60_000

/**
 * The nonces of committed transactions that have not expired. It is derived: whoever has the blocks of the last hour can rebuild it,
 * and it stands outside the BKVS, because there each transaction would cost two more changes of the state tree (entering and dropping)
 * and a range scan that no other rule needs. It is as deterministic: which nonces count follows from committed blocks and block time alone,
 * and `has` looks at the expiry itself, never at what happens to be forgotten already. Memory is bounded by what an hour of blocks can hold.
 */
export class ReplayWindow {
  readonly #validUntil = new Map<string, number>()
  readonly #buckets = new Map<number, string[]>()

  /** See `Seen`. */
  has({ key }: NonceUse, time: number): boolean {
    const validUntil = this.#validUntil.get(key)
    return validUntil !== undefined && validUntil >= time
  }

  /** Takes in the nonces of a block that was committed with `time` (ms) and forgets what expired before. Blocks in order of height. */
  commit(nonces: readonly NonceUse[], time: number): void {
    for (const [bucket, keys] of this.#buckets) {
      if ((bucket + 1) * BUCKET_MS > time) continue
      for (const key of keys) if ((this.#validUntil.get(key) as number) < time) this.#validUntil.delete(key)
      this.#buckets.delete(bucket)
    }
    for (const { key, validUntil } of nonces) {
      this.#validUntil.set(key, validUntil)
      const bucket = Math.floor(validUntil / BUCKET_MS)
      const keys = this.#buckets.get(bucket)
      if (keys === undefined) this.#buckets.set(bucket, [key])
      else keys.push(key)
    }
  }

  /** Nonces in memory. */
  get size(): number {
    return this.#validUntil.size
  }
}

/**
 * Entries that only kinds with `usesReserve` may take, so that nobody can shield a device from the blacklist by filling the state:
 * 1/64 of `LIMITS.stateEntriesMax`.
 */
export const STATE_ENTRIES_RESERVED = Math.floor(LIMITS.stateEntriesMax / 64)

/** Everything that the outcome of a block depends on, beside its transactions. */
export type Surroundings = {
  readonly block: BlockContext
  /** State after the parent. */
  readonly state: StateReader
  /** Entries of that state. At `LIMITS.stateEntriesMax`, for most kinds less the reserve, whatever adds one is STATE_FULL. */
  readonly entries: number
  /** Nonces of committed blocks and of blocks between the last committed and this one. */
  readonly seen: Seen
}

/** One block in the making: transactions are applied one after another, and those that are refused leave nothing behind. */
export class BlockExecution {
  readonly #surroundings: Surroundings
  readonly #state: Overlay
  readonly #nonces = new Map<string, NonceUse>()
  #nextEra: EraRecord | null = null
  #ended = false

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
    this.#state = new Overlay(surroundings.state)
  }

  /** Applies one transaction after those before, or says why not. */
  apply(signed: SignedTransaction): Code | null {
    if (this.#ended) throw new Error('the block has ended')
    const { transaction, signer } = signed
    const { block, seen, entries } = this.#surroundings
    // What would come after it is of the next era: its signers, quorum and parameters are other ones.
    if (this.#nextEra !== null) return 'ERA_ENDED'
    const timing = checkTime(transaction, block.time)
    if (timing !== null) return timing
    const kind = KINDS.get(transaction.kind)
    if (kind === undefined) return 'TX_UNKNOWN_KIND'
    const payload = readPayload(kind, transaction)
    if (payload === undefined) return 'TX_PAYLOAD'
    const { signer: names, use } = signed.identity ?? identityOf(transaction, namesOf(signer))
    const signerAddress = names.addressHex
    if (this.#nonces.has(use.key) || seen(use, block.time)) return 'TX_REPLAYED'
    const role = roleOf(names.keyHex, signerAddress, block, this.#state)
    if (typeof role === 'string') return role
    if (!kind.signers.includes(role.is)) return 'TX_FORBIDDEN'

    const attempt = new Overlay(this.#state)
    const context = { ...block, signer, signerAddress, transactionId: transaction.id, role }
    const refusal = kind.apply(payload.value, context, attempt)
    if (refusal !== null) return refusal
    const added = attempt.entriesAdded
    const entriesMax = LIMITS.stateEntriesMax - (kind.usesReserve === true ? 0 : STATE_ENTRIES_RESERVED)
    if (added > 0 && entries + this.#state.entriesAdded + added > entriesMax) return 'STATE_FULL'
    attempt.commitTo(this.#state)
    if (attempt.changes().has(ERA_STATE_KEY)) this.#nextEra = readEra(attempt)
    this.#nonces.set(use.key, use)
    return null
  }

  /**
   * Ends the block: what follows from all of its transactions together (the trust in devices). Once, after the last of them. It is never
   * refused: records of devices that are cut off take of the entries kept free.
   */
  end(): void {
    if (this.#ended) throw new Error('a block ends once')
    this.#ended = true
    const changed = [...this.#state.changes().keys()].filter((key) => key.startsWith(OPINIONS_PREFIX))
    const ids = changed.map((key) => key.slice(OPINIONS_PREFIX.length))
    evaluateTrust(ids, this.#surroundings.block, this.#state)
  }

  /** State after the transactions applied up to now, and after `end` that of the block. */
  get state(): Overlay {
    return this.#state
  }

  /** The era that begins after this block, once a transaction has completed a change of members or parameters; null otherwise. */
  get nextEra(): EraRecord | null {
    return this.#nextEra
  }

  /** Nonces used by them, for `ReplayWindow.commit`. */
  nonces(): NonceUse[] {
    return [...this.#nonces.values()]
  }

  /** Whether one of them is the same use of a nonce: a `Seen` for the blocks built on top of this one. */
  has({ key }: NonceUse, time: number): boolean {
    const used = this.#nonces.get(key)
    return used !== undefined && used.validUntil >= time
  }
}

/** Outcome of a whole block: everything applied, or the first transaction that is refused. */
export type Outcome = { readonly applied: BlockExecution } | { readonly index: number; readonly code: Code }

/** Applies all `transactions` of a block in order, all or none. A refusal makes the block invalid (BLOCK_TRANSACTION). */
export function executeTransactions(transactions: readonly SignedTransaction[], surroundings: Surroundings): Outcome {
  const execution = new BlockExecution(surroundings)
  for (let index = 0; index < transactions.length; index++) {
    const code = execution.apply(transactions[index] as SignedTransaction)
    if (code !== null) return { index, code }
  }
  execution.end()
  return { applied: execution }
}

/** Whether a transaction would apply as the only one of a block: the pool's question. Nothing is changed. */
export const checkTransaction = (transaction: SignedTransaction, surroundings: Surroundings): Code | null =>
  new BlockExecution(surroundings).apply(transaction)

/** TX_EXPIRED or TX_VALIDITY_TOO_LONG for a block of `time` (ms), else null. For the pool's sweep too. */
export function checkTime({ validUntil }: Pick<Transaction, 'validUntil'>, time: number): Code | null {
  if (validUntil < time) return 'TX_EXPIRED'
  return validUntil > time + LIMITS.transactionValidityMsMax ? 'TX_VALIDITY_TOO_LONG' : null
}

/** The payload in the shape of `kind`; undefined if it has another. In an object, so that null may be a payload. */
function readPayload(kind: Kind<unknown>, { payload }: Transaction): { value: unknown } | undefined {
  try {
    return { value: kind.payload.from(payload, kind.name) }
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
