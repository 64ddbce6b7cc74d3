/**
 * Snapshots: the state at one committed height in chunks, and the manifest by which each chunk is checked by itself (ledger.md §4).
 * Stage: BKVS → a member that joins.
 * Invariants: nothing of a manifest or chunk is believed that does not lead to the state root of a header with a commit certificate; all is
 * bounded before it is decoded; nothing throws on what a peer sent.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { bytes, decodeAs, encodeAs, integer, list, record, type TypeOf } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { eraLinkCodec, eraOfGenesis, followEra, type TrustedEra, verifyHeader } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { MemberSet } from '../../protocol/members.ts'
import { decodeEntry, valueHashOf } from '../../protocol/state/entry.ts'
import { rootOfSubtrees, type StateSubtree, SUBTREE_DEPTH_MAX, subtreeOf } from '../../protocol/state/subtrees.ts'
import type { StateLeaf } from '../../protocol/state/tree.ts'

/** Bounds of snapshots. */
export const SNAPSHOT_LIMITS = {
  /** Bytes of a manifest: 65 536 parts of 33 bytes, a header, a certificate, the ends of eras of 64 members. */
  manifestBytesMax: 6 * 1024 * 1024,
  /** Bytes of a chunk: a state of the largest size in the largest entries has chunks of 4 MiB on average. */
  chunkBytesMax: 16 * 1024 * 1024,
  /** Snapshots that a member keeps: who has begun with the older one can finish with it. */
  keptMax: 2,
  /** Blocks that a joiner takes whole below the snapshot: the replay window of an hour at 20 blocks a second. */
  blocksMax: 100_000,
  /** Eras that a joiner follows; a chain with more of them is replayed. As many as a proof leads through. */
  erasMax: LIMITS.proofErasMax,
} as const

/** Bytes of a chunk that are aimed at: it is checked in a few milliseconds. */
const CHUNK_BYTES = 64 * 1024
const SUBTREE_BYTES = 33

/** The manifest of a snapshot. */
export type Manifest = TypeOf<typeof manifestCodec>
/** Shape of a manifest. */
export const manifestCodec = record({
  /** Header of the block after which the state was taken, and its own commit certificate. */
  header: bytes(1, LIMITS.headerBytesMax),
  certificate: bytes(1, LIMITS.consensusMessageBytesMax),
  /** How the eras up to that block ended, from the first on; its own too, if it ends it. */
  eras: list(eraLinkCodec, SNAPSHOT_LIMITS.erasMax),
  /** Entries of the state, for progress. */
  entries: integer(0, LIMITS.stateEntriesMax),
  /** The state is cut into 2^depth chunks. */
  depth: integer(0, SUBTREE_DEPTH_MAX),
  /** For each chunk: leaves (0, 1 or 2 for more) and root of its subtree. */
  subtrees: bytes(SUBTREE_BYTES, SUBTREE_BYTES << SUBTREE_DEPTH_MAX),
  /** Lowest block that a joiner takes whole, for the replay window, and the peaks of the history log below it. */
  firstHeight: integer(1),
  peaks: list(bytes(32), 64),
})

/** One entry of a chunk: key (UTF-8) and encoding of the entry. */
export const chunkEntryCodec = record({ key: bytes(1, 4096), entry: bytes(1, LIMITS.transactionBytesMax) })
/** A chunk: its entries in the order of their key hashes, each in the encoding of `chunkEntryCodec`. */
export const chunkCodec = list(bytes(1, LIMITS.transactionBytesMax + 8192), LIMITS.stateEntriesMax)

/** Depth at which a state of so many bytes is cut. */
export function depthFor(stateBytes: number): number {
  let depth = 0
  while (depth < SUBTREE_DEPTH_MAX && stateBytes / 2 ** depth > CHUNK_BYTES) depth++
  return depth
}

/** The parts of a manifest's `subtrees`. */
function unpackSubtrees(packed: Uint8Array): StateSubtree[] {
  return Array.from({ length: Math.floor(packed.length / SUBTREE_BYTES) }, (_, i) => {
    const at = i * SUBTREE_BYTES
    const kind = packed[at]
    return { leaves: kind === 0 || kind === 1 ? kind : 2, hash: packed.subarray(at + 1, at + SUBTREE_BYTES) }
  })
}

