/**
 * The mutants of agreement.md §9: faulty copies of the rules, for the simulator only. The seeds that catch them, and those that nothing has
 * caught, stand in mutants.test.ts.
 */
import { RULES, type Rules } from '../../protocol/consensus/rules.ts'
import type { Flaws } from './scenario.ts'

export type Mutant = { readonly name: string; readonly rules: Rules; readonly flaws?: Flaws }
const mutant = (name: string, change: Partial<Rules>, flaws?: Flaws): Mutant => ({
  name,
  rules: { ...RULES, ...change },
  ...(flaws === undefined ? {} : { flaws }),
})

export const MUTANTS: readonly Mutant[] = [
  mutant('1 lock follows the highest certificate in mid-view', { lockFixedAtEntry: false }),
  mutant('2 w may be the view being entered', { lockBelowEntered: false }),
  mutant('3 a commit rests on the timer without the certificate', { commitNeedsCertificate: false }),
  mutant('4 a commit does not carry its certificate', { commitCarriesCertificate: false }),
  mutant('5a the quit wait is 0', { quitWaitMs: () => 0 }),
  mutant('5b the quit wait is not restarted by a later BC', { laterBlameRestartsQuit: false }),
  mutant('6 s = q', { strongQuorum: (era) => era.q }),
  mutant('7a §5.4 by τ alone', {
    passes: (shown, lock, relation) =>
      shown.view !== lock.view
        ? shown.view > lock.view
        : relation === 'equal' || relation === 'extends' || shown.tipSeq >= lock.tipSeq,
  }),
  mutant('7b §5.4 lexicographic without the ancestor rule', {
    passes: (shown, lock) =>
      shown.view !== lock.view
        ? shown.view > lock.view
        : shown.strongSeq > lock.strongSeq || (shown.strongSeq === lock.strongSeq && shown.tipSeq >= lock.tipSeq),
  }),
  mutant("7c σ not tied to P's chain", { strongTiedToTip: false }),
  mutant('8a votes are not on disk', { recordVotes: false }),
  mutant('8b quits are not on disk', { recordQuit: false }),
  mutant('8c the current certificates are not on disk', { recordLockNow: false }),
  mutant('9 an equivocation does not end running waits', { equivocationEndsWaits: false }),
  mutant('10 duplicate signers count twice', {}, { duplicateSigners: true }),
  mutant('11 a stalled member signs before its inbox is read', { settleAfterStall: false }),
  mutant('12 votes of views not yet entered are dropped', { rememberLaterViews: false }),
  mutant('13a conditions are not rechecked after a slow write', { recheckAfterWrite: false }),
  mutant('13b a recorded, unsent vote is sent after a restart', { resendUnchecked: true }),
  mutant('14 the set changes by a closing block while a BC exists', { eraEndsForAll: false }),
  mutant('15 only the latest vote is repeated', { repeatEverything: false }),
  mutant('16 a CC does not rank as strong', { ccIsStrong: false }),
  mutant('17 votes come without the leader signature', { voteCarriesLeaderSignature: false }),
]
