/**
 * Why the chain stands still, in words: how many votes short, who is missing and why, what to do. A function of what is known here.
 */
import type { Candidate, State } from '../../protocol/consensus/state.ts'
import { leaderOf } from '../../protocol/members.ts'
import type { RosterEntry } from './roster.ts'

/** A chain that has stood still for longer than it should. */
export type Standstill = {
  readonly forMs: number
  /** Votes for the block that is nearest to being certified, or commits once it is, and how many it takes. */
  readonly votes: number
  readonly needed: number
  /** Names of the members whose votes are missing; of those who are away, while too few are here. */
  readonly missing: readonly string[]
  readonly sentence: string
  readonly advice: string
}

/** What the sentence is made of. Times in ms. */
export type StandstillFacts = {
  readonly state: Pick<State, 'era' | 'view' | 'views' | 'quit' | 'phase' | 'highest'>
  readonly roster: readonly RosterEntry[]
  /** Height of the last block that is committed here. */
  readonly height: number
  /** Time since the last commit here, or since the start. */
  readonly sinceMs: number
  readonly nowMs: number
  /** Slowest small message that was measured lately, ms one way. */
  readonly slowestMs: number | null
}

/** How long a chain may rest before it counts as standing still: two heartbeats and the time of one change of view. */
export const restMs = ({ heartbeatMs, deltaMs, bodyAllowanceMs }: State['era']): number =>
  2 * heartbeatMs + 8 * deltaMs + bodyAllowanceMs

/** The standstill, or null while the chain moves. */
export function standstillOf(facts: StandstillFacts): Standstill | null {
  const { state, roster, height, sinceMs, nowMs } = facts
  const { era } = state
  if (sinceMs <= restMs(era)) return null
  const candidate = nearest(state)
  // Once it is certified, it is the commits that are missing.
  const isCertified = candidate?.certificate != null
  const signed = new Set((isCertified ? candidate.commits : candidate?.votes)?.keys() ?? [])
  const missing = roster.filter((_, member) => !signed.has(member))
  const present = roster.filter(({ linked }) => linked).length
  const leader = roster[leaderOf(state.view, era.n)]
  // While too few are here, whoever is away is missed, even one whose signature for the block at hand came before it left: nothing goes on without
  // them. And where nothing was proposed, those who had nothing to vote for are not the ones that are missed.
  const awaited = candidate === undefined && leader !== undefined && !leader.isThisMember ? [leader] : missing
  const named = present < era.q ? roster.filter(({ linked }) => !linked) : awaited
  const why = named.map((entry) => `${entry.name} (${whereabouts(entry, height, nowMs)})`)
  const counted = isCertified ? 'commits' : 'votes'
  const what = state.quit === null ? counted : `${counted} (changing to view ${state.quit.view + 1})`
  return {
    forMs: Math.round(sinceMs),
    votes: signed.size,
    needed: era.q,
    missing: named.map(({ name }) => name),
    sentence: `height ${height} for ${span(sinceMs)}: ${signed.size} of ${era.q} ${what}; missing ${why.join(', ') || 'nobody'}`,
    advice: adviceOf(facts, present),
  }
}

/** The block above the committed ones that has most votes in this view. */
function nearest({ views, view, highest }: StandstillFacts['state']): Candidate | undefined {
  let best: Candidate | undefined
  for (const candidates of views.get(view)?.places.values() ?? [])
    for (const candidate of candidates)
      if (candidate.slot.height > (highest?.height ?? 0) && candidate.votes.size > (best?.votes.size ?? 0))
        best = candidate
  return best
}

function whereabouts({ isThisMember, linked, downSince, height }: RosterEntry, own: number, nowMs: number): string {
  if (isThisMember) return 'this member, waiting'
  if (!linked) return `offline ${span(nowMs - (downSince ?? nowMs))}`
  if (height !== null && height < own) return `${own - height} ${own - height === 1 ? 'block' : 'blocks'} behind`
  return 'linked, silent'
}

function adviceOf({ state, slowestMs, roster }: StandstillFacts, present: number): string {
  const { era, phase } = state
  if (phase === 'forked') return 'Two conflicting blocks are committed: stop, and compare with the other members.'
  const short = era.q - present
  if (short > 0)
    return `${short} of the missing ${short === 1 ? 'members has' : 'members have'} to come back: ${era.q} of ${roster.length} decide.`
  if (phase === 'restarting' || phase === 'recovering')
    return 'This member listens before it signs again; that takes moments.'
  if (slowestMs !== null && slowestMs > era.deltaMs)
    return `Messages take ${Math.round(slowestMs)} ms, Δ is ${era.deltaMs} ms: look at the network, or raise Δ.`
  return 'Enough members are here; a change of view is under way. If this lasts, look at the logs of the silent ones.'
}

/** A span of time as people say it. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 72 ? `${hours} h` : `${Math.round(hours / 24)} d`
}
