/**
 * The rules of agreement.md that are one line each, as a table. `step.ts` is made from `RULES` and nothing else; the simulator makes
 * faulty cores from altered copies, one for each mutant of agreement.md §9. A test keeps `node/` from naming anything but `step`.
 */
import type { Era, Lock } from './types.ts'

/** How one block stands to another (§2); `unknown` while a header between them is missing. */
export type Relation = 'equal' | 'extends' | 'ancestor' | 'conflicts' | 'unknown'
/** (w, σ, τ) as read off the certificates that are shown. */
export type Rank = { readonly view: number; readonly strongSeq: number; readonly tipSeq: number }

export type Rules = {
  /** Votes that make a certificate strong (§1). */
  strongQuorum(era: Era): number
  /** Whether a shown tip passes a member's lock (§5.4); `relation`: how the tip stands to the lock's. */
  passes(shown: Rank, lock: Rank, relation: Relation): boolean
  /** Rank that a commit certificate has (§3: as a strong one). */
  ccIsStrong: boolean
  /** σ counts only on a chain that the tip equals or extends (§5.4). */
  strongTiedToTip: boolean
  /** The quit wait, more than 2Δ (§5.1), and whether a later BC starts it over. */
  quitWaitMs(era: Era): number
  laterBlameRestartsQuit: boolean
  /** The lock is fixed at entry and constant during the view (§5.2). */
  lockFixedAtEntry: boolean
  /** w is below the view entered (§5.2). */
  lockBelowEntered: boolean
  /** A commit rests on a certificate, which it carries (§4.2). */
  commitNeedsCertificate: boolean
  commitCarriesCertificate: boolean
  /** An equivocation ends running commit waits (§4.2). */
  equivocationEndsWaits: boolean
  /** Conditions are checked again after the write (§6). */
  recheckAfterWrite: boolean
  /** A recorded vote that was not sent may be sent after a restart without being checked (§6: no). */
  resendUnchecked: boolean
  /** A stalled member first reads what has arrived (§4.3). */
  settleAfterStall: boolean
  /** Messages of views not yet entered are remembered (§3 Reception). */
  rememberLaterViews: boolean
  /** All votes, commits and the reason of the current and the last view are repeated (§3 Delivery). */
  repeatEverything: boolean
  /** Votes carry the leader signature (§3). */
  voteCarriesLeaderSignature: boolean
  /** What the record holds (§6). */
  recordVotes: boolean
  recordQuit: boolean
  recordLockNow: boolean
  /** A CC of the block that ends the era ends it for all, in whatever view and quit or not, and nothing extends that block (§5.5). */
  eraEndsForAll: boolean
}

/** agreement.md as written. */
export const RULES: Rules = {
  strongQuorum: (era) => era.s,
  passes(shown, lock, relation) {
    if (shown.view !== lock.view) return shown.view > lock.view
    if (relation === 'equal' || relation === 'extends') return true
    // Unknown ancestry does not pass until the headers are here: it may turn out to be a proper ancestor, which never does.
    if (relation === 'ancestor' || relation === 'unknown') return false
    return shown.strongSeq > lock.strongSeq || (shown.strongSeq === lock.strongSeq && shown.tipSeq >= lock.tipSeq)
  },
  ccIsStrong: true,
  strongTiedToTip: true,
  quitWaitMs: (era) => 2 * era.deltaMs + 1,
  laterBlameRestartsQuit: true,
  lockFixedAtEntry: true,
  lockBelowEntered: true,
  commitNeedsCertificate: true,
  commitCarriesCertificate: true,
  equivocationEndsWaits: true,
  recheckAfterWrite: true,
  resendUnchecked: false,
  settleAfterStall: true,
  rememberLaterViews: true,
  repeatEverything: true,
  voteCarriesLeaderSignature: true,
  recordVotes: true,
  recordQuit: true,
  recordLockNow: true,
  eraEndsForAll: true,
}

/** (w, σ, τ) of a lock. */
export const rankOf = (lock: Lock): Rank => ({ view: lock.view, strongSeq: lock.strongSeq, tipSeq: lock.tipSeq })
