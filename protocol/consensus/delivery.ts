/**
 * Delivery (agreement.md §3): what a member signed in its current and its last view, and the reason for which it entered its view, is
 * kept and repeated to each receiver, more often than Δ/4, until that receiver has acknowledged it in its present run.
 * What a CC outranks is dropped once it has been repeated for Δ, and whoever has not acknowledged it by then gets the CC in its place.
 */
import { leaderOf } from '../members.ts'
import { type Draft, filtered, slotKey, withEntry, withoutEntry } from './draft.ts'
import type { Delivery, State } from './state.ts'
import type { Kept, MemberIndex } from './types.ts'

/** Ticks of the repeat timer in more than Δ. */
const TICKS_PER_DELTA = 10
/** Sent never: due at once. */
const NEVER = -2

/** Name of a kept message: what it is acknowledged by. */
export function keyOf(message: Kept): string {
  switch (message.kind) {
    case 'vote':
    case 'commit':
      return `${message.kind}/${slotKey(message.slot)}`
    case 'cc':
      return `cc/${slotKey(message.certificate)}`
    case 'bc':
      return `bc/${message.certificate.view}`
    case 'blame':
    case 'status':
      return `${message.kind}/${message.view}`
  }
}

/** How often the repeat timer ticks: a message leaves again after one to two ticks, which is less than Δ/4. */
export const repeatIntervalMs = (s: Pick<State, 'era'>): number => Math.max(1, Math.floor(s.era.deltaMs / 9))

const viewOf = (message: Kept): number =>
  message.kind === 'vote' || message.kind === 'commit'
    ? message.slot.view
    : message.kind === 'cc' || message.kind === 'bc'
      ? message.certificate.view
      : message.view

const isFor = (s: Pick<State, 'era'>, message: Kept, to: MemberIndex): boolean =>
  message.kind !== 'status' || to === leaderOf(message.view, s.era.n)

/** A restarting member repeats nothing (§6). */
export const maySend = (s: Pick<State, 'phase'>): boolean =>
  s.phase === 'running' || s.phase === 'forked' || s.phase === 'ended'

/** Whether the link to `member` is open. */
export const isConnected = (s: Pick<State, 'links'>, member: MemberIndex): boolean =>
  s.links.get(member)?.connected === true
/** The members that this one reaches, itself included. */
export function reach(s: Pick<State, 'links'>): number {
  let reached = 1
  for (const { connected } of s.links.values()) if (connected) reached += 1
  return reached
}

/** Sends `message` to those it is for (`to`: only these), and keeps it until each has acknowledged it. */
export function keepAndSend(d: Draft, message: Kept, to?: readonly MemberIndex[]): void {
  const { era } = d.s
  if (era.me < 0) return
  const key = keyOf(message)
  const waiting = new Map(to === undefined ? undefined : d.s.kept.get(key)?.waiting)
  for (const member of to ?? Array.from({ length: era.n }, (_, i) => i)) {
    if (member === era.me || !isFor(d.s, message, member)) continue
    const connected = isConnected(d.s, member) && maySend(d.s)
    if (connected) d.effects.push({ type: 'send', to: member, key, message })
    waiting.set(member, connected ? d.s.tick : NEVER)
  }
  d.s.kept = withEntry(d.s.kept, key, { message, sinceTick: d.s.tick, waiting })
}

/** By the rules, null: everything is repeated. A mutant of agreement.md §9 repeats its latest vote only. */
const onlyRepeated = (d: Draft): string | undefined | null =>
  d.rules.repeatEverything ? null : [...d.s.kept.keys()].findLast((key) => key.startsWith('vote/'))

/** A receiver's link opened. A new run of it has forgotten everything, so everything is due again. */
export function connected(d: Draft, member: MemberIndex, run: string): void {
  const fresh = d.s.links.get(member)?.run !== run
  d.s.links = withEntry(d.s.links, member, { run, connected: true })
  const kept = new Map(d.s.kept)
  const only = onlyRepeated(d)
  for (const [key, item] of kept) {
    if (!isFor(d.s, item.message, member) || (!fresh && !item.waiting.has(member))) continue
    if (only !== null && key !== only) continue
    if (maySend(d.s)) d.effects.push({ type: 'send', to: member, key, message: item.message })
    kept.set(key, { ...item, waiting: withEntry(item.waiting, member, maySend(d.s) ? d.s.tick : NEVER) })
  }
  d.s.kept = kept
}

