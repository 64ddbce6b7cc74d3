/**
 * The disk (agreement.md §6): what is recorded, when a write is due, and which acknowledgements it sets free.
 * Invariants: one write at a time, and it covers everything decided since the last; a certificate is acknowledged only when it stands in
 * the durable record or is outranked there.
 */
import { committedTip, type Draft, filtered, headersDown, mayConflict, relation, sameSlot, withEntry } from './draft.ts'
import type { Action, Owed, State } from './state.ts'
import type { BlameCertificate, Block, Certificate, Lock, MemberIndex, SigningRecord } from './types.ts'

/** Most votes of different views that are recorded; those of lower views are forgotten and bar late commits there (`votesFrom`). */
const VOTES_MAX = 64
/** Most certificates recorded that wait for headers; further ones are not acknowledged. */
const UNRESOLVED_MAX = 4
/** Most headers recorded; those that lack are fetched after a restart. */
const BLOCKS_MAX = 64

/** Decides something: it is carried out once the record that covers it is durable. One that only follows decides nothing. */
export function enqueue(d: Draft, action: Action): void {
  if (d.s.era.me >= 0) d.s.queued = [...d.s.queued, action]
}
/** Whether an action of this kind is under way. */
export const isUnderWay = (s: State, kind: Action['kind']): boolean =>
  s.queued.some((action) => action.kind === kind) ||
  (s.writing?.actions.some((action) => action.kind === kind) ?? false)

/** Remembers to acknowledge `key` to `to`, at once if the durable record covers what the message carries. */
export function owe(d: Draft, owed: Owed): void {
  if (d.s.era.me < 0 || covers(d.s, d.s.durable, owed)) return acknowledge(d, [owed])
  d.s.owed = withEntry(d.s.owed, `${owed.to}/${owed.key}`, owed)
}

/** Acknowledges to each receiver. */
export function acknowledge(d: Draft, owed: Iterable<Pick<Owed, 'to' | 'key'>>): void {
  const byMember = new Map<MemberIndex, string[]>()
  for (const { to, key } of owed) byMember.set(to, [...(byMember.get(to) ?? []), key])
  for (const [to, keys] of byMember) d.effects.push({ type: 'acknowledge', to, keys })
}

function covers(s: State, record: SigningRecord | null, { certificates, blame }: Owed): boolean {
  if (record === null) return certificates.length === 0 && blame === null
  // The CC that ends the era, and a fork, outrank everything.
  if (s.phase === 'ended') return record.highest?.hash === s.highest?.hash
  if (s.phase === 'forked') return record.fork !== null
  return (
    (blame === null || coversBlame(record, blame)) &&
    certificates.every((certificate) => coversCertificate(s, record, certificate))
  )
}

const coversBlame = ({ view, quit }: SigningRecord, blame: BlameCertificate): boolean =>
  view > blame.view || (quit?.view ?? -1) >= blame.view

/** Whether the lock that the record would fix holds the certificate, or one that no lock would rank below it. */
function coversCertificate(s: State, record: SigningRecord, certificate: Certificate): boolean {
  const { lockNow, highest, unresolved } = record
  if (certificate.kind === 'commit') {
    const isKnown = highest !== null && certificate.height <= highest.height
    if (!isKnown || mayConflict(s.blocks, certificate, highest)) return false
  }
  if (certificate.view !== lockNow.view) return certificate.view < lockNow.view
  const isStrong = certificate.kind === 'commit' || certificate.signatures.size >= s.era.s
  if (certificate.seq <= lockNow.strongSeq) return true
  if (isStrong) return false
  if (certificate.seq <= lockNow.tipSeq || unresolved.some((one) => sameSlot(one, certificate))) return true
  return (
    lockNow.strongCertificate !== null && relation(s.blocks, certificate, lockNow.strongCertificate) === 'conflicts'
  )
}

const lockName = (lock: Lock): string => `${lock.view}/${lock.strongSeq}/${lock.tipSeq}/${lock.tip}`
/** What of a record decides which certificates it covers. */
const summary = ({ view, quit, lockNow, unresolved, highest, fork }: SigningRecord): string =>
  `${view}|${quit?.view ?? -1}|${lockName(lockNow)}|${unresolved.map(({ hash }) => hash).join()}|${highest?.hash}|${fork !== null}`

