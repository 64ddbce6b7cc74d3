/**
 * Delivery (agreement.md §3): what a member signed in its current and its last view, and the reason for which it entered its view, is
 * kept per receiver and repeated, more often than Δ/4, until that receiver has acknowledged it in its present run.
 * What a CC outranks is dropped, and whoever had not acknowledged it gets the CC in its place.
 */
import { type Draft, filtered, withEntry } from './draft.ts'
import type { Kept, MemberIndex, Outbox, State } from './types.ts'

const EMPTY_OUTBOX: Outbox = { run: null, connected: false, pending: new Map() }

/** Name of a kept message: what it is acknowledged by. */
export function keyOf(message: Kept): string {
  switch (message.kind) {
    case 'vote':
    case 'commit':
      return `${message.kind}/${message.slot.view}/${message.slot.seq}/${message.slot.hash}`
    case 'cc':
      return `cc/${message.certificate.view}/${message.certificate.seq}/${message.certificate.hash}`
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

const leaderOfView = (s: Pick<State, 'era'>, view: number): MemberIndex => view % s.era.n
const isFor = (s: Pick<State, 'era'>, message: Kept, to: MemberIndex): boolean =>
  message.kind !== 'status' || to === leaderOfView(s, message.view)

/** The outbox of `member`. */
export const outboxOf = (s: Pick<State, 'outboxes'>, member: MemberIndex): Outbox =>
  s.outboxes.get(member) ?? EMPTY_OUTBOX

function post(d: Draft, to: MemberIndex, key: string, message: Kept): void {
  const outbox = outboxOf(d.s, to)
  if (outbox.connected) d.effects.push({ type: 'send', to, key, message })
  const pending = withEntry(outbox.pending, key, { message, sentTick: outbox.connected ? d.s.tick : -2 })
  d.s.outboxes = withEntry(d.s.outboxes, to, { ...outbox, pending })
}

/** Sends `message` to everyone it is for, and keeps it until each has acknowledged it. */
export function keepAndSend(d: Draft, message: Kept): void {
  const key = keyOf(message)
  d.s.kept = withEntry(d.s.kept, key, message)
  for (let to = 0; to < d.s.era.n; to++) if (to !== d.s.era.me && isFor(d.s, message, to)) post(d, to, key, message)
}

/** A receiver's link opened; a new run of it has forgotten everything, so everything is due again. */
export function connected(d: Draft, member: MemberIndex, run: string): void {
  const outbox = outboxOf(d.s, member)
  const due =
    outbox.run === run ? [...outbox.pending].map(([key, { message }]) => [key, message] as const) : [...d.s.kept]
  const pending = new Map<string, { message: Kept; sentTick: number }>()
  for (const [key, message] of due) {
    if (!isFor(d.s, message, member)) continue
    const send = maySend(d.s)
    if (send) d.effects.push({ type: 'send', to: member, key, message })
    pending.set(key, { message, sentTick: send ? d.s.tick : -2 })
  }
  d.s.outboxes = withEntry(d.s.outboxes, member, { run, connected: true, pending })
}

/** A restarting member repeats nothing (§6). */
export const maySend = (s: Pick<State, 'phase'>): boolean => s.phase !== 'restarting' && s.phase !== 'recovering'

/** A receiver's link closed; what it has not acknowledged stays due. */
export function disconnected(d: Draft, member: MemberIndex): void {
  d.s.outboxes = withEntry(d.s.outboxes, member, { ...outboxOf(d.s, member), connected: false })
}

/** `member` has acknowledged `keys` in `run`; acknowledgements of an earlier run say nothing. */
export function acknowledged(d: Draft, member: MemberIndex, run: string, keys: readonly string[]): void {
  const outbox = outboxOf(d.s, member)
  if (outbox.run !== run) return
  const known = new Set(keys)
  d.s.outboxes = withEntry(d.s.outboxes, member, {
    ...outbox,
    pending: filtered(outbox.pending, (key) => !known.has(key)),
  })
}

/** The repeat timer ticked: everything that left more than a tick ago leaves again. */
export function repeat(d: Draft): void {
  d.s.tick += 1
  d.effects.push({ type: 'startTimer', timer: { kind: 'repeat' }, afterMs: repeatIntervalMs(d.s) })
  if (!maySend(d.s)) return
  for (const [to, outbox] of d.s.outboxes) {
    if (!outbox.connected || outbox.pending.size === 0) continue
    let pending: Map<string, { message: Kept; sentTick: number }> | undefined
    const latestVote = d.rules.repeatEverything
      ? undefined
      : [...outbox.pending.keys()].findLast((key) => key.startsWith('vote/'))
    for (const [key, item] of outbox.pending) {
      if (item.sentTick > d.s.tick - 2) continue
      if (!d.rules.repeatEverything && key !== latestVote) continue
      d.effects.push({ type: 'send', to, key, message: item.message })
      pending ??= new Map(outbox.pending)
      pending.set(key, { message: item.message, sentTick: d.s.tick })
    }
    if (pending !== undefined) d.s.outboxes = withEntry(d.s.outboxes, to, { ...outbox, pending })
  }
}

/**
 * Forgets what need not be repeated: views before the last one, and in the view of the highest CC all votes and commits below it.
 * A receiver that had not acknowledged one of those gets the CC, which outranks them all.
 */
export function dropOutranked(d: Draft): void {
  const highest = d.s.highest
  const reason = d.s.reason.kind === 'start' ? null : d.s.reason.certificate
  const drop = (message: Kept): boolean => {
    if (reason !== null && (message.kind === 'bc' || message.kind === 'cc') && message.certificate === reason)
      return false
    if (viewOf(message) < d.s.view - 1) return true
    return (
      highest !== null &&
      (message.kind === 'vote' || message.kind === 'commit') &&
      message.slot.view === highest.view &&
      message.slot.seq < highest.seq
    )
  }
  const dropped = new Set<string>()
  for (const [key, message] of d.s.kept) if (drop(message)) dropped.add(key)
  if (dropped.size === 0) return
  d.s.kept = filtered(d.s.kept, (key) => !dropped.has(key))
  for (const [to, outbox] of d.s.outboxes) {
    const left = filtered(outbox.pending, (key) => !dropped.has(key))
    if (left.size === outbox.pending.size) continue
    d.s.outboxes = withEntry(d.s.outboxes, to, { ...outbox, pending: left })
    if (highest !== null) {
      const message: Kept = { kind: 'cc', era: d.s.era.era, certificate: highest }
      post(d, to, keyOf(message), message)
    }
  }
}
