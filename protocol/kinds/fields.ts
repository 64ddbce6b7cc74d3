/**
 * Fields that the payloads and records of several kinds have in common.
 */
import { CborError } from '../cbor.ts'
import { bytes, type Codec, integer, text } from '../codec.ts'
import { LIMITS } from '../limits.ts'

/** One whole, in parts per million: scores, trust, severity and confidence go from 0 to this (ledger.md §1). */
export const PPM = 1_000_000
/** 0 … 1 000 000. */
export const ppm: Codec<number> = integer(0, PPM)
/** Id of a transaction. */
export const transactionId: Codec<Uint8Array> = bytes(32)
/** Id of a device: the address of its key. In state keys and JSON it is lower-case hexadecimal. */
export const deviceId: Codec<Uint8Array> = bytes(20)
/*
 * Text for people has no controls, line separators or marks that turn the direction of writing, which could make one name look like another.
 * Only properties that Unicode promises never to change are used: with others, members on different JavaScript engines would disagree.
 */
/** A short name for people: 1 to 64 characters. */
export const label: Codec<string> = text(LIMITS.nameCharactersMax, {
  min: 1,
  pattern: /^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+$/u,
})
/** A sentence for people, possibly empty, of at most 512 characters. */
export const remark: Codec<string> = text(512, { pattern: /^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]*$/u })
/** A compressed key in lower-case hexadecimal. */
export const publicKeyHex: Codec<string> = text(66, { min: 66, pattern: /^0[23][0-9a-f]{64}$/ })

const bytes33 = bytes(33)
/**
 * A compressed secp256k1 key: 33 bytes that begin with 2 or 3. That the point lies on the curve is not checked: of a key that does not,
 * no signature can ever come, so it harms only who names it.
 */
export const publicKey: Codec<Uint8Array> = {
  to: (value) => publicKey.from(value, 'public key'),
  from(value, where) {
    const key = bytes33.from(value, where)
    if (key[0] !== 2 && key[0] !== 3) throw new CborError(`${where}: not a compressed public key`)
    return key
  },
}
