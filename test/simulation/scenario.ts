/**
 * Scenarios: a seed stands for one, and draws a theme so that the search spends itself on one strategy at a time. Kinds of run (agreement.md §7):
 * `synchronous`: small messages within Δ, up to f liars, honest crashes, noticed stalls, disks and bodies as slow as they like;
 * `steady`: synchronous, honest members neither crash nor stall, bodies prompt: no honest leader may be deposed while the liars are at work;
 * `asynchronous`: any delay, loss, crash and partition; nobody lies and no record is lost;
 * `lying`: asynchronous with some liars: only the third row of §7 is promised, and progress where the locks allow it.
 */
import type { Rules } from '../../protocol/consensus/rules.ts'
import { quorumSizes } from '../../protocol/members.ts'
import { type Random, seededRandom } from './random.ts'

/** Δ of the first era, ms. */
export const DELTA_MS = 100

export type Kind = 'synchronous' | 'steady' | 'asynchronous' | 'lying'
export const KINDS: readonly Kind[] = ['synchronous', 'steady', 'asynchronous', 'lying']
/**
 * What liars, network, disks and processes concentrate on. `director`: liars follow director.ts; `twins`: liars are two copies each of the honest
 * core with chosen audiences; `crashes`: honest members crash at their writes; `stalls`: they stall; `disks`: writes are slow; `flaps`: links
 * break for a moment; `records`: records are lost; `power`: everyone crashes at once; `blackout`: all links drop everything for a while;
 * `islands`: partitions; `closing` (seeds from `CLOSING_FROM` on): several short eras, a member that sleeps through some of them, and trouble for the
 * leader whenever a block that ends an era is proposed. In all but `twins` liars, if there are any, follow the director.
 */
export type Theme =
  | 'director'
  | 'twins'
  | 'crashes'
  | 'stalls'
  | 'disks'
  | 'flaps'
  | 'records'
  | 'power'
  | 'blackout'
  | 'islands'
  | 'closing'

/** Seeds from here on are about the ends of eras; those below are what they were before there was this theme. */
export const CLOSING_FROM = 1_000_000

/** Faults of the shell around the core, for mutants that are not one of its rules (agreement.md §9, 10). */
export type Flaws = {
  /** The verifier counts a signer as often as it signs. */
  readonly duplicateSigners?: boolean
}

/** One era: its members by organisation, and its parameters. */
export type EraPlan = {
  readonly members: readonly number[]
  readonly percent: number
  readonly deltaMs: number
  readonly termBlocks: number
  /** From this many blocks on a leader may build the block that ends it. */
  readonly blocks: number
}

export type Scenario = {
  readonly seed: number
  readonly kind: Kind
  readonly theme: Theme
  readonly liars: readonly number[]
  /** The first era and those that follow; the last one does not end. */
  readonly eras: readonly EraPlan[]
  readonly rules?: Rules
  readonly flaws?: Flaws
  /** Length of the faulty phase, ms of virtual time. */
  readonly faultyMs: number
  /** Longest healed phase, in which every honest member must commit. */
  readonly healedMs: number
  /** Delays of small messages between honest members: anything, either nothing or the most, or one for each link for a while. */
  readonly links: 'uniform' | 'extreme' | 'perLink'
  /** The most of them, as a part of Δ. */
  readonly linkPart: number
  /** Most that a body takes, ms. */
  readonly bulkMsMax: number
  /** Slowest write, ms. */
  readonly diskMsMax: number
  /** Liars answer echoes and acknowledge. */
  readonly liarsEcho: boolean
  readonly liarsAcknowledge: boolean
  /** What the liars do once the network has healed. */
  readonly liarsAfter: 'silent' | 'lying'
}

const THEMES: Readonly<Record<Kind, readonly Theme[]>> = {
  synchronous: ['director', 'director', 'stalls', 'crashes', 'disks', 'flaps', 'twins', 'records'],
  steady: ['director', 'director', 'twins'],
  asynchronous: ['power', 'crashes', 'blackout', 'islands', 'stalls', 'flaps', 'disks'],
  lying: ['director', 'twins', 'crashes', 'islands'],
}

/** What a search is narrowed to: sizes of the consortium by era, kinds and themes. */
export type Focus = {
  readonly kinds?: readonly Kind[]
  readonly themes?: readonly Theme[]
  readonly sizes?: readonly (readonly number[])[]
}

