/**
 * Reception (agreement.md §3): verified messages of every view of the era are remembered, entered or not, quit or not, bounded per
 * sender so that no sender displaces another's. Nothing is decided here.
 */
import {
  addSignatures,
  anyCertificateFor,
  changeView,
  type Draft,
  slotKey,
  slotOf,
  viewRecord,
  withEntry,
} from './draft.ts'
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
  State,
  Vote,
} from './types.ts'

/** Most later views in which one sender's messages are remembered: an honest one is in a single view and moves on by a reason. */
export const LATER_VIEWS_MAX = 8
/** Different blocks at one place for which one sender's votes are kept: two make the evidence. */
const BLOCKS_PER_PLACE_MAX = 2

/** Whether a message of `view` sent by `from` may be remembered; a false answer means: do not acknowledge, it will be repeated. */
export function remembers(d: Draft, from: MemberIndex, view: number): boolean {
  if (view <= d.s.view) return view >= d.s.view - 1 || view >= d.s.lock.view || d.s.views.has(view)
  if (!d.rules.rememberLaterViews) return false
  if (view <= d.s.view + LATER_VIEWS_MAX) return true
  let later = 0
  for (const [number, record] of d.s.views) {
    if (number <= d.s.view + LATER_VIEWS_MAX || number === view) continue
    const spoke =
      record.blames.has(from) ||
      [...record.votes.values(), ...record.commits.values()].some(({ signatures }) => signatures.has(from))
    if (spoke) later += 1
  }
  return later < LATER_VIEWS_MAX
}

/** Learns where a block stands in the tree. */
export function learnBlock(d: Draft, block: Block): void {
  if (!d.s.blocks.has(block.hash)) d.s.blocks = withEntry(d.s.blocks, block.hash, block)
}

/** Learns a leader signature; the second block at one (view, seq) is an equivocation (§2). */
export function learnLeaderSignature(d: Draft, slot: Slot, leaderSignature: Signature): void {
  const record = viewRecord(d.s, slot.view)
  const known = record.leaderSignatures.get(slot.seq) ?? []
  if (known.some((other) => other.hash === slot.hash) || known.length >= BLOCKS_PER_PLACE_MAX) return
  const entry = { ...slotOf(slot), leaderSignature }
  const first = known[0]
  changeView(d, slot.view, { leaderSignatures: withEntry(record.leaderSignatures, slot.seq, [...known, entry]) })
  if (first !== undefined) learnEquivocation(d, { first, second: entry })
}

/** Learns of an equivocation of the leader of a view; the first one seen is enough. */
export function learnEquivocation(d: Draft, equivocation: Equivocation): void {
  const view = equivocation.first.view
  if (viewRecord(d.s, view).equivocation !== null) return
  changeView(d, view, { equivocation })
  d.effects.push({ type: 'evidence', evidence: { kind: 'equivocation', member: view % d.s.era.n, equivocation } })
}

/** Learns one member's vote or commit. Returns false if the bound for its sender is reached. */
export function learnSignature(
  d: Draft,
  kind: 'vote' | 'commit',
  slot: Slot,
  from: MemberIndex,
  signature: Signature,
): boolean {
  const record = viewRecord(d.s, slot.view)
  const map = kind === 'vote' ? record.votes : record.commits
  const key = slotKey(slot)
  if (map.get(key)?.signatures.has(from)) return true
  const others = [...map.values()].filter(
    (tally) => tally.slot.seq === slot.seq && tally.slot.hash !== slot.hash && tally.signatures.has(from),
  )
  if (others.length >= BLOCKS_PER_PLACE_MAX) return false
  const other = others[0]
  if (other !== undefined && kind === 'vote') {
    const first = { ...other.slot, signature: other.signatures.get(from) as Signature }
    const second = { ...slotOf(slot), signature }
    d.effects.push({ type: 'evidence', evidence: { kind: 'doubleVote', member: from, first, second } })
  }
  const changed = addSignatures(map, slot, [[from, signature]])
  changeView(d, slot.view, kind === 'vote' ? { votes: changed } : { commits: changed })
  return true
}

