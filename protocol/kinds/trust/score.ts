/**
 * `trust.score`: an outside module's score of a device is the voice of the member whose API key signs it, one among those of the devices
 * around it, with the weight of full trust (evaluation.ts). While too few voices are there to judge, the score of the device's own member
 * stands as its trust. Owns 'opinions/' and, of 'trust/', what counts scores.
 */
import { fromHex, toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import { addressOf } from '../../signature.ts'
import { evidenceCodec } from '../access/record.ts'
import { deviceInService } from '../device/record.ts'
import { deviceId, label, ppm } from '../fields.ts'
import type { Kind } from '../kind.ts'
import { keepOpinion } from './opinions.ts'
import { LOW_SCORES_MAX, readTrust, startingTrust, writeTrust } from './record.ts'

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
  describe:
    'Records an outside score of a device: one voice of the signing member; staying below the threshold blacklists.',
  signers: ['apiKey'],
  usesReserve: true,
  payload: scorePayload,
  apply({ device: subject, scorePpm }, context, state) {
    const id = toHex(subject)
    const device = deviceInService(state, id)
    if (typeof device === 'string') return device
    const { trustInitialPpm, trustThresholdPpm, trustFreshnessMs } = context.memberSet.parameters
    const before = readTrust(state, id) ?? startingTrust(trustInitialPpm, device.registeredAt)
    const isLow = scorePpm < trustThresholdPpm
    writeTrust(state, id, {
      ...before,
      scores: before.scores + 1,
      lowScores: isLow ? [...before.lowScores, context.transactionId].slice(-LOW_SCORES_MAX) : before.lowScores,
      lastTransaction: context.transactionId,
    })
    const rater = addressOf(fromHex(context.role.member))
    const voice = { rater, trustPpm: scorePpm, observedAt: context.time, height: context.height }
    keepOpinion(state, id, voice, context.time - trustFreshnessMs)
    return null
  },
}
