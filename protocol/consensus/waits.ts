/**
 * Waits (agreement.md §4.3): a wait means "I listened for so long", so that a message due when it ends is handled first: at its end an echo
 * goes out on each connection, and the wait is over when each has answered or Δ more has passed. What a wait's end allows is decided by the
 * stages below; here it is only noted. A wait whose subject has passed is recognised by its generation.
 */

import { isConnected, reach } from './delivery.ts'
import { type Draft, filtered, isLeader, slotKey, withEntry, withoutEntry } from './draft.ts'
import type { Timer } from './events.ts'
import type { Ballot, State } from './state.ts'
import type { Certificate, MemberIndex } from './types.ts'

/** Asks for a timer. */
export function startWait(d: Draft, timer: Timer, afterMs: number): void {
  d.effects.push({ type: 'startTimer', timer, afterMs })
}

/** More than 2Δ. */
const twoDeltaMs = (d: Draft): number => 2 * d.s.era.deltaMs + 1

/** §4.2: the wait of a weak certificate's commit. */
export function startCommitWait(d: Draft, key: string, ballot: Ballot): void {
  const { view, seq, hash } = ballot.slot
  d.s.ballots = withEntry(d.s.ballots, key, { ...ballot, wait: 'running' })
  startWait(d, { kind: 'commit', view, seq, hash, generation: d.s.generation }, twoDeltaMs(d))
}

/** §5.1: the quit wait, counted from when the BC was relayed. */
export function startQuitWait(d: Draft): void {
  d.s.generation += 1
  d.s.quitWait = 'running'
  startWait(d, { kind: 'quit', generation: d.s.generation }, d.rules.quitWaitMs(d.s.era))
}

/** §5.3: a leader that entered through a BC listens for more than 2Δ. */
export function startLeaderWait(d: Draft): void {
  const { s } = d
  if (!isLeader(s) || s.leaderWaited || s.reason.kind !== 'blamed') return
  startWait(d, { kind: 'leader', generation: s.generation }, twoDeltaMs(d))
}

/** §4.4: k, by which the progress timeout is doubled, for the view and the highest CC of `s`. */
export const doublings = (s: Pick<State, 'era' | 'view'>, highest: Certificate | null): number =>
  Math.min(Math.max(0, s.view - 1 - (highest?.view ?? -1)), s.era.timeoutDoublingsMax)

/** §4.4: how long no block of the view may become committed. */
export function startProgress(d: Draft): void {
  d.s.progressGeneration += 1
  d.s.blameDue = false
  hastenProgress(d)
}

/**
 * §4.4: the highest CC has come closer, so k is smaller and the timeout that runs too long. Another runs beside it, and whichever ends first
 * counts: counted from now, it is never shorter than the text's, which counts from entry.
 */
export function hastenProgress(d: Draft): void {
  const { s } = d
  const { heartbeatMs, deltaMs, bodyAllowanceMs } = s.era
  startWait(
    d,
    { kind: 'progress', generation: s.progressGeneration },
    (heartbeatMs + 8 * deltaMs + bodyAllowanceMs) * 2 ** doublings(s, s.highest),
  )
}

/** §6: the silence after a restart, counted from when a quorum is reached. */
export function startRestartWait(d: Draft): void {
  d.s.restartGeneration += 1
  d.s.restartWaited = false
  if (reach(d.s) >= d.s.era.q) startWait(d, { kind: 'restart', generation: d.s.restartGeneration }, twoDeltaMs(d))
}

/** §4.3: commit waits that run start over. */
export function startCommitWaitsAnew(d: Draft): void {
  d.s.generation += 1
  d.s.ballots = new Map([...d.s.ballots].map(([key, ballot]) => [key, { ...ballot, wait: 'none' as const }]))
}

function isStale(d: Draft, timer: Timer): boolean {
  const { s } = d
  if (s.phase === 'ended' || s.phase === 'forked') return true
  switch (timer.kind) {
    case 'repeat':
    case 'echo':
      return false
    case 'progress':
      return timer.generation !== s.progressGeneration
    case 'restart':
      return timer.generation !== s.restartGeneration
    case 'drain':
    case 'settle':
      return timer.generation !== s.settleGeneration
    case 'commit':
      return timer.generation !== s.generation || timer.view !== s.view || s.quit !== null
    case 'quit':
    case 'leader':
      return timer.generation !== s.generation
  }
}

/** A timer of a wait fired: the echo goes out. */
export function expire(d: Draft, timer: Timer): void {
  if (isStale(d, timer)) return
  const missing = new Set<MemberIndex>()
  for (const member of d.s.links.keys()) if (isConnected(d.s, member)) missing.add(member)
  if (missing.size === 0) return end(d, timer)
  const nonce = ++d.s.nonce
  d.s.echoes = withEntry(d.s.echoes, nonce, { timer, missing })
  d.effects.push({ type: 'echo', to: [...missing], nonce })
  startWait(d, { kind: 'echo', nonce }, d.s.era.deltaMs)
}

/** A member has answered an echo. */
export function echoed(d: Draft, from: MemberIndex, nonce: number): void {
  const echo = d.s.echoes.get(nonce)
  if (echo === undefined || !echo.missing.has(from)) return
  const missing = new Set(echo.missing)
  missing.delete(from)
  d.s.echoes = withEntry(d.s.echoes, nonce, { ...echo, missing })
  if (missing.size === 0) endEcho(d, nonce)
}

/** Everyone has answered the echo, or Δ has passed. */
export function endEcho(d: Draft, nonce: number): void {
  const echo = d.s.echoes.get(nonce)
  if (echo === undefined) return
  d.s.echoes = withoutEntry(d.s.echoes, nonce)
  if (!isStale(d, echo.timer)) end(d, echo.timer)
}

/** Echoes of waits that have been started over are answered to nobody. */
export function dropStaleEchoes(d: Draft): void {
  d.s.echoes = filtered(d.s.echoes, (_, { timer }) => !isStale(d, timer))
}

function end(d: Draft, timer: Timer): void {
  const { s } = d
  switch (timer.kind) {
    case 'repeat':
    case 'echo':
      return
    case 'commit': {
      const key = slotKey(timer)
      const ballot = s.ballots.get(key)
      if (ballot !== undefined) s.ballots = withEntry(s.ballots, key, { ...ballot, wait: 'passed' })
      return
    }
    case 'quit':
      s.quitWait = 'passed'
      return
    case 'leader':
      s.leaderWaited = true
      return
    case 'progress':
      s.blameDue = true
      return
    case 'restart':
      s.restartWaited = true
      return
    case 'drain':
      return startWait(d, { kind: 'settle', generation: timer.generation }, s.era.deltaMs)
    case 'settle':
      s.settling = false
  }
}
