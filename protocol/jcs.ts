/**
 * JSON canonicalisation (RFC 8785): the one text of a JSON value, so that its hash is everyone's.
 * Invariant: object keys are in the order of their UTF-16 units, numbers and text as ECMAScript writes them, nothing between the tokens.
 */

/** A JSON value. Fields that are undefined are left out, as `JSON.stringify` does. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined }

/** The canonical text of `value`. Throws `RangeError` on what JSON cannot say: a number that is not finite, a lone surrogate. */
export function canonicalJson(value: Json): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError('not a number of JSON')
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) throw new RangeError('text with a lone surrogate')
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(canonicalJson).join(',')}]`
  const fields = value as { readonly [name: string]: Json | undefined }
  const names = Object.keys(fields)
    .filter((name) => fields[name] !== undefined)
    .sort()
  return `{${names.map((name) => `${canonicalJson(name)}:${canonicalJson(fields[name] as Json)}`).join(',')}}`
}
