/**
 * Codecs: one description of a shape gives its TypeScript type, its encoder and its strict decoder.
 * A record is an array of its fields in the order written, so field names cost no bytes and order is part of the format.
 * Invariant: `decode(encode(x))` equals x; every bound of the shape is checked in both directions.
 */
import { CborError, type CborValue, decodeCbor, encodeCbor } from './cbor.ts'

/** Both directions of one shape. `from` throws `CborError` naming the place (`where`) and the rule that was broken. */
export type Codec<T> = { to(value: T): CborValue; from(value: CborValue, where: string): T }
/** The TypeScript type that a codec describes. */
export type TypeOf<C> = C extends Codec<infer T> ? T : never

const refuse = (where: string, rule: string): never => {
  throw new CborError(`${where}: ${rule}`)
}

/** Safe integer, `min` ≤ n ≤ `max`. */
export const integer = (min = 0, max: number = Number.MAX_SAFE_INTEGER): Codec<number> => {
  const from = (value: CborValue, where: string): number =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : refuse(where, `not an integer from ${min} to ${max}`)
  return { to: (value) => from(value, 'integer'), from }
}

/** Byte string of `min` to `max` bytes (`max` defaults to `min`: exactly that many). */
export const bytes = (min: number, max: number = min): Codec<Uint8Array> => {
  const from = (value: CborValue, where: string): Uint8Array =>
    value instanceof Uint8Array && value.length >= min && value.length <= max
      ? value
      : refuse(where, min === max ? `not ${min} bytes` : `not ${min} to ${max} bytes`)
  return { to: (value) => from(value, 'bytes'), from }
}

/** Text of at most `max` UTF-16 units and at least `min`; a `pattern`, where given, must match the whole. */
export const text = (max: number, { min = 0, pattern }: { min?: number; pattern?: RegExp } = {}): Codec<string> => {
  const from = (value: CborValue, where: string): string => {
    if (typeof value !== 'string' || value.length < min || value.length > max)
      return refuse(where, `not text of ${min} to ${max} characters`)
    if (/\p{Surrogate}/u.test(value)) return refuse(where, 'text with a lone surrogate')
    if (pattern !== undefined && !pattern.test(value)) return refuse(where, `does not match ${pattern.source}`)
    return value
  }
  return { to: (value) => from(value, 'text'), from }
}

/** true or false. */
export const boolean: Codec<boolean> = {
  to: (value) => value,
  from: (value, where) => (typeof value === 'boolean' ? value : refuse(where, 'not true or false')),
}

/** One of a closed list of words. */
export const oneOf = <const W extends string>(...words: W[]): Codec<W> => ({
  to: (value) => (words.includes(value) ? value : refuse('word', `not one of ${words.join(', ')}`)),
  from: (value, where) =>
    typeof value === 'string' && (words as string[]).includes(value)
      ? (value as W)
      : refuse(where, `not one of ${words.join(', ')}`),
})

/** `codec`, or null. */
export const optional = <T>(codec: Codec<T>): Codec<T | null> => ({
  to: (value) => (value === null ? null : codec.to(value)),
  from: (value, where) => (value === null ? null : codec.from(value, where)),
})

/** List of `min` to `max` items. */
export const list = <T>(codec: Codec<T>, max: number, min = 0): Codec<readonly T[]> => ({
  to: (values) =>
    values.length >= min && values.length <= max
      ? values.map((value) => codec.to(value))
      : refuse('list', `not ${min} to ${max} items`),
  from(value, where) {
    if (!Array.isArray(value) || value.length < min || value.length > max)
      return refuse(where, `not a list of ${min} to ${max} items`)
    return (value as CborValue[]).map((item, i) => codec.from(item, `${where}[${i}]`))
  },
})

type RecordOf<F> = { readonly [K in keyof F]: TypeOf<F[K]> }

/** Fixed list of named fields, encoded as an array in the order written. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where codecs of different types stand side by side; RecordOf restores them
export const record = <F extends { [K in keyof F]: Codec<any> }>(fields: F): Codec<RecordOf<F>> => {
  const names = Object.keys(fields)
  const codecs = Object.values(fields) as Codec<unknown>[]
  return {
    to: (value) => codecs.map((codec, i) => codec.to((value as Record<string, unknown>)[names[i] as string])),
    from(value, where) {
      if (!Array.isArray(value) || value.length !== names.length)
        return refuse(where, `not a record of ${names.length} fields (${names.join(', ')})`)
      const out: Record<string, unknown> = {}
      for (let i = 0; i < codecs.length; i++) {
        const name = names[i] as string
        out[name] = (codecs[i] as Codec<unknown>).from(value[i] as CborValue, `${where}.${name}`)
      }
      return out as RecordOf<F>
    },
  }
}

/** The one encoding of `value` in the shape of `codec`. Throws `CborError` if it breaks a bound. */
export const encodeAs = <T>(codec: Codec<T>, value: T): Uint8Array => encodeCbor(codec.to(value))
/** The value of `data` in the shape of `codec`. Throws `CborError` on anything else; `where` names it in the message. */
export const decodeAs = <T>(codec: Codec<T>, data: Uint8Array, where = 'value'): T =>
  codec.from(decodeCbor(data), where)
