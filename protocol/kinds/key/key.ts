/**
 * `key.authorize`, `key.revoke`: a member says which API keys act for it. Owns 'apikey/'.
 * Invariant: one key has one role. Otherwise a member could register another's API key as a device of its own and blacklist it.
 */
import { toHex } from '../../bytes.ts'
import { record, type TypeOf } from '../../codec.ts'
import { addressOf } from '../../signature.ts'
import { readDevice } from '../device/record.ts'
import { label, publicKey } from '../fields.ts'
import { memberNow, readSuccession } from '../governance/record.ts'
import type { Kind } from '../kind.ts'
import { apiKeyStateKey, encodeApiKey, readApiKey } from './record.ts'

const authorizePayload = record({ publicKey, label })
const revokePayload = record({ publicKey })

/** Authorises an API key for the signing member. KEY_EXISTS if the key has a role already. */
export const keyAuthorize: Kind<TypeOf<typeof authorizePayload>> = {
  name: 'key.authorize',
  describe: 'A member authorises an API public key to act for it.',
  signers: ['member'],
  payload: authorizePayload,
  apply(payload, context, state) {
    const address = toHex(addressOf(payload.publicKey))
    const key = toHex(payload.publicKey)
    if (context.members.has(key) || readSuccession(state, key) !== undefined) return 'KEY_EXISTS'
    if (readDevice(state, address) !== undefined) return 'KEY_EXISTS'
    const present = readApiKey(state, address)
    // A key of a member that has left is dead; whoever holds it may be authorised by a present member.
    if (present !== undefined && memberNow(state, present.member, context.members) !== undefined) return 'KEY_EXISTS'
    state.put(apiKeyStateKey(address), encodeApiKey({ member: context.role.member, label: payload.label }))
    return null
  },
}

/** Withdraws an API key of the signing member. KEY_UNKNOWN if not authorised, TX_FORBIDDEN if another member's. */
export const keyRevoke: Kind<TypeOf<typeof revokePayload>> = {
  name: 'key.revoke',
  describe: 'A member withdraws an API public key that it has authorised.',
  signers: ['member'],
  payload: revokePayload,
  apply(payload, context, state) {
    const address = toHex(addressOf(payload.publicKey))
    const present = readApiKey(state, address)
    if (present === undefined) return 'KEY_UNKNOWN'
    if (memberNow(state, present.member, context.members) !== context.role.member) return 'TX_FORBIDDEN'
    state.delete(apiKeyStateKey(address))
    return null
  },
}
