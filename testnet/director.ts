/**
 * Stage: the operator. Carries out a scenario: does each act at its moment, undoes it when its time is over, and heals everything in the end.
 * Invariants: what was done is undone exactly once, whoever comes first; an act that cannot be done (its member is down already) is noted as such
 * and fails nothing; what was expected and did not come is a failure.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Compromise, standingOf } from './devices.ts'
import type { SmallDisk } from './disks.ts'
import { slowDisk } from './disks.ts'
import { homeIn } from './homes.ts'
import { LinkFaults } from './links.ts'
import type { Machines } from './machines.ts'
import type { Act, Scenario, Step } from './scenario.ts'
import { type Member, type Testnet, until } from './testnet.ts'
import type { Transport } from './transport.ts'
import type { WallClock } from './wallClock.ts'
import type { Target } from './words.ts'

/** What a scenario needs beside the testnet itself, per member. */
export type Props = {
  readonly disks: ReadonlyMap<string, SmallDisk>
  readonly clocks: ReadonlyMap<string, WallClock>
  /** Program to upgrade to; undefined where no act needs it. */
  readonly upgradeTo: string | undefined
  /** Of the RTUs; undefined where there are none. */
  readonly machines: Machines | undefined
}

/** Something that was done, ms after all was up. */
export type Deed = { readonly atMs: number; readonly verb: Act['verb']; readonly what: string; readonly done: boolean }

/** Metric that is 1 while messages take longer than Δ. */
const VIOLATED_METRIC = 'althing_consensus_timing_violated'
/** Blocks by which a chain has to grow to count as going on. */
const PROGRESS_BLOCKS = 2

/** Folder of a member's data. */
export const dataFolderIn = (folder: string, name: string): string => join(homeIn(folder, name).folder, 'data')

/** Directs one scenario on one testnet. */
export class Director {
  readonly #testnet: Testnet
  readonly #transport: Transport
  readonly #props: Props
  readonly #say: (text: string) => void
  readonly #faults = new LinkFaults()
  /** What is still to be undone, the oldest first. */
  readonly #undoing = new Map<() => Promise<void>, NodeJS.Timeout | undefined>()
  /** What is being undone. */
  readonly #undone: Promise<void>[] = []
  readonly #acts: Promise<void>[] = []
  readonly deeds: Deed[] = []
  readonly compromised: Compromise[] = []
  /** Why the scenario failed, a sentence each. */
  readonly failures: string[] = []

  constructor(testnet: Testnet, transport: Transport, props: Props, say: (text: string) => void) {
    this.#testnet = testnet
    this.#transport = transport
    this.#props = props
    this.#say = say
  }

