/**
 * Roles: as what the key that signed a transaction acts, from the state and the member set alone.
 * Invariants: a member's key is a member's whatever the state says, so that no registration can take its role; keys and devices of members
 * that have left act for nobody.
 */
import type { PublicKeyHex } from '../members.ts'
import type { Code } from '../verdict.ts'
import { deviceInService } from './device/record.ts'
import { readApiKey } from './key/record.ts'
import type { BlockContext, Role, StateReader } from './kind.ts'

/**
 * The role of the key `signer` (hexadecimal) with `address` (hexadecimal), or why it has none: TX_UNKNOWN_SIGNER,
 * DEVICE_BLACKLISTED, DEVICE_RETIRED.
 */
export function roleOf(
  signer: PublicKeyHex,
  address: string,
  { members }: Pick<BlockContext, 'members'>,
  state: StateReader,
): Role | Code {
  if (members.has(signer)) return { is: 'member', member: signer }
  const apiKey = readApiKey(state, address)
  if (apiKey !== undefined && members.has(apiKey.member)) return { is: 'apiKey', member: apiKey.member }
  const device = deviceInService(state, address)
  if (device === 'DEVICE_UNKNOWN') return 'TX_UNKNOWN_SIGNER'
  if (typeof device === 'string') return device
  return members.has(device.owner) ? { is: 'device', member: device.owner } : 'TX_UNKNOWN_SIGNER'
}
