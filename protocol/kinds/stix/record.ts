/**
 * STIX bundles in the state: 'stix/<height>' → what members say is the hash of the bundle of that block. Mostly one entry; more where they
 * disagree, which is for people to look into.
 */
import { bytes, decodeAs, encodeAs, integer, list, record, type TypeOf } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import { publicKeyHex, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** What one member, the first, said of one hash. */
export type BundleClaim = TypeOf<typeof claimCodec>
const claimCodec = record({
  /** SHA3-256 of the bundle's canonical text. */
  hash: bytes(32),
  member: publicKeyHex,
  /** Height of the block with the transaction. */
  height: integer(1),
  transaction: transactionId,
})
const claimsCodec = list(claimCodec, LIMITS.membersMax)

/** What the keys begin with. */
export const STIX_PREFIX = 'stix/'
/** State key of the bundle of the block at `height`; of equal lengths, so that keys are in the order of heights. */
export const stixStateKey = (height: number): string => `${STIX_PREFIX}${String(height).padStart(16, '0')}`
/** Height in such a key. */
export const stixHeightOf = (key: string): number => Number(key.slice(STIX_PREFIX.length))

/** Claims from their bytes in the state. Throws `CborError` on other bytes. */
export const decodeClaims = (value: Uint8Array): readonly BundleClaim[] => decodeAs(claimsCodec, value, 'stix')

/** What was said of the bundle of the block at `height`. */
export function readClaims(state: StateReader, height: number): readonly BundleClaim[] {
  const value = state.get(stixStateKey(height))
  return value === undefined ? [] : decodeClaims(value)
}

/** Writes what was said. */
export const writeClaims = (state: StateView, height: number, claims: readonly BundleClaim[]): void =>
  state.put(stixStateKey(height), encodeAs(claimsCodec, claims))
