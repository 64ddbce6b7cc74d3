/**
 * Signed readings (ledger.md §2, `reading.batch`): a SenML pack with the signature of the sensor or gateway that made it; many of them make a
 * batch, whose root is what the chain holds. The readings themselves stay off the chain.
 * Invariants: what is signed is the text of the pack as it arrived, never encoded again; the leaf of a reading covers its signature
 * too, so that two readings with one text are two leaves; nothing throws on what a sensor sent.
 */
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { fromHex, toHex } from './bytes.ts'
import { bytes, encodeAs, integer, record, type TypeOf, text } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'
import { inclusionProof, merkleRoot, verifyInclusion } from './merkle.ts'
import { resolveSenml, type SenmlRecord } from './senml.ts'
import { addressOf, recover, SIGNATURE_BYTES, sign } from './signature.ts'
import type { Code } from './verdict.ts'

/** A reading as it travels: the pack's text (JSON) and the 65-byte signature over its UTF-8 bytes. */
export type SignedReading = TypeOf<typeof readingCodec>
const readingCodec = record({ pack: text(LIMITS.readingCharactersMax, { min: 1 }), signature: bytes(SIGNATURE_BYTES) })

/** A reading whose signature was recovered: who signed, and what it says. */
export type VerifiedReading = {
  readonly reading: SignedReading
  /** Address of the signing key, hexadecimal: the id of the sensor if that is registered. */
  readonly sensor: string
  readonly records: readonly SenmlRecord[]
}

/** What `reading.batch` says of a batch. */
export type Batch = TypeOf<typeof batchCodec>
/** Shape of that payload. Times are the sensors' claims, ms since 1970-01-01T00:00Z. */
export const batchCodec = record({
  /** RFC 9162 root over the leaves of the batch, SHA3-256. */
  root: bytes(32),
  count: integer(1, LIMITS.batchReadingsMax),
  /** Earliest and latest time of its records. */
  observedFrom: integer(),
  observedTo: integer(),
})

const SIGNATURE_HEX = new RegExp(`^[0-9a-f]{${2 * SIGNATURE_BYTES}}$`)

/** Signs a pack on the chain `chainId` (32 bytes). Throws `RangeError` on one that `verifyReading` would refuse. */
export function signReading(pack: string, chainId: Uint8Array, secretKey: Uint8Array): SignedReading {
  const resolved = resolveSenml(pack)
  if (!resolved.ok) throw new RangeError(`no reading: ${resolved.problem}`)
  if (pack.length > LIMITS.readingCharactersMax)
    throw new RangeError(`no reading: longer than ${LIMITS.readingCharactersMax} characters`)
  return { pack, signature: sign('reading', chainId, utf8ToBytes(pack), secretKey) }
}

/** Who signed a reading and what it says; READING_MALFORMED (`problem` says why), READING_SIGNATURE. */
export function verifyReading(
  reading: SignedReading,
  chainId: Uint8Array,
):
  | { readonly ok: true; readonly verified: VerifiedReading }
  | { readonly ok: false; readonly code: Code; readonly problem: string } {
  const resolved = resolveSenml(reading.pack)
  if (!resolved.ok) return { ok: false, code: 'READING_MALFORMED', problem: resolved.problem }
  const key = recover('reading', chainId, utf8ToBytes(reading.pack), reading.signature)
  if (key === undefined) return { ok: false, code: 'READING_SIGNATURE', problem: 'the signature recovers to no key' }
  return { ok: true, verified: { reading, sensor: toHex(addressOf(key)), records: resolved.records } }
}

/** One line of text for a reading: a JSON object with the pack as text and the signature in hexadecimal. */
export const renderReading = ({ pack, signature }: SignedReading): string =>
  JSON.stringify({ senml: pack, signature: toHex(signature) })

/** The reading of such a line, or what is wrong with it: a clause for people. Fields beside these two are refused. */
export function parseReading(
  line: string,
): { readonly ok: true; readonly reading: SignedReading } | { readonly ok: false; readonly problem: string } {
  const no = (problem: string) => ({ ok: false, problem }) as const
  // A pack in JSON within JSON: at most six characters for one.
  if (line.length > 6 * LIMITS.readingCharactersMax + 256) return no('too long')
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    return no('not JSON')
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return no('not an object')
  const { senml, signature, ...others } = json as { [name: string]: unknown }
  if (typeof senml !== 'string' || typeof signature !== 'string')
    return no('not an object with senml and signature as text')
  if (Object.keys(others).length > 0) return no('fields beside senml and signature')
  if (/\p{Surrogate}/u.test(senml)) return no('senml: text with a lone surrogate')
  if (senml.length === 0 || senml.length > LIMITS.readingCharactersMax)
    return no(`senml: not 1 to ${LIMITS.readingCharactersMax} characters`)
  if (!SIGNATURE_HEX.test(signature)) return no(`signature: not ${SIGNATURE_BYTES} bytes in lower-case hexadecimal`)
  return { ok: true, reading: { pack: senml, signature: fromHex(signature) } }
}

/** Data of a reading's leaf. */
export const readingLeaf = (reading: SignedReading): Uint8Array => encodeAs(readingCodec, reading)
/** The batch over verified readings, in their order. Throws `RangeError` on none, or too many. */
export function batchOf(readings: readonly VerifiedReading[]): Batch {
  if (readings.length === 0 || readings.length > LIMITS.batchReadingsMax)
    throw new RangeError(`no batch of ${readings.length} readings`)
  let observedFrom = Number.POSITIVE_INFINITY
  let observedTo = Number.NEGATIVE_INFINITY
  for (const { records } of readings)
    for (const { time } of records) {
      observedFrom = Math.min(observedFrom, time)
      observedTo = Math.max(observedTo, time)
    }
  const root = merkleRoot(
    sha3,
    readings.map(({ reading }) => readingLeaf(reading)),
  )
  return { root, count: readings.length, observedFrom, observedTo }
}

/** The way from reading number `index` to the batch's root. Throws `RangeError` where there is none. */
export const readingPath = (readings: readonly SignedReading[], index: number): Uint8Array[] =>
  inclusionProof(sha3, readings.map(readingLeaf), index)

/** Whether `path` shows that `reading` is number `index` of the batch. Never throws. */
export const verifyReadingPath = (
  reading: SignedReading,
  index: number,
  { root, count }: Batch,
  path: readonly Uint8Array[],
): boolean => verifyInclusion(sha3, readingLeaf(reading), index, count, path, root)
