/**
 * Block headers (ledger.md §4). The hash of a block is SHA3-256 of its header's encoding; the header commits to the transactions,
 * to the state after them, to all earlier blocks and to the member set. View and seq belong to the proposal, not to the block.
 */
import { bytes, decodeAs, encodeAs, integer, optional, record, type TypeOf } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'

/** What a block says. Hashes are 32 bytes. */
export type Header = TypeOf<typeof headerCodec>
const headerCodec = record({
  version: integer(1, 1),
  chainId: bytes(32),
  era: integer(),
  /** 1 for the first block after the genesis, which counts as height 0. */
  height: integer(1),
  /** Hash of the parent block; of the genesis (the chain id) at height 1. */
  parent: bytes(32),
  /** ms since 1970-01-01T00:00Z, not before the parent's. */
  time: integer(),
  /** Merkle root (SHA3-256) over the roots of the transaction trees of at most 1000 each. */
  treesRoot: bytes(32),
  transactionCount: integer(0, LIMITS.blockTransactionsMax),
  /** Root of the sparse Merkle tree over the BKVS after this block. */
  stateRoot: bytes(32),
  /** RFC 9162 log root (SHA-256) over the hashes of all earlier blocks, genesis first. */
  historyRoot: bytes(32),
  memberSetHash: bytes(32),
  /** Hash of the next member set if this block ends its era, else null. */
  nextMemberSetHash: optional(bytes(32)),
  /** Hash of the active security modules. */
  modulesHash: bytes(32),
})

/** A header with its bytes and hash. */
export type SealedHeader = { readonly header: Header; readonly bytes: Uint8Array; readonly hash: Uint8Array }

/** Encodes and hashes `header`. */
export function sealHeader(header: Header): SealedHeader {
  const encoded = encodeAs(headerCodec, header)
  return { header, bytes: encoded, hash: sha3(encoded) }
}

/** Decodes a header. Throws `CborError` on anything but the one encoding of a header. */
export function decodeHeader(data: Uint8Array): SealedHeader {
  return { header: decodeAs(headerCodec, data, 'header'), bytes: data, hash: sha3(data) }
}
