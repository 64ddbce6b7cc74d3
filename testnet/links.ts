/**
 * Stage: the operator. What is wrong with the network between members: faults, each over some directed links for a while, and what all of
 * them together make of one link; pure.
 * Invariants: a link without a fault is open and adds nothing; faults add up, and taking one away leaves the others.
 */

/** `open`; `held`: bytes wait, nobody is told (a black hole); `cut`: connections are reset, new ones refused. */
type Passage = 'open' | 'held' | 'cut'

/** A directed link as it is now. `rateBitsPerS`: null without a limit; `lossPercent` 0 … 100. */
export type Condition = {
  readonly passage: Passage
  readonly delayMs: number
  readonly jitterMs: number
  readonly lossPercent: number
  readonly rateBitsPerS: number | null
}

/** A link that nothing is wrong with. */
export const OPEN: Condition = { passage: 'open', delayMs: 0, jitterMs: 0, lossPercent: 0, rateBitsPerS: null }

/** From whom to whom. */
export type Link = { readonly from: string; readonly to: string }

/** What a fault does to its links. */
export type Effect = Partial<Condition>

const WORSE: readonly Passage[] = ['open', 'held', 'cut']

// Delays add up as they would one behind the other; the narrowest place decides the rate, the worst passage whether anything passes.
function add(condition: Condition, effect: Effect): Condition {
  const { passage = 'open', delayMs = 0, jitterMs = 0, lossPercent = 0, rateBitsPerS = null } = effect
  const rates = [condition.rateBitsPerS, rateBitsPerS].filter((rate) => rate !== null)
  return {
    passage: WORSE[Math.max(WORSE.indexOf(condition.passage), WORSE.indexOf(passage))] as Passage,
    delayMs: condition.delayMs + delayMs,
    jitterMs: condition.jitterMs + jitterMs,
    lossPercent: Math.min(100, condition.lossPercent + lossPercent),
    rateBitsPerS: rates.length === 0 ? null : Math.min(...rates),
  }
}

/** The conditions of all links at one moment. */
export type Conditions = (link: Link) => Condition

/** The faults that there are now. */
export class LinkFaults {
  readonly #faults = new Map<number, { readonly links: readonly Link[]; readonly effect: Effect }>()
  #next = 0

  /** Adds a fault over `links`; what it returns takes it away again. */
  add(links: readonly Link[], effect: Effect): () => void {
    const id = this.#next++
    this.#faults.set(id, { links, effect })
    return () => this.#faults.delete(id)
  }

  /** Takes all away. */
  clear(): void {
    this.#faults.clear()
  }

  /** What all faults together make of a link. */
  readonly of: Conditions = ({ from, to }) => {
    let condition = OPEN
    for (const { links, effect } of this.#faults.values())
      if (links.some((link) => link.from === from && link.to === to)) condition = add(condition, effect)
    return condition
  }
}

/** All links between `names`, each in both directions. */
export const linksAmong = (names: readonly string[]): Link[] =>
  names.flatMap((from) => names.filter((to) => to !== from).map((to) => ({ from, to })))

/** The links from any of `from` to any of `to`; with `both`, those back as well. */
export function linksBetween(from: readonly string[], to: readonly string[], both: boolean): Link[] {
  const there = from.flatMap((a) => to.filter((b) => b !== a).map((b) => ({ from: a, to: b })))
  return both ? [...there, ...there.map((link) => ({ from: link.to, to: link.from }))] : there
}
