/**
 * Transactions: what anyone asks the ledger to write (ledger.md §2).
 * Wire form: [body, signature] where body is the encoding of [kind, payload, nonce, validUntil]. The signature covers the bytes of
 * the body as they arrived; the id is the hash of the whole. Nothing here trusts a claimed signer: `signerOf` recovers it.
 */
import { CborError, type CborValue, decodeCbor, encodeCbor } from './cbor.ts'
import { bytes, decodeAs, encodeAs, integer, record, text } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'
import { recover, SIGNATURE_BYTES, sign } from './signature.ts'

/** A transaction as decoded from its bytes; the signer is not yet known. */
export type Transaction = {
  /** SHA3-256 of `bytes`. */
  readonly id: Uint8Array
  /** The whole, as it arrived. */
  readonly bytes: Uint8Array
  /** What the signature covers. */
  readonly body: Uint8Array
  /** 65 bytes, recoverable. */
  readonly signature: Uint8Array
  /** Row of the table of kinds, such as `kv.put`. */
  readonly kind: string
  /** Shape given by the kind. */
  readonly payload: CborValue
  /** 16 random bytes; with the signer, unique until `validUntil`. */
  readonly nonce: Uint8Array
  /** Block time (ms) after which it can no longer be included. */
  readonly validUntil: number
}

const envelope = record({ body: bytes(1, LIMITS.transactionBytesMax), signature: bytes(SIGNATURE_BYTES) })
const anyValue = { to: (value: CborValue) => value, from: (value: CborValue) => value }
const bodyCodec = record({
  kind: text(48, { min: 3, pattern: /^[a-z]+(?:\.[a-z]+)?$/ }),
  payload: anyValue,
  nonce: bytes(LIMITS.nonceBytes),
  validUntil: integer(),
})

/** What a submitter decides. */
export type TransactionDraft = Pick<Transaction, 'kind' | 'payload' | 'nonce' | 'validUntil'>

/** Signs `draft` for the chain `chainId` with `secretKey` (32 bytes). Throws `CborError` on a draft outside the shapes. */
export function signTransaction(draft: TransactionDraft, chainId: Uint8Array, secretKey: Uint8Array): Transaction {
  const body = encodeAs(bodyCodec, draft)
  const signature = sign('transaction', chainId, body, secretKey)
  return decodeTransaction(encodeCbor([body, signature]))
}

/** Decodes a transaction. Throws `CborError` on malformed, non-canonical or oversized bytes; checks no signature. */
export function decodeTransaction(data: Uint8Array): Transaction {
  if (data.length > LIMITS.transactionBytesMax)
    throw new CborError(`transaction of more than ${LIMITS.transactionBytesMax} bytes`)
  const { body, signature } = envelope.from(decodeCbor(data), 'transaction')
  const { kind, payload, nonce, validUntil } = decodeAs(bodyCodec, body, 'transaction body')
  return { id: sha3(data), bytes: data, body, signature, kind, payload, nonce, validUntil }
}

/** Compressed key (33 bytes) of whoever signed, or undefined if the signature recovers to nobody. */
export const signerOf = (
  transaction: Pick<Transaction, 'body' | 'signature'>,
  chainId: Uint8Array,
): Uint8Array | undefined => recover('transaction', chainId, transaction.body, transaction.signature)
