/**
 * Deterministic CBOR (RFC 8949 §4.2.1), decoded strictly: one value has one encoding, any other is refused.
 * The subset: unsigned and negative safe integers, byte strings, text, arrays, booleans, null. No maps, floats, tags, bigints,
 * undefined or indefinite lengths: what is signed is a list of positions, not of names.
 * What arrived is kept as bytes; nothing signed or hashed is ever encoded again.
 */
import { decode, encode } from 'cborg'
import { equalBytes } from './bytes.ts'

/** A value that CBOR carries here. */
export type CborValue = number | string | boolean | null | Uint8Array | readonly CborValue[]

/** Refusal of bytes that are not the one encoding of a value of the subset or not of the expected shape. */
export class CborError extends Error {
  override readonly name = 'CborError'
}

const STRICT = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true,
  useMaps: true,
} as const

/** The one encoding of `value`. Throws `CborError` if it holds anything outside the subset. */
export function encodeCbor(value: CborValue): Uint8Array {
  checkSubset(value, 0)
  return encode(value)
}

/** The value of `bytes`. Throws `CborError` unless `bytes` is exactly its one encoding; nesting deeper than 16 is refused. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  let value: CborValue
  try {
    value = decode(bytes, STRICT) as CborValue
  } catch (error) {
    throw new CborError('not deterministic CBOR', { cause: error })
  }
  checkSubset(value, 0)
  // Anything cborg lets pass that is not canonical (ill-formed UTF-8, say) differs when encoded anew.
  if (!equalBytes(encode(value), bytes)) throw new CborError('not the deterministic encoding of its value')
  return value
}

function checkSubset(value: unknown, depth: number): void {
  if (depth > 16) throw new CborError('nested deeper than 16')
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0))
        throw new CborError('a number that is not a safe integer')
      return
    case 'object':
      if (value === null || value instanceof Uint8Array) return
      if (Array.isArray(value)) {
        for (const item of value) checkSubset(item, depth + 1)
        return
      }
  }
  throw new CborError('a type outside the subset')
}
