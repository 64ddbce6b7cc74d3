/**
 * Locks (agreement.md §§5.2–5.4): what a member fixes when it enters a view, what a new leader picks, and whether its pick passes.
 */
import { type Draft, equalsOrExtends, relation, viewRecord } from './draft.ts'
import { type Rank, rankOf } from './rules.ts'
import type { State } from './state.ts'
import type { Certificate, Justification, Lock, Status } from './types.ts'

/** A certified block of one view; `own`: the member itself is locked on it. */
type Certified = { readonly certificate: Certificate; readonly own: boolean }
/** What the certificates of one view amount to: their strong block, their tip, and those that may be a higher tip, headers permitting. */
type Standing = {
  readonly strong: Certificate | null
  readonly tip: Certificate
  readonly unresolved: readonly Certificate[]
}

/** Whether `certificate` is strong: s votes, or a CC (§3). */
export const isStrong = (d: Draft, certificate: Certificate): boolean =>
  certificate.kind === 'commit'
    ? d.rules.ccIsStrong || certificate.signatures.size >= d.rules.strongQuorum(d.s.era)
    : certificate.signatures.size >= d.rules.strongQuorum(d.s.era)

/** The lock of a member that knows no certificate: (−1, 0, 0) on the first block of the era. */
export const firstLock = (s: Pick<State, 'era'>): Lock => ({
  view: -1,
  strongSeq: 0,
  tipSeq: 0,
  tip: s.era.first.hash,
  tipCertificate: null,
  strongCertificate: null,
})

/** Highest seq first; then its own; then the smallest hash (§5.3). */
const byRank = (a: Certified, b: Certified): number =>
  b.certificate.seq - a.certificate.seq ||
  Number(b.own) - Number(a.own) ||
  (a.certificate.hash < b.certificate.hash ? -1 : 1)

/** §5.2: σ and its block, τ and the tip among those that equal or extend it (among all, if nothing is strong). */
function standing(d: Draft, certified: readonly Certified[]): Standing | null {
  const ordered = [...certified].sort(byRank)
  const first = ordered[0]
  if (first === undefined) return null
  const strong = ordered.find(({ certificate }) => isStrong(d, certificate))?.certificate
  if (strong === undefined) return { strong: null, tip: first.certificate, unresolved: [] }
  const unresolved: Certificate[] = []
  for (const { certificate } of ordered) {
    if (certificate.seq <= strong.seq) break
    const how = relation(d.s.blocks, certificate, strong)
    if (how === 'extends') return { strong, tip: certificate, unresolved }
    if (how === 'unknown') unresolved.push(certificate)
  }
  return { strong, tip: strong, unresolved }
}

function certifiedIn(d: Draft, view: number): Certified[] {
  const found: Certified[] = []
  for (const candidates of viewRecord(d.s, view).places.values())
    for (const { certificate, commitCertificate } of candidates) {
      const both = [commitCertificate, certificate].filter((one) => one !== null)
      const shown = both.find((one) => isStrong(d, one)) ?? both[0]
      if (shown !== undefined) found.push({ certificate: shown, own: false })
    }
  return found
}

const lockOf = (view: number, { strong, tip }: Standing): Lock => ({
  view,
  strongSeq: strong?.seq ?? -1,
  tipSeq: tip.seq,
  tip: tip.hash,
  tipCertificate: tip,
  strongCertificate: strong,
})

/** §5.2: the lock that entering `entered` would fix now, and what it may depend on as soon as headers are here. */
export function lockOnEntering(d: Draft, entered: number): { lock: Lock; unresolved: readonly Certificate[] } {
  const limit = d.rules.lockBelowEntered ? entered - 1 : entered
  let highest = -1
  for (const [view, { certifiedSeq }] of d.s.views)
    if (certifiedSeq >= 0 && view <= limit && view > highest) highest = view
  const found = highest < 0 ? null : standing(d, certifiedIn(d, highest))
  if (found === null) return { lock: firstLock(d.s), unresolved: [] }
  return { lock: lockOf(highest, found), unresolved: found.unresolved }
}

/** §5.1: a handover locks the block that closed the view as (u, seq, seq). */
export const lockOnClosing = (d: Draft, certificate: Certificate): Lock =>
  d.rules.lockBelowEntered
    ? lockOf(certificate.view, { strong: certificate, tip: certificate, unresolved: [] })
    : lockOnEntering(d, certificate.view + 1).lock

/** Rank of a shown tip, read off its certificates and never claimed (§5.4). */
export function rankOfShown(d: Draft, tip: Certificate | null, strong: Certificate | null): Rank {
  if (tip === null) return { view: -1, strongSeq: 0, tipSeq: 0 }
  let strongSeq = -1
  for (const certificate of [tip, strong]) {
    if (certificate === null || certificate.view !== tip.view || certificate.seq <= strongSeq) continue
    if (!isStrong(d, certificate)) continue
    if (!d.rules.strongTiedToTip || equalsOrExtends(d.s.blocks, tip, certificate)) strongSeq = certificate.seq
  }
  return { view: tip.view, strongSeq, tipSeq: tip.seq }
}

/** §5.4: whether the tip that `justification` shows passes this member's lock. */
export function passesLock(d: Draft, { tip, strong }: Justification): boolean {
  const { era, blocks } = d.s
  const lock = d.rules.lockFixedAtEntry ? d.s.lock : d.s.lockNow
  return d.rules.passes(
    rankOfShown(d, tip, strong),
    rankOf(lock),
    relation(blocks, tip ?? era.first, lock.tipCertificate ?? era.first),
  )
}

/** §5.3: the leader's pick over its own lock and the statuses it holds for its view; `unresolved`: headers that it needs first. */
export function pickTip(
  d: Draft,
  statuses: readonly Status[],
): Pick<Justification, 'tip' | 'strong'> & { readonly unresolved: readonly Certificate[] } {
  const own = d.s.lock
  const shown = [
    { tip: own.tipCertificate, strong: own.strongCertificate, own: true },
    ...statuses.map(({ tip, strong }) => ({ tip, strong, own: false })),
  ]
  const view = Math.max(...shown.map(({ tip }) => tip?.view ?? -1))
  const certified: Certified[] = []
  for (const { tip, strong, own: mine } of shown)
    for (const certificate of [tip, strong])
      if (certificate?.view === view) certified.push({ certificate, own: mine && certificate === tip })
  const found = standing(d, certified)
  return found === null ? { tip: null, strong: null, unresolved: [] } : found
}
