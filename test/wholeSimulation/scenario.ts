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
  /** The nth read from now fails. */
  | { readonly kind: 'readFails'; readonly member: number; readonly reads: number }
  /** Entries of its ledger cannot be read any more. */
  | { readonly kind: 'rot'; readonly member: number; readonly entries: number }
  | { readonly kind: 'backup'; readonly member: number }
  /** The whole disk is lost, and the last backup is put in its place. */
  | { readonly kind: 'restore'; readonly member: number; readonly downMs: number }
  /** Operators change the consortium; `worst`: what strikes the leader whose block closes the era. */
  | { readonly kind: 'change'; readonly member: number; readonly change: ChangeKind; readonly worst: Worst }
)
/** How the consortium changes. `rotate`: a member's own next key; `replace`: another organisation in its place. */
export type ChangeKind = 'add' | 'remove' | 'replace' | 'rotate' | 'parameters'
export type Worst = 'crash' | 'cut' | 'power' | 'stall' | null
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
  /** Organisations that are no members at first. */
  readonly candidates: number
  /** What some members drop of the past, and how often all make snapshots; null: nothing, never. */
  readonly growth: { readonly keepBlocks: number; readonly snapshotBlocks: number; readonly joinGainMin: number } | null
  /** Minutes and hours with little in them, in the place of seconds with much. */
  readonly isQuiet: boolean
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

/** Seeds below are as they were before there were changes of members and what came with them, so that those that found something stay. */
export const ADDITIONS_FROM = 12_000

type Additions = Pick<Scenario, 'isQuiet' | 'candidates' | 'growth'> & {
  readonly changes: number
  readonly quietMs: number
  /** Between two faults, on average; null: as elsewhere. */
  readonly gapMs: number | null
}

function additionsOf(seed: number): Additions {
  if (seed < ADDITIONS_FROM) return { isQuiet: false, candidates: 0, growth: null, changes: 0, quietMs: 0, gapMs: null }
  const random = seededRandom(seed ^ 0xadd5)
  const changes = random.chance(0.65) ? random.pick([1, 3, 6]) : 0
  return {
    isQuiet: random.chance(0.35),
    quietMs: random.pick([300_000, 900_000, 1_800_000]),
    candidates: random.pick([0, 0, 1, 2]),
    changes,
    // A consortium that is struck all the time changes nothing.
    gapMs: changes > 0 ? random.pick([1000, 4000, 8000]) : null,
    growth: random.chance(0.4)
      ? {
          keepBlocks: random.pick([10, 40]),
          snapshotBlocks: random.pick([0, 5, 20]),
          joinGainMin: random.pick([3, 10]),
        }
      : null,
  }
}

/** The scenario of `seed`. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed ^ 0x77401e)
  const kind = random.pick(['synchronous', 'synchronous', 'asynchronous', 'asynchronous', 'lying'] as const)
  const n = random.pick([1, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7])
  const deltaMs = random.pick([100, 200, 500])
  let parameters: Parameters = {
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
  const busyMs = random.pick([8_000, 15_000, 30_000])
  const { isQuiet, candidates, changes, growth, gapMs, quietMs } = additionsOf(seed)
  const faultyMs = isQuiet ? quietMs : busyMs
  if (isQuiet) parameters = { ...parameters, heartbeatMs: 60_000, inclusionTimeoutMs: 120_000 }
  return {
    seed,
    kind,
    n,
    parameters,
    liars,
    lights: random.below(4),
    clients: 1 + random.below(4),
    candidates,
    growth,
    isQuiet,
    clientPauseMs: random.pick([30, 150, 600]) * (isQuiet ? 400 : 1),
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
    drift: Array.from({ length: n }, () => 1 + (random.next() - 0.5) * (isQuiet ? 0.0002 : rough ? 0.02 : 0.0004)),
    faults: faultsOf(random, {
      kind,
      n,
      f,
      deltaMs,
      faultyMs,
      liars,
      changes,
      isQuiet,
      candidates,
      gapMs,
      isFirst: seed < ADDITIONS_FROM,
    }),
    pool: random.pick([
      { bytesMax: 16_000_000, countMax: 20_000 },
      { bytesMax: 400_000, countMax: 300 },
    ]),
    faultyMs,
  }
}

type Plan = Pick<Scenario, 'kind' | 'n' | 'faultyMs' | 'liars' | 'isQuiet' | 'candidates'> & {
  readonly f: number
  readonly deltaMs: number
  readonly changes: number
  readonly gapMs: number | null
  readonly isFirst: boolean
}

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
/** Which count as lies without timing. */
const LOST: readonly FaultKind[] = ['diskLost', 'recordLost']
/** What seeds from `ADDITIONS_FROM` on have beside these. */
const MORE: readonly FaultKind[] = ['readFails', 'rot']
const MORE_LOST: readonly FaultKind[] = ['backup', 'backup', 'restore']
const ROUGH: readonly FaultKind[] = ['cut', 'partition', 'partition', 'power']

/** A swarm: each scenario draws which kinds of faults it has at all, and how many. */
function faultsOf(random: Random, plan: Plan): Fault[] {
  const { kind, faultyMs, liars } = plan
  const isTimely = kind === 'synchronous'
  const more = plan.isFirst ? [] : [...MORE, ...(isTimely ? MORE_LOST : [])]
  let kinds = [...ANYWHERE, ...(isTimely ? LOST : ROUGH), ...more]
  kinds = kinds.filter(() => random.chance(0.5))
  if ([...liars.values()].includes('twins')) kinds.push('audience', 'audience')
  const faults: Fault[] = changesOf(random, plan)
  if (kinds.length === 0) return faults
  const usualMs = random.pick([300, 1000, 4000])
  const gapMs = (plan.gapMs ?? usualMs) * (plan.isQuiet ? 20 : 1)
  for (let at = random.below(2 * gapMs); at < faultyMs && faults.length < 60; at += 1 + random.below(2 * gapMs))
    faults.push(faultOf(random, random.pick(kinds), at, plan))
  return faults.sort((a, b) => a.at - b.at)
}

function changesOf(random: Random, { n, changes, candidates, faultyMs }: Plan): Fault[] {
  const kinds = ['rotate', 'parameters', 'remove', ...(candidates > 0 ? ['add', 'add', 'replace'] : [])] as ChangeKind[]
  const faults: Fault[] = []
  for (let i = 0; i < changes; i++) {
    const worst = random.pick([null, null, 'crash', 'cut', 'power', 'stall'] as const)
    const at = random.below(Math.floor(faultyMs * 0.6))
    faults.push({ at, kind: 'change', member: random.below(n), change: random.pick(kinds), worst })
  }
  // Somebody sleeps through some of it.
  if (changes > 1 && random.chance(0.5))
    faults.push({ at: random.below(faultyMs >> 1), kind: 'crash', member: random.below(n), downMs: faultyMs })
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
    case 'readFails':
      return { at, kind, member, reads: random.below(300) }
    case 'rot':
      return { at, kind, member, entries: random.pick([1, 10, 1000]) }
    case 'backup':
      return { at, kind, member }
    case 'restore':
      return { at, kind, member, downMs }
    case 'change':
      return { at, kind, member, change: 'parameters', worst: null }
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
  `${faults.length} faults, ${faults.filter(({ kind: one }) => one === 'change').length} changes, ${lights} lights, ${clients} clients`
