/**
 * Locks (agreement.md §§5.2–5.4): what a member fixes when it enters a view, what a new leader picks, and whether its pick passes.
 */
import { certificateFor, type Draft, equalsOrExtends, relation, slotOf, viewRecord } from './draft.ts'
import { type Rank, rankOf } from './rules.ts'
import type { Certificate, Justification, Lock, Slot, State, Status } from './types.ts'

type Certified = { readonly slot: Slot; readonly certificate: Certificate; readonly strong: Certificate | null }

/** Whether `certificate` is strong: s votes, or a CC (§3). */
export const isStrong = (d: Draft, certificate: Certificate): boolean =>
  (certificate.kind === 'commit' && d.rules.ccIsStrong) || certificate.signatures.size >= d.rules.strongQuorum(d.s.era)

/** The lock of a member that knows no certificate: (−1, 0, 0) on the first block of the era. */
export const firstLock = (s: Pick<State, 'era'>): Lock => ({
  view: -1,
  strongSeq: 0,
  tipSeq: 0,
  tip: s.era.first.hash,
  tipCertificate: null,
  strongCertificate: null,
})

function certifiedIn(d: Draft, view: number): Certified[] {
  const record = viewRecord(d.s, view)
  const found = new Map<string, Certified>()
  for (const [key, { slot }] of [...record.votes, ...record.commits]) {
    if (found.has(key)) continue
    const certificates = [certificateFor(d.s, 'commit', slot), certificateFor(d.s, 'vote', slot)].filter(
      (c) => c !== null,
    )
    const strong = certificates.find((certificate) => isStrong(d, certificate)) ?? null
    const certificate = strong ?? certificates[0]
    if (certificate !== undefined) found.set(key, { slot: slotOf(slot), certificate, strong })
  }
  return [...found.values()]
}

const higher = (a: Certified, b: Certified): number => b.slot.seq - a.slot.seq || (a.slot.hash < b.slot.hash ? -1 : 1)

/** §5.2: the lock that entering `entered` would fix now. */
export function lockOnEntering(d: Draft, entered: number): Lock {
  const limit = d.rules.lockBelowEntered ? entered - 1 : entered
  const views = [...d.s.views.keys()].filter((view) => view <= limit).sort((a, b) => b - a)
  for (const view of views) {
    const certified = certifiedIn(d, view).sort(higher)
    if (certified.length === 0) continue
    const strong = certified.find((item) => item.strong !== null)
    const candidates =
      strong === undefined
        ? certified
        : certified.filter((item) => equalsOrExtends(d.s.blocks, item.slot.hash, strong.slot.hash))
    const tip = (candidates[0] ?? strong ?? certified[0]) as Certified
    return {
      view,
      strongSeq: strong?.slot.seq ?? -1,
      tipSeq: tip.slot.seq,
      tip: tip.slot.hash,
      tipCertificate: tip.certificate,
      strongCertificate: strong?.strong ?? null,
    }
  }
  return firstLock(d.s)
}

/** Rank of a shown tip, read off its certificates and never claimed (§5.4). */
export function rankOfShown(d: Draft, tip: Certificate | null, strong: Certificate | null): Rank {
  if (tip === null) return { view: -1, strongSeq: 0, tipSeq: 0 }
  const shown = [tip, ...(strong === null ? [] : [strong])].filter(
    (certificate) =>
      certificate.view === tip.view &&
      isStrong(d, certificate) &&
      (!d.rules.strongTiedToTip || equalsOrExtends(d.s.blocks, tip.hash, certificate.hash)),
  )
  return { view: tip.view, strongSeq: Math.max(-1, ...shown.map((certificate) => certificate.seq)), tipSeq: tip.seq }
}

/** §5.4: whether the tip that `justification` shows passes this member's lock. */
export function passesLock(d: Draft, justification: Justification): boolean {
  const tip = justification.tip?.hash ?? d.s.era.first.hash
  const lock = d.rules.lockFixedAtEntry ? d.s.lock : d.s.lockNow
  return d.rules.passes(
    rankOfShown(d, justification.tip, justification.strong),
    rankOf(lock),
    relation(d.s.blocks, tip, lock.tip),
  )
}

/** §5.3: the leader's pick over its own lock and the statuses it holds for its view. */
export function pickTip(d: Draft, statuses: readonly Status[]): Pick<Justification, 'tip' | 'strong'> {
  type Shown = { tip: Certificate | null; strong: Certificate | null; own: boolean }
  const own = d.s.lock
  const shown: Shown[] = [{ tip: own.tipCertificate, strong: own.strongCertificate, own: true }]
  for (const { tip, strong } of statuses) shown.push({ tip, strong, own: false })
  const view = Math.max(...shown.map(({ tip }) => tip?.view ?? -1))
  if (view === -1) return { tip: null, strong: null }
  const certificates = shown.flatMap(({ tip, strong, own: mine }) =>
    [tip, strong].flatMap((certificate) => (certificate?.view === view ? [{ certificate, mine }] : [])),
  )
  const strongest = certificates
    .filter(({ certificate }) => isStrong(d, certificate))
    .sort(
      (a, b) => b.certificate.seq - a.certificate.seq || (a.certificate.hash < b.certificate.hash ? -1 : 1),
    )[0]?.certificate
  const tips = certificates
    .filter(
      ({ certificate }) => strongest === undefined || equalsOrExtends(d.s.blocks, certificate.hash, strongest.hash),
    )
    .sort(
      (a, b) =>
        b.certificate.seq - a.certificate.seq ||
        Number(b.mine) - Number(a.mine) ||
        (a.certificate.hash < b.certificate.hash ? -1 : 1),
    )
  return { tip: tips[0]?.certificate ?? strongest ?? null, strong: strongest ?? null }
}
