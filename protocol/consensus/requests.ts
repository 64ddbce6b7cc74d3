/**
 * Requests (agreement.md §§2, 4.1, 5.3): what this member lacks and asks its shell for: headers without which blocks cannot be compared, and
 * proposals and verdicts of the blocks that it may vote for or build on, with their uncommitted ancestors.
 * Invariants: what is asked for is what is needed now, so the list is bounded by what is remembered; an unanswered request is made again.
 */
import { leaderOf } from '../members.ts'
import {
  candidateOf,
  committedTip,
  type Draft,
  isLeader,
  missingHeader,
  type Placed,
  slotKey,
  slotOf,
  viewRecord,
} from './draft.ts'
import type { Effect } from './events.ts'
import { pickTip } from './lock.ts'
import type { Request, State } from './state.ts'
import type { Certificate, Justification, MemberIndex, Slot } from './types.ts'

/** Ticks of the repeat timer after which a request is made again: about 4Δ. */
const ASK_AGAIN_TICKS = 36

type Wanted = Map<string, Effect>

/** Asks for everything that is needed and not under way. */
export function pursue(d: Draft): void {
  const { s } = d
  const wanted: Wanted = new Map()
  for (const certificate of s.unplaced.values()) wantHeader(s, wanted, certificate, committedTip(s).height)
  for (const { hash, height } of s.suspects.values()) wanted.set(`c/${hash}`, { type: 'checkCommitted', hash, height })
  if (s.lockNow.strongCertificate !== null)
    for (const certificate of s.unresolved) wantHeader(s, wanted, certificate, s.lockNow.strongCertificate.height)
  if (s.era.me >= 0) {
    wantProposals(d, wanted)
    wantPick(d, wanted)
    if (s.building !== null && s.built === null) {
      const { view, seq, parent, height } = s.building
      wanted.set(`b/${view}/${seq}/${parent}`, { type: 'build', view, seq, parent, height })
    }
  }
  if (wanted.size === 0 && s.requested.size === 0) return
  let isNew = s.requested.size !== wanted.size
  const requested = new Map<string, Request>()
  for (const [name, effect] of wanted) {
    const asked = s.requested.get(name)
    const holders = effect.type === 'fetchProposal' ? effect.holders.length : 0
    if (asked !== undefined && s.tick - asked.tick < ASK_AGAIN_TICKS && holders <= asked.holders) {
      requested.set(name, asked)
      continue
    }
    isNew = true
    requested.set(name, { tick: s.tick, holders })
    d.effects.push(effect)
  }
  if (isNew) s.requested = requested
}

/** The header that is missing between `from` and `height`, if one is. */
function wantHeader(s: State, wanted: Wanted, from: Placed, height: number): void {
  const missing = missingHeader(s.blocks, from, height)
  if (missing === null) return
  wanted.set(`h/${missing.hash}`, { type: 'fetchHeaders', hash: missing.hash, height: missing.height })
}

/** Proposals of this view above the last vote, their verdicts, and what comparing them needs. */
function wantProposals(d: Draft, wanted: Wanted): void {
  const { s } = d
  const { places, equivocation } = viewRecord(s, s.view)
  if (s.quit !== null || equivocation !== null) return
  const voted = s.votes.get(s.view)
  // After a restart the recorded vote itself is asked about again.
  const above = voted === undefined ? -1 : s.repeatVote ? voted.seq - 1 : voted.seq
  const committed = committedTip(s)
  for (const [seq, candidates] of places) {
    if (seq <= above) continue
    for (const { slot, proposal, votes } of candidates) {
      if (proposal === null) {
        if (votes.size > 0 && slot.height > committed.height) wantProposal(s, wanted, slot, votes.keys())
        continue
      }
      if (proposal.justification !== null) wantComparable(s, wanted, proposal.justification)
      wantHeader(s, wanted, slot, Math.min(slot.height, committed.height))
      wantValid(s, wanted, slot, [leaderOf(s.view, s.era.n)])
    }
  }
}

/** §5.4 compares the tip that is shown with the lock's, and with the strong block shown. */
function wantComparable(s: State, wanted: Wanted, { tip, strong }: Justification): void {
  if (tip === null || tip.view !== s.lock.view) return
  const heights = [s.lock.tipCertificate, strong].flatMap((one) => (one === null ? [] : [one.height]))
  for (const height of heights) {
    wantHeader(s, wanted, tip, height)
    if (s.lock.tipCertificate !== null) wantHeader(s, wanted, s.lock.tipCertificate, tip.height)
  }
}

/** §5.3: the leader needs the headers that its pick depends on, and the picked block itself with its ancestors. */
function wantPick(d: Draft, wanted: Wanted): void {
  const { s } = d
  if (!isLeader(s) || s.quit !== null || s.proposal !== null) return
  const statuses = [...s.statuses.values()].filter(({ view, from }) => view === s.view && from !== s.era.me)
  const { tip, strong, unresolved } = pickTip(d, statuses)
  if (strong !== null) for (const certificate of unresolved) wantHeader(s, wanted, certificate, strong.height)
  if (tip === null || tip.height <= committedTip(s).height) return
  wantHeader(s, wanted, tip, tip.height - 1)
  wantValid(s, wanted, tip, tip.signatures.keys())
}

function wantProposal(s: State, wanted: Wanted, slot: Slot, holders: Iterable<MemberIndex>): void {
  const others = [...holders].filter((member) => member !== s.era.me)
  wanted.set(`p/${slotKey(slot)}`, { type: 'fetchProposal', slot: slotOf(slot), holders: others })
}

/** The block of `slot` and its ancestors, down to one that is valid or committed, are to be validated. */
function wantValid(s: State, wanted: Wanted, slot: Slot, holders: Iterable<MemberIndex>): void {
  let at: Slot = slot
  let from = holders
  let again = false
  for (;;) {
    if (s.validity.has(at.hash) || (!again && wanted.has(`v/${at.hash}`))) return
    const candidate = candidateOf(s, at)
    if (candidate?.proposal == null) return wantProposal(s, wanted, at, candidate?.votes.keys() ?? from)
    const { proposal } = candidate
    if (!again) wanted.set(`v/${at.hash}`, { type: 'validate', proposal })
    const below: Certificate | null =
      proposal.seq === 0 ? (proposal.justification?.tip ?? null) : proposal.parentCertificate
    if (below === null || below.height <= committedTip(s).height) return
    // A block that ends the era is proposed again on its own certificate (§5.5): its parent stands where it was proposed first.
    again = below.hash === at.hash
    at = below
    from = below.signatures.keys()
  }
}
