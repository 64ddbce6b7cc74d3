/**
 * Voting and committing (agreement.md §§4.1, 4.2, 7): what the conditions now allow is decided here, recorded, and leaves in release.ts.
 */
import { mayCommit, mayCommitLate, mayRepeatCommit, mayVote, takesPart } from './conditions.ts'
import { enqueue, isUnderWay } from './disk.ts'
import { anyCertificateFor, candidateOf, type Draft, slotKey, slotOf, viewRecord, withEntry } from './draft.ts'
import { isStrong } from './lock.ts'
import { castCommit, castVote } from './release.ts'
import type { Slot } from './types.ts'
import { startCommitWait } from './waits.ts'

/** §4.1. The vote binds from here on, sent or not. */
export function vote(d: Draft): void {
  const { s } = d
  if (!takesPart(d) || s.settling || s.quit !== null) return
  repeatVote(d)
  const { places } = viewRecord(s, s.view)
  let last = s.votes.get(s.view)?.seq ?? -1
  const above = [...places.keys()].filter((seq) => seq > last).sort((a, b) => a - b)
  for (const seq of above)
    for (const candidate of places.get(seq) ?? []) {
      if (seq <= last || !mayVote(d, candidate, false)) continue
      last = seq
      s.repeatVote = false
      const { slot, leaderSignature } = candidate
      s.votes = withEntry(s.votes, s.view, { ...slot, leaderSignature })
      enqueue(d, { kind: 'vote', slot, leaderSignature })
    }
}

/** §6: after a restart a recorded vote is repeated if it could be signed now. */
function repeatVote(d: Draft): void {
  const { s } = d
  const recorded = s.votes.get(s.view)
  if (!s.repeatVote || recorded === undefined) return
  if (d.rules.resendUnchecked) {
    s.repeatVote = false
    return castVote(d, slotOf(recorded), recorded.leaderSignature)
  }
  const candidate = candidateOf(s, recorded)
  if (candidate === undefined || !mayVote(d, candidate, true)) return
  s.repeatVote = false
  enqueue(d, { kind: 'vote', slot: slotOf(recorded), leaderSignature: recorded.leaderSignature })
}

/** §4.2: at once on a strong certificate, else after the wait. */
export function commit(d: Draft): void {
  const { s } = d
  if (!takesPart(d) || s.settling || s.quit !== null) return
  repeatCommit(d)
  for (const [key, ballot] of s.ballots) {
    if (ballot.committed) continue
    const certificate = anyCertificateFor(s, ballot.slot)
    if (certificate === null && d.rules.commitNeedsCertificate) continue
    if (mayCommit(d, ballot, certificate)) {
      s.ballots = withEntry(s.ballots, key, { ...ballot, committed: true })
      s.commit = ballot.slot
      enqueue(d, { kind: 'commit', slot: ballot.slot, late: false })
    } else if (ballot.wait === 'none' && (certificate === null || !isStrong(d, certificate)))
      startCommitWait(d, key, ballot)
  }
}

/** §6: after a restart a recorded commit is repeated if it could be signed now. */
function repeatCommit(d: Draft): void {
  const { s } = d
  if (!s.repeatCommit || s.commit === null) return
  if (!mayRepeatCommit(d, s.commit, anyCertificateFor(s, s.commit))) return
  s.repeatCommit = false
  enqueue(d, { kind: 'commit', slot: s.commit, late: false })
}

/** §7: a late commit raises a block's assurance. Once the era has ended nothing is written any more: the last record names it already. */
export function commitLate(d: Draft): void {
  const { s } = d
  if (s.late === null || s.phase === 'restarting' || s.phase === 'recovering' || s.settling) return
  const slot = slotOfCommitted(d, s.late)
  if (slot === null || !mayCommitLate(d, slot)) {
    s.late = null
    return
  }
  if (s.phase === 'ended') {
    if (s.durable?.highest?.hash !== slot.hash) return
    s.late = null
    if (s.durable.commit !== null && slotKey(s.durable.commit) === slotKey(slot)) castCommit(d, slot)
    return
  }
  s.late = null
  if (isUnderWay(s, 'commit') && s.commit !== null && slotKey(s.commit) === slotKey(slot)) return
  enqueue(d, { kind: 'commit', slot, late: true })
}

/** The slot of a block with a CC to which this member has not added its commit. */
export function slotOfCommitted(d: Draft, hash: string): Slot | null {
  const { s } = d
  if (s.highest?.hash === hash) return needsOwn(d, s.highest)
  for (const { places } of s.views.values())
    for (const candidates of places.values())
      for (const { slot, commitCertificate } of candidates)
        if (slot.hash === hash && commitCertificate !== null) return needsOwn(d, slot)
  return null
}

const needsOwn = (d: Draft, slot: Slot): Slot | null =>
  candidateOf(d.s, slot)?.commits.has(d.s.era.me) === false ? slotOf(slot) : null
