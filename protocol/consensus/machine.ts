/**
 * The consensus core as a function of its rules: `makeStep(rules)(state, event) → { state, effects }`, all of agreement.md §§3–6 for one era.
 * Invariants: an event is first remembered (reception.ts), then every rule that now holds is carried out, each arm naming its section.
 * Nothing leaves before the record that covers it is durable, and the conditions are asked again when it is. No clock, no randomness.
 */
import { announceEnd, checked, fork, placeCertificates, showEnd, showFork } from './committed.ts'
import { commit, commitLate, vote } from './decide.ts'
import { acknowledged, repeat } from './delivery.ts'
import { acknowledge, flush, owe, written } from './disk.ts'
import { type Draft, draftOf, withEntry, withItem } from './draft.ts'
import type { Effect, Event, Timer } from './events.ts'
import { lockOnEntering } from './lock.ts'
import { built, propose } from './propose.ts'
import {
  type Admission,
  learnAnswer,
  learnBlame,
  learnBlames,
  learnCertificate,
  learnCertificates,
  learnHeaders,
  learnProposal,
  learnShown,
  learnSignature,
  learnVote,
} from './reception.ts'
import { release } from './release.ts'
import { pursue } from './requests.ts'
import { answer, answered, askAgain, begin, endRestart, linkClosed, linkOpened, stalled } from './restart.ts'
import type { Rules } from './rules.ts'
import type { State } from './state.ts'
import type { Certificate, MemberIndex, Message } from './types.ts'
import { blame, changeViews } from './views.ts'
import { echoed, endEcho, expire } from './waits.ts'

/** The core: a state and an event → the state after it, and what is to be done. The state given is not changed. */
export type Step = (state: State, event: Event) => { state: State; effects: Effect[] }

/** A core that follows `rules`. Only the simulator makes others than that of `step.ts` (agreement.md §9). */
export function makeStep(rules: Rules): Step {
  return (state, event) => {
    const d = draftOf(state, rules)
    receive(d, event)
    advance(d)
    return { state: d.s, effects: d.effects }
  }
}

function receive(d: Draft, event: Event): void {
  const { s } = d
  switch (event.type) {
    case 'start':
      begin(d)
      if (s.phase === 'forked') showFork(d)
      if (s.phase !== 'ended') return
      showEnd(d)
      return announceEnd(d)
    case 'message':
      return receiveMessage(d, event.from, event.key, event.message)
    case 'acknowledged':
      if (acknowledged(d, event.from, event.run, event.keys)) countAcknowledgements(d, event.from, event.keys)
      return
    case 'echoed':
      return echoed(d, event.from, event.nonce)
    case 'connected':
      return linkOpened(d, event)
    case 'disconnected':
      return linkClosed(d, event.member)
    case 'elapsed':
      return elapsed(d, event.timer)
    case 'persisted':
      return persisted(d, event.ticket)
    case 'headers':
      return learnHeaders(d, event.blocks)
    case 'validated':
      s.validity = withEntry(s.validity, event.hash, event.valid ? 'valid' : 'invalid')
      return
    case 'checked':
      return checked(d, event.hash, event.committed)
    case 'built':
      return built(d, event.view, event.seq, event.block)
    case 'stalled':
      return stalled(d, event.stalledMs)
    case 'censored': // §4.4
      if (event.view === s.view) blame(d)
      return
    case 'applied':
      s.late = event.hash
      return
    case 'forked':
      return fork(d, event.fork)
  }
}

function elapsed(d: Draft, timer: Timer): void {
  if (timer.kind === 'repeat') {
    repeat(d)
    return askAgain(d)
  }
  if (timer.kind === 'echo') return endEcho(d, timer.nonce)
  expire(d, timer)
}

/** §4.2: who has acknowledged an own vote. */
function countAcknowledgements(d: Draft, from: MemberIndex, keys: readonly string[]): void {
  for (const key of keys) {
    if (!key.startsWith('vote/')) continue
    const name = key.slice('vote/'.length)
    const ballot = d.s.ballots.get(name)
    if (ballot === undefined || ballot.acknowledgedBy.has(from)) continue
    const acknowledgedBy = withItem(ballot.acknowledgedBy, from)
    d.s.ballots = withEntry(d.s.ballots, name, { ...ballot, acknowledgedBy })
  }
}

function receiveMessage(d: Draft, from: MemberIndex, key: string, message: Message): void {
  if (message.era !== d.s.era.era) return
  const oweFor = (certificates: readonly (Certificate | null)[]): void =>
    owe(d, { to: from, key, certificates: certificates.filter((one) => one !== null), blame: null })
  const settle = (admission: Admission): void => {
    if (admission !== 'refused') acknowledge(d, [{ to: from, key }])
  }
  switch (message.kind) {
    case 'proposal':
      return learnProposal(d, message)
    case 'vote':
      return settle(learnVote(d, message))
    case 'commit': {
      // Without the certificate it rests on, a commit is ignored (§3).
      if (message.certificate === null && d.rules.commitCarriesCertificate) return settle('outranked')
      learnCertificates(d, [message.certificate], from)
      const admission = learnSignature(d, 'commit', message.slot, message.from, message.signature)
      return admission === 'refused' ? undefined : oweFor([message.certificate])
    }
    case 'cc':
      learnCertificate(d, message.certificate, from)
      return oweFor([message.certificate])
    case 'blame':
      learnShown(d, message.equivocation, from)
      return settle(learnBlame(d, message.view, message.from, message.signature))
    case 'bc':
      learnBlames(d, message.certificate)
      return owe(d, { to: from, key, certificates: [], blame: message.certificate })
    case 'status':
      learnCertificates(d, [message.tip, message.strong], from)
      if ((d.s.statuses.get(from)?.view ?? -1) < message.view) d.s.statuses = withEntry(d.s.statuses, from, message)
      return oweFor([message.tip, message.strong])
    case 'ask':
      return answer(d, from, message.nonce)
    case 'answer':
      learnAnswer(d, message, from)
      return answered(d, from, message)
  }
}

function persisted(d: Draft, ticket: number): void {
  const wasEnding = d.s.phase === 'ended' && d.s.durable?.highest?.hash !== d.s.highest?.hash
  for (const action of written(d, ticket)) release(d, action)
  if (wasEnding && d.s.durable?.highest?.hash === d.s.highest?.hash) announceEnd(d)
}

function advance(d: Draft): void {
  const { s } = d
  if (s.phase === 'starting') return
  placeCertificates(d)
  if (s.phase !== 'forked' && s.phase !== 'ended') {
    refreshLock(d)
    endRestart(d)
    changeViews(d)
    refreshLock(d)
    propose(d)
    vote(d)
    commit(d)
  }
  commitLate(d)
  pursue(d)
  flush(d)
}

/** §5.2: the lock that would be fixed now. */
function refreshLock(d: Draft): void {
  if (!d.learnt) return
  d.learnt = false
  const { lock, unresolved } = lockOnEntering(d, Math.max(d.s.view, d.s.quit?.view ?? -1) + 1)
  d.s.lockNow = lock
  d.s.unresolved = unresolved
}
