/**
 * The genesis: the first member set and the first parameters. Its hash is the chain id, which every
 * signature covers, so nothing signed for one consortium is valid in another.
 */
import { bytes, encodeAs, integer, list, oneOf, record, type TypeOf, text } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'
import { memberSetCodec } from './members.ts'
import { MODULE_KINDS } from './modules/input.ts'

/** Version of a security module, for people and for reports: `1.0.0` or `site-7`. */
export const moduleVersion = text(32, { min: 1, pattern: /^[\w.+-]+$/ })
/** A security module's binary. */
export const moduleCode = bytes(1, LIMITS.moduleBytesMax)

/** Everything that members of a new consortium must agree on beforehand. */
export type Genesis = TypeOf<typeof genesisCodec>
/** Shape of a genesis. */
export const genesisCodec = record({
  format: integer(1, 1),
  network: text(LIMITS.nameCharactersMax, { min: 1, pattern: /^[a-z0-9][a-z0-9-]*$/ }),
  /** Time of block 0, ms since 1970-01-01T00:00Z. */
  createdAt: integer(),
  memberSet: memberSetCodec,
  /** Addresses (20 bytes, hex) of the first API keys, one list per member in the order of the set. */
  apiKeys: list(list(text(66, { min: 66, pattern: /^0[23][0-9a-f]{64}$/ }), 16), LIMITS.membersMax),
  /** Security modules that judge reports from block 1 on, at most one of each kind. */
  modules: list(
    record({ kind: oneOf(...MODULE_KINDS), version: moduleVersion, code: moduleCode }),
    MODULE_KINDS.length,
  ),
})

/** Chain id: SHA3-256 of the genesis encoding, 32 bytes. */
export const chainIdOf = (genesis: Genesis): Uint8Array => sha3(encodeAs(genesisCodec, genesis))
