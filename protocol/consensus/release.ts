/**
 * Release (agreement.md §6): the record is durable; the conditions are asked again, and only what still holds is signed and leaves.
 */
import { mayCommit, mayCommitLate, mayRepeatCommit, mayVote, takesPart } from './conditions.ts'
import { keepAndSend, keyOf, maySend } from './delivery.ts'
import { anyCertificateFor, candidateOf, type Draft, isLeader, slotKey, withEntry } from './draft.ts'
import { learnProposal, learnSignature, learnVote } from './reception.ts'
import type { Action } from './state.ts'
import type { BlameCertificate, Certificate, Kept, Proposal, Signature, Slot, Vote } from './types.ts'
import { startQuitWait } from './waits.ts'

/** Carries out `action`, whose record is durable. */
export function release(d: Draft, action: Action): void {
  switch (action.kind) {
    case 'propose':
      return sendProposal(d, action.proposal)
    case 'vote': {
      const candidate = candidateOf(d.s, action.slot)
      const holds = candidate !== undefined && mayVote(d, candidate, true)
      if (holds || !d.rules.recheckAfterWrite) castVote(d, action.slot, action.leaderSignature)
      return
    }
    case 'commit':
      if (!d.rules.recheckAfterWrite || mayStillCommit(d, action)) castCommit(d, action.slot)
      return
    case 'relay':
      return relay(d, action.certificate)
    case 'enter':
      showReason(d)
      return sendStatus(d, action.view)
  }
}

function sendProposal(d: Draft, proposal: Omit<Proposal, 'leaderSignature'>): void {
  const { s } = d
  const { view, seq, block } = proposal
  if (view !== s.view || s.quit !== null || !takesPart(d)) return
  const slot: Slot = { view, seq, height: block.height, hash: block.hash }
  const message: Proposal = { ...proposal, leaderSignature: s.signer.slot('proposal', s.era.era, slot) }
  learnProposal(d, message)
  for (let to = 0; to < s.era.n; to++)
    if (to !== s.era.me) d.effects.push({ type: 'send', to, key: `proposal/${slotKey(slot)}`, message })
}

/** Signs and sends a vote. */
export function castVote(d: Draft, slot: Slot, leaderSignature: Signature | null): void {
  const { s } = d
  const { me, era } = s.era
  const signature = s.signer.slot('vote', era, slot)
  const carried = d.rules.voteCarriesLeaderSignature ? leaderSignature : null
  const message: Vote = { kind: 'vote', era, slot, from: me, signature, leaderSignature: carried }
  learnVote(d, { ...message, leaderSignature })
  if (slot.view === s.view)
    s.ballots = withEntry(s.ballots, slotKey(slot), {
      slot,
      acknowledgedBy: new Set([me]),
      wait: 'none',
      committed: false,
    })
  keepAndSend(d, message)
}

function mayStillCommit(d: Draft, { slot, late }: Action & { kind: 'commit' }): boolean {
  if (late) return mayCommitLate(d, slot)
  const ballot = d.s.ballots.get(slotKey(slot))
  const certificate = anyCertificateFor(d.s, slot)
  return ballot === undefined ? mayRepeatCommit(d, slot, certificate) : mayCommit(d, ballot, certificate)
}

/** Signs and sends a commit with the certificate that it rests on. */
export function castCommit(d: Draft, slot: Slot): void {
  const { s } = d
  const { me, era } = s.era
  const signature = s.signer.slot('commit', era, slot)
  const votes = candidateOf(s, slot)?.votes ?? new Map()
  const rests: Certificate = anyCertificateFor(s, slot) ?? { ...slot, kind: 'vote', signatures: votes }
  learnSignature(d, 'commit', slot, me, signature)
  const certificate = d.rules.commitCarriesCertificate ? rests : null
  keepAndSend(d, { kind: 'commit', era, slot, from: me, signature, certificate })
}

/** §5.1: the wait is counted from here: whoever commits later than Δ after it has seen this BC. */
function relay(d: Draft, certificate: BlameCertificate): void {
  const { s } = d
  if (s.phase !== 'running' || s.era.me < 0) return
  keepAndSend(d, { kind: 'bc', era: s.era.era, certificate })
  if (s.quit === null) return
  if (s.quitWait === 'none' || (certificate === s.quit && d.rules.laterBlameRestartsQuit)) startQuitWait(d)
}

/** §3: the reason for which it entered its view is kept; after a restart it has to be sent anew. */
function showReason(d: Draft): void {
  const { reason, era, phase, kept } = d.s
  if (phase !== 'running' || reason.kind === 'start') return
  const message: Kept =
    reason.kind === 'closed'
      ? { kind: 'cc', era: era.era, certificate: reason.certificate }
      : { kind: 'bc', era: era.era, certificate: reason.certificate }
  if (!kept.has(keyOf(message))) keepAndSend(d, message)
}

function sendStatus(d: Draft, view: number): void {
  const { s } = d
  if (view !== s.view || view === 0 || !maySend(s) || !takesPart(d)) return
  const { era, me } = s.era
  const { tipCertificate: tip, strongCertificate: strong } = s.lock
  const signature = s.signer.status(era, view, tip, strong)
  if (!isLeader(s)) keepAndSend(d, { kind: 'status', era, view, from: me, signature, tip, strong })
}