/** The scenario that a seed stands for, in a search that may be narrowed. */
export function scenarioOf(seed: number, focus: Focus = {}): Scenario {
  const random = seededRandom(seed ^ 0x5eed)
  if (seed >= CLOSING_FROM) return closing(scenarioOf(seed - CLOSING_FROM, CLOSING), seed, random)
  const kind = random.pick(
    focus.kinds ?? (['synchronous', 'synchronous', 'synchronous', 'steady', 'asynchronous', 'lying'] as const),
  )
  const themes = THEMES[kind].filter((theme) => focus.themes?.includes(theme) ?? true)
  const theme = random.pick(themes.length > 0 ? themes : THEMES[kind])
  const eras = erasOf(random, focus)
  const steady = kind === 'steady'
  return {
    seed,
    kind,
    theme,
    liars: kind === 'asynchronous' ? [] : liarsOf(random, eras, kind === 'lying'),
    eras,
    faultyMs: kind === 'lying' ? random.pick([800, 1_500, 3_000, 5_000]) : kind === 'asynchronous' ? 5_000 : 4_000,
    healedMs: 120_000,
    links: random.pick(['uniform', 'extreme', 'extreme', 'perLink'] as const),
    linkPart: theme === 'flaps' ? 0.4 : theme === 'stalls' ? 0.7 : 0.97,
    bulkMsMax: steady ? DELTA_MS / 2 : random.pick([DELTA_MS / 2, 3 * DELTA_MS, 15 * DELTA_MS]),
    diskMsMax: theme === 'disks' ? random.pick([DELTA_MS, 2.5 * DELTA_MS, 5 * DELTA_MS]) : 2,
    liarsEcho: random.chance(0.6),
    liarsAcknowledge: random.chance(0.8),
    liarsAfter: random.pick(['silent', 'lying'] as const),
  }
}

const CLOSING: Focus = {
  kinds: ['synchronous', 'asynchronous'],
  sizes: [
    [4, 4, 4, 4, 4],
    [5, 4, 5, 4],
    [7, 5, 4, 7],
    [3, 4, 5, 4],
    [6, 5, 5, 3],
    [4, 5, 3, 5],
  ],
}

/** Eras of a few blocks each. A member sleeps, so that there is one liar less where there are two. */
function closing(scenario: Scenario, seed: number, random: Random): Scenario {
  const eras = scenario.eras.map((era) => ({ ...era, blocks: 1 + random.below(3), percent: 51 }))
  const spare = Math.min(...eras.map(({ members }) => quorumSizes(members.length, 51).f))
  const liars = scenario.liars.slice(0, Math.max(0, spare - 1) + (random.chance(0.5) ? 1 : 0))
  return { ...scenario, seed, theme: 'closing', eras, liars, faultyMs: scenario.faultyMs + 4_000 }
}

const ONE_ERA: readonly (readonly number[])[] = [[3], [3], [5], [5], [5], [5], [7], [7], [4], [6], [2], [1]]
const MORE_ERAS: readonly (readonly number[])[] = [
  [4, 7],
  [5, 4],
  [3, 5],
  [7, 5, 4],
  [4, 4, 4],
  [5, 7],
  [1, 3],
  [2, 4, 3],
]

function erasOf(random: Random, focus: Focus): EraPlan[] {
  const termBlocks = random.pick([1, 2, 3, 5, 100, 100, 100])
  const sizes = random.pick(focus.sizes ?? (random.chance(0.3) ? MORE_ERAS : ONE_ERA))
  const organisations = Array.from({ length: Math.max(...sizes) }, (_, i) => i)
  return sizes.map((n, i) => {
    const from = i === 0 ? 0 : random.below(organisations.length)
    const members = Array.from({ length: n }, (_, j) => (from + j) % organisations.length)
    const deltaMs = i > 0 && random.chance(0.3) ? DELTA_MS * random.pick([0.6, 1.5]) : DELTA_MS
    const percent = random.chance(0.08) ? 67 : 51
    return {
      members,
      percent,
      deltaMs,
      termBlocks: i === 0 ? termBlocks : random.pick([2, 5, 100]),
      blocks: 2 + random.below(5),
    }
  })
}

/** As many as each of the eras tolerates; consecutive ones see one reign's seed grow in the next. */
function liarsOf(random: Random, eras: readonly EraPlan[], some: boolean): number[] {
  const organisations = [...new Set(eras.flatMap(({ members }) => members))]
  const first = random.below(organisations.length)
  const order = random.chance(0.7)
    ? organisations.map((_, i) => organisations[(first + i) % organisations.length] as number)
    : random.shuffled(organisations)
  const liars: number[] = []
  for (const organisation of order) {
    const fits = eras.every(({ members, percent }) => {
      const { f } = quorumSizes(members.length, percent)
      return [...liars, organisation].filter((liar) => members.includes(liar)).length <= f
    })
    if (fits && !(some && liars.length > 0 && random.chance(0.4))) liars.push(organisation)
  }
  return liars
}

/** One line that names a scenario. */
export const describeScenario = ({ eras, kind, theme, liars }: Scenario): string =>
  `n=${eras.map(({ members }) => members.length).join('→')} ${kind} ${theme}, ${liars.length === 0 ? 'nobody lies' : `${liars.join(', ')} lie`}`