/** Inverse of `unpackSubtrees`. */
export function packSubtrees(parts: readonly StateSubtree[]): Uint8Array {
  const packed = new Uint8Array(parts.length * SUBTREE_BYTES)
  parts.forEach(({ leaves, hash }, i) => {
    packed[i * SUBTREE_BYTES] = leaves
    packed.set(hash, i * SUBTREE_BYTES + 1)
  })
  return packed
}

/** A manifest that leads to the state root of a committed block. */
export type VerifiedManifest = {
  readonly manifest: Manifest
  readonly sealed: SealedHeader
  readonly parts: readonly StateSubtree[]
  /** The eras that lead there from the genesis, by number. */
  readonly eras: readonly TrustedEra[]
}

/** The members that decided about a block of a verified snapshot, or below it; undefined where it is of another era than those. */
export const memberSetIn = (
  { eras }: Pick<VerifiedManifest, 'eras'>,
  { header }: SealedHeader,
): MemberSet | undefined => eras[header.era]?.memberSet

/**
 * Reads and checks a manifest for `height`: the eras follow one another from the genesis, a quorum of the members of the block's era committed it,
 * and the parts lead to its state root. undefined if not. `firstHeight` and `peaks` are not covered: the headers below show whether they are right.
 */
export function verifyManifest(
  data: Uint8Array,
  height: number,
  chainId: Uint8Array,
  genesis: Pick<Genesis, 'memberSet'>,
): VerifiedManifest | undefined {
  if (data.length > SNAPSHOT_LIMITS.manifestBytesMax) return undefined
  try {
    const manifest = decodeAs(manifestCodec, data, 'manifest')
    const sealed = decodeHeader(manifest.header)
    const eras = erasOf(manifest, sealed, chainId, genesis)
    const memberSet = eras && memberSetIn({ eras }, sealed)
    if (memberSet === undefined || sealed.header.height !== height || manifest.firstHeight > height) return undefined
    if (height - manifest.firstHeight >= SNAPSHOT_LIMITS.blocksMax) return undefined
    if (!verifyHeader(sealed, decodeAs(certificateCodec, manifest.certificate), memberSet, chainId).ok) return undefined
    if (manifest.subtrees.length !== SUBTREE_BYTES << manifest.depth) return undefined
    const parts = unpackSubtrees(manifest.subtrees)
    return equalBytes(rootOfSubtrees(parts), sealed.header.stateRoot)
      ? { manifest, sealed, parts, eras: eras as TrustedEra[] }
      : undefined
  } catch {
    return undefined
  }
}

/** The eras from the first to that of the block, and the next if the block ends its own; undefined unless each follows from the one before. */
function erasOf(
  { eras: links }: Manifest,
  { header, hash }: SealedHeader,
  chainId: Uint8Array,
  genesis: Pick<Genesis, 'memberSet'>,
): TrustedEra[] | undefined {
  const endsEra = header.nextMemberSetHash !== null
  if (links.length !== header.era + (endsEra ? 1 : 0)) return undefined
  const eras: TrustedEra[] = [eraOfGenesis(genesis)]
  for (const link of links) {
    const followed = followEra(eras.at(-1) as TrustedEra, link, chainId)
    if (!followed.ok) return undefined
    eras.push(followed.next)
  }
  const last = links.at(-1)
  if (endsEra) return last !== undefined && equalBytes(sha3(last.header), hash) ? eras : undefined
  return header.height > (eras.at(-1) as TrustedEra).height ? eras : undefined
}

/** An entry of a checked chunk, in the forms of the store. */
export type ChunkEntry = StateLeaf & { readonly key: Uint8Array; readonly entry: Uint8Array }

/** Reads a chunk and checks that it is exactly part number `part` of the state; undefined if not. */
export function verifyChunk(
  data: Uint8Array,
  part: number,
  { manifest, parts }: VerifiedManifest,
): ChunkEntry[] | undefined {
  try {
    const entries = decodeAs(chunkCodec, data, 'chunk').map((item) => {
      const { key, entry } = decodeAs(chunkEntryCodec, item, 'entry')
      decodeEntry(entry)
      return { key, entry, keyHash: sha3(key), valueHash: valueHashOf(entry) }
    })
    const subtree = subtreeOf(entries, manifest.depth, part)
    return subtree !== undefined && equalBytes(subtree.hash, (parts[part] as StateSubtree).hash) ? entries : undefined
  } catch {
    return undefined
  }
}

/** The bytes of an entry of a chunk. */
export const encodeChunkEntry = (key: Uint8Array, entry: Uint8Array): Uint8Array =>
  encodeAs(chunkEntryCodec, { key, entry })
