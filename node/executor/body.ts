/**
 * Bodies: the transactions of a block, as they are stored and sent. Stage: block.
 * Invariant: a body has one encoding, the CBOR list of its transactions' own bytes in block order; `decodeBody` holds to the bounds of a
 * block before anything is done with what is inside.
 */
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts'
import { bytes, list } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'

/** Bytes of a body at most: its transactions, with at most 5 bytes of frame each and 5 for the list. */
export const BODY_BYTES_MAX = LIMITS.blockBytesMax + 5 * (LIMITS.blockTransactionsMax + 1)

const bodyCodec = list(bytes(1, LIMITS.transactionBytesMax), LIMITS.blockTransactionsMax)

/** The one encoding of the body with `transactions`, each in its own bytes, in block order. */
export const encodeBody = (transactions: readonly Uint8Array[]): Uint8Array => encodeCbor(transactions)

/**
 * The transactions of a body, not yet decoded, or why it is none: BLOCK_TOO_LARGE beyond `LIMITS.blockBytesMax` of transactions,
 * BLOCK_MALFORMED for anything else. Never throws, whatever a peer sent.
 */
export function decodeBody(data: Uint8Array): readonly Uint8Array[] | 'BLOCK_MALFORMED' | 'BLOCK_TOO_LARGE' {
  if (data.length > BODY_BYTES_MAX) return 'BLOCK_TOO_LARGE'
  let transactions: readonly Uint8Array[]
  try {
    transactions = bodyCodec.from(decodeCbor(data), 'body')
  } catch {
    return 'BLOCK_MALFORMED'
  }
  return bytesOf(transactions) > LIMITS.blockBytesMax ? 'BLOCK_TOO_LARGE' : transactions
}

/** Bytes of `transactions` together, without their frame. */
function bytesOf(transactions: readonly Uint8Array[]): number {
  let length = 0
  for (const transaction of transactions) length += transaction.length
  return length
}
