/**
 * `evidence`: the signatures that agreement.md §7 calls evidence against a member, and nothing else. Owns 'evidence/'.
 * Invariants: whatever is recorded was signed by the member's own key, and no honest member signs it, with any timing; a member has one record per
 * view, so repeating the same costs the sender and not the state. Offences of the present era are taken and of those before it whose members the
 * state still has (`LIMITS.evidenceErasMax`): signatures and places count in the set of their own era, by the key that was used then.
 */
import { decodeHeader, type Header, type SealedHeader } from '../../block.ts'
import { equalBytes, toHex } from '../../bytes.ts'
import { CborError } from '../../cbor.ts'
import { certificateCodec, type Statement, signersOf, statementBytes, statementCodec } from '../../certificate.ts'
import { bytes, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { union } from '../../consensus/wire.ts'
import { LIMITS } from '../../limits.ts'
import { leaderOf, memberIndex, quorumSizes } from '../../members.ts'
import { type Domain, recover, SIGNATURE_BYTES } from '../../signature.ts'
import type { Code } from '../../verdict.ts'
import { readEra, readPastEra } from '../governance/record.ts'
import type { Kind, KindContext, StateView } from '../kind.ts'
import { type EvidenceKind, readEvidence, writeEvidence } from './record.ts'

const signature = bytes(SIGNATURE_BYTES)
const leaderSigned = record({ statement: statementCodec, signature })
const signed = record({ kind: oneOf('vote', 'commit'), statement: statementCodec, signature })
/** Headers' own bytes, from the higher of two blocks downwards. */
const headers = list(bytes(1, LIMITS.headerBytesMax), LIMITS.evidenceHeadersMax)

/** What `evidence` holds. */
export type EvidencePayload = TypeOf<typeof payload>
const payload = union({
  /** Two leader signatures of one (view, seq) for different blocks. */
  equivocation: record({ first: leaderSigned, second: leaderSigned }),
  /** Two votes, or a vote and a commit, of one view for blocks that conflict; `headers` lead from the higher one to just above the other. */
  conflict: record({ first: signed, second: signed, headers }),
  /**
   * A commit, and a vote for the block of `block` at seq 0 of a later view whose tip is of a view below the commit's, where the blocks conflict.
   * `tip`: the certificate of the voted block's parent; null where that is the first block of the era.
   */
  unlocked: record({
    commit: leaderSigned,
    vote: leaderSigned,
    block: bytes(1, LIMITS.headerBytesMax),
    tip: optional(certificateCodec),
    headers,
  }),
})

/** Who did what, in which view of which era. */
type Offence = { readonly member: number; readonly kind: EvidenceKind; readonly view: number; readonly court: Court }

/** What an offence is judged by: the era in which it was committed. `height`: of the block that the era began from. */
type Court = Pick<KindContext, 'chainId' | 'era' | 'memberSet' | 'members' | 'quorum'> & { readonly height: number }

/** The era `era`, as the state has it; undefined if it does not. */
function courtOf(era: number, context: KindContext, state: StateView): Court | undefined {
  const found = era === context.era ? readEra(state) : readPastEra(state, era)
  if (found === undefined) return undefined
  const { memberSet, height } = found
  const { q: quorum } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
  return { chainId: context.chainId, era, memberSet, members: memberIndex(memberSet), quorum, height }
}

/**
 * Records an offence. EVIDENCE_ERA of an era whose members the state does not have; EVIDENCE_SIGNER not signed by one member, or not by the
 * leader; EVIDENCE_VOID an honest member could have signed it; EVIDENCE_KNOWN one is recorded for this member and view.
 */
export const evidence: Kind<EvidencePayload> = {
  name: 'evidence',
  describe:
    'Records signatures of a member that no honest member gives: equivocation, conflicting votes, a broken lock.',
  signers: ['member', 'apiKey', 'device'],
  usesReserve: true,
  payload,
  apply(shown, context, state) {
    const offence = offenceOf(shown, context, state)
    if (typeof offence === 'string') return offence
    const { member, kind, view, court } = offence
    const { era, memberSet } = court
    const publicKey = toHex((memberSet.members[member] as { publicKey: Uint8Array }).publicKey)
    if (readEvidence(state, publicKey, era, view) !== undefined) return 'EVIDENCE_KNOWN'
    const { height, transactionId: transaction } = context
    writeEvidence(state, publicKey, era, view, { kind, by: context.role.member, height, transaction })
    return null
  },
}

function offenceOf(shown: EvidencePayload, context: KindContext, state: StateView): Offence | Code {
  const court = courtOf(
    shown.kind === 'unlocked' ? shown.commit.statement.era : shown.first.statement.era,
    context,
    state,
  )
  if (court === undefined) return 'EVIDENCE_ERA'
  try {
    switch (shown.kind) {
      case 'equivocation':
        return equivocation(shown, court)
      case 'conflict':
        return conflict(shown, court)
      case 'unlocked':
        return unlocked(shown, court)
    }
  } catch (error) {
    if (error instanceof CborError) return 'EVIDENCE_VOID'
    throw error
  }
}

/** Cheap questions first: a signature is looked at when the rest would be an offence. */
function equivocation({ first, second }: EvidencePayload & { kind: 'equivocation' }, court: Court): Offence | Code {
  const [a, b] = [first.statement, second.statement]
  if (a.era !== b.era) return 'EVIDENCE_VOID'
  if (a.view !== b.view || a.seq !== b.seq || equalBytes(a.hash, b.hash)) return 'EVIDENCE_VOID'
  const member = signerOfBoth(court, ['proposal', first], ['proposal', second])
  if (member === undefined || member !== leaderOf(a.view, court.memberSet.members.length)) return 'EVIDENCE_SIGNER'
  return { member, kind: 'equivocation', view: a.view, court }
}

function conflict(
  { first, second, headers: chain }: EvidencePayload & { kind: 'conflict' },
  court: Court,
): Offence | Code {
  const [a, b] = [first.statement, second.statement]
  if (a.era !== b.era) return 'EVIDENCE_VOID'
  // Commits alone say nothing: those of one view rest on votes, and late ones follow what others committed.
  if (a.view !== b.view || (first.kind === 'commit' && second.kind === 'commit')) return 'EVIDENCE_VOID'
  if (!areConflicting(a, b, chain, court)) return 'EVIDENCE_VOID'
  const member = signerOfBoth(court, [first.kind, first], [second.kind, second])
  return member === undefined ? 'EVIDENCE_SIGNER' : { member, kind: 'conflict', view: a.view, court }
}

function unlocked(
  { commit, vote, block, tip, headers: chain }: EvidencePayload & { kind: 'unlocked' },
  court: Court,
): Offence | Code {
  const [a, b] = [commit.statement, vote.statement]
  if (a.era !== b.era) return 'EVIDENCE_VOID'
  if (b.seq !== 0 || b.view <= a.view || !areConflicting(a, b, chain, court)) return 'EVIDENCE_VOID'
  const voted = headerOf(block, b, court)
  if (voted === null || !hasTipBelow(voted, tip, a.view, court)) return 'EVIDENCE_VOID'
  const member = signerOfBoth(court, ['commit', commit], ['vote', vote])
  return member === undefined ? 'EVIDENCE_SIGNER' : { member, kind: 'unlocked', view: b.view, court }
}

/**
 * Whether the tip of the block `voted` at seq 0 is certified in a view below `view`. A block that ends its era may be proposed again on itself
 * (agreement.md §5.5), which shows nothing.
 */
function hasTipBelow(voted: Header, tip: TypeOf<typeof certificateCodec> | null, view: number, court: Court): boolean {
  if (voted.nextMemberSetHash !== null) return false
  if (tip === null) return voted.height === court.height + 1
  const { statement } = tip
  if (statement.era !== court.era || statement.view >= view || statement.height !== voted.height - 1) return false
  if (!equalBytes(statement.hash, voted.parent)) return false
  const found = signersOf(tip, court.chainId, court.members)
  return found.ok && found.members.length >= court.quorum
}

/** The header of `data`, if it is the one that `statement` is about. */
function headerOf(data: Uint8Array, { hash, height, era }: Statement, { chainId }: Court): Header | null {
  const sealed: SealedHeader = decodeHeader(data)
  const { header } = sealed
  const fits = equalBytes(sealed.hash, hash) && header.height === height && header.era === era
  return fits && equalBytes(header.chainId, chainId) ? header : null
}

/**
 * Whether neither block is an ancestor of the other: at the lower one's height the higher one's chain, which `chain` shows link by link, has
 * another block.
 */
function areConflicting(a: Statement, b: Statement, chain: readonly Uint8Array[], court: Court): boolean {
  const [higher, lower] = a.height >= b.height ? [a, b] : [b, a]
  if (chain.length !== higher.height - lower.height) return false
  let at: Statement = higher
  for (const data of chain) {
    const header = headerOf(data, at, court)
    if (header === null) return false
    at = { ...at, height: at.height - 1, hash: header.parent }
  }
  return !equalBytes(at.hash, lower.hash)
}

/** Index of the one member that signed both statements, each in its domain. */
function signerOfBoth(
  { chainId, members }: Court,
  ...both: readonly (readonly [Domain, { readonly statement: Statement; readonly signature: Uint8Array }])[]
): number | undefined {
  const signers = both.map(([domain, { statement, signature: given }]) => {
    const key = recover(domain, chainId, statementBytes(statement), given)
    return key === undefined ? undefined : members.get(toHex(key))
  })
  return signers.every((one) => one === signers[0]) ? signers[0] : undefined
}
