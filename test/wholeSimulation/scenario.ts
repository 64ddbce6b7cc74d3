/**
 * Scenarios of the whole-node simulator: a seed stands for one consortium, one weather and one list of faults, all decided before the run, so that
 * a failing run can be made smaller by leaving some of them out.
 *
 * Kinds (agreement.md §7): `synchronous`: small messages within Δ, stalls noticed, up to f members lie; `asynchronous`: any delay, loss,
 * duplication, partition, crash; nobody lies and no record is lost; `lying`: both, where only assured blocks are promised.
 */
import { DEFAULT_PARAMETERS } from '../../config/genesisFile.ts'
import { type Parameters, quorumSizes } from '../../protocol/members.ts'
import { type Random, seededRandom } from '../simulation/random.ts'
import type { Weather } from './wires.ts'

export type Kind = 'synchronous' | 'asynchronous' | 'lying'

/** Ways in which a member lies. `twins`: two whole nodes with one key; the others twist what one honest node would send. */
export const LIES = ['twins', 'withhold', 'lyingSync', 'flood', 'selective', 'garble'] as const
export type Lie = (typeof LIES)[number]

/** A fault, at a time of the faulty phase (virtual ms). `member` is an index, `forMs` how long it lasts. */
export type Fault = { readonly at: number } & (
  | { readonly kind: 'crash'; readonly member: number; readonly downMs: number }
  /** At the nth write from now; made or not. */
  | {
      readonly kind: 'crashAtWrite'
      readonly member: number
      readonly writes: number
      readonly made: boolean
      readonly downMs: number
    }
  | {
      readonly kind: 'writeFails'
      readonly member: number
      readonly writes: number
      readonly made: boolean
      readonly downMs: number
    }
  | { readonly kind: 'power'; readonly downMs: number }
  /** Graceful stop and start. */
  | { readonly kind: 'restart'; readonly member: number; readonly downMs: number }
  | { readonly kind: 'ledgerLost'; readonly member: number; readonly downMs: number }
  /** Ledger and record are lost: `recover`. */
  | { readonly kind: 'diskLost'; readonly member: number; readonly downMs: number }
  | { readonly kind: 'recordLost'; readonly member: number; readonly downMs: number }
  | { readonly kind: 'stall'; readonly member: number; readonly forMs: number }
  | { readonly kind: 'clockJump'; readonly member: number; readonly byMs: number; readonly forMs: number }
  /** `hard`: nothing can be written at all. */
  | { readonly kind: 'diskFull'; readonly member: number; readonly hard: boolean; readonly forMs: number }
  | { readonly kind: 'cut'; readonly from: number; readonly to: number; readonly forMs: number }
  /** Members on both sides do not reach each other; `oneWay`: only the first side is not heard. */
  | { readonly kind: 'partition'; readonly side: readonly number[]; readonly oneWay: boolean; readonly forMs: number }
  | { readonly kind: 'flap'; readonly from: number; readonly to: number }
  | { readonly kind: 'audience' }
)
export type FaultKind = Fault['kind']

/** One consortium and what happens to it. */
export type Scenario = {
  readonly seed: number
  readonly kind: Kind
  readonly n: number
  readonly parameters: Parameters
  /** Index → how it lies. */
  readonly liars: ReadonlyMap<number, Lie>
  readonly lights: number
  readonly clients: number
  /** Least ms between two writes of one client, on average. */
  readonly clientPauseMs: number
  readonly weather: Weather
  readonly diskMsMax: number
  /** Disks lie about what is durable: for a test of the simulator. */
  readonly forgetful?: boolean
  /** Rates of the members' clocks. */
  readonly drift: readonly number[]
  readonly faults: readonly Fault[]
  readonly pool: { readonly bytesMax: number; readonly countMax: number }
  readonly faultyMs: number
}

/** What of a scenario is left out, for making it smaller. */
export type Reduction = {
  /** Faults by index. */
  readonly without: readonly number[]
  readonly honest?: readonly number[]
  readonly lights?: number
  readonly clients?: number
  readonly calm?: boolean
}

