/**
 * SenML in JSON (RFC 8428): a pack of measurements → its resolved records (§4.6). Readings of sensors come in this form, and logs that are replayed.
 * Invariants: nothing throws on a pack, whatever it holds; what resolves has a name, a time and at most one value, all finite. Floats
 * stay in here: nothing of a record goes into state or into a hash but the bytes of the pack as they arrived.
 */
import { LIMITS } from './limits.ts'

/** One resolved record: base fields applied, time absolute. Exactly one of `v`, `vs`, `vb`, `vd` is there, or none where there is a sum `s`. */
export type SenmlRecord = {
  /** Name: base name and name together (RFC 8428 §4.5.1). */
  readonly name: string
  /** Unit of the registry (RFC 8428 §12.1), such as `Cel`; undefined where none is given. */
  readonly unit: string | undefined
  /** ms since 1970-01-01T00:00Z, whole. */
  readonly time: number
  /** Number, text, truth, or bytes in base64url (`vd`); undefined where only a sum is given. */
  readonly value: number | string | boolean | undefined
  /** Integrated sum of the values over time. */
  readonly sum: number | undefined
}

/** Resolved records, or why the pack is none: a clause for people. */
export type SenmlAnswer =
  | { readonly ok: true; readonly records: readonly SenmlRecord[] }
  | { readonly ok: false; readonly problem: string }

/** Seconds below which a time is relative to the present (RFC 8428 §4.5.3). */
const ABSOLUTE_FROM_S = 2 ** 28
/** The last time that is still told exactly in ms: the year 9999. */
const LATEST_S = 253_402_300_799
const NAME = /^[A-Za-z0-9][A-Za-z0-9\-:./_]*$/
const UNIT = /^[\x21-\x7e]{1,24}$/
const BASE64URL = /^[A-Za-z0-9_-]*$/
const BASE_TEXTS = ['bn', 'bu'] as const
const BASE_NUMBERS = ['bt', 'bv', 'bs', 'bver'] as const
const VALUES = ['v', 'vs', 'vb', 'vd'] as const
const SENML_VERSION = 10

class NotSenml extends Error {}
const refuse = (problem: string): never => {
  throw new NotSenml(problem)
}

type Fields = { readonly [name: string]: unknown }
type Base = { bn: string; bu: string | undefined; bt: number; bv: number; bs: number; bver: number }

/**
 * Resolves a pack. `receivedAt` (ms since 1970) is what relative times count from; without it they are refused, as they have to be in what is
 * signed. At most `LIMITS.readingRecordsMax` records unless another number is given.
 */
export function resolveSenml(
  text: string,
  receivedAt?: number,
  recordsMax: number = LIMITS.readingRecordsMax,
): SenmlAnswer {
  try {
    const pack = parse(text)
    if (!Array.isArray(pack) || pack.length === 0) return refuse('not a list of records')
    if (pack.length > recordsMax) return refuse(`more than ${recordsMax} records`)
    const base: Base = { bn: '', bu: undefined, bt: 0, bv: 0, bs: 0, bver: SENML_VERSION }
    const records: SenmlRecord[] = []
    pack.forEach((entry: unknown, i) => {
      const where = `record ${i + 1}`
      if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) refuse(`${where}: not an object`)
      const record = resolve(entry as Fields, base, where, receivedAt)
      if (record !== undefined) records.push(record)
    })
    if (records.length === 0) return refuse('base values only, no measurement')
    return { ok: true, records }
  } catch (error) {
    if (!(error instanceof NotSenml)) throw error
    return { ok: false, problem: error.message }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return refuse('not JSON')
  }
}

function resolve(entry: Fields, base: Base, where: string, receivedAt: number | undefined): SenmlRecord | undefined {
  // RFC 8428 §4.4: a field whose name ends with an underscore must be understood, or the pack be refused; others are passed over.
  for (const name of Object.keys(entry))
    if (name.endsWith('_')) refuse(`${where}: unknown field ${name.slice(0, 32)} must be understood`)
  for (const name of BASE_TEXTS) if (entry[name] !== undefined) base[name] = textOf(entry, name, where)
  for (const name of BASE_NUMBERS) if (entry[name] !== undefined) base[name] = numberOf(entry, name, where)
  if (base.bver !== SENML_VERSION) refuse(`${where}: bver is not ${SENML_VERSION}`)
  const present = VALUES.filter((name) => entry[name] !== undefined)
  const hasSum = entry['s'] !== undefined
  if (present.length === 0 && !hasSum) return hasOwn(entry) ? refuse(`${where}: no value`) : undefined
  if (present.length > 1) refuse(`${where}: more than one value (${present.join(', ')})`)
  const name = base.bn + (entry['n'] === undefined ? '' : textOf(entry, 'n', where))
  if (name.length > LIMITS.readingNameCharactersMax || !NAME.test(name)) refuse(`${where}: not a name`)
  const unit = entry['u'] === undefined ? base.bu : textOf(entry, 'u', where)
  if (unit !== undefined && !UNIT.test(unit)) refuse(`${where}: not a unit`)
  return {
    name,
    unit,
    time: timeOf(entry, base, where, receivedAt),
    value: measuredOf(entry, present[0], base, where),
    sum: summedOf(entry, base, where),
  }
}

/** Whether a record has a field of its own beside base values. */
const hasOwn = (entry: Fields): boolean => ['n', 'u', 't', 'ut'].some((name) => entry[name] !== undefined)

function measuredOf(
  entry: Fields,
  name: (typeof VALUES)[number] | undefined,
  base: Base,
  where: string,
): SenmlRecord['value'] {
  if (name === undefined) return undefined
  if (name === 'v') return finite(numberOf(entry, 'v', where) + base.bv, where)
  const value = entry[name]
  if (name === 'vb') return typeof value === 'boolean' ? value : refuse(`${where}: vb is not true or false`)
  const text = textOf(entry, name, where)
  return name === 'vd' && !BASE64URL.test(text) ? refuse(`${where}: vd is not base64url`) : text
}

const summedOf = (entry: Fields, base: Base, where: string): number | undefined =>
  entry['s'] === undefined ? undefined : finite(numberOf(entry, 's', where) + base.bs, where)

function timeOf(entry: Fields, base: Base, where: string, receivedAt: number | undefined): number {
  const seconds = finite(base.bt + (entry['t'] === undefined ? 0 : numberOf(entry, 't', where)), where)
  if (seconds >= ABSOLUTE_FROM_S)
    return seconds <= LATEST_S ? Math.round(seconds * 1000) : refuse(`${where}: time after the year 9999`)
  if (receivedAt === undefined) return refuse(`${where}: time is relative to the present (below 2^28 s)`)
  const time = receivedAt + Math.round(seconds * 1000)
  return time >= 0 ? time : refuse(`${where}: time before 1970`)
}

function textOf(entry: Fields, name: string, where: string): string {
  const value = entry[name]
  if (typeof value !== 'string' || value.length > LIMITS.readingCharactersMax)
    return refuse(`${where}: ${name} is not text`)
  return value
}

function numberOf(entry: Fields, name: string, where: string): number {
  const value = entry[name]
  return typeof value === 'number' ? finite(value, `${where}: ${name}`) : refuse(`${where}: ${name} is not a number`)
}

const finite = (value: number, where: string): number =>
  Number.isFinite(value) ? value : refuse(`${where}: out of range`)
