/** A consortium for tests with real members: keys that anybody knows, and a genesis. */
import { DEFAULT_PARAMETERS } from '../../config/genesisFile.ts'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import type { Genesis } from '../../protocol/genesis.ts'

/** Secret of member `i`. */
export const memberSecret = (i: number): Uint8Array => new Uint8Array(32).fill(i + 1)
/** Secret of the first member's API key. */
export const apiSecret = new Uint8Array(32).fill(99)

/** A genesis of `n` members. Times in ms. */
export function genesisWith(
  n: number,
  { createdAt, deltaMs, heartbeatMs }: { createdAt: number; deltaMs: number; heartbeatMs: number },
): Genesis {
  const members = Array.from({ length: n }, (_, i) => ({ name: `Org ${i}`, publicKey: publicKeyOf(memberSecret(i)) }))
  const parameters = {
    ...DEFAULT_PARAMETERS,
    percent: 51,
    deltaMs,
    termBlocks: 100,
    heartbeatMs,
    bodyAllowanceMs: 500,
    timeoutDoublingsMax: 6,
    inclusionTimeoutMs: 10_000,
    clockDriftMs: 2000,
  }
  return {
    format: 1,
    network: 'test',
    createdAt,
    memberSet: { members, parameters },
    apiKeys: members.map((_, i) => (i === 0 ? [toHex(publicKeyOf(apiSecret))] : [])),
    modules: [],
  }
}
