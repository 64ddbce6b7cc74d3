/**
 * The door of the core: unverified messages → events (agreement.md §3). What passes is signed by whom it says, every certificate is a quorum
 * of distinct members, and everything attached fits what it is attached to. What depends on state (blocks, locks, views, waits) is the core's.
 * Invariant: cheap checks come before signatures, a message's own signature before its attachments.
 */

import { decodeHeader, type SealedHeader } from '../block.ts'
import { equalBytes, fromHex, toHex } from '../bytes.ts'
import { CborError } from '../cbor.ts'
import { blameBytes, statementBytes, type WireCertificate } from '../certificate.ts'
import { encodeAs, integer, oneOf, optional, record } from '../codec.ts'
import { sha3 } from '../crypto.ts'
import { leaderOf, type MemberSet } from '../members.ts'
import { merkleRoot, treeRoots } from '../merkle.ts'
import { type Domain, type recover as recoverSigner, sign } from '../signature.ts'
import type { Code } from '../verdict.ts'
import { keyOf } from './delivery.ts'
import { createQuorumCheck, demand, Refused, SignatureCache } from './quorum.ts'
import type {
  Block,
  Certificate,
  Commit,
  Equivocation,
  Justification,
  Kept,
  MemberIndex,
  Message,
  Reason,
  Signature,
  Signer,
  Slot,
  Vote,
} from './types.ts'
import {
  hashCodec,
  type ProposalParts,
  type Unverified,
  type WireEquivocation,
  type WireMessage,
  type WireProposal,
  type WireReason,
} from './wire.ts'

/** What `createVerifier` needs. */
export type VerifierOptions = {
  /** 32 bytes. */
  readonly chainId: Uint8Array
  /** The members and parameters of `era`. */
  readonly memberSet: MemberSet
  readonly era: number
  /** The members of the era before, whose CC starts this one (§5.5); needed from the second era on. */
  readonly previousSet?: MemberSet
  /** Stands in for the recovery of `signature.ts`, such as one that counts. */
  readonly recover?: typeof recoverSigner
  /** Signatures remembered, 0 … ; about 400 bytes each. */
  readonly cacheMax: number
}

/** A refusal by its code (protocol/verdict.ts). */
export type Refusal = { readonly ok: false; readonly code: Code }
/** A verified message: what the core's event of type `message` holds. `parts` is there for proposals only. */
export type Verified = {
  readonly ok: true
  readonly from: MemberIndex
  /** What the sender knows the message by: what to acknowledge. */
  readonly key: string
  readonly message: Message
  readonly parts: VerifiedParts | null
}
/** What a proposal carries, with its header decoded, and the roots of the trees of its transactions, which lead to that of the header. */
export type VerifiedParts = ProposalParts & {
  readonly sealed: SealedHeader
  readonly treeRoots: readonly Uint8Array[]
}

/** Checks the messages of one era. */
export type Verifier = {
  /**
   * Verifies a message that arrived from `peer`, the member at the other end of the link, or null if it came another way (from a store,
   * or from a non-member). A vote, commit, blame or status must be signed by `peer`; a proposal by the leader of its view, whoever
   * serves it; what bears no signature of its own (CC, BC, question, answer) needs a `peer`.
   */
  verify(unverified: Unverified<WireMessage>, peer: MemberIndex | null): Verified | Refusal
  /** A certificate alone, as stored with a block or shown in a proof. */
  certificate(certificate: WireCertificate): { readonly ok: true; readonly certificate: Certificate } | Refusal
  /** Signatures in the cache. */
  readonly cached: number
}

