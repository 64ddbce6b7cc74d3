/**
 * `kv.put`, `kv.delete`: entries of any signer's own namespace. Owns 'kv/'.
 * Invariant: the namespace is the address of whoever the signature recovers to; no payload can name another (ledger.md §2).
 */
import { bytes, record, type TypeOf, text } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import type { Kind, Role } from '../kind.ts'

const key = text(LIMITS.stateKeyCharactersMax, { min: 1, pattern: /^[^\p{Cc}]+$/u })
const putPayload = record({ key, value: bytes(0, LIMITS.stateValueBytesMax) })
const deletePayload = record({ key })
const ANYONE: readonly Role['is'][] = ['member', 'apiKey', 'device']

/** State key of the entry `key` in the namespace of `address` (hexadecimal). Addresses have one length, so prefixes never overlap. */
export const kvStateKey = (address: string, key: string): string => `kv/${address}/${key}`

/** Writes an entry of the signer's namespace; an earlier value is replaced. */
export const kvPut: Kind<TypeOf<typeof putPayload>> = {
  name: 'kv.put',
  describe: 'Writes a value under a key in the namespace of the signing key.',
  signers: ANYONE,
  payload: putPayload,
  apply(payload, context, state) {
    state.put(kvStateKey(context.signerAddress, payload.key), payload.value)
    return null
  },
}

/** Deletes an entry of the signer's namespace. KV_UNKNOWN if there is none. */
export const kvDelete: Kind<TypeOf<typeof deletePayload>> = {
  name: 'kv.delete',
  describe: 'Deletes a key in the namespace of the signing key.',
  signers: ANYONE,
  payload: deletePayload,
  apply(payload, context, state) {
    const stateKey = kvStateKey(context.signerAddress, payload.key)
    if (state.get(stateKey) === undefined) return 'KV_UNKNOWN'
    state.delete(stateKey)
    return null
  },
}
