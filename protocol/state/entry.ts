/**
 * State entries: what the BKVS keeps under a key, and what the state tree commits to (ledger.md §4).
 * Invariants: two different keys never share a key hash by way of their encoding; an entry has one encoding.
 */
import { utf8Length, writeUtf8 } from '../bytes.ts'
import { bytes, decodeAs, encodeAs, integer, record, type TypeOf } from '../codec.ts'
import { sha3 } from '../crypto.ts'
import { LIMITS } from '../limits.ts'

/** A value with the height of the block that last changed it (0 for the genesis). */
export type StateEntry = TypeOf<typeof entryCodec>
const entryCodec = record({
  height: integer(),
  /** Its meaning is its namespace's; at most 60 KiB. */
  value: bytes(0, LIMITS.stateValueBytesMax),
})

/** The one encoding of `entry`. Throws `CborError` if it breaks a bound. */
export const encodeEntry = (entry: StateEntry): Uint8Array => encodeAs(entryCodec, entry)

/** Decodes an entry. Throws `CborError` on anything but the one encoding of an entry. */
export const decodeEntry = (data: Uint8Array): StateEntry => decodeAs(entryCodec, data, 'state entry')

/** Whether `key` has a UTF-8 encoding of its own: a lone surrogate would be replaced and make two keys one. */
export const isStateKey = (key: string): boolean => utf8Length(key) >= 0

/** SHA3-256 of the UTF-8 bytes of `key`: its place in the state tree. Throws `RangeError` on a lone surrogate. */
export function keyHashOf(key: string): Uint8Array {
  const length = utf8Length(key)
  if (length < 0) throw new RangeError('state key with a lone surrogate')
  const bytes = new Uint8Array(length)
  writeUtf8(bytes, 0, key)
  return sha3(bytes)
}

/** SHA3-256 of an entry's encoding: what its leaf of the state tree holds. */
export const valueHashOf = (entryBytes: Uint8Array): Uint8Array => sha3(entryBytes)
