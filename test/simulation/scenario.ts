/**
 * Scenarios: a seed stands for one, and draws a theme so that the search spends itself on one strategy at a time.
 * Kinds of run (agreement.md §7): `synchronous` (small messages within Δ, up to f liars, honest crashes and noticed stalls, bodies as slow as they
 * like), `steady` (synchronous, honest members neither crash nor stall, bodies prompt: no honest leader may be deposed and the liars stay
 * while progress is demanded), `asynchronous` (any delay, loss, crash and partition; nobody lies).
 */
import type { Rules } from '../../protocol/consensus/rules.ts'
import { quorumSizes } from '../../protocol/members.ts'
import { seededRandom } from './random.ts'

/** Δ in the simulation, ms. */
export const DELTA_MS = 100
/** Most a small message spends on a link in a synchronous run: Δ without the two quick writes that may precede it. */
export const LINK_MS_MAX = DELTA_MS - 3

export type Kind = 'synchronous' | 'steady' | 'asynchronous'
/**
 * What the liars, the network and the disks concentrate on. `twins`: liars are copies of the honest core; `directed`: liars follow director.ts;
 * `power`: everyone crashes when a commit has just been signed; `blackout`: all links drop everything for a while; `islands`: partitions
 * that isolate single members; `stalls`: a member stalls while the write of a commit is under way; `crashes`: at the write of a vote or commit.
 */
export type Theme = 'twins' | 'directed' | 'stalls' | 'crashes' | 'power' | 'blackout' | 'islands' | 'chaos'

/** Faults of the shell around the core, for mutants that are not one of its rules (agreement.md §9, 10, 13, 14). */
export type Flaws = {
  /** The verifier counts a signer twice. */
  readonly duplicateSigners?: boolean
  /** A vote that was recorded and not sent is sent after a restart without being asked about again. */
  readonly resendRecorded?: boolean
  /** A certificate, not the CC, of the block that ends the era starts the next one. */
  readonly eraEndsOnCertificate?: boolean
}

export type Scenario = {
  readonly seed: number
  readonly n: number
  readonly kind: Kind
  readonly theme: Theme
  readonly liars: readonly number[]
  /** Members after the block that ends the first era; `n`: eras never end. */
  readonly nextN: number
  readonly rules?: Rules
  readonly flaws?: Flaws
  /** Length of the faulty phase, ms of virtual time. */
  readonly faultyMs: number
  /** Length of the healed phase in which every honest member must commit. */
  readonly healedMs: number
  readonly termBlocks: number
  /** Delays of small messages between honest members: anything, either nothing or the most, or one of them per link. */
  readonly links: 'uniform' | 'extreme' | 'perLink'
  /** Most that a body takes, ms. */
  readonly bulkMsMax: number
  /** Liars answer echoes and acknowledge. */
  readonly liarsEcho: boolean
  readonly liarsAcknowledge: boolean
}

const THEMES: Readonly<Record<Kind, readonly Theme[]>> = {
  synchronous: ['directed', 'directed', 'directed', 'directed', 'stalls', 'stalls', 'crashes', 'crashes', 'twins'],
  steady: ['directed', 'directed', 'directed', 'twins'],
  asynchronous: ['power', 'power', 'blackout', 'islands', 'chaos'],
}

/** The scenario that a seed stands for. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed ^ 0x5eed)
  const kind = random.pick(['synchronous', 'synchronous', 'synchronous', 'steady', 'asynchronous'] as const)
  const theme = random.pick(THEMES[kind])
  const n = random.pick([3, 3, 3, 5, 5, 5, 5, 7, 7, 4, 6, 2, 1])
  const { f } = quorumSizes(n, 51)
  const lying = kind === 'asynchronous' ? 0 : f
  // Consecutive leaders that lie see one reign's seed grow in the next.
  const first = random.below(n)
  const together = random.chance(0.7)
  const liars = new Set<number>()
  while (liars.size < lying) liars.add(together ? (first + liars.size) % n : random.below(n))
  const steady = kind === 'steady'
  return {
    seed,
    n,
    kind,
    theme,
    liars: [...liars],
    nextN: n,
    faultyMs: kind === 'asynchronous' ? 6_000 : steady ? 5_000 : 4_500,
    healedMs: 90_000,
    termBlocks: random.pick([1, 2, 3, 5, 100, 100, 100]),
    links: random.pick(['uniform', 'extreme', 'extreme', 'perLink'] as const),
    bulkMsMax: steady ? DELTA_MS / 2 : random.pick([DELTA_MS / 2, 3 * DELTA_MS, 30 * DELTA_MS]),
    liarsEcho: random.chance(0.6),
    liarsAcknowledge: random.chance(0.9),
  }
}

/** One line that names a scenario. */
export const describeScenario = (of: Scenario): string =>
  `n=${of.n} ${of.kind} ${of.theme}, ${of.liars.length === 0 ? 'nobody lies' : `${of.liars.join(', ')} lie`}`