/** A verifier for one era. Throws `RangeError` if two members of a set share a key, or if `previousSet` is missing. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { chainId, memberSet, era, previousSet } = options
  const cache = new SignatureCache(options)
  const { signerOf, certificate, blameCertificate, sizes } = createQuorumCheck(memberSet, era, cache)
  const { n, s } = sizes
  const { termBlocks } = memberSet.parameters
  if (era > 0 && previousSet === undefined)
    throw new RangeError(`era ${era}: the members of the era before are missing`)
  const previous = era === 0 || previousSet === undefined ? null : createQuorumCheck(previousSet, era - 1, cache)

  /** §5.1: exactly a BC of the view before, a CC of a block that closed it, or the start of the era in view 0. */
  function reasonFor(view: number, reason: WireReason): Reason {
    if (reason.kind === 'start') {
      demand(view === 0 && (reason.certificate === null) === (previous === null), 'MESSAGE_ATTACHMENT')
      if (previous === null || reason.certificate === null) return { kind: 'start', certificate: null }
      demand(reason.certificate.kind === 'commit', 'CERT_STATEMENT')
      return { kind: 'start', certificate: previous.certificate(reason.certificate) }
    }
    if (reason.kind === 'blamed') {
      demand(reason.certificate.view === view - 1, 'CERT_STATEMENT')
      return { kind: 'blamed', certificate: blameCertificate(reason.certificate) }
    }
    const { kind, statement } = reason.certificate
    demand(kind === 'commit' && statement.view === view - 1 && statement.seq === termBlocks - 1, 'CERT_STATEMENT')
    return { kind: 'closed', certificate: certificate(reason.certificate) }
  }

  const isStrong = (of: Certificate): boolean => of.kind === 'commit' || of.signatures.size >= s

  /** §§5.2, 5.3: tip certificate and strong certificate are of one view, and the strong one is strong. */
  function lockCertificates(tip: WireCertificate | null, strong: WireCertificate | null) {
    demand(strong === null || (tip !== null && strong.statement.view === tip.statement.view), 'CERT_STATEMENT')
    const shown = { tip: tip && certificate(tip), strong: strong && certificate(strong) }
    demand(shown.strong === null || isStrong(shown.strong), 'CERT_NO_QUORUM')
    return shown
  }

  const signedByLeader = (slot: Slot, signature: Signature): boolean =>
    signerOf('proposal', slotBytes(era, slot), signature) === leaderOf(slot.view, n)

  function equivocationOf(view: number, of: WireEquivocation | null): Equivocation | null {
    if (of === null) return null
    const { first, second } = of
    const fits = first.view === view && second.view === view && first.seq === second.seq && first.hash !== second.hash
    demand(fits && first.seq < termBlocks, 'MESSAGE_ATTACHMENT')
    for (const slot of [first, second]) demand(signedByLeader(slot, slot.leaderSignature), 'MESSAGE_ATTACHMENT')
    return of
  }

  function signedBy(domain: Domain, payload: Uint8Array, signature: Signature, peer: MemberIndex | null): MemberIndex {
    const member = signerOf(domain, payload, signature)
    demand(member !== undefined && (peer === null || member === peer), 'MESSAGE_SIGNER')
    return member
  }

  function voteOrCommit(wire: WireMessage & { kind: 'vote' | 'commit' }, peer: MemberIndex | null): Vote | Commit {
    const { slot, signature } = wire
    demand(slot.seq < termBlocks, 'MESSAGE_MALFORMED')
    const from = signedBy(wire.kind, slotBytes(era, slot), signature, peer)
    if (wire.kind === 'vote') {
      demand(signedByLeader(slot, wire.leaderSignature), 'MESSAGE_ATTACHMENT')
      return { ...wire, from }
    }
    const { statement } = wire.certificate
    demand(
      isFor(wire.certificate, slot.view, slot.seq, slot.height) && toHex(statement.hash) === slot.hash,
      'CERT_STATEMENT',
    )
    return { ...wire, from, certificate: certificate(wire.certificate) }
  }

  const isFor = ({ statement }: WireCertificate, view: number, seq: number, height: number): boolean =>
    statement.view === view && statement.seq === seq && statement.height === height

  function proposal(wire: WireProposal): Omit<Verified, 'ok'> {
    const { view, seq, transactionIds } = wire
    demand(seq < termBlocks, 'MESSAGE_MALFORMED')
    const sealed = headerOf(wire.header)
    const { header } = sealed
    demand(equalBytes(header.chainId, chainId), 'BLOCK_CHAIN')
    demand(header.era === era, 'BLOCK_ERA')
    demand(header.transactionCount === transactionIds.length, 'BLOCK_COUNT')
    const block: Block = {
      hash: toHex(sealed.hash),
      parent: toHex(header.parent),
      height: header.height,
      endsEra: header.nextMemberSetHash !== null,
    }
    const slot = { view, seq, height: block.height, hash: block.hash }
    demand(signedByLeader(slot, wire.leaderSignature), 'MESSAGE_SIGNER')
    // The leader signs the header; the list of ids is whoever's who passed it on, until the header vouches for it.
    const roots = treeRoots(transactionIds)
    demand(equalBytes(merkleRoot(sha3, roots), header.treesRoot), 'BLOCK_TREES')
    const first = seq === 0
    demand((wire.justification !== null) === first && (wire.parentCertificate === null) === first, 'MESSAGE_ATTACHMENT')
    let parentCertificate: Certificate | null = null
    if (wire.parentCertificate !== null) {
      const fits = isFor(wire.parentCertificate, view, seq - 1, block.height - 1)
      demand(fits && equalBytes(wire.parentCertificate.statement.hash, header.parent), 'CERT_STATEMENT')
      parentCertificate = certificate(wire.parentCertificate)
    }
    const justification = wire.justification === null ? null : justify(wire.justification, slot, block)
    return {
      from: leaderOf(view, n),
      key: `proposal/${view}/${seq}/${block.hash}`,
      message: {
        kind: 'proposal',
        era,
        view,
        seq,
        block,
        leaderSignature: wire.leaderSignature,
        parentCertificate,
        justification,
      },
      parts: { sealed, header: wire.header, transactionIds, treeRoots: roots },
    }
  }

  /** §5.3: the parent is the tip that is shown, or the block itself is, if it ends the era (§5.5). */
  function justify(wire: NonNullable<WireProposal['justification']>, slot: Slot, block: Block): Justification {
    const { tip, reason: shown } = wire
    if (shown.kind === 'start' && shown.certificate !== null) {
      const { height, hash } = shown.certificate.statement
      demand(toHex(hash) === block.parent && height === block.height - 1, 'CERT_STATEMENT')
    }
    if (tip !== null) {
      const { view, height, hash } = tip.statement
      const child = toHex(hash) === block.parent && height === block.height - 1
      const again = toHex(hash) === block.hash && height === block.height && block.endsEra
      demand(view < slot.view && (child || again), 'CERT_STATEMENT')
    }
    return { reason: reasonFor(slot.view, wire.reason), ...lockCertificates(tip, wire.strong) }
  }

  function small(
    wire: Exclude<WireMessage, WireProposal>,
    peer: MemberIndex | null,
  ): Kept | (Message & { kind: 'ask' | 'answer' }) {
    switch (wire.kind) {
      case 'vote':
      case 'commit':
        return voteOrCommit(wire, peer)
      case 'cc':
        demand(wire.certificate.kind === 'commit', 'CERT_STATEMENT')
        return { ...wire, certificate: certificate(wire.certificate) }
      case 'blame': {
        const from = signedBy('blame', blameBytes(era, wire.view), wire.signature, peer)
        return { ...wire, from, equivocation: equivocationOf(wire.view, wire.equivocation) }
      }
      case 'bc':
        return { ...wire, certificate: blameCertificate(wire.certificate) }
      case 'status': {
        const { view, tip, strong } = wire
        // View 0 begins an era without statuses; a lock is of a view below the one entered (§5.2).
        demand(view > 0, 'MESSAGE_ATTACHMENT')
        demand(tip === null || tip.statement.view < view, 'CERT_STATEMENT')
        const shown = { tip: tip && claimOf(tip), strong: strong && claimOf(strong) }
        const from = signedBy('status', statusBytes(era, view, shown.tip, shown.strong), wire.signature, peer)
        return { ...wire, from, ...lockCertificates(tip, strong) }
      }
      case 'ask':
        return wire
      case 'answer': {
        demand(wire.highest === null || wire.highest.kind === 'commit', 'CERT_STATEMENT')
        const inView = wire.signed.every((signed) => signed.era === era && signed.slot.view === wire.view)
        demand(inView, 'MESSAGE_ATTACHMENT')
        return {
          ...wire,
          reason: reasonFor(wire.view, wire.reason),
          ...lockCertificates(wire.tip, wire.strong),
          signed: wire.signed.map((signed) => voteOrCommit(signed, peer)),
          equivocation: equivocationOf(wire.view, wire.equivocation),
          highest: wire.highest && certificate(wire.highest),
        }
      }
    }
  }

  function check(wire: WireMessage, peer: MemberIndex | null): Omit<Verified, 'ok'> {
    demand(wire.era === era, 'MESSAGE_ERA')
    if (wire.kind === 'proposal') return proposal(wire)
    const own = wire.kind === 'vote' || wire.kind === 'commit' || wire.kind === 'blame' || wire.kind === 'status'
    demand(own || peer !== null, 'MESSAGE_SIGNER')
    const message = small(wire, peer)
    const from = 'from' in message ? message.from : (peer as MemberIndex)
    const key = message.kind === 'ask' || message.kind === 'answer' ? message.kind : keyOf(message)
    return { from, key, message, parts: null }
  }

  return {
    verify: ({ unverified }, peer) => refusals(() => ({ ok: true, ...check(unverified, peer) })),
    certificate: (wire) => refusals(() => ({ ok: true, certificate: certificate(wire) })),
    get cached() {
      return cache.size
    },
  }
}

