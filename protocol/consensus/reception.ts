/**
 * Reception (agreement.md §3): verified messages of every view of the era are remembered, entered or not, quit or not, bounded per
 * sender so that no sender displaces another's. Nothing is decided here.
 */
import { leaderOf } from '../members.ts'
import {
  anyCertificateFor,
  candidateOf,
  candidatesAt,
  changeCandidate,
  changeView,
  type Draft,
  leaderSlotsAt,
  slotKey,
  slotOf,
  viewRecord,
  withEntry,
} from './draft.ts'
import { findConflict, findUnlocked, lookAgain } from './evidence.ts'
import type { Candidate, State } from './state.ts'
import type {
  Answer,
  BlameCertificate,
  Block,
  Certificate,
  Equivocation,
  MemberIndex,
  Proposal,
  Reason,
  Signature,
  Slot,
  Vote,
} from './types.ts'

/** Most later views in which one sender's messages are remembered: an honest one is in a single view and moves on by a reason. */
export const LATER_VIEWS_MAX = 8
/** Most later views of which certificates are remembered. */
const LATER_CERTIFIED_MAX = 32
/** How far above the highest certified place of a view others may speak; an honest member is at most one above what it holds. */
const PLACES_AHEAD_MAX = 64
/** Different blocks at one place for which one sender's signatures are kept: two make the evidence. */
const BLOCKS_PER_PLACE_MAX = 2
/** Places below the highest CC that are remembered, for late commits (§7). */
export const PLACES_BELOW = 8

/**
 * What becomes of a message: `remembered`; `outranked`, which may be acknowledged and forgotten; or `refused`: there is no place for it yet, so it is
 * not acknowledged, and an honest sender repeats it.
 */
export type Admission = 'remembered' | 'outranked' | 'refused'

/** The lowest view that still matters: the last one, and those that the lock or the highest CC are of. */
export const lowestView = (s: State): number =>
  Math.min(s.previousView, s.lock.view < 0 ? s.previousView : s.lock.view, s.highest?.view ?? s.previousView)

/** Whether what `from` says of `view` may be remembered, and counts it against `from`'s bound if so. */
function admitView(d: Draft, from: MemberIndex, view: number): Admission {
  if (view <= d.s.view)
    return view === d.s.view || view === d.s.previousView || d.s.views.has(view) ? 'remembered' : 'outranked'
  if (!d.rules.rememberLaterViews) return 'outranked'
  const known = d.s.later.get(from) ?? []
  if (known.includes(view)) return 'remembered'
  if (known.length >= LATER_VIEWS_MAX) return 'refused'
  d.s.later = withEntry(d.s.later, from, [...known, view])
  return 'remembered'
}

/** The lowest place of `view` that still matters: those well below its CC on the committed chain do not (README.md, "Outranked"). */
export const lowestSeq = (s: State, view: number): number =>
  s.highest !== null && s.highest.view === view ? s.highest.seq - PLACES_BELOW : 0

function admitSlot(d: Draft, from: MemberIndex, slot: Slot): Admission {
  const { view, seq } = slot
  if (seq < lowestSeq(d.s, view)) return 'outranked'
  // What is certified was signed by an honest member, which bounds it.
  if (anyCertificateFor(d.s, slot) !== null) return 'remembered'
  if (seq > viewRecord(d.s, view).certifiedSeq + PLACES_AHEAD_MAX) return 'refused'
  return admitView(d, from, view)
}

/** Learns where a block stands in the tree. */
export function learnBlock(d: Draft, block: Block): void {
  if (d.s.blocks.has(block.hash)) return
  d.s.blocks = withEntry(d.s.blocks, block.hash, block)
  d.learnt = true
}

/** Learns headers that were asked for, and looks again at what had to wait for them (§2). */
export function learnHeaders(d: Draft, blocks: readonly Block[]): void {
  const fresh = blocks.filter((block) => !d.s.blocks.has(block.hash))
  if (fresh.length === 0) return
  d.s.blocks = new Map([...d.s.blocks, ...fresh.map((block) => [block.hash, block] as const)])
  d.learnt = true
  const hashes = new Set(fresh.map(({ hash }) => hash))
  for (const { places } of d.s.views.values())
    for (const candidates of places.values())
      for (const candidate of candidates) if (hashes.has(candidate.slot.hash)) lookAgain(d, candidate)
}

