/**
 * Devices in the state: 'device/<id>' → who the device is and where it stands in its life (ledger.md §3).
 * registered → trusted ⇄ suspect → blacklisted → (reinstated | retired); retired is final, so that no blacklisted device returns by
 * being registered anew.
 */
import { decodeAs, encodeAs, integer, list, oneOf, record, type TypeOf, text } from '../../codec.ts'
import { label, publicKey, publicKeyHex } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** `enforce`: may be cut off. `observe`: scored, never cut off. */
export const modeCodec = oneOf('enforce', 'observe')
/** What a device can do, such as `modbus.read`: at most 32 words. */
export const capabilitiesCodec = list(text(48, { min: 1, pattern: /^[a-z0-9][a-z0-9._:-]*$/ }), 32)
/** Network segment (zone) that the device is in. */
export const segmentCodec = label

/** A registered device. */
export type DeviceRecord = TypeOf<typeof deviceCodec>
const deviceCodec = record({
  publicKey,
  hardwareId: label,
  manufacturer: label,
  model: label,
  firmware: label,
  capabilities: capabilitiesCodec,
  segment: segmentCodec,
  /** Member that registered it. */
  owner: publicKeyHex,
  mode: modeCodec,
  status: oneOf('registered', 'trusted', 'suspect', 'blacklisted', 'reinstated', 'retired'),
  /** Height at which it was registered. */
  registeredAt: integer(),
  /** Height of the last change of `status`. */
  statusSince: integer(),
})

/** State key of the device `id` (hexadecimal). */
export const deviceStateKey = (id: string): string => `device/${id}`

/** The device `id` (hexadecimal), or undefined if none is registered. */
export function readDevice(state: StateReader, id: string): DeviceRecord | undefined {
  const value = state.get(deviceStateKey(id))
  return value === undefined ? undefined : decodeDevice(value)
}

/** A device from its bytes in the state, for readers outside. Throws `CborError` on other bytes. */
export const decodeDevice = (value: Uint8Array): DeviceRecord => decodeAs(deviceCodec, value, 'device')

/** Writes the device `id` (hexadecimal). */
export const writeDevice = (state: StateView, id: string, device: DeviceRecord): void =>
  state.put(deviceStateKey(id), encodeAs(deviceCodec, device))

/** The device `id` if it is in service; otherwise DEVICE_UNKNOWN, DEVICE_RETIRED or DEVICE_BLACKLISTED. */
export function deviceInService(
  state: StateReader,
  id: string,
): DeviceRecord | 'DEVICE_UNKNOWN' | 'DEVICE_RETIRED' | 'DEVICE_BLACKLISTED' {
  const device = readDevice(state, id)
  if (device === undefined) return 'DEVICE_UNKNOWN'
  if (device.status === 'retired') return 'DEVICE_RETIRED'
  if (device.status === 'blacklisted') return 'DEVICE_BLACKLISTED'
  return device
}