function refusals<T>(check: () => T): T | Refusal {
  try {
    return check()
  } catch (error) {
    if (error instanceof Refused) return { ok: false, code: error.code }
    throw error
  }
}

function headerOf(data: Uint8Array): SealedHeader {
  try {
    return decodeHeader(data)
  } catch (error) {
    if (error instanceof CborError) throw new Refused('BLOCK_MALFORMED')
    throw error
  }
}

const slotBytes = (era: number, { view, seq, height, hash }: Slot): Uint8Array =>
  statementBytes({ era, view, seq, height, hash: fromHex(hash) })

/** What a status says of a certificate: its kind and statement. The signatures speak for themselves. */
type Claim = Slot & { readonly kind: 'vote' | 'commit' }
const claimCodec = optional(
  record({ kind: oneOf('vote', 'commit'), view: integer(), seq: integer(), height: integer(1), hash: hashCodec }),
)
const statusCodec = record({ era: integer(), view: integer(), tip: claimCodec, strong: claimCodec })
const claimOf = ({ kind, statement: { view, seq, height, hash } }: WireCertificate): Claim => ({
  kind,
  view,
  seq,
  height,
  hash: toHex(hash),
})

/** The bytes that a status signs: era, new view, and kind and statement of the tip's and the strong certificate. */
export const statusBytes = (era: number, view: number, tip: Claim | null, strong: Claim | null): Uint8Array =>
  encodeAs(statusCodec, { era, view, tip, strong })

/** The core's signer for the member whose secret key (32 bytes) is given, on the chain `chainId`. */
export function createSigner(chainId: Uint8Array, secretKey: Uint8Array): Signer {
  return {
    slot: (domain, era, slot) => sign(domain, chainId, slotBytes(era, slot), secretKey),
    blame: (era, view) => sign('blame', chainId, blameBytes(era, view), secretKey),
    status: (era, view, tip, strong) => sign('status', chainId, statusBytes(era, view, tip, strong), secretKey),
  }
}
