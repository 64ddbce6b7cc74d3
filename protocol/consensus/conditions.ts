/**
 * The conditions under which a member signs (agreement.md §§4.1, 4.2, 7): asked before the write and again after it (§6).
 */
import {
  blockAt,
  candidateOf,
  changeCandidate,
  committedTip,
  type Draft,
  equalsOrExtends,
  mayConflict,
  viewRecord,
} from './draft.ts'
import { isStrong, passesLock } from './lock.ts'
import { parentCertificate } from './reception.ts'
import type { Ballot, Candidate } from './state.ts'
import type { Certificate, Hash, Proposal, Slot } from './types.ts'

/** Whether this member signs at all just now: a member, running, not barred by `recover`. */
export const takesPart = (d: Draft): boolean => d.s.phase === 'running' && d.s.era.me >= 0 && d.s.view > d.s.barredView
/** Whether it votes and commits: not while it settles after a stall either (§4.3), nor once it has quit (§5.1). */
const mayDecide = (d: Draft): boolean => takesPart(d) && !d.s.settling && d.s.quit === null

/** Whether the block conflicts with one of which this member holds a CC; missing headers count as a conflict (§2). */
export const conflictsWithCommitted = (d: Draft, slot: Slot): boolean =>
  d.s.unplaced.size > 0 || mayConflict(d.s.blocks, slot, committedTip(d.s))

/**
 * Whether seq 0 of the chain passed §5.4. It need not be asked again above a block that this member voted for in the view, nor above one of
 * the view that is committed (README.md, "Late in a view").
 */
function chainPassed(d: Draft, candidate: Candidate): boolean {
  const { view } = candidate.slot
  const walked: Slot[] = []
  let passed = false
  let at: Candidate | undefined = candidate
  while (at !== undefined && !passed) {
    if (at.passed || isVouchedFor(d, at.slot)) passed = true
    else {
      walked.push(at.slot)
      const { proposal, slot }: Candidate = at
      if (proposal === null) return false
      if (slot.seq === 0) {
        if (!firstPasses(d, proposal)) return false
        passed = true
      } else at = blockAt(d.s, view, slot.seq - 1, proposal.block.parent)
    }
  }
  if (passed) for (const slot of walked) changeCandidate(d, slot, { passed: true })
  return passed
}

function isVouchedFor(d: Draft, slot: Slot): boolean {
  const voted = d.s.votes.get(slot.view)
  if (voted !== undefined && voted.seq <= slot.seq && equalsOrExtends(d.s.blocks, slot, voted)) return true
  const { highest } = d.s
  return highest?.view === slot.view && highest.seq < slot.seq && equalsOrExtends(d.s.blocks, slot, highest)
}

/** Whether seq 0 is in the right place: on the tip it shows, or that very block if it ends the era (§5.5), and passes. */
function firstPasses(d: Draft, { view, justification, block }: Proposal): boolean {
  if (justification === null || !isReasonFor(view, justification.reason)) return false
  const { tip } = justification
  const again = tip !== null && tip.hash === block.hash && block.endsEra
  const onTip = block.parent === (tip?.hash ?? d.s.era.first.hash)
  if (!again && (!onTip || (tip !== null && mayNotExtend(d, tip.hash)))) return false
  return passesLock(d, justification)
}

/** §5.5: nothing of its era extends the block that ends it; whether one does is known from its header. */
function mayNotExtend(d: Draft, hash: Hash): boolean {
  const block = d.s.blocks.get(hash)
  return block === undefined || (block.endsEra && d.rules.eraEndsForAll)
}

/** §5.1: exactly a BC of the view before, a CC of a block that closed it, or the start of the era. */
function isReasonFor(view: number, reason: NonNullable<Proposal['justification']>['reason']): boolean {
  return reason.kind === 'start' ? view === 0 : reason.certificate.view === view - 1
}

/**
 * §4.1: whether this member votes for the candidate now. `recorded`: it is the vote that stands in the record, asked again after the write
 * or after a restart.
 */
export function mayVote(d: Draft, candidate: Candidate, recorded: boolean): boolean {
  const { slot, proposal } = candidate
  if (proposal === null || !mayDecide(d) || slot.view !== d.s.view) return false
  if (d.s.validity.get(slot.hash) !== 'valid') return false
  if (viewRecord(d.s, slot.view).equivocation !== null) return false
  const last = d.s.votes.get(slot.view)
  if (recorded) {
    if (last === undefined || last.seq < slot.seq || !equalsOrExtends(d.s.blocks, last, slot)) return false
  } else if (last !== undefined && (slot.seq <= last.seq || !equalsOrExtends(d.s.blocks, slot, last))) return false
  if (slot.seq > 0) {
    if (parentCertificate(d.s, proposal) === null) return false
    if (mayNotExtend(d, proposal.block.parent)) return false
  }
  return chainPassed(d, candidate) && !conflictsWithCommitted(d, slot)
}

/** §4.2: whether this member casts a commit for its vote `ballot` now, given the certificate. */
export function mayCommit(d: Draft, { slot, wait, acknowledgedBy }: Ballot, certificate: Certificate | null): boolean {
  if (!mayDecide(d) || slot.view !== d.s.view) return false
  if (certificate === null && d.rules.commitNeedsCertificate) return false
  if (certificate === null || !isStrong(d, certificate)) {
    if (wait !== 'passed' || d.s.restartView === slot.view || acknowledgedBy.size < d.s.era.q) return false
    if (viewRecord(d.s, slot.view).equivocation !== null && d.rules.equivocationEndsWaits) return false
  }
  return !conflictsWithCommitted(d, slot)
}

/** §6: whether this member repeats its recorded commit after a restart: only on a strong certificate. */
export function mayRepeatCommit(d: Draft, slot: Slot, certificate: Certificate | null): boolean {
  if (!mayDecide(d) || slot.view !== d.s.view || certificate === null || !isStrong(d, certificate)) return false
  return !conflictsWithCommitted(d, slot)
}

/** §7: whether this member adds a late commit to a CC that it holds: no recorded vote in its view or later conflicts with it. */
export function mayCommitLate(d: Draft, slot: Slot): boolean {
  if (d.s.era.me < 0 || (d.s.phase !== 'running' && d.s.phase !== 'ended') || d.s.settling) return false
  if (slot.view < d.s.votesFrom || candidateOf(d.s, slot)?.commitCertificate == null) return false
  if (conflictsWithCommitted(d, slot)) return false
  for (const [view, vote] of d.s.votes) if (view >= slot.view && mayConflict(d.s.blocks, vote, slot)) return false
  return true
}
