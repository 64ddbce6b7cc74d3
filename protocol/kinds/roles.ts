/**
 * Roles: as what the key that signed a transaction acts, from the state and the member set alone.
 * Invariants: a member's key is a member's whatever the state says, so that no registration can take its role; keys and devices of members
 * that have left act for nobody; those of a member whose key was replaced act for its present key.
 */
import type { PublicKeyHex } from '../members.ts'
import type { Code } from '../verdict.ts'
import { deviceInService } from './device/record.ts'
import { memberNow } from './governance/record.ts'
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
  const keyOwner = apiKey && memberNow(state, apiKey.member, members)
  if (keyOwner !== undefined) return { is: 'apiKey', member: keyOwner }
  const device = deviceInService(state, address)
  if (device === 'DEVICE_UNKNOWN') return 'TX_UNKNOWN_SIGNER'
  if (typeof device === 'string') return device
  const owner = memberNow(state, device.owner, members)
  return owner === undefined ? 'TX_UNKNOWN_SIGNER' : { is: 'device', member: owner }
}
