/**
 * The simulated network between processes: who reaches whom, how slowly, and what is lost. network.ts is what one process sees of it.
 * Links are as those of libp2p: frames of one channel keep their order; a direction that is cut holds frames back until it is whole again or the
 * link is given up; a link that is given up loses what was under way and comes back by itself.
 */
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Random } from '../simulation/random.ts'
import type { SimulatedNetwork } from './network.ts'
import type { Schedule } from './schedule.ts'

/** How the network of a run behaves. Times in ms, chances per frame. */
export type Weather = {
  /** Small messages: least and most. */
  readonly smallMsMin: number
  readonly smallMsMax: number
  /** Proposals, gossip, questions, answers: most. */
  readonly bulkMsMax: number
  /** Loss of small messages; of everything else. */
  readonly smallLoss: number
  readonly bulkLoss: number
  readonly duplication: number
}

/** A network that does nothing wrong. */
export const calm = (deltaMs: number): Weather => ({
  smallMsMin: 1,
  smallMsMax: deltaMs / 5,
  bulkMsMax: deltaMs / 2,
  smallLoss: 0,
  bulkLoss: 0,
  duplication: 0,
})

/** How long a link that carries nothing in one direction is kept, ms: the watchdog of node/network/links.ts. */
const GIVE_UP_MS = 6000
/** Period of the watchdog, and how often it sees a link that one side alone has before it ends it. */
const WATCH_MS = 1000
const HALF_LOOKS_MAX = 3
/** Least and most time until a lost link is tried again, ms. */
const REDIAL_MS_MIN = 200
const REDIAL_MS_MAX = 2500

/** Everything that happens to frames, by kind, for the report. */
export type WireFigures = { frames: number; lost: number; duplicated: number; held: number; linksLost: number }

export class Wires {
  readonly schedule: Schedule
  readonly random: Random
  weather: Weather
  readonly figures: WireFigures = { frames: 0, lost: 0, duplicated: 0, held: 0, linksLost: 0 }
  readonly #processes = new Map<string, SimulatedNetwork>()
  /** Pairs of which one alone has a link: how often that was seen. */
  readonly #half = new Map<string, number>()
  /** Directions that are cut, `from>to`, by place. */
  readonly #cut = new Set<string>()
  /** Which of two processes with one key a third one reaches. */
  audience: (key: PublicKeyHex, asker: string) => number = () => 0

  constructor(schedule: Schedule, random: Random, weather: Weather) {
    this.schedule = schedule
    this.random = random
    this.weather = weather
    this.#watch()
  }

