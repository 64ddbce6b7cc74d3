/**
 * `trust.score`: an outside module's score of a device becomes its trust; the rule of ledger.md §3 follows from it.
 * Owns 'trust/'. Crossing the threshold moves a device between trusted and suspect; `patience` scores below it in a row cut it off,
 * unless it is only observed.
 */
import { toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import { blacklistDevice, evidenceCodec } from '../access/record.ts'
import { type DeviceRecord, deviceInService, writeDevice } from '../device/record.ts'
import { deviceId, label, ppm } from '../fields.ts'
import type { Kind } from '../kind.ts'
import { LOW_SCORES_MAX, readTrust, startingTrust, type TrustRecord, writeTrust } from './record.ts'

const scorePayload = record({
  device: deviceId,
  /** 0: no trust. 1 000 000: full trust. */
  scorePpm: ppm,
  /** Reports on which the score rests. */
  evidence: evidenceCodec,
  /** Name and version of what computed it. */
  model: label,
})

/** Takes a score in. DEVICE_UNKNOWN, DEVICE_RETIRED, DEVICE_BLACKLISTED (trust stands still until reinstatement). */
export const trustScore: Kind<TypeOf<typeof scorePayload>> = {
  name: 'trust.score',
  describe: 'Records a trust score of a device; staying below the threshold blacklists it.',
  signers: ['apiKey'],
  usesReserve: true,
  payload: scorePayload,
  apply(payload, context, state) {
    const id = toHex(payload.device)
    const device = deviceInService(state, id)
    if (typeof device === 'string') return device
    const { initialPpm, thresholdPpm, patience } = context.trust
    const before = readTrust(state, id) ?? startingTrust(initialPpm, device.registeredAt)
    const low = payload.scorePpm < thresholdPpm
    const trust: TrustRecord = {
      trustPpm: payload.scorePpm,
      scores: before.scores + 1,
      below: low ? before.below + 1 : 0,
      lowScores: low ? [...before.lowScores, context.transactionId].slice(-LOW_SCORES_MAX) : [],
      lastHeight: context.height,
      lastTransaction: context.transactionId,
    }
    writeTrust(state, id, trust)
    if (device.mode === 'enforce' && trust.below >= patience) {
      blacklistDevice(state, id, device, context, {
        cause: 'score',
        finalScorePpm: payload.scorePpm,
        thresholdPpm,
        anomalies: payload.evidence,
        lowScores: trust.lowScores,
        reason: `${trust.below} scores in a row below the threshold, the last by ${payload.model}`,
      })
      return null
    }
    const status: DeviceRecord['status'] = low ? 'suspect' : 'trusted'
    if (status !== device.status) writeDevice(state, id, { ...device, status, statusSince: context.height })
    return null
  },
}
