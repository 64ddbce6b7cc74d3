/**
 * Evidence (agreement.md §7): what one member signed that no honest member signs. Found when a signature is learnt, and again when a header is, since
 * "for conflicting blocks" needs the headers that show it. Invariant: given at most once for a member and view, never against an honest one.
 */
import { blockAt, candidatesAt, changeView, type Draft, headersDown, relation, viewRecord, withItem } from './draft.ts'
import type { Signed } from './events.ts'
import type { Candidate } from './state.ts'
import type { Block, MemberIndex, Proposal, Slot } from './types.ts'

function accuse(d: Draft, view: number, member: MemberIndex): boolean {
  const { accused } = viewRecord(d.s, view)
  if (member === d.s.era.me || accused.has(member)) return false
  changeView(d, view, { accused: withItem(accused, member) })
  return true
}

function signedBy(member: MemberIndex, { slot, votes, commits }: Candidate): Signed[] {
  const vote = votes.get(member)
  const commit = commits.get(member)
  return [
    ...(vote === undefined ? [] : [{ ...slot, kind: 'vote' as const, signature: vote }]),
    ...(commit === undefined ? [] : [{ ...slot, kind: 'commit' as const, signature: commit }]),
  ]
}

function headersOf(d: Draft, a: Slot, b: Slot): Block[] {
  const [higher, lower] = a.height >= b.height ? [a, b] : [b, a]
  return headersDown(d.s.blocks, higher, lower.height)
}

/** Two votes, or a vote and a commit, of `member` in one view, one of them for `candidate`, for conflicting blocks. */
export function findConflict(d: Draft, candidate: Candidate, member: MemberIndex): void {
  const { view, seq } = candidate.slot
  const own = signedBy(member, candidate)
  if (own.length === 0 || viewRecord(d.s, view).accused.has(member)) return
  // Its signatures in a view are one chain if its neighbours fit: the nearest place below and above at which it signed.
  for (const direction of [0, -1, 1]) {
    let found = false
    for (let at = seq + direction; !found && within(d, view, at); at += direction) {
      for (const other of candidatesAt(d.s, view, at)) {
        if (other === candidate) continue
        for (const second of signedBy(member, other)) {
          found = true
          const first = own.find(({ kind }) => kind === 'vote' || second.kind === 'vote')
          if (first === undefined || relation(d.s.blocks, first, second) !== 'conflicts') continue
          if (!accuse(d, view, member)) return
          const headers = headersOf(d, first, second)
          d.effects.push({ type: 'evidence', evidence: { kind: 'conflict', member, first, second, headers } })
          return
        }
      }
      if (direction === 0) break
    }
  }
}

const within = (d: Draft, view: number, seq: number): boolean =>
  seq >= 0 && seq <= viewRecord(d.s, view).certifiedSeq + 1 + viewRecord(d.s, view).places.size

/**
 * A commit of `member` in a view, and its vote for the seq 0 `proposal` of a later one whose tip's view is below the commit's, where the blocks
 * conflict: a lock that holds the commit's certificate lets no such tip pass (§5.4). A late commit (§7) never conflicts with a later vote.
 */
export function findUnlocked(d: Draft, proposal: Proposal, member: MemberIndex): void {
  const { view, justification, block } = proposal
  const tipView = justification?.tip?.view ?? -1
  const candidate = blockAt(d.s, view, 0, block.hash)
  const signature = candidate?.votes.get(member)
  if (candidate === undefined || signature === undefined || viewRecord(d.s, view).accused.has(member)) return
  for (const [earlier, { places }] of d.s.views) {
    if (earlier <= tipView || earlier >= view) continue
    for (const candidates of places.values())
      for (const committed of candidates) {
        const commit = signedBy(member, committed).find(({ kind }) => kind === 'commit')
        if (commit === undefined || relation(d.s.blocks, candidate.slot, commit) !== 'conflicts') continue
        if (!accuse(d, view, member)) return
        const vote: Signed = { ...candidate.slot, kind: 'vote', signature }
        const headers = headersOf(d, vote, commit)
        d.effects.push({ type: 'evidence', evidence: { kind: 'unlocked', member, commit, vote, proposal, headers } })
        return
      }
  }
}

/** Looks again at what was signed for a block, now that its header or proposal is known. */
export function lookAgain(d: Draft, candidate: Candidate): void {
  for (const member of [...candidate.votes.keys(), ...candidate.commits.keys()]) findConflict(d, candidate, member)
  const { proposal } = candidate
  if (proposal !== null && proposal.seq === 0)
    for (const member of candidate.votes.keys()) findUnlocked(d, proposal, member)
}
