/**
 * `stix.bundle`: a member anchors the hash of the STIX bundle of an earlier block, and the bundle itself up to the size limit (ledger.md §2). Owns
 * 'stix/'.
 * Invariant: one entry for one hash of one block, whoever was first; a bundle in the transaction has that hash.
 */
import { equalBytes } from '../../bytes.ts'
import { bytes, integer, optional, record, type TypeOf } from '../../codec.ts'
import { sha3 } from '../../crypto.ts'
import { LIMITS } from '../../limits.ts'
import type { Kind } from '../kind.ts'
import { readClaims, writeClaims } from './record.ts'

/** What a member says. */
export type BundlePayload = TypeOf<typeof bundlePayload>
const bundlePayload = record({
  /** Of the block that the bundle is about. */
  height: integer(1),
  hash: bytes(32),
  /** The canonical text in UTF-8; null where it is larger. */
  bundle: optional(bytes(1, LIMITS.stixBundleBytesMax)),
})

/** Records the hash. STIX_HEIGHT, STIX_HASH, STIX_KNOWN. */
export const stixBundleKind: Kind<BundlePayload> = {
  name: 'stix.bundle',
  describe: 'Anchors the STIX 2.1 bundle of what a block says of devices, by its hash.',
  signers: ['member'],
  payload: bundlePayload,
  apply({ height, hash, bundle }, context, state) {
    if (height >= context.height) return 'STIX_HEIGHT'
    if (bundle !== null && !equalBytes(sha3(bundle), hash)) return 'STIX_HASH'
    const claims = readClaims(state, height)
    const isMine = ({ member }: { member: string }): boolean => member === context.role.member
    if (claims.length >= LIMITS.membersMax || claims.some((claim) => equalBytes(claim.hash, hash) || isMine(claim)))
      return 'STIX_KNOWN'
    const { transactionId: transaction } = context
    writeClaims(state, height, [...claims, { hash, member: context.role.member, height: context.height, transaction }])
    return null
  },
}
