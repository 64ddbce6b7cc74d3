/**
 * The conditions under which a member signs (agreement.md §§4.1, 4.2, 7): asked before the write and again after it (§6).
 */
import {
  certificateFor,
  changeView,
  type Draft,
  equalsOrExtends,
  relation,
  slotKey,
  viewRecord,
  withItem,
} from './draft.ts'
import { isStrong, passesLock } from './lock.ts'
import { parentCertificate } from './reception.ts'
import type { Certificate, Proposal, Slot } from './types.ts'

/** Whether this member takes part at all just now: a member, running, not settling after a stall, not barred by `recover`. */
export const takesPart = (d: Draft): boolean =>
  d.s.era.me >= 0 && d.s.phase === 'running' && d.s.settling === null && d.s.view > d.s.barredView

/** Whether the block conflicts with one of which this member holds a CC; missing headers count as a conflict (§2). */
function conflictsWithCommitted(d: Draft, hash: string): boolean {
  if (d.s.unplaced.length > 0) return true
  const committed = d.s.highest?.hash ?? d.s.era.first.hash
  const how = relation(d.s.blocks, hash, committed)
  return how === 'conflicts' || how === 'unknown'
}

/** Whether seq 0 of the proposal's chain passed §5.4, and the parents are each of this view (§4.1). */
function chainPassed(d: Draft, proposal: Proposal): boolean {
  let at: Proposal | undefined = proposal
  const walked: string[] = []
  let passed = false
  while (at !== undefined) {
    const key = slotKey({ view: at.view, seq: at.seq, height: at.block.height, hash: at.block.hash })
    if (viewRecord(d.s, at.view).passed.has(key)) passed = true
    else walked.push(key)
    if (passed) break
    if (at.seq === 0) {
      passed = firstPasses(d, at)
      break
    }
    const parent: string = slotKey({
      view: at.view,
      seq: at.seq - 1,
      height: at.block.height - 1,
      hash: at.block.parent,
    })
    at = viewRecord(d.s, at.view).proposals.get(parent)
  }
  if (passed && walked.length > 0) {
    let set = viewRecord(d.s, proposal.view).passed
    for (const key of walked) set = withItem(set, key)
    changeView(d, proposal.view, { passed: set })
  }
  return passed
}

/** Whether a seq 0 proposal is in the right place: on the tip it shows, or that very block if it ends the era (§5.5), and passes. */
function firstPasses(d: Draft, proposal: Proposal): boolean {
  const { justification, block } = proposal
  if (justification === null || !reasonFits(proposal)) return false
  const tip = justification.tip?.hash ?? d.s.era.first.hash
  const tipBlock = d.s.blocks.get(tip)
  if (tipBlock === undefined) return false
  const inPlace = tipBlock.endsEra && tip !== d.s.era.first.hash ? block.hash === tip : block.parent === tip
  return inPlace && passesLock(d, justification)
}

function reasonFits({ view, justification }: Proposal): boolean {
  const reason = justification?.reason
  if (reason === undefined) return false
  return reason.kind === 'start' ? view === 0 : reason.certificate.view === view - 1
}

/**
 * §4.1: whether this member votes for `proposal` now. `recorded`: it is the vote that stands in the record, asked again after the write.
 */
export function mayVote(d: Draft, proposal: Proposal, recorded: boolean): boolean {
  const { view, seq, block } = proposal
  if (!takesPart(d) || d.s.quit !== null || view !== d.s.view) return false
  if (d.s.validity.get(block.hash) !== 'valid') return false
  if (viewRecord(d.s, view).equivocation !== null) return false
  const last = d.s.myVotes.get(view)
  if (recorded) {
    if (last === undefined || last.seq !== seq || last.hash !== block.hash) return false
  } else if (last !== undefined && (seq <= last.seq || !equalsOrExtends(d.s.blocks, block.hash, last.hash)))
    return false
  if (seq > 0) {
    if (parentCertificate(d.s, proposal) === null) return false
    if (d.s.blocks.get(block.parent)?.endsEra !== false) return false
  }
  return chainPassed(d, proposal) && !conflictsWithCommitted(d, block.hash)
}

/** §4.2: whether this member casts a commit for `slot` now, given its certificate. */
export function mayCommit(d: Draft, slot: Slot, certificate: Certificate | null): boolean {
  if (!takesPart(d) || d.s.quit !== null || slot.view !== d.s.view) return false
  const key = slotKey(slot)
  const acknowledged = d.s.voteAcknowledged.get(key)
  if (acknowledged === undefined || conflictsWithCommitted(d, slot.hash)) return false
  if (certificate === null && d.rules.commitNeedsCertificate) return false
  if (certificate !== null && isStrong(d, certificate)) return true
  const record = viewRecord(d.s, slot.view)
  return (
    d.s.waited.has(key) &&
    d.s.restartView !== slot.view &&
    (record.equivocation === null || !d.rules.equivocationEndsWaits) &&
    record.blameCertificate === null &&
    acknowledged.size >= d.s.era.q
  )
}

/** §7: whether this member adds a late commit to the CC that it holds: no recorded vote in its view or later conflicts with it. */
export function mayCommitLate(d: Draft, certificate: Certificate): boolean {
  if (!takesPart(d) || d.s.highest === null || conflictsWithCommitted(d, certificate.hash)) return false
  for (const [view, vote] of d.s.myVotes) {
    if (view < certificate.view) continue
    const how = relation(d.s.blocks, vote.hash, certificate.hash)
    if (how === 'conflicts' || how === 'unknown') return false
  }
  return certificateFor(d.s, 'commit', certificate) !== null
}
