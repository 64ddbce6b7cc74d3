/** Eras of a run: who its members are, what it starts from, and which blocks end it. */
import type { Block, Certificate, Era } from '../../protocol/consensus/types.ts'
import { type QuorumSizes, quorumSizes } from '../../protocol/members.ts'
import type { EraPlan, Scenario } from './scenario.ts'

export const FIRST: Block = { hash: 'first', parent: 'none', height: 0, endsEra: false }

/** One era, from one of the blocks that may have ended the one before. */
export type EraSpec = {
  readonly number: number
  readonly plan: EraPlan
  readonly sizes: QuorumSizes
  readonly first: Block
  /** CC of the block that ended the era before. */
  readonly certificate: Certificate | null
}

/** Era `number`, starting from `first`. */
export function eraSpec(scenario: Scenario, number: number, first: Block, certificate: Certificate | null): EraSpec {
  const plan = scenario.eras[number]
  if (plan === undefined) throw new RangeError(`no era ${number}`)
  return { number, plan, sizes: quorumSizes(plan.members.length, plan.percent), first, certificate }
}

/** What the core of `organisation` is given; −1 if it is no member. */
export const eraFor = ({ number, plan, sizes, first }: EraSpec, organisation: number): Era => ({
  era: number,
  ...sizes,
  me: plan.members.indexOf(organisation),
  deltaMs: plan.deltaMs,
  termBlocks: plan.termBlocks,
  heartbeatMs: 200,
  bodyAllowanceMs: 200,
  timeoutDoublingsMax: 3,
  first,
})
