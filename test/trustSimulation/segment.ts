/**
 * One segment in the simulation of trust: devices that watch each other, some of which lie, round after round, under the rule of
 * protocol/kinds/trust/evaluation.ts. A seed stands for one segment; nothing else is random.
 *
 * What is assumed: an honest rater sees of an honest device what it reports, but for a share of rounds in which the two disagree by chance; of a
 * device that misbehaves it sees it, but for a share of rounds in which it is blind. Liars see all that, and say what suits them.
 */
import { PPM } from '../../protocol/kinds/fields.ts'
import { type Random, seededRandom } from '../simulation/random.ts'
import { AGGREGATIONS, type AggregationName } from './aggregations.ts'

/**
 * What liars do. `bad-mouthing`: no trust in any honest device. `ballot-stuffing`: full trust in each other. `collusion`: both. `on-off`: both,
 * and all of them misbehave, for a while, and then behave for a while. `whitewashing`: collusion, and who is cut off comes back as another device.
 */
export const STRATEGIES = ['bad-mouthing', 'ballot-stuffing', 'collusion', 'on-off', 'whitewashing'] as const
/** A word of that list. */
export type Strategy = (typeof STRATEGIES)[number]

/** The rule in the simulation: the defaults of a new consortium. */
export const RULE = { thresholdPpm: 300_000, patience: 2, minRaters: 3, initialPpm: 700_000 } as const
/** Rounds of a run. */
export const ROUNDS = 30
/** Steps of local trust towards what was seen: T ← (1−α)·T + α·φ. */
const [ALPHA_UP, ALPHA_DOWN] = [0.1, 0.6]

/** One segment and what happens in it. */
export type Plan = {
  readonly seed: number
  readonly strategy: Strategy
  readonly devices: number
  /** Devices 0 … `liars` − 1 lie. Device 0 misbehaves, a liar or not; with on-off all liars do. */
  readonly liars: number
  /** Round in which it begins. */
  readonly begins: number
  /** Share of rounds in which two honest devices disagree by chance, and in which a rater is blind. */
  readonly noise: number
  readonly blindness: number
  /** Rounds of misbehaviour and of rest of an on-off attacker. */
  readonly period: number
}

/** The segment of `seed`, where `share` of those that rate a device lie (rounded down). */
export function planOf(seed: number, strategy: Strategy, share: number): Plan {
  const random = seededRandom(seed ^ 0x5eed7)
  const devices = 6 + random.below(25)
  return {
    seed,
    strategy,
    devices,
    liars: Math.floor(share * (devices - 1) + 1e-9),
    begins: random.below(11),
    noise: 0.03 * random.next(),
    blindness: 0.2 * random.next(),
    period: 2 + random.below(5),
  }
}

/** What came out: how many there were, and how many of them were cut off at least once. */
export type Result = {
  readonly honest: number
  readonly honestCut: number
  readonly guilty: number
  readonly guiltyCut: number
}

/** Where every device stands after a round, for tests: trust, and whether it is cut off. `said[rater][device]`. */
export type Look = (round: {
  readonly said: readonly (readonly number[])[]
  readonly trust: readonly number[]
  readonly isCut: readonly boolean[]
}) => void

/** Runs `plan` with one aggregation. */
export function runSegment(plan: Plan, aggregation: AggregationName, look?: Look): Result {
  return new Segment(plan, aggregation).run(look)
}

class Segment {
  readonly #plan: Plan
  readonly #aggregate: (typeof AGGREGATIONS)[AggregationName]
  readonly #random: Random
  readonly #local: number[][]
  readonly #trust: number[]
  readonly #below: number[]
  readonly #isCut: boolean[]
  readonly #wasCut: boolean[]

  constructor(plan: Plan, aggregation: AggregationName) {
    const n = plan.devices
    this.#plan = plan
    this.#aggregate = AGGREGATIONS[aggregation]
    this.#random = seededRandom(plan.seed)
    this.#local = Array.from({ length: n }, () => new Array(n).fill(RULE.initialPpm))
    this.#trust = new Array(n).fill(RULE.initialPpm)
    this.#below = new Array(n).fill(0)
    this.#isCut = new Array(n).fill(false)
    this.#wasCut = new Array(n).fill(false)
  }

