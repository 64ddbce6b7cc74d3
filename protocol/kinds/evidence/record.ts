/**
 * Evidence in the state: 'evidence/<member>/<era>/<view>' → what the member signed there that no honest member signs. Present for ever: what
 * follows from it is the members' decision (agreement.md §7).
 */
import { decodeAs, encodeAs, integer, oneOf, record, type TypeOf } from '../../codec.ts'
import type { PublicKeyHex } from '../../members.ts'
import { publicKeyHex, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** What a member did, as agreement.md §7 lists it. */
export type EvidenceKind = EvidenceRecord['kind']
/** One offence of one member in one view. */
export type EvidenceRecord = TypeOf<typeof evidenceRecordCodec>
const evidenceRecordCodec = record({
  kind: oneOf('equivocation', 'conflict', 'unlocked'),
  /** Member whose key, or that of its API key or device, signed the transaction. */
  by: publicKeyHex,
  /** Height at which it was recorded. */
  height: integer(1),
  /** The transaction that holds the signatures. */
  transaction: transactionId,
})

/** What all keys of evidence begin with. */
export const EVIDENCE_PREFIX = 'evidence/'
/** State key of the offence of `member` in a view of an era. */
export const evidenceStateKey = (member: PublicKeyHex, era: number, view: number): string =>
  `${EVIDENCE_PREFIX}${member}/${era}/${view}`
/** What a key of evidence says. Throws an Error on a key that is none: a bug. */
export function parseEvidenceKey(key: string): {
  readonly member: PublicKeyHex
  readonly era: number
  readonly view: number
} {
  const found = /^evidence\/(0[23][0-9a-f]{64})\/(\d+)\/(\d+)$/.exec(key)
  if (found === null) throw new Error(`not a key of evidence: ${key}`)
  return { member: found[1] as string, era: Number(found[2]), view: Number(found[3]) }
}
/** An offence from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeEvidence = (value: Uint8Array): EvidenceRecord => decodeAs(evidenceRecordCodec, value, 'evidence')
/** The recorded offence of `member` in a view, or undefined. */
export function readEvidence(
  state: StateReader,
  member: PublicKeyHex,
  era: number,
  view: number,
): EvidenceRecord | undefined {
  const value = state.get(evidenceStateKey(member, era, view))
  return value === undefined ? undefined : decodeEvidence(value)
}
/** Records an offence. */
export const writeEvidence = (
  state: StateView,
  member: PublicKeyHex,
  era: number,
  view: number,
  value: EvidenceRecord,
): void => state.put(evidenceStateKey(member, era, view), encodeAs(evidenceRecordCodec, value))