/** Learns a leader signature; the second block at one (view, seq) is an equivocation (§2). */
function learnLeaderSignature(d: Draft, slot: Slot, leaderSignature: Signature): void {
  if (candidateOf(d.s, slot)?.leaderSignature != null) return
  const [other] = leaderSlotsAt(d.s, slot.view, slot.seq).filter(({ hash }) => hash !== slot.hash)
  changeCandidate(d, slot, { leaderSignature })
  if (other !== undefined) learnEquivocation(d, { first: other, second: { ...slotOf(slot), leaderSignature } })
}

/** Learns of an equivocation of the leader of a view; the first one seen is enough. */
function learnEquivocation(d: Draft, equivocation: Equivocation): void {
  const { view } = equivocation.first
  if (viewRecord(d.s, view).equivocation !== null) return
  changeView(d, view, { equivocation })
  const member = leaderOf(view, d.s.era.n)
  if (member !== d.s.era.me)
    d.effects.push({ type: 'evidence', evidence: { kind: 'equivocation', member, equivocation } })
}

function addSignatures(
  d: Draft,
  kind: 'vote' | 'commit',
  slot: Slot,
  signatures: Iterable<readonly [MemberIndex, Signature]>,
  from: MemberIndex,
): Candidate | null {
  const before = candidateOf(d.s, slot)
  const known = kind === 'vote' ? before?.votes : before?.commits
  let merged: Map<MemberIndex, Signature> | undefined
  for (const [member, signature] of signatures) {
    if (known?.has(member) || merged?.has(member)) continue
    merged ??= new Map(known)
    merged.set(member, signature)
  }
  if (merged === undefined) return null
  const { era, view } = { era: d.s.era, view: viewRecord(d.s, slot.view) }
  const certificate: Certificate | null = merged.size >= era.q ? { ...slotOf(slot), kind, signatures: merged } : null
  const after = changeCandidate(
    d,
    slot,
    kind === 'vote' ? { votes: merged, certificate } : { commits: merged, commitCertificate: certificate },
  )
  if (certificate === null) return after
  if (slot.seq > view.certifiedSeq) changeView(d, slot.view, { certifiedSeq: slot.seq })
  const sizeBefore = known?.size ?? 0
  const strong = d.rules.strongQuorum(era)
  if (sizeBefore < era.q || (sizeBefore < strong && merged.size >= strong)) d.learnt = true
  if (kind === 'commit') foundCommits(d, certificate, from)
  return after
}

/** A CC is placed in the tree whatever its view, since two that conflict are a fork (§4.2), and may close a view (§5.1). */
function foundCommits(d: Draft, certificate: Certificate, from: MemberIndex): void {
  d.found.push({ certificate, from })
  const { view, seq } = certificate
  if (seq === d.s.era.termBlocks - 1 && view >= d.s.view && view > (d.s.closing?.view ?? -1)) d.s.closing = certificate
}

/** Learns one member's vote or commit. */
export function learnSignature(
  d: Draft,
  kind: 'vote' | 'commit',
  slot: Slot,
  from: MemberIndex,
  signature: Signature,
): Admission {
  const admission = admitSlot(d, from, slot)
  if (admission !== 'remembered') return admission
  const others = candidatesAt(d.s, slot.view, slot.seq).filter(
    ({ slot: other, votes, commits }) =>
      (other.hash !== slot.hash || other.height !== slot.height) && (votes.has(from) || commits.has(from)),
  )
  if (others.length >= BLOCKS_PER_PLACE_MAX) return 'refused'
  const after = addSignatures(d, kind, slot, [[from, signature]], from)
  if (after === null) return 'remembered'
  findConflict(d, after, from)
  if (kind === 'vote' && slot.seq === 0 && after.proposal !== null) findUnlocked(d, after.proposal, from)
  return 'remembered'
}

/** Learns a vote with its leader signature. Without one it is ignored (§3). */
export function learnVote(d: Draft, vote: Vote): Admission {
  const { slot, from, leaderSignature } = vote
  if (leaderSignature === null && d.rules.voteCarriesLeaderSignature) return 'outranked'
  const admission = learnSignature(d, 'vote', slot, from, vote.signature)
  if (admission === 'remembered' && leaderSignature !== null) learnLeaderSignature(d, slot, leaderSignature)
  return admission
}

/** Learns a whole certificate that `from` showed. Each holds an honest member's signature, so there are at most n for one place. */
export function learnCertificate(d: Draft, certificate: Certificate, from: MemberIndex): void {
  const { view, seq, kind } = certificate
  if (mattersStill(d, view) && seq >= lowestSeq(d.s, view))
    addSignatures(d, kind, certificate, certificate.signatures, from)
  if (kind === 'commit') foundCommits(d, candidateOf(d.s, certificate)?.commitCertificate ?? certificate, from)
}