/** A receiver's link closed; what it has not acknowledged stays due. */
export function disconnected(d: Draft, member: MemberIndex): void {
  const link = d.s.links.get(member)
  if (link !== undefined) d.s.links = withEntry(d.s.links, member, { ...link, connected: false })
}

/** `member` has acknowledged `keys` in `run`; false if that is not its present run, of which earlier acknowledgements say nothing. */
export function acknowledged(d: Draft, member: MemberIndex, run: string, keys: readonly string[]): boolean {
  if (d.s.links.get(member)?.run !== run) return false
  let kept: Map<string, Delivery> | undefined
  for (const key of keys) {
    const item = (kept ?? d.s.kept).get(key)
    if (item === undefined || !item.waiting.has(member)) continue
    kept ??= new Map(d.s.kept)
    kept.set(key, { ...item, waiting: withoutEntry(item.waiting, member) })
  }
  if (kept !== undefined) d.s.kept = kept
  return true
}

/** Whether something that was kept waits for a member that could hear it: while nothing does, nothing is repeated. */
export function isRepeating(s: Pick<State, 'kept' | 'links'>): boolean {
  for (const { waiting } of s.kept.values())
    for (const member of waiting.keys()) if (isConnected(s, member)) return true
  return false
}

/** The repeat timer ticked: everything that left more than a tick ago leaves again. */
export function repeat(d: Draft): void {
  d.s.tick += 1
  d.effects.push({ type: 'startTimer', timer: { kind: 'repeat' }, afterMs: repeatIntervalMs(d.s) })
  if (!maySend(d.s)) return
  dropOutranked(d)
  const only = onlyRepeated(d)
  let kept: Map<string, Delivery> | undefined
  for (const [key, item] of d.s.kept) {
    if (only !== null && key !== only) continue
    let waiting: Map<MemberIndex, number> | undefined
    for (const [member, sentTick] of item.waiting) {
      if (sentTick > d.s.tick - 2 || !isConnected(d.s, member)) continue
      d.effects.push({ type: 'send', to: member, key, message: item.message })
      waiting ??= new Map(item.waiting)
      waiting.set(member, d.s.tick)
    }
    if (waiting === undefined) continue
    kept ??= new Map(d.s.kept)
    kept.set(key, { ...item, waiting })
  }
  if (kept !== undefined) d.s.kept = kept
}

/** What a CC outranks: votes and commits of its view below it, and those of lower CCs. */
function outranked(s: State, { message, sinceTick, waiting }: Delivery): boolean {
  const { highest } = s
  if (highest === null) return false
  if (message.kind === 'cc') return message.certificate.height < highest.height
  return (
    (message.kind === 'vote' || message.kind === 'commit') &&
    message.slot.view === highest.view &&
    message.slot.seq < highest.seq &&
    (waiting.size === 0 || sinceTick < s.tick - TICKS_PER_DELTA)
  )
}

/** Forgets what need not be repeated: views before the last one, and what a CC outranks. The reason for the view stays, and so does a fork. */
export function dropOutranked(d: Draft): void {
  const { s } = d
  const reason = s.reason.kind === 'start' ? null : s.reason.certificate
  const lagging = new Set<MemberIndex>()
  const left = filtered(s.kept, (_, item) => {
    const { message } = item
    if (message.kind === 'bc' || message.kind === 'cc') {
      const { certificate } = message
      if (certificate === reason || certificate === s.fork?.first || certificate === s.fork?.second) return true
    }
    if (viewOf(message) < s.previousView && message.kind !== 'cc') return false
    if (!outranked(s, item)) return true
    for (const member of item.waiting.keys()) lagging.add(member)
    return false
  })
  s.kept = left
  if (lagging.size > 0 && s.highest !== null)
    keepAndSend(d, { kind: 'cc', era: s.era.era, certificate: s.highest }, [...lagging])
}

/** Forgets votes, commits and statuses: after a restart only what is recorded is repeated, if it could be signed now (§6). */
export function dropSigned(d: Draft): void {
  d.s.kept = filtered(
    d.s.kept,
    (_, { message }) => message.kind !== 'vote' && message.kind !== 'commit' && message.kind !== 'status',
  )
}
