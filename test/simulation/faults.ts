/** Faults of honest members and of the network, by the theme of a scenario: when processes crash or stall, links break, and the world is divided. */
import { quorumSizes } from '../../protocol/members.ts'
import type { Member } from './member.ts'
import { DELTA_MS, type Theme } from './scenario.ts'
import type { World } from './world.ts'

/** Chance of a crash at one write. */
const CRASH_CHANCE: Readonly<Record<Theme, number>> = {
  director: 0.001,
  twins: 0.001,
  crashes: 0.03,
  stalls: 0.002,
  disks: 0.01,
  flaps: 0.002,
  records: 0.02,
  power: 0.004,
  blackout: 0.004,
  islands: 0.004,
  closing: 0.004,
}

export class Faults {
  readonly #world: World
  /** Faults that struck, by kind. */
  readonly injected = new Map<string, number>()

  /** With lost records only this one crashes: what it forgot must be known to members that were up (README.md of protocol/consensus, "Recover"). */
  readonly #victim: number

  constructor(world: World) {
    this.#world = world
    this.#victim = world.random.pick(world.honest).organisation
  }

  /** Counts one. */
  count(kind: string): void {
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
  }

  /** Whether a member may crash or stall in this run. */
  spares(member: Member): boolean {
    return this.#world.scenario.theme === 'records' && member.organisation !== this.#victim
  }

  /** Plans the faulty phase. */
  plan(): void {
    const { queue, random, scenario } = this.#world
    if (scenario.kind === 'steady') return
    if (scenario.theme === 'closing') this.#sleep()
    for (let t = 20 + random.below(200); t < scenario.faultyMs; t += this.#gapMs()) queue.at(t, () => this.#strike())
  }

  #gapMs(): number {
    const { random, scenario } = this.#world
    return scenario.theme === 'stalls' || scenario.theme === 'flaps' ? 20 + random.below(150) : 50 + random.below(600)
  }