function mattersStill(d: Draft, view: number): boolean {
  if (d.s.views.has(view)) return true
  if (view <= d.s.view) return view >= lowestView(d.s) || view > d.s.lockNow.view
  let certified = 0
  for (const [later, { certifiedSeq }] of d.s.views) if (later > d.s.view && certifiedSeq >= 0) certified += 1
  return certified < LATER_CERTIFIED_MAX
}

/** Learns blames for one view; f+1 of them are its BC. */
export function learnBlame(d: Draft, view: number, from: MemberIndex, signature: Signature): Admission {
  if (view < d.s.view) return 'outranked'
  const admission = admitView(d, from, view)
  if (admission !== 'remembered') return admission
  const { blames } = viewRecord(d.s, view)
  if (blames.has(from)) return admission
  const signatures = withEntry(blames, from, signature)
  changeView(d, view, { blames: signatures })
  if (signatures.size >= d.s.era.f + 1) learnBlames(d, { view, signatures })
  return admission
}

/** Learns a BC. Only that of the highest view, not below its own, matters (§5.1). */
export function learnBlames(d: Draft, certificate: BlameCertificate): void {
  if (certificate.view >= d.s.view && certificate.view > (d.foundBlame?.view ?? -1)) d.foundBlame = certificate
}

/** Learns an equivocation that `from` shows with its blame or answer (§4.4). */
export function learnShown(d: Draft, equivocation: Equivocation | null, from: MemberIndex): void {
  if (equivocation !== null && admitView(d, from, equivocation.first.view) === 'remembered')
    learnEquivocation(d, equivocation)
}

/** Learns the reason for a view: a BC or a CC. The CC that started the era is of the era before. */
export function learnReason(d: Draft, reason: Reason, from: MemberIndex): void {
  if (reason.kind === 'blamed') learnBlames(d, reason.certificate)
  if (reason.kind === 'closed') learnCertificate(d, reason.certificate, from)
}

/** Learns certificates that may be missing. */
export function learnCertificates(d: Draft, shown: readonly (Certificate | null)[], from: MemberIndex): void {
  for (const certificate of shown) if (certificate !== null) learnCertificate(d, certificate, from)
}

/** Learns a proposal and everything attached to it; a BC inside counts as seen then (§5.1). */
export function learnProposal(d: Draft, proposal: Proposal): void {
  const { view, seq, block, justification } = proposal
  const leader = leaderOf(view, d.s.era.n)
  if (seq >= d.s.era.termBlocks || (seq === 0) !== (justification !== null)) return
  learnCertificates(d, [proposal.parentCertificate], leader)
  if (justification !== null) {
    if (justification.tip !== null && justification.tip.view >= view) return
    learnReason(d, justification.reason, leader)
    learnCertificates(d, [justification.tip, justification.strong], leader)
  }
  const slot: Slot = { view, seq, height: block.height, hash: block.hash }
  const asked = d.s.requested.has(`p/${slotKey(slot)}`)
  if (!asked && (view < d.s.previousView || admitSlot(d, leader, slot) !== 'remembered')) return
  const proposed = candidatesAt(d.s, view, seq).filter((candidate) => candidate.proposal !== null)
  if (proposed.length >= BLOCKS_PER_PLACE_MAX && !asked) return
  learnLeaderSignature(d, slot, proposal.leaderSignature)
  if (candidateOf(d.s, slot)?.proposal != null) return
  const candidate = changeCandidate(d, slot, { proposal })
  learnBlock(d, block)
  lookAgain(d, candidate)
}

/** Learns everything that an answer to a restart's question shows (§6). */
export function learnAnswer(d: Draft, answer: Answer, from: MemberIndex): void {
  learnReason(d, answer.reason, from)
  learnCertificates(d, [answer.tip, answer.strong, answer.highest], from)
  for (const signed of answer.signed) {
    if (signed.kind === 'vote') learnVote(d, signed)
    else {
      if (signed.certificate === null && d.rules.commitCarriesCertificate) continue
      learnCertificates(d, [signed.certificate], from)
      learnSignature(d, 'commit', signed.slot, signed.from, signed.signature)
    }
  }
  learnShown(d, answer.equivocation, from)
}

/** The certificate for the parent of a proposal at seq > 0, or null while it is missing (§4.1). */
export const parentCertificate = (s: State, { view, seq, block }: Proposal): Certificate | null =>
  anyCertificateFor(s, { view, seq: seq - 1, height: block.height - 1, hash: block.parent })
