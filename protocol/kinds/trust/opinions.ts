/**
 * Opinions in the state: 'opinions/<id>' → the newest opinion of each rater about a device, in one entry, so that one proof shows all that
 * its trust rests on.
 * Rows of fixed size and not records: a block may change thousands of them, each in the midst of others, and copying bytes costs a
 * hundredth of decoding them. Numbers are big-endian.
 * Invariant: rows stand in ascending order of raters, each rater once.
 */
import { compareBytes, concat } from '../../bytes.ts'
import { CborError } from '../../cbor.ts'
import { bytes, decodeAs, encodeAs } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import type { StateReader, StateView } from '../kind.ts'

const RATER_BYTES = 20
/** Rater 20, trust 4, observedAt 8, height 8. */
const ROW_BYTES = 40
const rowsCodec = bytes(0, ROW_BYTES * LIMITS.ratersMax)

/** One opinion as it is kept. */
export type KeptOpinion = {
  /** Id of the device that gave it, or the address of the member whose outside module did. 20 bytes. */
  readonly rater: Uint8Array
  readonly trustPpm: number
  /** When it was formed: the rater's claim, ms since 1970-01-01T00:00Z; for a member the time of the block. */
  readonly observedAt: number
  /** Height of the block that holds it. */
  readonly height: number
}

/** State key of the opinions about the device `id` (hexadecimal). */
export const opinionsStateKey = (id: string): string => `${OPINIONS_PREFIX}${id}`
/** What all of these keys begin with. */
export const OPINIONS_PREFIX = 'opinions/'

const NONE = new Uint8Array(0)
const readRows = (state: StateReader, id: string): Uint8Array => {
  const value = state.get(opinionsStateKey(id))
  return value === undefined ? NONE : decodeAs(rowsCodec, value, 'opinions')
}

/** Opinions about the device `id` (hexadecimal), fresh or not, in the order of raters. */
export const readOpinions = (state: StateReader, id: string): readonly KeptOpinion[] => opinionsOf(readRows(state, id))

/** Opinions from their bytes in the state, for readers outside. Throws `CborError` on other bytes. */
export function decodeOpinions(value: Uint8Array): readonly KeptOpinion[] {
  const rows = decodeAs(rowsCodec, value, 'opinions')
  if (rows.length % ROW_BYTES !== 0) throw new CborError('opinions: not whole rows')
  return opinionsOf(rows)
}

function opinionsOf(rows: Uint8Array): KeptOpinion[] {
  const found: KeptOpinion[] = []
  for (let at = 0; at < rows.length; at += ROW_BYTES) found.push(opinionAt(rows, at))
  return found
}

function opinionAt(rows: Uint8Array, at: number): KeptOpinion {
  const view = new DataView(rows.buffer, rows.byteOffset + at, ROW_BYTES)
  return {
    rater: rows.subarray(at, at + RATER_BYTES),
    trustPpm: view.getUint32(20),
    observedAt: Number(view.getBigUint64(24)),
    height: Number(view.getBigUint64(32)),
  }
}

function rowOf({ rater, trustPpm, observedAt, height }: KeptOpinion): Uint8Array {
  const row = new Uint8Array(ROW_BYTES)
  row.set(rater)
  const view = new DataView(row.buffer)
  view.setUint32(20, trustPpm)
  view.setBigUint64(24, BigInt(observedAt))
  view.setBigUint64(32, BigInt(height))
  return row
}

/** Offset of the first row whose rater is not below `rater`, and whether it is its own. */
function placeOf(rows: Uint8Array, rater: Uint8Array): { readonly at: number; readonly found: boolean } {
  let [low, high] = [0, rows.length / ROW_BYTES]
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = middle * ROW_BYTES
    const order = compareBytes(rows.subarray(at, at + RATER_BYTES), rater)
    if (order === 0) return { at, found: true }
    if (order < 0) low = middle + 1
    else high = middle
  }
  return { at: low * ROW_BYTES, found: false }
}

/** The opinion of `rater` (20 bytes) about the device `id` (hexadecimal), or undefined. */
export function readOpinion(state: StateReader, id: string, rater: Uint8Array): KeptOpinion | undefined {
  const rows = readRows(state, id)
  const { at, found } = placeOf(rows, rater)
  return found ? opinionAt(rows, at) : undefined
}

/**
 * Keeps `opinion` about the device `id` (hexadecimal) in the place of the rater's last one. Where all seats are taken, those of opinions
 * formed before `staleBefore` are given up; if there is none, the new voice goes unheard: false, and nothing is written. Whoever wants to
 * keep others out has to hold `LIMITS.ratersMax` seats with devices of the segment, and then has the majority anyway.
 */
export function keepOpinion(state: StateView, id: string, opinion: KeptOpinion, staleBefore: number): boolean {
  let rows = readRows(state, id)
  let { at, found } = placeOf(rows, opinion.rater)
  if (!found && rows.length === ROW_BYTES * LIMITS.ratersMax) {
    const fresh = opinionsOf(rows).filter(({ observedAt }) => observedAt >= staleBefore)
    if (fresh.length === LIMITS.ratersMax) return false
    rows = concat(...fresh.map(rowOf))
    at = placeOf(rows, opinion.rater).at
  }
  const after = rows.subarray(found ? at + ROW_BYTES : at)
  state.put(opinionsStateKey(id), encodeAs(rowsCodec, concat(rows.subarray(0, at), rowOf(opinion), after)))
  return true
}

/** Forgets all opinions about the device `id` (hexadecimal). */
export const forgetOpinions = (state: StateView, id: string): void => state.delete(opinionsStateKey(id))
