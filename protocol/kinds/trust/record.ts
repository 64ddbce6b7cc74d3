/**
 * Trust in the state: 'trust/<id>' → the trust in a device and what it rests on; 'trusthistory/<id>/<page>' → how it got there, the last
 * `TRUST_POINTS_MAX` points, on the chain, so that every node has them, pruned or not, and a light peer can have them proved.
 */
import { decodeAs, encodeAs, integer, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { ppm, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** Newest low scores that are remembered, to be named in a blacklist record. */
export const LOW_SCORES_MAX = 16

/** Trust in one device. */
export type TrustRecord = TypeOf<typeof trustCodec>
const trustCodec = record({
  trustPpm: ppm,
  /** What it rests on: the parameters of the era; scores of its owner's outside modules; the median of opinions. */
  basis: oneOf('initial', 'score', 'opinions'),
  /** Evaluations since registration. */
  evaluations: integer(),
  /** Fresh voices with weight in the last of them. */
  raters: integer(),
  /** Rounds below the threshold in a row, up to now. */
  below: integer(),
  /** Height of the evaluation that completed the last such round; 0 before the first. */
  roundHeight: integer(),
  /** Scores of outside modules since registration. */
  scores: integer(),
  /** The newest low ones since the trust was last at the threshold or above, oldest first. */
  lowScores: list(transactionId, LOW_SCORES_MAX),
  /** Height of the last evaluation, of the registration before the first. */
  lastHeight: integer(),
  /** The last score; null before the first. */
  lastTransaction: optional(transactionId),
  /** Points of the history since registration, and the trust in the newest of them. */
  points: integer(),
  pointPpm: ppm,
})

/** State key of the trust in the device `id` (hexadecimal). */
export const trustStateKey = (id: string): string => `${TRUST_PREFIX}${id}`
/** What all of these keys begin with. */
export const TRUST_PREFIX = 'trust/'

/** Trust in the device `id` (hexadecimal), or undefined if there is no such device. */
export function readTrust(state: StateReader, id: string): TrustRecord | undefined {
  const value = state.get(trustStateKey(id))
  return value === undefined ? undefined : decodeTrust(value)
}

/** A trust record from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeTrust = (value: Uint8Array): TrustRecord => decodeAs(trustCodec, value, 'trust')

/** Writes the trust in the device `id` (hexadecimal). */
export const writeTrust = (state: StateView, id: string, trust: TrustRecord): void =>
  state.put(trustStateKey(id), encodeAs(trustCodec, trust))

/** Trust of a device that is new or reinstated at `height`: nothing is held against it. `before` is the one of a device that returns. */
export const startingTrust = (initialPpm: number, height: number, before?: TrustRecord): TrustRecord => ({
  trustPpm: initialPpm,
  basis: 'initial',
  evaluations: before?.evaluations ?? 0,
  raters: 0,
  below: 0,
  roundHeight: before?.roundHeight ?? 0,
  scores: before?.scores ?? 0,
  lowScores: [],
  lastHeight: height,
  lastTransaction: before?.lastTransaction ?? null,
  points: before?.points ?? 0,
  pointPpm: before?.pointPpm ?? initialPpm,
})

/** Points on one page of a history. */
export const TRUST_PAGE_POINTS = 64
/** Pages of a history; then the oldest is written anew. */
export const TRUST_PAGES_MAX = 16
/** Points of a history: the last 961 to 1024. */
export const TRUST_POINTS_MAX = TRUST_PAGE_POINTS * TRUST_PAGES_MAX
/** A change of trust that is smaller makes no point. Parts per million. */
export const TRUST_POINT_STEP_PPM = 10_000

/** One point of a history: where the trust stood after a block that moved it by a step, or moved the device in its life. */
export type TrustPoint = TypeOf<typeof pointCodec>
const pointCodec = record({
  /** From 0, over the whole life of the device. */
  sequence: integer(),
  height: integer(1),
  /** Time of that block. */
  time: integer(),
  trustPpm: ppm,
  thresholdPpm: ppm,
  raters: integer(),
  below: integer(),
  status: oneOf('registered', 'trusted', 'suspect', 'blacklisted', 'reinstated', 'retired'),
})
const pageCodec = list(pointCodec, TRUST_PAGE_POINTS)

/** State key of the page of the history of the device `id` (hexadecimal) that holds or held the point `sequence`. */
const trustPageStateKey = (id: string, sequence: number): string =>
  `${TRUST_HISTORY_PREFIX}${id}/${Math.floor(sequence / TRUST_PAGE_POINTS) % TRUST_PAGES_MAX}`
/** What all of these keys begin with. */
export const TRUST_HISTORY_PREFIX = 'trusthistory/'

/** The page of the history of the device `id` (hexadecimal) with the point `sequence`, oldest first; empty once it is written anew. */
export function readTrustPage(state: StateReader, id: string, sequence: number): readonly TrustPoint[] {
  const value = state.get(trustPageStateKey(id, sequence))
  const points = value === undefined ? [] : decodeAs(pageCodec, value, 'history')
  const first = sequence - (sequence % TRUST_PAGE_POINTS)
  return points[0]?.sequence === first ? points : []
}

/**
 * Points of the history of the device `id` (hexadecimal) before the sequence `before` (all if undefined), the newest first, at most `limit`
 * and none below `height`.
 */
export function readTrustPoints(
  state: StateReader,
  id: string,
  { before, limit, height = 0 }: { before?: number | undefined; limit: number; height?: number },
): readonly TrustPoint[] {
  const found: TrustPoint[] = []
  let next = Math.min(readTrust(state, id)?.points ?? 0, before ?? Number.MAX_SAFE_INTEGER)
  while (next > 0 && found.length < limit) {
    const page = readTrustPage(state, id, next - 1).filter((point) => point.sequence < next && point.height >= height)
    if (page.length === 0) break
    found.push(...page.toReversed())
    next = (page[0] as TrustPoint).sequence
  }
  return found.slice(0, limit)
}

/** Adds a point to the history of the device `id` (hexadecimal); the record that counts it in. */
export function addTrustPoint(
  state: StateView,
  id: string,
  trust: TrustRecord,
  at: Pick<TrustPoint, 'height' | 'time' | 'thresholdPpm' | 'status'>,
): TrustRecord {
  const { points: sequence, trustPpm, raters, below } = trust
  const before = sequence % TRUST_PAGE_POINTS === 0 ? [] : readTrustPage(state, id, sequence)
  const { height, time, thresholdPpm, status } = at
  const point = { sequence, height, time, trustPpm, thresholdPpm, raters, below, status }
  state.put(trustPageStateKey(id, sequence), encodeAs(pageCodec, [...before, point]))
  return { ...trust, points: sequence + 1, pointPpm: trustPpm }
}
