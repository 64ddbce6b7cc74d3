/**
 * Light verification: what a header is worth to someone who holds the member set of its era and nothing else, and how such a one gets from
 * era to era (ledger.md §6, agreement.md §5.5).
 * Invariants: nothing claimed is trusted, signers are recovered and counted once; whoever accepts here believes only what agreement.md §7
 * lists; nothing throws, whatever was sent in these types.
 */
import { decodeHeader, type SealedHeader } from './block.ts'
import { equalBytes } from './bytes.ts'
import { certificateCodec, signersOf, type WireCertificate } from './certificate.ts'
import { bytes, decodeAs, record, type TypeOf } from './codec.ts'
import { sha3, sha256 } from './crypto.ts'
import type { Genesis } from './genesis.ts'
import { LIMITS } from './limits.ts'
import { type MemberSet, memberIndex, memberSetCodec, memberSetHash, quorumSizes } from './members.ts'
import { verifyInclusion } from './merkle.ts'
import type { Code } from './verdict.ts'

/** A committed header, and what its commit is worth. */
export type VerifiedHeader = {
  readonly ok: true
  /** Indices in the member set of those that signed, in the order of the certificate. */
  readonly signers: readonly number[]
  /** c + q − n − 1: how many members may lie on an arbitrarily slow network (agreement.md §7). */
  readonly assurance: number
  /** The same for people. */
  readonly sentence: string
}

/** Why a header is not shown to be committed: BLOCK_CHAIN, BLOCK_MEMBER_SET, or a CERT code. */
export type LightRefusal = { readonly ok: false; readonly code: Code }

/**
 * Whether `certificate` is a commit certificate of exactly the block of `sealed` (from `decodeHeader`): it states its hash, height and
 * era, and at least q distinct members of `memberSet`, which the header must name, signed it (agreement.md §3).
 */
export function verifyHeader(
  sealed: SealedHeader,
  certificate: WireCertificate,
  memberSet: MemberSet,
  chainId: Uint8Array,
): VerifiedHeader | LightRefusal {
  const { header, hash } = sealed
  const { statement } = certificate
  if (!equalBytes(header.chainId, chainId)) return { ok: false, code: 'BLOCK_CHAIN' }
  if (!equalBytes(header.memberSetHash, memberSetHash(memberSet))) return { ok: false, code: 'BLOCK_MEMBER_SET' }
  const fits =
    certificate.kind === 'commit' &&
    statement.era === header.era &&
    statement.height === header.height &&
    equalBytes(statement.hash, hash)
  if (!fits) return { ok: false, code: 'CERT_STATEMENT' }
  const found = signersOf(certificate, chainId, memberIndex(memberSet))
  if (!found.ok) return found
  const { n, q } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
  const count = found.members.length
  if (count < q) return { ok: false, code: 'CERT_NO_QUORUM' }
  return {
    ok: true,
    signers: found.members,
    assurance: count + q - n - 1,
    sentence: assuranceSentence(count, memberSet),
  }
}

/** An era as a light peer knows it. */
export type TrustedEra = {
  readonly era: number
  /** Height of the block that it began from; 0 in the first. */
  readonly height: number
  readonly memberSet: MemberSet
}

/** The era that the genesis is. */
export const eraOfGenesis = ({ memberSet }: Pick<Genesis, 'memberSet'>): TrustedEra => ({
  era: 0,
  height: 0,
  memberSet,
})

/** How an era ended: everything in its own bytes. */
export type EraLink = TypeOf<typeof eraLinkCodec>
/** Shape of an `EraLink`. */
export const eraLinkCodec = record({
  /** Header of the last block of the era. */
  header: bytes(1, LIMITS.headerBytesMax),
  /** Its commit certificate, by members of the era. */
  certificate: bytes(1, LIMITS.consensusMessageBytesMax),
  /** The next member set, whose hash the header names. */
  memberSet: bytes(1, LIMITS.memberSetBytesMax),
})