/** §6: one write at a time covers everything decided since the last; acknowledgements wait for one if it tells the disk anything new. */
export function flush(d: Draft): void {
  const { s } = d
  if (s.writing !== null || (s.queued.length === 0 && s.owed.size === 0 && !mustWrite(s))) return
  const record = recordOf(d)
  if (s.queued.length === 0 && !mustWrite(s)) {
    // What no record would cover now (of a view not reached yet) is not acknowledged; its sender repeats it.
    s.owed = filtered(s.owed, (_, owed) => covers(s, record, owed))
    const isNew = s.durable === null || summary(record) !== summary(s.durable)
    if (s.owed.size === 0 || !isNew) return settleOwed(d, record)
  }
  s.ticket += 1
  s.writing = { ticket: s.ticket, record, actions: s.queued }
  s.queued = []
  d.effects.push({ type: 'persist', ticket: s.ticket, record: forgetful(d, record) })
}

/** What ends an era, and a fork, are written without anything that waits for it. */
function mustWrite({ phase, durable, highest, fork, era }: State): boolean {
  if (era.me < 0) return false
  if (phase === 'forked') return fork !== null && durable?.fork == null
  return phase === 'ended' && durable?.highest?.hash !== highest?.hash
}

/** What reaches the disk: by the rules, all of it. */
function forgetful({ rules }: Draft, record: SigningRecord): SigningRecord {
  if (rules.recordVotes && rules.recordQuit && rules.recordLockNow) return record
  return {
    ...record,
    votes: rules.recordVotes ? record.votes : [],
    quit: rules.recordQuit ? record.quit : null,
    lockNow: rules.recordLockNow ? record.lockNow : record.lock,
    unresolved: rules.recordLockNow ? record.unresolved : [],
  }
}

/** The record stands on disk: gives back what waited for it, and acknowledges what it covers. */
export function written(d: Draft, ticket: number): readonly Action[] {
  const { s } = d
  if (s.writing?.ticket !== ticket) return []
  const { record, actions } = s.writing
  s.writing = null
  s.durable = record
  settleOwed(d, record)
  return actions
}

function settleOwed(d: Draft, record: SigningRecord): void {
  const due = [...d.s.owed.values()].filter((owed) => covers(d.s, record, owed))
  if (due.length === 0) return
  acknowledge(d, due)
  d.s.owed = filtered(d.s.owed, (_, owed) => !due.includes(owed))
}

function recordOf(d: Draft): SigningRecord {
  const { s } = d
  if (s.votes.size > VOTES_MAX) {
    s.votesFrom = Math.max(s.votesFrom, [...s.votes.keys()].sort((a, b) => b - a)[VOTES_MAX - 1] ?? 0)
    s.votes = filtered(s.votes, (view) => view >= s.votesFrom)
  }
  return {
    era: s.era.era,
    view: s.view,
    reason: s.reason,
    quit: s.quit,
    lock: s.lock,
    lockNow: s.lockNow,
    unresolved: s.unresolved.slice(0, UNRESOLVED_MAX),
    proposal: s.proposal,
    votes: [...s.votes.values()],
    votesFrom: s.votesFrom,
    commit: s.commit,
    highest: s.highest,
    recovering: s.phase === 'recovering',
    barredView: s.barredView,
    fork: s.fork,
    blocks: recordedBlocks(s),
  }
}

/** Headers that comparing what is recorded needs: from locks, the vote and the proposal down to the highest committed block. */
function recordedBlocks(s: State): Block[] {
  const floor = committedTip(s).height
  const found = new Map<string, Block>()
  const highest = s.highest === null ? undefined : s.blocks.get(s.highest.hash)
  if (highest !== undefined) found.set(highest.hash, highest)
  const shown = [
    s.votes.get(s.view),
    s.proposal,
    s.lockNow.tipCertificate,
    s.lockNow.strongCertificate,
    s.lock.tipCertificate,
    s.lock.strongCertificate,
  ]
  for (const from of shown) {
    if (from == null || found.has(from.hash)) continue
    for (const block of headersDown(s.blocks, from, floor)) {
      if (found.size >= BLOCKS_MAX) return [...found.values()]
      if (found.has(block.hash)) break
      found.set(block.hash, block)
    }
  }
  return [...found.values()]
}
