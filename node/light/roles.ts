/**
 * Who is who at a member's door: members by the member set, devices by the state.
 * Invariant: a device that is not registered, retired or blacklisted, or whose owner has left, gets no connection.
 */
import { fromHex, toHex } from '../../protocol/bytes.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { roleOf } from '../../protocol/kinds/roles.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { addressOf } from '../../protocol/signature.ts'
import type { PeerRole } from '../network/network.ts'

/** Id (hexadecimal) that a device with `key` has. */
export const deviceIdOf = (key: PublicKeyHex): string => toHex(addressOf(fromHex(key)))

/** What the holder of `key` may do on the network; null: nothing. `members` as from `memberIndex`. At most two reads of the state. */
export function peerRoleOf(
  key: PublicKeyHex,
  members: ReadonlyMap<PublicKeyHex, number>,
  state: StateReader,
): PeerRole | null {
  const role = roleOf(key, deviceIdOf(key), { members }, state)
  // API keys sign transactions and speak HTTP; they are nobody's identity on the network.
  return typeof role === 'string' || role.is === 'apiKey' ? null : role.is
}
