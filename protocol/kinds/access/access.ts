/**
 * `access.blacklist`, `access.reinstate`: requests to cut a device off and to let it return (ledger.md §3).
 * Owns 'blacklist/' and 'reinstatement/'. To cut off takes the owner, or a trust that others have brought below the threshold: no member can
 * take out another's device alone. To return takes a quorum of members.
 */
import { toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import type { PublicKeyHex } from '../../members.ts'
import { recover } from '../../signature.ts'
import type { Code } from '../../verdict.ts'
import { deviceInService, readDevice, writeDevice } from '../device/record.ts'
import { deviceId, ppm, remark } from '../fields.ts'
import { memberNow } from '../governance/record.ts'
import type { Kind, KindContext } from '../kind.ts'
import { forgetOpinions } from '../trust/opinions.ts'
import { addTrustPoint, readTrust, startingTrust, writeTrust } from '../trust/record.ts'
import { Voices } from '../trust/voices.ts'
import {
  approvalBytes,
  approvalsCodec,
  blacklistDevice,
  evidenceCodec,
  readBlacklist,
  writeReinstatement,
} from './record.ts'

const blacklistPayload = record({
  device: deviceId,
  /** Trust on which the request rests, below `thresholdPpm`. */
  finalScorePpm: ppm,
  thresholdPpm: ppm,
  /** Reports that led to it. */
  anomalies: evidenceCodec,
  reason: remark,
})
const reinstatePayload = record({ device: deviceId, approvals: approvalsCodec })

/**
 * Cuts a device off by request. The owner's suffices: a member may always take out what is its own. That of another member spares the
 * device no more than the patience: its trust has to be below the consortium's threshold, else DEVICE_TRUSTED, and its trust and that
 * threshold are what is recorded. TX_PAYLOAD if the final score is not below the threshold that the request names; DEVICE_UNKNOWN,
 * DEVICE_RETIRED, DEVICE_BLACKLISTED; DEVICE_OBSERVED in mode observe.
 */
export const accessBlacklist: Kind<TypeOf<typeof blacklistPayload>> = {
  name: 'access.blacklist',
  describe: 'Blacklists a device, with final score, threshold and triggering anomalies.',
  signers: ['apiKey'],
  usesReserve: true,
  payload: blacklistPayload,
  apply(payload, context, state) {
    const { finalScorePpm, thresholdPpm, anomalies, reason } = payload
    if (finalScorePpm >= thresholdPpm) return 'TX_PAYLOAD'
    const id = toHex(payload.device)
    const device = deviceInService(state, id)
    if (typeof device === 'string') return device
    if (device.mode === 'observe') return 'DEVICE_OBSERVED'
    const { height, time, memberSet, transactionId: transaction, role } = context
    const { trustThresholdPpm, trustInitialPpm } = memberSet.parameters
    const trust = readTrust(state, id) ?? startingTrust(trustInitialPpm, device.registeredAt)
    const isOwn = memberNow(state, device.owner, context.members) === role.member
    if (!isOwn && trust.trustPpm >= trustThresholdPpm) return 'DEVICE_TRUSTED'
    blacklistDevice(state, id, device, {
      cause: 'request',
      ...(isOwn ? { finalScorePpm, thresholdPpm } : { finalScorePpm: trust.trustPpm, thresholdPpm: trustThresholdPpm }),
      anomalies,
      opinions: new Voices(context, state).about(id, device),
      lowScores: trust.lowScores,
      reason,
      member: role.member,
      height,
      transaction,
    })
    const at = { height, time, thresholdPpm: trustThresholdPpm, status: 'blacklisted' } as const
    writeTrust(state, id, addTrustPoint(state, id, trust, at))
    return null
  },
}

/**
 * Lets a blacklisted device return, with the trust of a new one. DEVICE_UNKNOWN, DEVICE_RETIRED, DEVICE_NOT_BLACKLISTED;
 * APPROVALS_MISSING below a quorum; APPROVAL_FOREIGN_SIGNER, APPROVAL_DUPLICATE_SIGNER.
 */
export const accessReinstate: Kind<TypeOf<typeof reinstatePayload>> = {
  name: 'access.reinstate',
  describe: 'Reinstates a blacklisted device with the approvals of a quorum of members.',
  signers: ['apiKey'],
  usesReserve: true,
  payload: reinstatePayload,
  apply(payload, context, state) {
    const id = toHex(payload.device)
    const device = readDevice(state, id)
    if (device === undefined) return 'DEVICE_UNKNOWN'
    if (device.status === 'retired') return 'DEVICE_RETIRED'
    const blacklist = readBlacklist(state, id)
    if (device.status !== 'blacklisted' || blacklist === undefined) return 'DEVICE_NOT_BLACKLISTED'
    // Were both possible in one block, a second blacklisting at that height could be undone with the approvals of the first.
    if (blacklist.height >= context.height) return 'APPROVALS_MISSING'
    const approvers = approversOf(payload.approvals, approvalBytes(payload.device, blacklist.height), context)
    if (typeof approvers === 'string') return approvers
    const { height, time, transactionId: transaction, memberSet } = context
    const { trustInitialPpm, trustThresholdPpm: thresholdPpm } = memberSet.parameters
    writeDevice(state, id, { ...device, status: 'reinstated', statusSince: height })
    // What was said before is over: it would cut the device off again with the next opinion of anybody.
    forgetOpinions(state, id)
    const fresh = startingTrust(trustInitialPpm, height, readTrust(state, id))
    writeTrust(state, id, addTrustPoint(state, id, fresh, { height, time, thresholdPpm, status: 'reinstated' }))
    writeReinstatement(state, id, {
      blacklistedAt: blacklist.height,
      height,
      transaction,
      approvers,
      ended: blacklist,
    })
    return null
  },
}

/** The distinct members that signed `statement`, at least a quorum, or why they do not suffice. */
function approversOf(
  signatures: readonly Uint8Array[],
  statement: Uint8Array,
  context: KindContext,
): PublicKeyHex[] | Code {
  // Counted before any signature is checked: a short list costs nothing.
  if (signatures.length < context.quorum) return 'APPROVALS_MISSING'
  const approvers: PublicKeyHex[] = []
  for (const signature of signatures) {
    const key = recover('reinstatement', context.chainId, statement, signature)
    if (key === undefined) return 'APPROVAL_FOREIGN_SIGNER'
    const member = toHex(key)
    if (!context.members.has(member)) return 'APPROVAL_FOREIGN_SIGNER'
    if (approvers.includes(member)) return 'APPROVAL_DUPLICATE_SIGNER'
    approvers.push(member)
  }
  return approvers
}