  /** Runs to the end of the scenario, or until `ended`; then nothing is undone yet. */
  async run({ steps, lengthMs }: Scenario, ended: Promise<void>): Promise<void> {
    let isEnded = false
    void ended.then(() => {
      isEnded = true
    })
    for (const step of steps) {
      await Promise.race([ended, this.#until(step.atMs)])
      if (isEnded) return
      this.#acts.push(this.#do(step))
    }
    await Promise.race([ended, this.#until(lengthMs)])
    // Expectations have their time within the scenario's; what still runs here is the start of a process.
    if (!isEnded) await Promise.race([ended, Promise.all(this.#acts)])
  }

  #until(atMs: number): Promise<void> {
    // The processes keep this one alive; who ends earlier need not wait for it.
    return new Promise((done) => setTimeout(done, this.#testnet.upAt + atMs - performance.now()).unref())
  }

  /** Undoes all that was done. */
  async heal(): Promise<void> {
    this.#faults.clear()
    await this.#transport.apply(this.#faults.of)
    await Promise.all([...this.#undoing.keys()].map((undo) => undo()))
    await Promise.all(this.#undone)
    for (const member of this.#testnet.members) if (member.process.state === 'ended') await this.#restart(member)
  }

  /** Leaves everything as it is: nothing is undone any more. */
  abandon(): void {
    for (const timer of this.#undoing.values()) clearTimeout(timer)
    this.#undoing.clear()
  }

  async #do({ line, act, text }: Step): Promise<void> {
    const atMs = performance.now() - this.#testnet.upAt
    const note = (what: string, done = true): void => {
      this.deeds.push({ atMs, verb: act.verb, what, done })
      this.#say(`${(atMs / 1000).toFixed(1)} s  ${text}${what === '' ? '' : `: ${what}`}`)
    }
    try {
      if (act.verb === 'links') {
        const remove = this.#faults.add(act.links, act.effect)
        await this.#transport.apply(this.#faults.of)
        this.#later(act.forMs, async () => {
          remove()
          await this.#transport.apply(this.#faults.of)
        })
        note('')
      } else if (act.verb === 'heal') {
        await this.heal()
        note('')
      } else if (act.verb === 'compromise') {
        for (const rtu of act.rtus) {
          const at = Date.now()
          await this.#props.machines?.compromise(rtu)
          this.compromised.push({ rtu, at })
        }
        note('')
      } else if (act.verb === 'standing') {
        const failure = await this.#expectStanding(act)
        if (failure !== null)
          this.failures.push(`line ${line}: expected ${act.status} within ${act.withinMs} ms, but ${failure}`)
        note(failure ?? 'so it is', failure === null)
      } else if (act.verb === 'expect') {
        const failure = await this.#expect(act)
        if (failure !== null)
          this.failures.push(`line ${line}: expected ${act.what} within ${act.withinMs} ms, but ${failure}`)
        note(failure ?? 'so it is', failure === null)
      } else
        await Promise.all(
          (await this.#members(act.who)).map(async (member) => {
            const skipped = await this.#doTo(member, act)
            note(skipped === null ? member.place.name : `${member.place.name} ${skipped}`, skipped === null)
          }),
        )
    } catch (error) {
      this.failures.push(`line ${line}: ${text}: ${(error as Error).message}`)
      note((error as Error).message, false)
    }
  }

  // Does `undo` after `forMs` (null: never by itself), unless it is healed before.
  #later(forMs: number | null, undo: () => Promise<void>): void {
    const once = (): Promise<void> => {
      clearTimeout(this.#undoing.get(once))
      if (!this.#undoing.delete(once)) return Promise.resolve()
      const done = undo().catch((error: Error) => {
        this.failures.push(`healing failed: ${error.message}`)
      })
      this.#undone.push(done)
      return done
    }
    this.#undoing.set(once, forMs === null ? undefined : setTimeout(() => void once(), forMs))
  }

  async #members(target: Target): Promise<readonly Member[]> {
    const { members } = this.#testnet
    if (target === 'all') return members
    const names = target === 'leader' ? [await this.#leader()] : target
    return members.filter(({ place }) => names.includes(place.name))
  }

  // As the member says that is furthest in consensus.
  async #leader(): Promise<string> {
    const statuses = await Promise.all(
      this.#testnet.members.map(({ process, client }) => (process.state === 'running' ? client.status() : undefined)),
    )
    const known = statuses.filter((status) => status !== undefined)
    return known.sort((a, b) => b.era - a.era || b.view - a.view)[0]?.leader ?? ''
  }

  /** null: done; else why not. */
  async #doTo(member: Member, act: Extract<Act, { who: Target }>): Promise<string | null> {
    const { process, place, manner } = member
    const data = dataFolderIn(this.#testnet.places.folder, place.name)
    if (act.verb !== 'restart' && act.verb !== 'recover' && act.verb !== 'clock' && !process.isAlive)
      return 'is down already'
    switch (act.verb) {
      case 'kill':
        await process.kill()
        this.#later(act.forMs, () => this.#restart(member))
        return null
      case 'pause':
        if (process.state === 'paused') return 'is paused already'
        process.pause()
        this.#later(act.forMs, async () => {
          if (process.state === 'paused') process.resume()
        })
        return null
      case 'restart':
        await this.#restart(member)
        return null
      case 'recover':
        if (process.isAlive) await process.kill()
        for (const name of await readdir(data)) await rm(join(data, name), { recursive: true, force: true })
        manner.once = ['--recover']
        await this.#restart(member)
        return null
      case 'upgrade':
        manner.script = this.#props.upgradeTo
        await this.#restart(member)
        return null
      case 'fill': {
        const disk = this.#props.disks.get(place.name) as SmallDisk
        await disk.fill()
        this.#later(act.forMs, async () => {
          await disk.free()
          // A node whose durable write failed has stopped, as it should; whoever frees the disk starts it again.
          if (!process.isAlive) await this.#restart(member)
        })
        return null
      }
      case 'slow':
        this.#later(act.forMs, await slowDisk(place.name, process.pid as number, data, act.perSecond))
        return null
      case 'clock': {
        const clock = this.#props.clocks.get(place.name) as WallClock
        await clock.set(act.offsetMs)
        this.#later(act.forMs, () => clock.set(0))
        return null
      }
    }
  }

  async #restart({ place, process }: Member): Promise<void> {
    const answer = await this.#testnet.act({ verb: 'restart', name: place.name })
    // Killed again while it was starting: then that kill brings it back.
    if (!answer.ok && process.state !== 'killed') throw new Error(`${answer.text}. ${answer.advice ?? ''}`)
  }

  async #expectStanding({ status, rtus, withinMs }: Extract<Act, { verb: 'standing' }>): Promise<string | null> {
    const { members, places } = this.#testnet
    let others: string[] = []
    await until(async () => {
      others = []
      for (const rtu of places.rtus.filter(({ name }) => rtus.includes(name)))
        for (const member of members) {
          const standing = await standingOf(member, rtu)
          if (standing.status !== status) others.push(`${rtu.name} is ${standing.status} at ${member.place.name}`)
        }
      return others.length === 0
    }, withinMs)
    return others.length === 0 ? null : others.join(', ')
  }

  async #expect({ what, by, withinMs }: Extract<Act, { verb: 'expect' }>): Promise<string | null> {
    const members = (await this.#members(by)).filter(({ process }) => process.state === 'running')
    const began = new Map<string, number>()
    let missing = members
    const holds = async (member: Member): Promise<boolean> => {
      const status = await member.client.status()
      if (status === undefined) return false
      if (what === 'standstill') return status.standstill !== undefined
      if (what === 'progress') {
        const { name } = member.place
        began.set(name, began.get(name) ?? status.height)
        return status.height >= (began.get(name) as number) + PROGRESS_BLOCKS
      }
      // Said twice over: to people, and to whoever scrapes.
      const metric = await member.client.metric(VIOLATED_METRIC)
      return status.violated === (what === 'violated') && metric === (what === 'violated' ? 1 : 0)
    }
    await until(async () => {
      const answers = await Promise.all(missing.map(holds))
      missing = missing.filter((_, i) => answers[i] !== true)
      return missing.length === 0
    }, withinMs)
    return missing.length === 0 ? null : `not by ${missing.map(({ place }) => place.name).join(', ')}`
  }
}
