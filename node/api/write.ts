/**
 * Stage: HTTP API → pool. Writes: a payload is signed with the API key that the token names and handed in; the answer says what became of it.
 * Invariants: the transaction of one idempotency key, body and window has always the same bytes (RFC 6979), on every node that holds
 * the key and after every restart, so that repeating a request needs no memory here; secrets stay in the arguments of `signTransaction`.
 */

import { concat, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { signTransaction, type Transaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { ApiDependencies, SigningKey, Submission } from './dependencies.ts'
import { ApiRefusal } from './problem.ts'

/**
 * Windows of time that `validUntil` is rounded to, ms: a signed write is valid for 20 to 40 minutes, which leaves 20 for block time
 * to lie behind the clock before the limit of one hour. Repeating an idempotent request works for as long.
 */
export const VALIDITY_WINDOW_MS = 20 * 60_000

/** A code with which pool or state machine refuse. */
export type RefusalCode = Exclude<Code, 'OK'>

/** What a write came to. */
export type Written =
  | { readonly id: string; readonly status: 'accepted' }
  | {
      readonly id: string
      readonly status: 'committed'
      readonly height: number
      readonly block: string
      readonly index: number
    }

/** How a write is to be made. */
export type WriteOptions = {
  /** Name of the API key. */
  readonly subject: string
  readonly idempotencyKey: string | undefined
  /** How long to wait for a block, ms; 0 for not at all. */
  readonly waitMs: number
}

/** The signing key of `subject`. ApiRefusal SIGNING_KEY_MISSING. */
export function keyOf(dependencies: Pick<ApiDependencies, 'signingKey'>, subject: string): SigningKey {
  const key = dependencies.signingKey(subject)
  if (key === undefined) throw new ApiRefusal('SIGNING_KEY_MISSING')
  return key
}

/** The nonce of an idempotency key: the first 16 bytes of SHA3-256(name of the API key ‖ 0x00 ‖ idempotency key), in UTF-8. */
export function idempotentNonce(subject: string, idempotencyKey: string): Uint8Array {
  const text = new TextEncoder()
  const digest = sha3(concat(text.encode(subject), new Uint8Array(1), text.encode(idempotencyKey)))
  return digest.slice(0, LIMITS.nonceBytes)
}

/**
 * Signs and hands in a transaction of `kind`. ApiRefusal: SIGNING_KEY_MISSING, TX_PAYLOAD, IDEMPOTENCY_MISMATCH, and every code with which
 * pool and state machine refuse.
 */
export async function write(
  dependencies: ApiDependencies,
  kind: string,
  payload: unknown,
  options: WriteOptions,
): Promise<Written> {
  const { subject, idempotencyKey, waitMs } = options
  const { secretKey } = keyOf(dependencies, subject)
  const window = Math.floor(dependencies.now() / VALIDITY_WINDOW_MS)
  const nonce = idempotencyKey === undefined ? dependencies.randomNonce() : idempotentNonce(subject, idempotencyKey)
  const signedIn = (window: number): Transaction => {
    try {
      const value = KINDS.get(kind)!.payload.to(payload)
      const draft = { kind, payload: value, nonce, validUntil: (window + 2) * VALIDITY_WINDOW_MS }
      return signTransaction(draft, dependencies.chainId, secretKey)
    } catch (error) {
      if (error instanceof CborError) throw new ApiRefusal('TX_PAYLOAD', `The payload of ${kind}: ${error.message}`)
      throw error
    }
  }
  const transaction = signedIn(window)
  if (idempotencyKey !== undefined)
    // The first request may have come just before the window changed.
    for (const candidate of [transaction, signedIn(window - 1)]) {
      const id = toHex(candidate.id)
      if (await isKnown(dependencies, id)) return settle(dependencies, id, waitMs)
    }
  return submit(dependencies, transaction.bytes, toHex(transaction.id), waitMs, idempotencyKey !== undefined)
}

/**
 * Hands in the signed transaction `bytes` with `id`. One that is here already is accepted again: its bytes are its idempotency key.
 * ApiRefusal with the code of the refusal; `idempotent` turns a nonce used for other bytes into IDEMPOTENCY_MISMATCH.
 */
export async function submit(
  dependencies: ApiDependencies,
  bytes: Uint8Array,
  id: string,
  waitMs: number,
  idempotent = false,
): Promise<Written> {
  const [submission] = await dependencies.submit([bytes])
  const refusal = await refusalOf(dependencies, submission as Submission, id)
  if (refusal === 'POOL_DUPLICATE' || refusal === 'TX_REPLAYED')
    throw new ApiRefusal(idempotent ? 'IDEMPOTENCY_MISMATCH' : refusal)
  if (refusal !== null) throw new ApiRefusal(refusal)
  return settle(dependencies, id, waitMs)
}

/** Why the transaction `id` was not taken in; null also where it is here already. */
export async function refusalOf(
  dependencies: Pick<ApiDependencies, 'transaction'>,
  submission: Submission,
  id: string,
): Promise<RefusalCode | null> {
  if (submission.ok) return null
  const { code } = submission
  if (code === 'OK') throw new Error('a submission was refused with OK')
  const repeated = code === 'POOL_DUPLICATE' || code === 'TX_REPLAYED'
  return repeated && (await isKnown(dependencies, id)) ? null : code
}

async function isKnown(dependencies: Pick<ApiDependencies, 'transaction'>, id: string): Promise<boolean> {
  const known = await dependencies.transaction(id)
  return known !== undefined && known.state !== 'refused'
}

async function settle(dependencies: ApiDependencies, id: string, waitMs: number): Promise<Written> {
  if (waitMs === 0) return { id, status: 'accepted' }
  const fate = await dependencies.waitFor(id, waitMs)
  // A client that waited in vain has its id and asks again; the transaction may still be committed.
  if (fate.outcome === 'timeout') return { id, status: 'accepted' }
  if (fate.outcome === 'committed')
    return { id, status: 'committed', height: fate.height, block: fate.blockHash, index: fate.index }
  if (fate.code === 'OK') throw new Error('a transaction was refused with OK')
  throw new ApiRefusal(fate.code)
}
