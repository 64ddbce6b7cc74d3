/**
 * A device's card: where it can be reached by the others of its segment, signed by itself, so that whoever passes it on can change nothing.
 * Invariants: the signer is whoever the signature recovers to; of two cards of one device the one with the later `issuedAt` counts; addresses are
 * hints: who answers there proves its key in any case.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { bytes, decodeAs, encodeAs, integer, list, record, text } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { recover, SIGNATURE_BYTES, sign } from '../../protocol/signature.ts'
import { LIGHT_LIMITS } from './limits.ts'

const bodyCodec = record({
  /** Multiaddrs. */
  addresses: list(text(LIMITS.addressCharactersMax, { min: 1 }), LIGHT_LIMITS.cardAddressesMax),
  /** By the device's clock, ms since 1970-01-01T00:00Z. */
  issuedAt: integer(),
})
const cardCodec = record({ body: bytes(1, LIGHT_LIMITS.cardBytesMax), signature: bytes(SIGNATURE_BYTES) })

/** A card that was read. */
export type Card = {
  readonly publicKey: PublicKeyHex
  readonly addresses: readonly string[]
  readonly issuedAt: number
  /** As it arrived. */
  readonly bytes: Uint8Array
}

/** Signs a card. At most `cardAddressesMax` addresses are on it. */
export function issueCard(
  addresses: readonly string[],
  issuedAt: number,
  chainId: Uint8Array,
  secretKey: Uint8Array,
): Uint8Array {
  const body = encodeAs(bodyCodec, { addresses: addresses.slice(0, LIGHT_LIMITS.cardAddressesMax), issuedAt })
  return encodeAs(cardCodec, { body, signature: sign('card', chainId, body, secretKey) })
}

/** The card in `data`; undefined if it is none, or signed for another chain (which looks like a card of somebody else). */
export function readCard(data: Uint8Array, chainId: Uint8Array): Card | undefined {
  if (data.length > LIGHT_LIMITS.cardBytesMax) return undefined
  try {
    const { body, signature } = decodeAs(cardCodec, data, 'card')
    const { addresses, issuedAt } = decodeAs(bodyCodec, body, 'card')
    const publicKey = recover('card', chainId, body, signature)
    return publicKey === undefined ? undefined : { publicKey: toHex(publicKey), addresses, issuedAt, bytes: data }
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