  run(look?: Look): Result {
    for (let round = 0; round < ROUNDS; round++) {
      const said = this.#round(round)
      look?.({ said, trust: [...this.#trust], isCut: [...this.#isCut] })
      if (this.#plan.strategy === 'whitewashing') this.#comeBack()
    }
    const all = Array.from({ length: this.#plan.devices }, (_, device) => device)
    const guilty = all.filter((device) => this.#isGuilty(device))
    const honest = all.filter((device) => !this.#isGuilty(device) && device >= this.#plan.liars)
    return {
      honest: honest.length,
      honestCut: honest.filter((device) => this.#wasCut[device]).length,
      guilty: guilty.length,
      guiltyCut: guilty.filter((device) => this.#wasCut[device]).length,
    }
  }

  #isGuilty(device: number): boolean {
    return device === 0 || (this.#plan.strategy === 'on-off' && device < this.#plan.liars)
  }

  #misbehaves(device: number, round: number): boolean {
    const { strategy, begins, period } = this.#plan
    if (!this.#isGuilty(device) || round < begins) return false
    return strategy !== 'on-off' || Math.floor((round - begins) / period) % 2 === 0
  }

  /** One round: everyone looks, everyone says, the rule is carried out. */
  #round(round: number): number[][] {
    const n = this.#plan.devices
    const said: number[][] = []
    for (let rater = 0; rater < n; rater++) {
      const row: number[] = []
      for (let device = 0; device < n; device++) {
        if (rater !== device && !this.#isCut[rater] && !this.#isCut[device]) this.#look(rater, device, round)
        row.push(this.#says(rater, device, round))
      }
      said.push(row)
    }
    const raters = Array.from({ length: n }, (_, device) => this.#ratersOf(device))
    const weights = this.#trust.map((trust) => Math.min(trust, RULE.initialPpm))
    const trust = this.#aggregate({ said, weights, raters })
    for (const [device, value] of trust.entries()) this.#judge(device, value, (raters[device] as number[]).length)
    return said
  }

  #ratersOf(device: number): number[] {
    if (this.#isCut[device]) return []
    const all = Array.from({ length: this.#plan.devices }, (_, rater) => rater)
    return all.filter((rater) => rater !== device && !this.#isCut[rater] && (this.#trust[rater] as number) > 0)
  }

  #look(rater: number, device: number, round: number): void {
    const { noise, blindness } = this.#plan
    const random = this.#random
    const isSeen = this.#misbehaves(device, round) ? !random.chance(blindness) : random.chance(noise)
    const phi = isSeen ? 0.5 * random.next() * PPM : PPM
    const row = this.#local[rater] as number[]
    const before = row[device] as number
    row[device] = Math.floor(before + (phi < before ? ALPHA_DOWN : ALPHA_UP) * (phi - before))
  }

  #says(rater: number, device: number, round: number): number {
    const { liars, strategy, begins } = this.#plan
    const truth = this.#local[rater]?.[device] as number
    if (rater >= liars || round < begins) return truth
    const isFriend = device < liars || device === 0
    if (isFriend) return strategy === 'bad-mouthing' ? truth : PPM
    return strategy === 'ballot-stuffing' ? truth : 0
  }

  /** The rule, where all have spoken anew in the round: each evaluation is one. */
  #judge(device: number, value: number | undefined, voices: number): void {
    if (value === undefined || voices < RULE.minRaters || this.#isCut[device]) return
    this.#trust[device] = value
    this.#below[device] = value < RULE.thresholdPpm ? (this.#below[device] as number) + 1 : 0
    if ((this.#below[device] as number) < RULE.patience) return
    this.#isCut[device] = true
    this.#wasCut[device] = true
  }

  /** Who was cut off and lies, or is guilty, is registered as another device. */
  #comeBack(): void {
    for (let device = 0; device < Math.max(1, this.#plan.liars); device++) {
      if (!this.#isCut[device]) continue
      this.#isCut[device] = false
      this.#below[device] = 0
      this.#trust[device] = RULE.initialPpm
      this.#local.forEach((row, rater) => {
        row[device] = RULE.initialPpm
        if (rater === device) row.fill(RULE.initialPpm)
      })
    }
  }
}