  /** As the watchdog of node/network/links.ts: a link that only one side has is ended, one that is missing is dialled. */
  #watch(): void {
    this.schedule.at(WATCH_MS, () => {
      const all = [...this.#processes.values()]
      for (const [i, a] of all.entries())
        for (const b of all.slice(i + 1)) {
          const name = `${a.place} ${b.place}`
          const isHalf = a.isLinkedTo(b) !== b.isLinkedTo(a)
          const looks = isHalf ? (this.#half.get(name) ?? 0) + 1 : 0
          this.#half.set(name, looks)
          if (looks >= HALF_LOOKS_MAX) this.breakLink(a, b)
          if (!isHalf && !a.isLinkedTo(b)) this.#dialSoon(a, b)
        }
      this.#watch()
    })
  }

  /** A process begins to listen. */
  join(network: SimulatedNetwork): void {
    this.#processes.set(network.place, network)
    for (const other of this.#processes.values()) if (other !== network) this.#dialSoon(network, other)
  }

  /** A process is gone: the others notice. */
  leave(network: SimulatedNetwork): void {
    if (this.#processes.get(network.place) !== network) return
    this.#processes.delete(network.place)
    for (const other of this.#processes.values()) {
      if (!other.isLinkedTo(network)) continue
      const isCut = this.isCut(network.place, other.place)
      other.scope.later(isCut ? GIVE_UP_MS : this.smallMs(), () => other.unlink(network))
    }
  }

  /** Cuts the direction from one place to another, or makes it whole. */
  setCut(from: string, to: string, cut: boolean): void {
    const name = `${from}>${to}`
    if (cut === this.#cut.has(name)) return
    if (cut) this.#cut.add(name)
    else this.#cut.delete(name)
    const [a, b] = [this.#processes.get(from), this.#processes.get(to)]
    if (a === undefined || b === undefined) return
    if (!cut) {
      a.release(b)
      this.#dialSoon(a, b)
    } else if (a.isLinkedTo(b))
      this.schedule.at(GIVE_UP_MS * (0.7 + 0.6 * this.random.next()), () => {
        if (this.isCut(from, to)) this.breakLink(a, b)
      })
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`)
  }

  /** Whether two places reach each other in both directions. */
  isWhole(a: string, b: string): boolean {
    return !this.isCut(a, b) && !this.isCut(b, a)
  }

  /** All directions are whole. */
  mend(): void {
    for (const name of [...this.#cut]) {
      const [from, to] = name.split('>') as [string, string]
      this.setCut(from, to, false)
    }
  }

  /** Ends the link of two processes on both sides; it is dialled again. */
  breakLink(a: SimulatedNetwork, b: SimulatedNetwork): void {
    if (!a.isLinkedTo(b) && !b.isLinkedTo(a)) return
    this.figures.linksLost++
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      one.scope.later(0, () => one.unlink(other))
    this.#dialSoon(a, b)
  }

  /** Breaks the links between two places, if both run. */
  breakLinkOf(a: string, b: string): void {
    const [one, other] = [this.#processes.get(a), this.#processes.get(b)]
    if (one !== undefined && other !== undefined) this.breakLink(one, other)
  }

  /** The process that `asker` reaches under `key`. */
  find(key: PublicKeyHex, asker: SimulatedNetwork): SimulatedNetwork | undefined {
    const named = [...this.#processes.values()].filter((one) => one.publicKey === key && one !== asker)
    if (named.length <= 1) return named[0]
    return named[this.audience(key, asker.place) % named.length]
  }

  /** Another audience was chosen: links to the twin that is no longer reached end. */
  audiencesChanged(): void {
    for (const one of this.#processes.values())
      for (const other of one.linked()) if (this.find(other.publicKey, one) !== other) this.breakLink(one, other)
    for (const one of this.#processes.values())
      for (const other of this.#processes.values()) if (one !== other) this.#dialSoon(one, other)
  }

  smallMs(): number {
    const { smallMsMin, smallMsMax } = this.weather
    return smallMsMin + this.random.next() * (smallMsMax - smallMsMin)
  }

  bulkMs(): number {
    return this.smallMs() + this.random.next() * this.weather.bulkMsMax
  }

  /** How often a frame arrives: mostly once. */
  copies(isSmall: boolean): number {
    const { smallLoss, bulkLoss, duplication } = this.weather
    this.figures.frames++
    if (this.random.chance(isSmall ? smallLoss : bulkLoss)) {
      this.figures.lost++
      return 0
    }
    if (duplication === 0 || !this.random.chance(duplication)) return 1
    this.figures.duplicated++
    return 2
  }

  #dialSoon(a: SimulatedNetwork, b: SimulatedNetwork): void {
    if (a.role !== 'member' || b.role !== 'member' || a.publicKey === b.publicKey) return
    const ms = REDIAL_MS_MIN + this.random.next() * (REDIAL_MS_MAX - REDIAL_MS_MIN)
    this.schedule.at(ms, () => {
      const isHere = this.#processes.get(a.place) === a && this.#processes.get(b.place) === b
      if (!isHere || a.isLinkedTo(b) || this.find(b.publicKey, a) !== b || this.find(a.publicKey, b) !== a) return
      // What is cut is dialled again once it is whole.
      if (!this.isWhole(a.place, b.place)) return
      if (!a.accepts(b.publicKey) || !b.accepts(a.publicKey)) return
      if (a.isPaused(b.publicKey) || b.isPaused(a.publicKey) || b.isLinkedTo(a)) return
      a.scope.later(0, () => a.link(b))
      b.scope.later(this.smallMs(), () => b.link(a))
    })
  }
}