/** The scenario of `seed`. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed ^ 0x77401e)
  const kind = random.pick(['synchronous', 'synchronous', 'asynchronous', 'asynchronous', 'lying'] as const)
  const n = random.pick([1, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7])
  const deltaMs = random.pick([100, 200, 500])
  const parameters: Parameters = {
    ...DEFAULT_PARAMETERS,
    percent: random.chance(0.1) ? 67 : 51,
    deltaMs,
    termBlocks: random.pick([1, 2, 5, 20, 100]),
    heartbeatMs: deltaMs * random.pick([4, 10, 20]),
    bodyAllowanceMs: random.pick([200, 500, 1000]),
    timeoutDoublingsMax: random.pick([3, 4, 6]),
    inclusionTimeoutMs: random.pick([5000, 20_000]),
    clockDriftMs: 2000,
  }
  const { f } = quorumSizes(n, parameters.percent)
  const liars = new Map<number, Lie>()
  if (kind !== 'asynchronous')
    for (const member of random.shuffled(Array.from({ length: n }, (_, i) => i)).slice(0, f))
      if (random.chance(0.8)) liars.set(member, random.pick(LIES))
  const rough = kind === 'asynchronous' || kind === 'lying'
  const faultyMs = random.pick([8_000, 15_000, 30_000])
  return {
    seed,
    kind,
    n,
    parameters,
    liars,
    lights: random.below(4),
    clients: 1 + random.below(4),
    clientPauseMs: random.pick([30, 150, 600]),
    weather: rough
      ? {
          smallMsMin: 0.2,
          smallMsMax: deltaMs * random.pick([0.2, 1, 4]),
          bulkMsMax: deltaMs * random.pick([0.5, 3, 15]),
          smallLoss: random.pick([0, 0.02, 0.15]),
          bulkLoss: random.pick([0, 0.02, 0.15]),
          duplication: random.pick([0, 0.02, 0.2]),
        }
      : {
          smallMsMin: 0.2,
          // The bound holds for both members' own delays too: timers that are late, disks, noticed stalls of less than Δ/4.
          smallMsMax: deltaMs * random.pick([0.1, 0.3, 0.6]),
          bulkMsMax: deltaMs * random.pick([0.5, 3, 15]),
          smallLoss: 0,
          bulkLoss: random.pick([0, 0.05, 0.3]),
          duplication: random.pick([0, 0.05]),
        },
    diskMsMax: random.pick([1, 5, deltaMs / 2, rough ? 5 * deltaMs : deltaMs / 2]),
    drift: Array.from({ length: n }, () => 1 + (random.next() - 0.5) * (rough ? 0.02 : 0.0004)),
    faults: faultsOf(random, { kind, n, f, deltaMs, faultyMs, liars }),
    pool: random.pick([
      { bytesMax: 16_000_000, countMax: 20_000 },
      { bytesMax: 400_000, countMax: 300 },
    ]),
    faultyMs,
  }
}

type Plan = Pick<Scenario, 'kind' | 'n' | 'faultyMs' | 'liars'> & { readonly f: number; readonly deltaMs: number }

const ANYWHERE: readonly FaultKind[] = [
  'crash',
  'crashAtWrite',
  'crashAtWrite',
  'writeFails',
  'restart',
  'ledgerLost',
  'stall',
  'clockJump',
  'diskFull',
  'flap',
]
const ROUGH: readonly FaultKind[] = ['cut', 'partition', 'partition', 'power']

/** A swarm: each scenario draws which kinds of faults it has at all, and how many. */
function faultsOf(random: Random, plan: Plan): Fault[] {
  const { kind, faultyMs, liars } = plan
  let kinds = [...ANYWHERE, ...(kind === 'synchronous' ? (['diskLost', 'recordLost'] as const) : ROUGH)]
  kinds = kinds.filter(() => random.chance(0.5))
  if ([...liars.values()].includes('twins')) kinds.push('audience', 'audience')
  if (kinds.length === 0) return []
  const gapMs = random.pick([300, 1000, 4000])
  const faults: Fault[] = []
  for (let at = random.below(2 * gapMs); at < faultyMs && faults.length < 60; at += 1 + random.below(2 * gapMs))
    faults.push(faultOf(random, random.pick(kinds), at, plan))
  return faults
}

function faultOf(random: Random, kind: FaultKind, at: number, { n, f, deltaMs, ...plan }: Plan): Fault {
  const member = random.below(n)
  const downMs = random.pick([50, 500, 3000, 10_000])
  const forMs = random.pick([200, 2000, 8000])
  const another = (member + 1 + random.below(Math.max(1, n - 1))) % n
  switch (kind) {
    case 'crash':
    case 'restart':
    case 'ledgerLost':
    case 'diskLost':
    case 'recordLost':
      return { at, kind, member, downMs }
    case 'crashAtWrite':
    case 'writeFails':
      return { at, kind, member, writes: 1 + random.below(6), made: random.chance(0.5), downMs }
    case 'power':
      return { at, kind, downMs }
    case 'stall':
      return { at, kind, member, forMs: deltaMs * (0.1 + random.next() * random.pick([0.5, 3, 20])) }
    case 'clockJump': {
      // More than f clocks that are far ahead would carry the chain's time with them, and it never goes back.
      const far = f > 0 && member < f
      return { at, kind, member, byMs: (random.next() - 0.5) * (far ? 600_000 : 1800), forMs }
    }
    case 'diskFull':
      return { at, kind, member, hard: random.chance(0.3), forMs }
    case 'cut':
      return { at, kind, from: member, to: another, forMs }
    case 'partition': {
      const side = Array.from({ length: n }, (_, i) => i).filter(() => random.chance(0.5))
      return { at, kind, side, oneWay: random.chance(0.4), forMs: plan.kind === 'synchronous' ? 0 : forMs }
    }
    case 'flap':
      return { at, kind, from: member, to: another }
    case 'audience':
      return { at, kind }
  }
}

/** `scenario` without what a reduction leaves out. */
export function reduced(scenario: Scenario, { without, honest = [], lights, clients, calm }: Reduction): Scenario {
  return {
    ...scenario,
    faults: scenario.faults.filter((_, i) => !without.includes(i)),
    liars: new Map([...scenario.liars].filter(([member]) => !honest.includes(member))),
    lights: lights ?? scenario.lights,
    clients: clients ?? scenario.clients,
    weather: calm
      ? { ...scenario.weather, smallLoss: 0, bulkLoss: 0, duplication: 0, bulkMsMax: scenario.parameters.deltaMs / 2 }
      : scenario.weather,
  }
}

/** One line that names a scenario. */
export const describeScenario = ({ n, kind, liars, faults, lights, clients, parameters }: Scenario): string =>
  `n=${n} ${kind} Δ=${parameters.deltaMs} term=${parameters.termBlocks} ${parameters.percent}% ` +
  `${[...liars].map(([member, lie]) => `${member} ${lie}`).join(', ') || 'nobody lies'}; ` +
  `${faults.length} faults, ${lights} lights, ${clients} clients`
