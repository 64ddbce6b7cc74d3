/**
 * The mutants of agreement.md §9: faulty copies of the rules, for the simulator only. Each names what it must lead to, where the search for it is
 * narrowed to, and the seed that the search found (`npm run simulate -- --hunt`).
 */
import { RULES, type Rules } from '../../protocol/consensus/rules.ts'
import type { Flaws, Focus, Theme } from './scenario.ts'

export type Mutant = {
  /** Its number in agreement.md §9, and what is wrong. */
  readonly name: string
  /** What is different from the rules, and in the shell around them. */
  readonly faults: { readonly rules: Rules; readonly flaws?: Flaws }
  /** The violation that it leads to. */
  readonly leadsTo: RegExp
  readonly focus: Focus
  readonly seed: number
}

/** Blocks that contradict each other, or what makes them possible. */
const UNSAFE = /^(agreement|double)/
/** Honest members stop, or depose an honest leader. */
const STUCK = /^(liveness|deposed)/

/** A search in synchronous runs with f liars, of consortia of these sizes. */
const synchronous = (theme: Theme, ...sizes: number[]): Focus => ({
  kinds: ['synchronous'],
  themes: [theme],
  sizes: sizes.map((n) => [n]),
})
const steady = (...sizes: number[]): Focus => ({
  kinds: ['steady'],
  themes: ['director'],
  sizes: sizes.map((n) => [n]),
})

const mutant = (name: string, change: Partial<Rules>, leadsTo: RegExp, focus: Focus, seed: number): Mutant => ({
  name,
  faults: { rules: { ...RULES, ...change } },
  leadsTo,
  focus,
  seed,
})

export const MUTANTS: readonly Mutant[] = [
  mutant('1 the lock follows the highest certificate in mid-view', { lockFixedAtEntry: false }, STUCK, steady(3, 5), 1),
  mutant('2 w may be the view being entered', { lockBelowEntered: false }, STUCK, steady(3, 5), 2),
  mutant(
    '3 a commit rests on the timer without the certificate',
    { commitNeedsCertificate: false },
    UNSAFE,
    synchronous('director', 3, 5, 7),
    53,
  ),
  mutant(
    '4 a commit does not carry its certificate',
    { commitCarriesCertificate: false },
    UNSAFE,
    synchronous('director', 3, 5, 7),
    3,
  ),
  mutant('5a the quit wait is 0', { quitWaitMs: () => 0 }, UNSAFE, synchronous('director', 5, 7), 1),
  mutant(
    '5b the quit wait is not restarted by a later BC',
    { laterBlameRestartsQuit: false },
    UNSAFE,
    synchronous('director', 5),
    2231,
  ),
  mutant('6 s = q', { strongQuorum: (era) => era.q }, UNSAFE, synchronous('director', 5, 7), 12),
  mutant(
    '7a §5.4 by τ alone',
    {
      passes: (shown, lock, relation) =>
        shown.view !== lock.view
          ? shown.view > lock.view
          : relation === 'equal' || relation === 'extends' || shown.tipSeq >= lock.tipSeq,
    },
    UNSAFE,
    synchronous('director', 5, 7),
    70,
  ),
  mutant(
    '7b §5.4 lexicographic without the ancestor rule',
    {
      passes: (shown, lock) =>
        shown.view !== lock.view
          ? shown.view > lock.view
          : shown.strongSeq > lock.strongSeq || (shown.strongSeq === lock.strongSeq && shown.tipSeq >= lock.tipSeq),
    },
    UNSAFE,
    synchronous('director', 3, 5, 7),
    277,
  ),
  mutant("7c σ not tied to P's chain", { strongTiedToTip: false }, UNSAFE, synchronous('director', 5, 7), 375),
  mutant('8a votes are not on disk', { recordVotes: false }, UNSAFE, synchronous('crashes', 5, 7), 233),
  // What follows from a forgotten quit is undone by the question of §6 (README.md of protocol/consensus): the record itself is what is seen.
  mutant('8b quits are not on disk', { recordQuit: false }, /^record/, synchronous('crashes', 5, 7), 1),
  mutant(
    '8c the current certificates are not on disk',
    { recordLockNow: false },
    UNSAFE,
    { kinds: ['asynchronous'], themes: ['power'], sizes: [[5], [7]] },
    1,
  ),
  mutant(
    '9 an equivocation does not end running waits',
    { equivocationEndsWaits: false },
    UNSAFE,
    synchronous('director', 5),
    442,
  ),
  {
    ...mutant('10 duplicate signers count twice', {}, /^(forged|agreement)/, synchronous('director', 3, 5), 2),
    faults: { rules: RULES, flaws: { duplicateSigners: true } },
  },
  mutant(
    '11 a stalled member signs before its inbox is read',
    { settleAfterStall: false },
    UNSAFE,
    synchronous('director', 3, 7),
    42,
  ),
  mutant(
    '12 votes of views not yet entered are dropped',
    { rememberLaterViews: false },
    UNSAFE,
    synchronous('director', 3, 5),
    853,
  ),
  mutant(
    '13a conditions are not rechecked after a slow write',
    { recheckAfterWrite: false },
    UNSAFE,
    synchronous('disks', 3, 5),
    211,
  ),
  mutant(
    '13b a recorded, unsent vote is sent after a restart',
    { resendUnchecked: true },
    UNSAFE,
    synchronous('crashes', 3, 5),
    211,
  ),
  mutant(
    '14 the set changes by a closing block while a BC exists',
    { eraEndsForAll: false },
    UNSAFE,
    { kinds: ['synchronous'], themes: ['director'], sizes: [[4, 7]] },
    48,
  ),
  mutant(
    '15 only the latest vote, and not the reason for the view, is repeated',
    { repeatEverything: false },
    STUCK,
    synchronous('flaps', 3),
    241,
  ),
  mutant(
    '16 a CC does not rank as strong',
    { ccIsStrong: false },
    STUCK,
    { kinds: ['lying'], themes: ['director', 'islands'], sizes: [[5]] },
    416,
  ),
  mutant(
    '17 votes come without the leader signature',
    { voteCarriesLeaderSignature: false },
    UNSAFE,
    synchronous('director', 3, 5),
    1,
  ),
]
