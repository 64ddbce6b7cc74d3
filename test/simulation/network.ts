/**
 * The simulated network. Small messages between two processes arrive in order on their link, bodies on a channel of their own. In synchronous runs
 * no small message between honest, live members takes longer than Δ; a link that breaks for a moment loses what is under way on it.
 */
import type { Queue } from './queue.ts'
import type { Random } from './random.ts'
import { DELTA_MS, type Scenario } from './scenario.ts'

/** One end of a link: a running process of an organisation, of which a liar may have two. */
export type End = { readonly name: string; readonly organisation: number; readonly lying: boolean }

type Link = { lastArrival: number; epoch: number; up: boolean; fixedMs: number; fixedUntil: number }

export class Network {
  /** Everything is prompt and whole from here on. */
  healed = false
  /** Nothing passes between the two sides; liars stand on both. */
  partition: ReadonlySet<number> | null = null
  /** Nothing passes at all. */
  blackout = false
  /** By link, as `from>to`: the delay that the adversary wants now, ms; no more than is allowed to it. */
  readonly #wishes = new Map<string, number>()
  readonly #links = new Map<string, Link>()
  readonly #queue: Queue
  readonly #random: Random
  readonly #scenario: Scenario

  constructor(queue: Queue, random: Random, scenario: Scenario) {
    this.#queue = queue
    this.#random = random
    this.#scenario = scenario
  }

  #link(from: End, to: End): Link {
    const name = `${from.name}>${to.name}`
    const known = this.#links.get(name)
    if (known !== undefined) return known
    const link: Link = { lastArrival: 0, epoch: 0, up: true, fixedMs: 0, fixedUntil: -1 }
    this.#links.set(name, link)
    return link
  }

  /** Whether anything passes from one organisation to another just now. */
  passes(from: number, to: number): boolean {
    if (this.blackout) return false
    if (this.partition === null || this.#scenario.liars.includes(from) || this.#scenario.liars.includes(to)) return true
    return this.partition.has(from) === this.partition.has(to)
  }

  get #isTimed(): boolean {
    return this.#scenario.kind === 'synchronous' || this.#scenario.kind === 'steady'
  }

  #smallMs(from: End, to: End, link: Link): number {
    const random = this.#random
    if (this.healed) return random.next() * (DELTA_MS / 5)
    if (!this.#isTimed || from.lying || to.lying) {
      if (this.#isTimed) return random.chance(0.5) ? random.next() * 3 : random.next() * 4 * DELTA_MS
      return random.chance(0.5) ? random.next() * DELTA_MS : random.next() * 10 * DELTA_MS
    }
    const mostMs = this.#scenario.linkPart * DELTA_MS * this.#fastest
    const wish = this.#wishes.get(`${from.name}>${to.name}`)
    if (wish !== undefined) return Math.min(wish, mostMs)
    switch (this.#scenario.links) {
      case 'uniform':
        return random.next() * mostMs
      case 'extreme':
        return random.chance(0.5) ? random.next() : mostMs - random.next()
      case 'perLink':
        if (this.#queue.now > link.fixedUntil) {
          link.fixedMs = random.chance(0.4) ? random.next() * 3 : random.next() * mostMs
          link.fixedUntil = this.#queue.now + random.next() * 6 * DELTA_MS
        }
        return link.fixedMs
    }
  }

  /** Δ may become smaller with an era: the smallest one bounds the links. */
  get #fastest(): number {
    return Math.min(1, ...this.#scenario.eras.map(({ deltaMs }) => deltaMs / DELTA_MS))
  }

  /** Sends a small message; `deliver` is not called if it is lost. */
  small(from: End, to: End, deliver: () => void): void {
    const link = this.#link(from, to)
    if (!link.up || !this.passes(from.organisation, to.organisation)) return
    if (this.#isLost(from, to)) return
    const random = this.#random
    const unordered = !this.#isTimed && !this.healed && random.chance(0.2)
    const at = this.#queue.now + this.#smallMs(from, to, link)
    const arrival = unordered ? at : Math.max(at, link.lastArrival)
    if (!unordered) link.lastArrival = arrival
    const { epoch } = link
    const arrive = (): void => {
      if (link.epoch === epoch) deliver()
    }
    this.#queue.at(arrival - this.#queue.now, arrive)
    if (!this.healed && random.chance(0.03)) this.#queue.at(arrival - this.#queue.now, arrive)
  }

  /** Sends a body or proposal, which nothing bounds. */
  bulk(from: End, to: End, deliver: () => void): void {
    if (!this.#link(from, to).up || !this.passes(from.organisation, to.organisation) || this.#isLost(from, to)) return
    this.#queue.at(this.bulkMs(), deliver)
  }

  /** How long a body takes. */
  bulkMs(): number {
    const { bulkMsMax } = this.#scenario
    const random = this.#random
    if (this.healed) return random.next() * (DELTA_MS / 5)
    return random.chance(0.5) ? random.next() * 5 : random.next() * bulkMsMax
  }

  #isLost(from: End, to: End): boolean {
    if (this.healed) return false
    if (!this.#isTimed) return this.#random.chance(0.1)
    return (from.lying || to.lying) && this.#random.chance(0.05)
  }

  /** In timed runs, small messages from one honest process to another take `ms`, or the most allowed; null: as they do otherwise. */
  steer(from: End, to: End, ms: number | null): void {
    if (ms === null) this.#wishes.delete(`${from.name}>${to.name}`)
    else this.#wishes.set(`${from.name}>${to.name}`, ms)
  }

  /** Breaks both directions of a link: what is under way on it is lost. */
  cut(a: End, b: End): void {
    for (const link of [this.#link(a, b), this.#link(b, a)]) {
      link.up = false
      link.epoch += 1
    }
  }
  /** Mends it. */
  mend(a: End, b: End): void {
    for (const link of [this.#link(a, b), this.#link(b, a)]) link.up = true
  }
}