/** The era after `trusted`, and what the certificate of its beginning is worth. */
export type FollowedEra = { readonly ok: true; readonly next: TrustedEra; readonly verified: VerifiedHeader }

/**
 * Follows `link` out of the era `trusted`: its last block is committed by its own members, and the set that the block names takes over.
 * BLOCK_MALFORMED, BLOCK_ERA (of another era), BLOCK_HEIGHT, CERT_MALFORMED, BLOCK_MEMBER_SET (it ends no era, or names another set), and codes
 * of `verifyHeader`.
 */
export function followEra(trusted: TrustedEra, link: EraLink, chainId: Uint8Array): FollowedEra | LightRefusal {
  const refused = (code: Code): LightRefusal => ({ ok: false, code })
  const sealed = attempt(() => decodeHeader(link.header))
  if (sealed === undefined) return refused('BLOCK_MALFORMED')
  const { header } = sealed
  if (header.era !== trusted.era) return refused('BLOCK_ERA')
  if (header.height <= trusted.height) return refused('BLOCK_HEIGHT')
  if (header.nextMemberSetHash === null || !equalBytes(sha3(link.memberSet), header.nextMemberSetHash))
    return refused('BLOCK_MEMBER_SET')
  const memberSet = attempt(() => decodeAs(memberSetCodec, link.memberSet, 'member set'))
  if (memberSet === undefined) return refused('BLOCK_MEMBER_SET')
  const certificate = attempt(() => decodeAs(certificateCodec, link.certificate, 'certificate'))
  if (certificate === undefined) return refused('CERT_MALFORMED')
  const verified = verifyHeader(sealed, certificate, trusted.memberSet, chainId)
  if (!verified.ok) return verified
  return { ok: true, next: { era: trusted.era + 1, height: header.height, memberSet }, verified }
}

/** What `read` gives, or undefined where it throws: decoders throw on bytes that are not theirs. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/**
 * Whether the block of `hash` at `height` is an ancestor of the block of `descendant`, by `path` through the log of its header
 * (ledger.md §5): an ancestor without a certificate of its own is committed by a descendant's (agreement.md §4.2).
 */
export function verifyHistory(
  descendant: SealedHeader,
  height: number,
  hash: Uint8Array,
  path: readonly Uint8Array[],
): boolean {
  const { historyRoot, height: size } = descendant.header
  return verifyInclusion(sha256, hash, height, size, path, historyRoot)
}

/**
 * Whether `chain`, from an ancestor (first) to a descendant (last), is one unbroken line of parents: the other proof of an ancestor, for
 * who holds the headers between.
 */
export function verifyDescent(chain: readonly SealedHeader[]): boolean {
  for (let i = 1; i < chain.length; i++) {
    const below = chain[i - 1] as SealedHeader
    const { header } = chain[i] as SealedHeader
    if (header.height !== below.header.height + 1 || !equalBytes(header.parent, below.hash)) return false
  }
  return chain.length > 0
}

/** What `count` (at least q) signatures of `memberSet` are worth, in the words of agreement.md §7. */
export function assuranceSentence(count: number, memberSet: MemberSet): string {
  const { percent, deltaMs } = memberSet.parameters
  const { n, q, f } = quorumSizes(memberSet.members.length, percent)
  const assurance = count + q - n - 1
  const slow = assurance === 0 ? 'if no member lies' : `even if ${liars(assurance)}`
  const timely = f > assurance ? `; if messages arrive within ${deltaMs} ms, even if ${liars(f, assurance > 0)}` : ''
  return `${count} of ${n} signed: holds ${slow} on an arbitrarily slow network${timely}.`
}

/** "1 member lies", "3 members lie"; short where the word was said before. */
const liars = (count: number, short = false): string =>
  `${count}${short ? '' : count === 1 ? ' member' : ' members'} ${count === 1 ? 'lies' : 'lie'}`
