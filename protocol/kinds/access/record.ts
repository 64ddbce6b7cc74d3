/**
 * Access in the state: 'blacklist/<id>' → why a device was cut off, present from then until it is reinstated, so that a light peer
 * learns from one proof whether it is; 'reinstatement/<id>' → its last reinstatement.
 */
import { bytes, decodeAs, encodeAs, integer, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import { type DeviceRecord, writeDevice } from '../device/record.ts'
import { deviceId, ppm, publicKeyHex, remark, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'
import { LOW_SCORES_MAX } from '../trust/record.ts'

/** Transactions that a score or request names as what led to it: at most 64. */
export const evidenceCodec = list(transactionId, 64)

/** An opinion as it counted. */
export type CountedOpinion = TypeOf<typeof countedOpinionCodec>
const countedOpinionCodec = record({
  /** Id of a device, or the address of a member. */
  rater: deviceId,
  trustPpm: ppm,
  /** Trust in the rater, which its word weighs. */
  weightPpm: ppm,
  observedAt: integer(),
  /** Height of the block that holds it. */
  height: integer(1),
})

/** Why a device is blacklisted. */
export type BlacklistRecord = TypeOf<typeof blacklistCodec>
const blacklistCodec = record({
  /** By the rule of trust, over `opinions` or over the owner's own `score`s; or by `request`: `access.blacklist`. */
  cause: oneOf('opinions', 'score', 'request'),
  /** Trust at that moment, below `thresholdPpm`. */
  finalScorePpm: ppm,
  thresholdPpm: ppm,
  /** Reports of the triggering anomalies: those that the request names, or the newest of each category in which the device was reported. */
  anomalies: evidenceCodec,
  /** The voices that counted, in the order of raters. */
  opinions: list(countedOpinionCodec, LIMITS.ratersMax),
  /** The low scores in a row that led there, oldest first, where the cause is `score`. */
  lowScores: list(transactionId, LOW_SCORES_MAX),
  reason: remark,
  /** Member whose API key asked for it; null where the rule of trust decided. */
  member: optional(publicKeyHex),
  /** Height of the block, which approvals of a reinstatement name. */
  height: integer(1),
  /** The transaction that asked for it; null where the rule of trust decided, at the end of the block at `height`. */
  transaction: optional(transactionId),
})

/** The last reinstatement of a device. */
export type ReinstatementRecord = TypeOf<typeof reinstatementCodec>
const reinstatementCodec = record({
  /** Height of the blacklisting that it ended. */
  blacklistedAt: integer(1),
  height: integer(1),
  transaction: transactionId,
  /** Members that approved, in the order of their approvals. */
  approvers: list(publicKeyHex, LIMITS.membersMax),
  /** Why the device had been cut off. */
  ended: blacklistCodec,
})

/** State key of the blacklist record of the device `id` (hexadecimal). */
export const blacklistStateKey = (id: string): string => `blacklist/${id}`
/** State key of the last reinstatement of the device `id` (hexadecimal). */
export const reinstatementStateKey = (id: string): string => `reinstatement/${id}`

/** Why the device `id` (hexadecimal) is cut off, or undefined if it is not. */
export function readBlacklist(state: StateReader, id: string): BlacklistRecord | undefined {
  const value = state.get(blacklistStateKey(id))
  return value === undefined ? undefined : decodeBlacklist(value)
}

/** A blacklist record from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeBlacklist = (value: Uint8Array): BlacklistRecord => decodeAs(blacklistCodec, value, 'blacklist')

/** The last reinstatement of the device `id` (hexadecimal), or undefined if there was none. */
export function readReinstatement(state: StateReader, id: string): ReinstatementRecord | undefined {
  const value = state.get(reinstatementStateKey(id))
  return value === undefined ? undefined : decodeAs(reinstatementCodec, value, 'reinstatement')
}

/** Records a reinstatement of the device `id` (hexadecimal) in the place of its blacklist record. */
export function writeReinstatement(state: StateView, id: string, value: ReinstatementRecord): void {
  state.delete(blacklistStateKey(id))
  state.put(reinstatementStateKey(id), encodeAs(reinstatementCodec, value))
}

/** Cuts `device` off: the one path to the blacklist, for the rule and for requests. The caller has checked that it may be. */
export function blacklistDevice(state: StateView, id: string, device: DeviceRecord, why: BlacklistRecord): void {
  writeDevice(state, id, { ...device, status: 'blacklisted', statusSince: why.height })
  state.put(blacklistStateKey(id), encodeAs(blacklistCodec, why))
}

const approvalCodec = record({ device: deviceId, blacklistedAt: integer(1) })
/**
 * What a member signs, in the domain `reinstatement`, to approve that the device `id` (20 bytes), blacklisted at that height, returns.
 * The height makes an approval good for one blacklisting only.
 */
export const approvalBytes = (device: Uint8Array, blacklistedAt: number): Uint8Array =>
  encodeAs(approvalCodec, { device, blacklistedAt })

/** Approvals as they travel: 65-byte signatures, no claimed signers. */
export const approvalsCodec = list(bytes(65), LIMITS.membersMax)
