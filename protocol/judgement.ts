/**
 * How one device judges another (ledger.md §3): what both saw of one moment → consistency φ → local trust. In integers only, so that a module
 * elsewhere can hold the same rule.
 * Invariants: all values are in ppm, 0 … 1 000 000; a category that the rater could not have seen counts neither for nor against; trust falls
 * faster than it rises, and never rises above what the memory of misbehaviour leaves; the same inputs give the same result on every machine.
 */
import { PPM } from './kinds/fields.ts'
import { CATEGORIES, type CategoryName } from './kinds/report/categories.ts'

/** Weight (ppm) by category: severity × confidence of its worst event. */
export type Weights = ReadonlyMap<CategoryName, number>

/** What a rater holds against what a peer reported. */
export type Comparison = {
  readonly peer: Weights
  /** The rater's own findings of the same moment. */
  readonly own: Weights
  /** Categories that the rater's monitors could have seen. */
  readonly observable: ReadonlySet<CategoryName>
}

/** floor(a × b / 1 000 000): exact, as the product of two ppm is below 2⁵³. */
export function timesPpm(a: number, b: number): number {
  const product = a * b
  return (product - (product % PPM)) / PPM
}

/**
 * Consistency φ: one less the weight on which the two disagree, over the weight of all that was seen, which counts as one whole at least; so a
 * trifle that only one sees costs little, and a rootkit nearly everything. Of categories of scope `host` a peer is held only to what it reports
 * (what happens on the rater's machine need not happen on the peer's); of scope `segment` both are.
 * null: nothing can be said, as the peer reports only what the rater cannot see.
 */
export function consistencyOf({ peer, own, observable }: Comparison): number | null {
  let disagreed = 0
  let seen = 0
  let skipped = 0
  for (const category of new Set([...peer.keys(), ...own.keys()])) {
    const theirs = peer.get(category) ?? 0
    if (!observable.has(category)) {
      if (theirs > 0) skipped++
      continue
    }
    const ours = own.get(category) ?? 0
    if (CATEGORIES[category].scope === 'host' && ours >= theirs) {
      seen += theirs
      continue
    }
    seen += Math.max(theirs, ours)
    disagreed += Math.abs(theirs - ours)
  }
  if (skipped > 0 && seen === 0) return null
  const whole = Math.max(PPM, seen)
  // At most all categories at one whole each: the product stays far below 2⁵³.
  return Math.floor(((whole - disagreed) * PPM) / whole)
}

/** Local trust in one peer. */
export type LocalTrust = {
  readonly trustPpm: number
  /** Memory of misbehaviour: how much of the whole is out of reach. */
  readonly memoryPpm: number
}

/** The rule's constants. `…AlphaPpm`: share of the way to φ that one judgement goes. */
export type JudgementRule = {
  readonly initialPpm: number
  readonly upAlphaPpm: number
  readonly downAlphaPpm: number
  /** φ below this is misbehaviour and is remembered. */
  readonly misbehaviourPpm: number
  /** Share of what is missing from φ that the memory takes in, of what it has room for. */
  readonly rememberPpm: number
  /** Share of the memory that one judgement without misbehaviour takes away. */
  readonly forgetPpm: number
  /** Share of trust that one turn of silence takes, down to `silenceFloorPpm`. */
  readonly silencePpm: number
  readonly silenceFloorPpm: number
}

/**
 * At one judgement every 5 s: a rootkit that only the peer reports (φ 0.19) takes trust from the whole below 300 000 in one judgement; the
 * memory of one halves in half an hour. Silence takes a tenth in a minute, and alone never leads to the usual threshold of
 * blacklisting (300 000).
 */
export const JUDGEMENT_RULE: JudgementRule = {
  initialPpm: 700_000,
  upAlphaPpm: 20_000,
  downAlphaPpm: 900_000,
  misbehaviourPpm: 700_000,
  rememberPpm: 400_000,
  forgetPpm: 2000,
  silencePpm: 10_000,
  silenceFloorPpm: 350_000,
}

/** Trust in a peer that was never judged. */
export const firstTrust = (rule: JudgementRule): LocalTrust => ({ trustPpm: rule.initialPpm, memoryPpm: 0 })

/** Trust after one judgement: `T ← (1−α)·T + α·φ`, with φ cut to what the memory leaves. */
export function judged(before: LocalTrust, phiPpm: number, rule: JudgementRule): LocalTrust {
  const isMisbehaviour = phiPpm < rule.misbehaviourPpm
  const memoryPpm = isMisbehaviour
    ? before.memoryPpm + timesPpm(PPM - before.memoryPpm, timesPpm(PPM - phiPpm, rule.rememberPpm))
    : before.memoryPpm - timesPpm(before.memoryPpm, rule.forgetPpm)
  const aim = Math.min(phiPpm, PPM - memoryPpm)
  const { trustPpm } = before
  return {
    trustPpm:
      aim < trustPpm
        ? trustPpm - timesPpm(trustPpm - aim, rule.downAlphaPpm)
        : trustPpm + timesPpm(aim - trustPpm, rule.upAlphaPpm),
    memoryPpm,
  }
}

/** Trust after one turn in which a peer that should have been heard was not: slowly less, and never below the floor of silence. */
export const afterSilence = (before: LocalTrust, { silencePpm, silenceFloorPpm }: JudgementRule): LocalTrust =>
  before.trustPpm <= silenceFloorPpm
    ? before
    : {
        ...before,
        trustPpm: Math.max(silenceFloorPpm, before.trustPpm - timesPpm(before.trustPpm, silencePpm)),
      }
