/**
 * `device.register`, `device.update`, `device.retire`: the identity of devices, kept by the member that owns them.
 * Owns 'device/', and of 'trust/' the first record and the last point. A device's id is the address of its key, so no one chooses it.
 */
import { toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import { addressOf } from '../../signature.ts'
import type { Code } from '../../verdict.ts'
import { deviceId, label, publicKey } from '../fields.ts'
import { memberNow, readSuccession } from '../governance/record.ts'
import { readApiKey } from '../key/record.ts'
import type { Kind, KindContext, StateReader } from '../kind.ts'
import { forgetOpinions } from '../trust/opinions.ts'
import { addTrustPoint, readTrust, startingTrust, writeTrust } from '../trust/record.ts'
import { capabilitiesCodec, type DeviceRecord, modeCodec, readDevice, segmentCodec, writeDevice } from './record.ts'

const registerPayload = record({
  publicKey,
  hardwareId: label,
  manufacturer: label,
  model: label,
  firmware: label,
  capabilities: capabilitiesCodec,
  segment: segmentCodec,
  mode: modeCodec,
})
const updatePayload = record({
  device: deviceId,
  firmware: label,
  capabilities: capabilitiesCodec,
  segment: segmentCodec,
  mode: modeCodec,
})
const retirePayload = record({ device: deviceId })

/** Registers a device for the member of the signing API key. DEVICE_EXISTS, or KEY_EXISTS if the key has another role. */
export const deviceRegister: Kind<TypeOf<typeof registerPayload>> = {
  name: 'device.register',
  describe: 'Registers a device, owned by the member of the signing API key.',
  signers: ['apiKey'],
  payload: registerPayload,
  apply(payload, context, state) {
    const id = toHex(addressOf(payload.publicKey))
    if (readDevice(state, id) !== undefined) return 'DEVICE_EXISTS'
    const key = toHex(payload.publicKey)
    const isMembers = context.members.has(key) || readSuccession(state, key) !== undefined
    if (isMembers || readApiKey(state, id) !== undefined) return 'KEY_EXISTS'
    writeDevice(state, id, {
      ...payload,
      owner: context.role.member,
      status: 'registered',
      registeredAt: context.height,
      statusSince: context.height,
    })
    writeTrust(state, id, startingTrust(context.memberSet.parameters.trustInitialPpm, context.height))
    return null
  },
}

/** The device `id` (hexadecimal) if the signer's member owns it and has not retired it, or why not. */
function ownDevice(state: StateReader, id: string, context: KindContext): DeviceRecord | Code {
  const device = readDevice(state, id)
  if (device === undefined) return 'DEVICE_UNKNOWN'
  if (memberNow(state, device.owner, context.members) !== context.role.member) return 'TX_FORBIDDEN'
  return device.status === 'retired' ? 'DEVICE_RETIRED' : device
}

/**
 * Replaces what may change over a device's life. DEVICE_UNKNOWN, DEVICE_RETIRED, TX_FORBIDDEN for another member's device.
 * While it is blacklisted its firmware may be mended but its mode is fixed (DEVICE_BLACKLISTED): only a reinstatement frees it.
 */
export const deviceUpdate: Kind<TypeOf<typeof updatePayload>> = {
  name: 'device.update',
  describe: 'Replaces firmware, capabilities, segment and mode of a device of the same member.',
  signers: ['apiKey'],
  payload: updatePayload,
  apply(payload, context, state) {
    const id = toHex(payload.device)
    const device = ownDevice(state, id, context)
    if (typeof device === 'string') return device
    if (device.status === 'blacklisted' && payload.mode !== device.mode) return 'DEVICE_BLACKLISTED'
    const { firmware, capabilities, segment, mode } = payload
    writeDevice(state, id, { ...device, firmware, capabilities, segment, mode })
    return null
  },
}

/** Ends a device's life, for good. DEVICE_UNKNOWN, DEVICE_RETIRED, TX_FORBIDDEN for another member's device. */
export const deviceRetire: Kind<TypeOf<typeof retirePayload>> = {
  name: 'device.retire',
  describe: 'Takes a device of the same member out of service for good.',
  signers: ['apiKey'],
  payload: retirePayload,
  apply(payload, context, state) {
    const id = toHex(payload.device)
    const device = ownDevice(state, id, context)
    if (typeof device === 'string') return device
    // A blacklist record stays: a device that was cut off remains so.
    const { height, time, memberSet } = context
    writeDevice(state, id, { ...device, status: 'retired', statusSince: height })
    forgetOpinions(state, id)
    const trust = readTrust(state, id)
    const at = { height, time, thresholdPpm: memberSet.parameters.trustThresholdPpm, status: 'retired' } as const
    if (trust !== undefined) writeTrust(state, id, addTrustPoint(state, id, trust, at))
    return null
  },
}
