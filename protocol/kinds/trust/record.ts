/**
 * Trust in the state: 'trust/<id>' → the trust in a device and how it got there.
 */
import { decodeAs, encodeAs, integer, list, optional, record, type TypeOf } from '../../codec.ts'
import { ppm, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** Newest low scores that are remembered, to be named in a blacklist record. */
export const LOW_SCORES_MAX = 16

/** Trust in one device. */
export type TrustRecord = TypeOf<typeof trustCodec>
const trustCodec = record({
  trustPpm: ppm,
  /** Scores received since registration. */
  scores: integer(),
  /** Scores below the threshold in a row, up to now. */
  below: integer(),
  /** The newest of those, oldest first. */
  lowScores: list(transactionId, LOW_SCORES_MAX),
  /** Height and transaction of the last score; null before the first. */
  lastHeight: integer(),
  lastTransaction: optional(transactionId),
})

/** State key of the trust in the device `id` (hexadecimal). */
export const trustStateKey = (id: string): string => `trust/${id}`

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

/** Trust of a device that is new or reinstated at `height`: as in the genesis, with no low scores held against it. */
export const startingTrust = (initialPpm: number, height: number, scores = 0): TrustRecord => ({
  trustPpm: initialPpm,
  scores,
  below: 0,
  lowScores: [],
  lastHeight: height,
  lastTransaction: null,
})
