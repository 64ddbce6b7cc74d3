/**
 * API keys in the state: 'apikey/<address>' → [member's key, label], present exactly while the key is authorised.
 */
import { fromHex, toHex } from '../../bytes.ts'
import { decodeAs, encodeAs, record, type TypeOf } from '../../codec.ts'
import type { Genesis } from '../../genesis.ts'
import { addressOf } from '../../signature.ts'
import { label, publicKeyHex } from '../fields.ts'
import { ERA_STATE_KEY, encodeEra, firstEra } from '../governance/record.ts'
import type { StateReader } from '../kind.ts'

/** An authorised API key. */
export type ApiKeyRecord = TypeOf<typeof apiKeyCodec>
const apiKeyCodec = record({
  /** The member for which the key acts. */
  member: publicKeyHex,
  /** For people. */
  label,
})

/** State key of the API key with `address` (hexadecimal). */
export const apiKeyStateKey = (address: string): string => `apikey/${address}`

/** The bytes of a record. */
export const encodeApiKey = (value: ApiKeyRecord): Uint8Array => encodeAs(apiKeyCodec, value)

/** Records by the array that they were decoded from, which nobody changes: each transaction of a key asks for it, and then its executions. */
const decodedKeys = new WeakMap<Uint8Array, ApiKeyRecord>()

/** The API key with `address` (hexadecimal), or undefined if none is authorised. */
export function readApiKey(state: StateReader, address: string): ApiKeyRecord | undefined {
  const value = state.get(apiKeyStateKey(address))
  if (value === undefined) return undefined
  let decoded = decodedKeys.get(value)
  if (decoded === undefined) {
    decoded = decodeAs(apiKeyCodec, value, 'api key')
    decodedKeys.set(value, decoded)
  }
  return decoded
}

/**
 * The entries of the state before block 1: the first era, and the genesis' API keys, each for the member at its place in the list.
 * Throws `RangeError`
 * when the genesis has more lists than members, names one key twice, or names a member's key.
 */
export function genesisEntries(genesis: Genesis): ReadonlyMap<string, Uint8Array> {
  const { members } = genesis.memberSet
  if (genesis.apiKeys.length > members.length) throw new RangeError('more lists of API keys than members')
  const taken = new Set(members.map((member) => toHex(member.publicKey)))
  const entries = new Map<string, Uint8Array>([[ERA_STATE_KEY, encodeEra(firstEra(genesis.memberSet))]])
  genesis.apiKeys.forEach((keys, i) => {
    keys.forEach((key, j) => {
      if (taken.has(key)) throw new RangeError(`API key ${j} of member ${i} is named twice or is a member's key`)
      taken.add(key)
      const member = toHex((members[i] as (typeof members)[number]).publicKey)
      const value = encodeApiKey({ member, label: `genesis ${j}` })
      entries.set(apiKeyStateKey(toHex(addressOf(fromHex(key)))), value)
    })
  })
  return entries
}
