/**
 * Restart, stall and recovery (agreement.md §§4.3, 6): a member that restarts asks all others and is silent for more than 2Δ; so is one that
 * did not run for longer than Δ, or no longer reaches a quorum. A shorter stall of more than Δ/4 lets it neither vote nor commit until what had
 * arrived is handled and Δ more has passed.
 */
import { connected, disconnected, dropSigned, maySend, reach, repeatIntervalMs } from './delivery.ts'
import { enqueue } from './disk.ts'
import { type Draft, viewRecord, withEntry } from './draft.ts'
import type { Event } from './events.ts'
import { lockOnEntering } from './lock.ts'
import type { Answer, Ask, MemberIndex, Message } from './types.ts'
import { enter } from './views.ts'
import {
  dropStaleEchoes,
  expire,
  startCommitWaitsAnew,
  startLeaderWait,
  startProgress,
  startQuitWait,
  startRestartWait,
  startWait,
} from './waits.ts'

/** Ticks of the repeat timer (of about Δ/9) after which a question that has no answer is asked again: 2Δ, as long as the silence is. */
const ASK_AGAIN_TICKS = 18

/** The first event of a run. */
export function begin(d: Draft): void {
  const { s } = d
  startWait(d, { kind: 'repeat' }, repeatIntervalMs(s))
  if (s.highest !== null) d.effects.push({ type: 'commit', certificate: s.highest })
  if (s.phase === 'starting') {
    s.phase = 'running'
    startProgress(d)
  }
  if (s.phase === 'restarting' || s.phase === 'recovering') startRestartWait(d)
}

/** A link opened. */
export function linkOpened(d: Draft, { member, run }: Event & { type: 'connected' }): void {
  const before = reach(d.s)
  connected(d, member, run)
  if (d.s.phase !== 'restarting' && d.s.phase !== 'recovering') return
  ask(d, member)
  if (before < d.s.era.q && reach(d.s) >= d.s.era.q) startRestartWait(d)
}

/** A link closed. A member that no longer reaches a quorum is as good as stopped (§4.3). */
export function linkClosed(d: Draft, member: MemberIndex): void {
  const before = reach(d.s)
  disconnected(d, member)
  if (before >= d.s.era.q && reach(d.s) < d.s.era.q) restartInPlace(d)
}

/** §4.3: this member did not run for `stalledMs`. */
export function stalled(d: Draft, stalledMs: number): void {
  const { s } = d
  if (!d.rules.settleAfterStall || stalledMs <= s.era.deltaMs / 4) return
  if (s.phase !== 'running' || stalledMs > s.era.deltaMs || reach(s) < s.era.q) return restartInPlace(d)
  s.settling = true
  s.settleGeneration += 1
  startCommitWaitsAnew(d)
  if (s.quitWait === 'running') startQuitWait(d)
  else startLeaderWait(d)
  dropStaleEchoes(d)
  expire(d, { kind: 'drain', generation: s.settleGeneration })
}

/** §4.3: as after a restart, with what is remembered. */
function restartInPlace(d: Draft): void {
  const { s } = d
  if (s.phase !== 'running' && s.phase !== 'restarting' && s.phase !== 'recovering') return
  if (s.phase === 'running') {
    s.phase = 'restarting'
    s.restartView = s.view
    s.repeatVote = true
    s.repeatCommit = true
  }
  s.settling = false
  s.settleGeneration += 1
  s.generation += 1
  s.progressGeneration += 1
  s.blameDue = false
  if (s.quitWait !== 'none') s.quitWait = 'none'
  s.ballots = new Map()
  dropSigned(d)
  s.answers = new Map()
  s.askNonce += 1
  startRestartWait(d)
  dropStaleEchoes(d)
  for (const [member, link] of s.links) if (link.connected) ask(d, member)
}

/** The repeat timer ticked: a question, or its answer, may have been lost on a link that is up. */
export function askAgain(d: Draft): void {
  const { s } = d
  if ((s.phase !== 'restarting' && s.phase !== 'recovering') || s.tick % ASK_AGAIN_TICKS !== 0) return
  for (const [member, link] of s.links) if (link.connected && !s.answers.has(member)) ask(d, member)
}

function ask(d: Draft, to: MemberIndex): void {
  const message: Ask = { kind: 'ask', era: d.s.era.era, nonce: d.s.askNonce }
  d.effects.push({ type: 'send', to, key: 'ask', message })
}

/**
 * §6: reason for the view, the lock that would be fixed now, what was signed in that view, an equivocation, the highest CC. One that has lost its
 * own record has nothing to answer with that another one could rest on.
 */
export function answer(d: Draft, to: MemberIndex, nonce: number): void {
  const { s } = d
  if (s.phase === 'recovering') return
  const signed: Answer['signed'][number][] = []
  for (const { message } of s.kept.values())
    if ((message.kind === 'vote' || message.kind === 'commit') && message.slot.view === s.view) signed.push(message)
  const message: Message = {
    kind: 'answer',
    era: s.era.era,
    nonce,
    view: s.view,
    reason: s.reason,
    tip: s.lockNow.tipCertificate,
    strong: s.lockNow.strongCertificate,
    signed,
    equivocation: viewRecord(s, s.view).equivocation,
    highest: s.highest,
  }
  d.effects.push({ type: 'send', to, key: 'answer', message })
}

/** An answer counts if it is to the present question. */
export function answered(d: Draft, from: MemberIndex, message: Answer): void {
  if (!maySend(d.s) && message.nonce === d.s.askNonce) d.s.answers = withEntry(d.s.answers, from, message)
}

/** §6: the silence is over. After `recover`, f+1 answers are needed too, and nothing is signed up to the highest view shown. */
export function endRestart(d: Draft): void {
  const { s } = d
  if ((s.phase !== 'restarting' && s.phase !== 'recovering') || !s.restartWaited || reach(s) < s.era.q) return
  if (s.phase === 'recovering') {
    // A member alone has nobody to ask; nothing that it signed went anywhere but into its ledger.
    if (s.answers.size < Math.min(s.era.f + 1, s.era.n - 1)) return
    const shown = [...s.answers.values()]
    const known = [s.highest?.view ?? 0, (s.closing?.view ?? -1) + 1, (s.quit?.view ?? -1) + 1]
    const views = [s.view, ...known, ...shown.map(({ view }) => view)]
    s.barredView = Math.max(...views)
    s.votesFrom = s.barredView + 1
    s.phase = 'running'
    const highest = shown.reduce<Answer | null>((a, b) => (a === null || b.view > a.view ? b : a), null)
    if (highest !== null && highest.view > s.view) {
      const { quit } = s
      enter(d, highest.view, highest.reason, lockOnEntering(d, highest.view).lock)
      if (quit !== null && quit.view >= s.view) d.foundBlame = quit
    }
  }
  s.phase = 'running'
  startProgress(d)
  startLeaderWait(d)
  if (s.quit !== null) enqueue(d, { kind: 'relay', certificate: s.quit })
  enqueue(d, { kind: 'enter', view: s.view })
}