  #strike(): void {
    const { random, scenario, running, network } = this.#world
    if (network.healed || running.length === 0) return
    const member = random.pick(running)
    switch (scenario.theme) {
      case 'stalls':
        return this.#stall(member)
      case 'flaps':
        return this.#flap(member, random.pick(running))
      case 'power':
        return random.chance(0.25) ? this.#power() : undefined
      case 'blackout':
        return random.chance(0.3) ? this.#blackout() : undefined
      case 'islands':
        return this.#divide()
      case 'crashes':
      case 'records':
        return random.chance(0.3) && !this.spares(member) ? this.#world.crash(member) : undefined
      case 'twins':
        return this.#newAudiences()
      case 'director':
      case 'disks':
      case 'closing':
        return random.chance(0.1) ? this.#stall(member) : undefined
    }
  }

  /** Somebody sleeps from early on until all is healed, or for some eras. */
  #sleep(): void {
    const { queue, random, scenario, honest, network } = this.#world
    // Together with the liars there must be enough left to go on: else nobody gets anywhere.
    const sleepers = honest.filter(({ organisation }) =>
      scenario.eras.every(({ members }) => {
        const absent = [...scenario.liars, organisation].filter((one) => members.includes(one)).length
        return absent <= members.length - quorumSizes(members.length, 51).q
      }),
    )
    if (sleepers.length === 0 || random.chance(0.2)) return
    const sleeper = random.pick(sleepers)
    queue.at(random.next() * 400, () => {
      if (network.healed) return
      this.count('sleeps through eras')
      this.#world.crash(sleeper, random.chance(0.5) ? scenario.faultyMs : 3_000)
    })
  }

  /** A block that ends an era was built by `leader`: about when it is voted on, its leader or everybody is gone, or those who leave hear nothing. */
  closing(leader: Member, era: number): void {
    const { queue, random, scenario, network } = this.#world
    if (scenario.theme !== 'closing' || network.healed || random.chance(0.2)) return
    queue.at(random.next() * 4 * DELTA_MS, () => {
      if (network.healed) return
      this.count('struck at the closing block')
      const isTimed = scenario.kind === 'synchronous'
      switch (random.below(isTimed ? 3 : 5)) {
        case 0:
          return this.#world.crash(leader, 3 * DELTA_MS + random.next() * 1500)
        case 1:
          return leader.stall(random.next() * (isTimed ? 3.5 : 20) * DELTA_MS)
        case 2: {
          // Whoever leaves ends before it hears of it, and comes back when nobody of its era is left.
          const next = scenario.eras[era + 1]?.members ?? []
          for (const member of this.#world.running)
            if (!next.includes(member.organisation) && scenario.eras[era]?.members.includes(member.organisation))
              this.#world.crash(member, 1_500 + random.next() * 3_000)
          return
        }
        case 3:
          return this.#power()
        default:
          return this.#divide()
      }
    })
  }

  /** In synchronous runs only noticed stalls, of more than Δ/4, exceed what Δ allows for. */
  #stall(member: Member): void {
    const { random, scenario } = this.#world
    this.count('stall')
    const longest = scenario.kind === 'synchronous' ? 3.5 * DELTA_MS : 20 * DELTA_MS
    member.stall(random.chance(0.6) ? 0.25 * DELTA_MS + random.next() * DELTA_MS : random.next() * longest)
  }

  /** A link breaks for a moment: what is under way on it is lost, and sent again once it is back. */
  #flap(a: Member, b: Member): void {
    const { network, queue, random } = this.#world
    if (a.organisation === b.organisation) return
    const key = [a.name, b.name].sort().join()
    if ((this.#flapped.get(key) ?? -1e9) > queue.now - 1.2 * DELTA_MS) return
    this.#flapped.set(key, queue.now)
    this.count('flap')
    network.cut(a, b)
    this.#relink(a, b, false)
    queue.at(random.next() * 0.1 * DELTA_MS, () => {
      network.mend(a, b)
      this.#relink(a, b, true)
    })
  }
  readonly #flapped = new Map<string, number>()

  #relink(a: Member, b: Member, up: boolean): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!one.alive || !other.alive) continue
      one.hand(one.run, 'socket', () => other.alive && one.linked(other, up))
    }
  }

  /** Everyone crashes, when something has just been signed or at any time. */
  #power(): void {
    this.count('power')
    for (const member of [...this.#world.running]) this.#world.crash(member, 1 + this.#world.random.next() * 300)
  }

  #blackout(): void {
    const { network, queue, random } = this.#world
    this.count('blackout')
    network.blackout = true
    queue.at(random.next() * 15 * DELTA_MS, () => {
      network.blackout = false
    })
  }

  #divide(): void {
    const { network, honest, random, queue } = this.#world
    this.count('partition')
    if (network.partition !== null) network.partition = null
    else {
      const alone = random.chance(0.5)
      const island = alone ? [random.pick(honest)] : honest.filter(() => random.chance(0.5))
      network.partition = new Set(island.map(({ organisation }) => organisation))
    }
    // Sooner or later each side notices, or not.
    if (random.chance(0.6)) queue.at(random.next() * 2 * DELTA_MS, () => this.#showLinks())
  }

  /** Tells all processes which of their links are up. */
  #showLinks(): void {
    const { processes, network } = this.#world
    for (const one of processes)
      for (const other of processes)
        if (one.alive && other.alive && one.organisation !== other.organisation)
          one.hand(one.run, 'socket', () => one.linked(other, network.passes(one.organisation, other.organisation)))
  }

  #newAudiences(): void {
    const { random, processes, network } = this.#world
    if (network.healed) return
    for (const twin of processes) {
      if (!twin.lying || random.chance(0.5)) continue
      const others = processes.map(({ organisation }) => organisation).filter(() => random.chance(0.6))
      twin.audience = random.chance(0.2) ? null : new Set(others)
    }
  }

  /** Whether a process ends at the write that it begins now, and when. */
  crashAtWrite(member: Member): 'before' | 'durable' | 'released' | null {
    const { random, scenario } = this.#world
    if (scenario.kind === 'steady' || this.spares(member) || !random.chance(CRASH_CHANCE[scenario.theme])) return null
    this.count('crash at a write')
    return random.pick(['before', 'durable', 'durable', 'released'] as const)
  }

  /** How long a process stalls while the write that it begins now is under way. */
  stallAtWriteMs(): number {
    const { random, scenario } = this.#world
    if (scenario.theme !== 'stalls' || !random.chance(0.04)) return 0
    this.count('stall at a write')
    return (0.3 + random.next() * 3.2) * DELTA_MS
  }

  /** A process has crashed: its record may be lost, which no row of §7 without timing allows for. */
  crashed(member: Member): void {
    const { random, scenario } = this.#world
    if (scenario.theme !== 'records' || scenario.kind !== 'synchronous' || member.record === null) return
    // Alone there is nobody to ask.
    if (scenario.eras.some(({ members }) => members.length === 1)) return
    const isRecovering = this.#world.honest.some(
      ({ recordLost, core }) => recordLost || core?.state.phase === 'recovering',
    )
    if (isRecovering || !random.chance(0.5)) return
    this.#world.checker.recordsLost = true
    this.count('record lost')
    member.record = null
    member.recordLost = true
  }

  /** All links are whole again. */
  heal(): void {
    const { processes, network } = this.#world
    for (const a of processes) for (const b of processes) if (a !== b) network.mend(a, b)
    for (const twin of processes) if (twin.lying) twin.audience = null
    this.#showLinks()
  }
}