/** Learns a whole certificate. Each holds an honest member's signature, so there are at most n for one place. */
export function learnCertificate(d: Draft, certificate: Certificate): void {
  const record = viewRecord(d.s, certificate.view)
  const map = certificate.kind === 'vote' ? record.votes : record.commits
  const changed = addSignatures(map, certificate, certificate.signatures)
  if (changed !== map)
    changeView(d, certificate.view, certificate.kind === 'vote' ? { votes: changed } : { commits: changed })
}

/** Learns blames for one view; f+1 of them are its BC. */
export function learnBlames(d: Draft, view: number, signatures: Iterable<readonly [MemberIndex, Signature]>): void {
  const record = viewRecord(d.s, view)
  const blames = new Map(record.blames)
  for (const [member, signature] of signatures) if (!blames.has(member)) blames.set(member, signature)
  if (blames.size === record.blames.size) return
  const complete: BlameCertificate | null =
    record.blameCertificate ?? (blames.size >= d.s.era.f + 1 ? { view, signatures: blames } : null)
  changeView(d, view, { blames, blameCertificate: complete })
}

/** Learns the reason for a view: a BC or a CC. */
export function learnReason(d: Draft, reason: Reason): void {
  if (reason.kind === 'blamed') learnBlames(d, reason.certificate.view, reason.certificate.signatures)
  if (reason.kind === 'closed') learnCertificate(d, reason.certificate)
}

/** Learns a proposal and everything attached to it; a BC inside counts as seen then (§5.1). */
export function learnProposal(d: Draft, proposal: Proposal): void {
  const { view, seq, block } = proposal
  if (seq >= d.s.era.termBlocks || (seq === 0) !== (proposal.justification !== null)) return
  const slot: Slot = { view, seq, height: block.height, hash: block.hash }
  learnBlock(d, block)
  learnLeaderSignature(d, slot, proposal.leaderSignature)
  if (proposal.parentCertificate !== null) learnCertificate(d, proposal.parentCertificate)
  if (proposal.justification !== null) {
    learnReason(d, proposal.justification.reason)
    for (const certificate of [proposal.justification.tip, proposal.justification.strong])
      if (certificate !== null) learnCertificate(d, certificate)
  }
  const record = viewRecord(d.s, view)
  const places = [...record.proposals.values()].filter((other) => other.seq === seq).length
  if (!record.proposals.has(slotKey(slot)) && places < BLOCKS_PER_PLACE_MAX)
    changeView(d, view, { proposals: withEntry(record.proposals, slotKey(slot), proposal) })
}

/** Learns a vote with its leader signature. Without one it is ignored (§3). */
export function learnVote(d: Draft, vote: Vote): boolean {
  if (vote.leaderSignature === null && d.rules.voteCarriesLeaderSignature) return true
  if (vote.leaderSignature !== null) learnLeaderSignature(d, vote.slot, vote.leaderSignature)
  return learnSignature(d, 'vote', vote.slot, vote.from, vote.signature)
}

/** Learns everything that an answer to a restart's question shows (§6). */
export function learnAnswer(d: Draft, answer: Answer): void {
  learnReason(d, answer.reason)
  for (const certificate of [answer.tip, answer.strong, answer.highest])
    if (certificate !== null) learnCertificate(d, certificate)
  for (const signed of answer.signed) {
    if (signed.kind === 'vote') learnVote(d, signed)
    else {
      if (signed.certificate !== null) learnCertificate(d, signed.certificate)
      learnSignature(d, 'commit', signed.slot, signed.from, signed.signature)
    }
  }
  if (answer.equivocation !== null) learnEquivocation(d, answer.equivocation)
}

/** The certificate for the parent of a proposal at seq > 0, or null while it is missing (§4.1). */
export function parentCertificate(s: State, proposal: Proposal): Certificate | null {
  return anyCertificateFor(s, {
    view: proposal.view,
    seq: proposal.seq - 1,
    height: proposal.block.height - 1,
    hash: proposal.block.parent,
  })
}
