/**
 * What is committed (agreement.md §§4.2, 5.5): CCs are placed in the tree. A block is committed, with its ancestors, for whoever holds its CC; CCs of
 * conflicting blocks are a fork; the CC of the block that ends the era ends it.
 */
import { mayCommitLate } from './conditions.ts'
import { dropSigned, keepAndSend } from './delivery.ts'
import { changeView, committedTip, type Draft, filtered, relation, slotOf, viewRecord, withEntry } from './draft.ts'
import { lowestSeq, lowestView } from './reception.ts'
import type { Certificate, Fork, MemberIndex } from './types.ts'
import { doublings, hastenProgress, startProgress } from './waits.ts'

/** Headers that stay remembered below the highest committed block. */
export const HEADERS_BELOW = 64

/** Places the CCs that this step has learnt, and those that waited for headers. */
export function placeCertificates(d: Draft): void {
  const { s } = d
  const waiting = d.learnt ? [...s.unplaced].map(([from, certificate]) => ({ certificate, from })) : []
  const all = [...waiting, ...d.found].sort((a, b) => a.certificate.height - b.certificate.height)
  d.found = []
  for (const { certificate, from } of all) {
    const placed = place(d, certificate, from)
    if (placed && s.unplaced.size > 0) s.unplaced = filtered(s.unplaced, (_, other) => other.hash !== certificate.hash)
  }
}

function place(d: Draft, certificate: Certificate, from: MemberIndex): boolean {
  const { s } = d
  const tip = committedTip(s)
  switch (relation(s.blocks, certificate, tip)) {
    case 'extends':
      commitTo(d, certificate)
      return true
    case 'equal':
    case 'ancestor':
      widen(d, certificate)
      return true
    case 'conflicts':
      if (s.highest !== null) fork(d, { era: s.era.era, first: s.highest, second: certificate })
      return true
    case 'unknown':
      if (certificate.height > tip.height) {
        const other = s.unplaced.get(from)
        if (other === undefined || other.height < certificate.height)
          s.unplaced = withEntry(s.unplaced, from, certificate)
      } else if (!s.suspects.has(from)) s.suspects = withEntry(s.suspects, from, certificate)
      return false
  }
}

/** More members have signed a committed block (§7). */
function widen(d: Draft, certificate: Certificate): void {
  const { s } = d
  const known = s.assured.get(certificate.hash)
  if (known === undefined || known >= certificate.signatures.size) return
  s.assured = withEntry(s.assured, certificate.hash, certificate.signatures.size)
  if (s.highest?.hash === certificate.hash) s.highest = certificate
  d.effects.push({ type: 'assurance', certificate })
}

function commitTo(d: Draft, certificate: Certificate): void {
  const { s } = d
  const hastens = doublings(s, certificate) < doublings(s, s.highest)
  s.highest = certificate
  const assured = [...s.assured, [certificate.hash, certificate.signatures.size] as const]
  s.assured = new Map(assured.slice(-ASSURED_MAX))
  d.effects.push({ type: 'commit', certificate })
  const isThere = d.rules.eraEndsForAll || (s.quit === null && s.view <= certificate.view)
  if (s.blocks.get(certificate.hash)?.endsEra === true && isThere) return endEra(d)
  if (certificate.view === s.view && s.phase === 'running') startProgress(d)
  else if (hastens && s.phase === 'running') hastenProgress(d)
  prune(d)
}

/** Committed blocks whose assurance is followed. */
const ASSURED_MAX = 16

/** §4.2: signs nothing more, goes on serving, shows both to everyone, and says so loudly. */
export function fork(d: Draft, found: Fork): void {
  const { s } = d
  if (s.phase === 'forked') return
  s.phase = 'forked'
  s.fork = found
  d.effects.push({ type: 'evidence', evidence: { kind: 'fork', ...found } })
  dropSigned(d)
  showFork(d)
}

/** Shows both certificates of a fork of this era to everyone. */
export function showFork(d: Draft): void {
  const { fork: found, era } = d.s
  if (found === null || found.era !== era.era) return
  for (const certificate of [found.first, found.second]) keepAndSend(d, { kind: 'cc', era: era.era, certificate })
}

/** The shell has looked up the committed chain below the remembered headers. */
export function checked(d: Draft, hash: string, committed: boolean): void {
  const { s } = d
  const suspect = [...s.suspects.values()].find((certificate) => certificate.hash === hash)
  s.suspects = filtered(s.suspects, (_, certificate) => certificate.hash !== hash)
  if (suspect !== undefined && !committed && s.highest !== null)
    fork(d, { era: s.era.era, first: s.highest, second: suspect })
}

/** §5.5: whoever holds a CC of the block that ends the era, from whichever view, leaves every view; its late commit is in the last record. */
function endEra(d: Draft): void {
  const { s } = d
  if (s.phase === 'forked' || s.highest === null) return
  const slot = slotOf(s.highest)
  if (mayCommitLate(d, slot)) s.commit = slot
  s.phase = 'ended'
  s.quit = null
  s.kept = new Map()
  s.queued = []
  s.requested = new Map()
  s.unplaced = new Map()
  showEnd(d)
  // One that only follows has nothing to record.
  if (s.era.me < 0) announceEnd(d)
}

/** Shows the CC that ended the era to everyone (§5.1). */
export function showEnd(d: Draft): void {
  const { highest, era } = d.s
  if (highest !== null) keepAndSend(d, { kind: 'cc', era: era.era, certificate: highest })
}

/** The next era may start: the last record of this one is on disk, and the next one's takes its place. */
export function announceEnd(d: Draft): void {
  if (d.s.highest !== null) d.effects.push({ type: 'eraEnded', certificate: d.s.highest })
}

/** Forgets what no rule can ask for again. */
function prune(d: Draft): void {
  const { s } = d
  const { highest } = s
  if (highest === null) return
  const lowest = lowestView(s)
  s.views = filtered(s.views, (view) => view >= lowest)
  const { places } = viewRecord(s, highest.view)
  const lowestPlace = lowestSeq(s, highest.view)
  const left = filtered(places, (seq) => seq >= lowestPlace)
  if (left !== places) changeView(d, highest.view, { places: left })
  s.votesFrom = Math.max(s.votesFrom, highest.view)
  s.votes = filtered(s.votes, (view) => view >= s.votesFrom)
  s.ballots = filtered(s.ballots, (_, { slot }) => slot.view > highest.view || slot.seq >= lowestPlace)
  if (s.blocks.size <= 2 * HEADERS_BELOW) return
  const floor = highest.height - HEADERS_BELOW
  s.blocks = filtered(s.blocks, (hash, { height }) => height >= floor || hash === s.era.first.hash)
  s.validity = filtered(s.validity, (hash) => s.blocks.has(hash))
}
