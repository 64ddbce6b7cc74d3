/**
 * `access.blacklist`, `access.reinstate`: requests to cut a device off and to let it return (ledger.md §3).
 * Owns 'blacklist/' and 'reinstatement/'. One API key suffices to cut off, since waiting may do harm; to return takes a quorum of members.
 */
import { toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import type { PublicKeyHex } from '../../members.ts'
import { recover } from '../../signature.ts'
import type { Code } from '../../verdict.ts'
import { deviceInService, readDevice, writeDevice } from '../device/record.ts'
import { deviceId, ppm, remark } from '../fields.ts'
import type { Kind, KindContext } from '../kind.ts'
import { readTrust, startingTrust, writeTrust } from '../trust/record.ts'
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
 * Cuts a device off by request. TX_PAYLOAD if the final score is not below the threshold; DEVICE_UNKNOWN, DEVICE_RETIRED,
 * DEVICE_BLACKLISTED; DEVICE_OBSERVED in mode observe.
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
    const why = { cause: 'request', finalScorePpm, thresholdPpm, anomalies, lowScores: [], reason } as const
    blacklistDevice(state, id, device, context, why)
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
    const { height, transactionId: transaction } = context
    writeDevice(state, id, { ...device, status: 'reinstated', statusSince: height })
    const scores = readTrust(state, id)?.scores ?? 0
    writeTrust(state, id, startingTrust(context.trust.initialPpm, height, scores))
    writeReinstatement(state, id, { blacklistedAt: blacklist.height, height, transaction, approvers })
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
