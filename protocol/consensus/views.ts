/**
 * The change of view (agreement.md §§4.4, 5.1, 5.2): blame, quit, hand over, fix the lock, enter.
 */
import { keepAndSend, maySend } from './delivery.ts'
import { enqueue } from './disk.ts'
import { type Draft, filtered, viewRecord } from './draft.ts'
import { lockOnClosing, lockOnEntering } from './lock.ts'
import { learnBlame, lowestView } from './reception.ts'
import type { Candidate, ViewRecord } from './state.ts'
import type { Lock, Reason } from './types.ts'
import { startLeaderWait, startProgress } from './waits.ts'

/** Most views before the last one that are remembered, for the blocks that are certified there and not committed. */
const OLD_VIEWS_MAX = 128

/** Everything that §§4.4 and 5.1 now demand, until nothing more follows. */
export function changeViews(d: Draft): void {
  do {
    if (d.s.blameDue || viewRecord(d.s, d.s.view).equivocation !== null) blame(d)
    quit(d)
  } while (handover(d) || enterAfterWait(d))
}

/** §4.4: once per view; on an equivocation with the proof. A blame binds nobody, so that one barred by `recover` blames too (§6). */
export function blame(d: Draft): void {
  const { s } = d
  if (s.blamed || s.phase !== 'running' || s.era.me < 0 || s.quit !== null) return
  s.blamed = true
  const signature = s.signer.blame(s.era.era, s.view)
  const { equivocation } = viewRecord(s, s.view)
  learnBlame(d, s.view, s.era.me, signature)
  keepAndSend(d, { kind: 'blame', era: s.era.era, view: s.view, from: s.era.me, signature, equivocation })
}

/** §5.1: a BC of this view or a later one: relay it, stop, and wait, counted from the BC of the highest view so far. */
function quit(d: Draft): void {
  const { s, foundBlame: found } = d
  if (found === null || found.view < s.view || found.view <= (s.quit?.view ?? -1)) return
  if (s.quit === null || d.rules.laterBlameRestartsQuit) {
    s.generation += 1
    s.quitWait = 'none'
  }
  s.quit = found
  s.lockNow = lockOnEntering(d, found.view + 1).lock
  d.learnt = true
  enqueue(d, { kind: 'relay', certificate: found })
}

/** §5.1: a CC of a block that closes a view takes a member to the next one at once, also out of a quit wait. */
function handover(d: Draft): boolean {
  const { closing, view, quit: left } = d.s
  if (closing === null || !maySend(d.s)) return false
  d.s.closing = null
  if (closing.view < view || closing.view < (left?.view ?? -1)) return false
  keepAndSend(d, { kind: 'cc', era: d.s.era.era, certificate: closing })
  enter(d, closing.view + 1, { kind: 'closed', certificate: closing }, lockOnClosing(d, closing))
  return true
}

/** §5.1: after the quit wait, and once no header is missing that the lock depends on. */
function enterAfterWait(d: Draft): boolean {
  const { s } = d
  if (s.quit === null || s.quitWait !== 'passed' || !maySend(s)) return false
  const view = s.quit.view + 1
  const { lock, unresolved } = lockOnEntering(d, view)
  if (unresolved.length > 0) return false
  enter(d, view, { kind: 'blamed', certificate: s.quit }, lock)
  return true
}

/** §§5.1, 5.2: fixes the lock and enters `view`. */
export function enter(d: Draft, view: number, reason: Reason, lock: Lock): void {
  const { s } = d
  s.previousView = s.view
  s.view = view
  s.reason = reason
  s.quit = null
  s.quitWait = 'none'
  s.lock = lock
  s.lockNow = lock
  d.learnt = true
  s.proposal = null
  s.building = null
  s.built = null
  s.leaderWaited = false
  s.blamed = false
  s.ballots = new Map()
  s.repeatVote = false
  s.repeatCommit = false
  s.generation += 1
  startProgress(d)
  startLeaderWait(d)
  enqueue(d, { kind: 'enter', view })
  d.effects.push({ type: 'viewEntered', view, reason: reason.kind })
  forgetViews(d)
}

/** Forgets views that no rule asks for, and of those before this one, save the last, everything that is not certified. */
function forgetViews(d: Draft): void {
  const { s } = d
  const lowest = lowestView(s)
  const left: [number, ViewRecord][] = []
  let old = 0
  for (const [view, record] of [...s.views].sort(([a], [b]) => b - a)) {
    if (view >= s.view || view === s.previousView) left.push([view, record])
    else if (view >= lowest && old < OLD_VIEWS_MAX) {
      const certified = certifiedOnly(record)
      if (certified.places.size === 0) continue
      old += 1
      left.push([view, certified])
    }
  }
  s.views = new Map(left)
  s.later = new Map([...s.later].map(([member, views]) => [member, views.filter((later) => later > s.view)]))
  s.statuses = filtered(s.statuses, (_, status) => status.view >= s.view)
}

function certifiedOnly(record: ViewRecord): ViewRecord {
  const places = new Map<number, readonly Candidate[]>()
  for (const [seq, candidates] of record.places) {
    const certified = candidates.filter((one) => one.certificate !== null || one.commitCertificate !== null)
    if (certified.length > 0) places.set(seq, certified)
  }
  return { ...record, places, blames: new Map() }
}
