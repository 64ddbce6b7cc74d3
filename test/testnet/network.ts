/** A testnet inside a test: real processes, a writer whose acknowledged writes the checker remembers, and states to wait for. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Checker, Finding } from '../../testnet/checker.ts'
import { createHomes, initMember, logFileIn } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'
import { freePorts } from '../../testnet/ports.ts'
import { type Member, Testnet, until } from '../../testnet/testnet.ts'
import { Watcher } from '../../testnet/watcher.ts'

/** Four members under a light load, watched by a checker. */
export class WatchedNetwork {
  readonly testnet: Testnet
  readonly #watcher: Watcher

  private constructor(watcher: Watcher) {
    this.testnet = watcher.testnet
    this.#watcher = watcher
  }

  /** Starts `members` members, and a writer for each; beside them `guests` of the same genesis who are no members, and `rtus`. */
  static async start(
    members: number,
    loadPerSecond: number,
    { guests = [], rtus = 0 }: { guests?: readonly string[]; rtus?: number } = {},
  ): Promise<WatchedNetwork> {
    const folder = await mkdtemp(join(tmpdir(), 'althing-network-'))
    const made = await createHomes(folder, { ...DEFAULT_PLAN, members, rtus })
    const places = { ...made, members: [...made.members] }
    for (const name of guests) {
      const [p2pPort, apiPort, metricsPort] = (await freePorts(3)) as [number, number, number]
      const guest = { name, p2pPort, apiPort, metricsPort }
      await initMember(folder, join(folder, 'genesis.json'), guest, made.members)
      places.members.push(guest)
    }
    const testnet = await Testnet.prepare(places, loadPerSecond, () => undefined)
    await testnet.start(() => undefined)
    const watcher = await Watcher.of(testnet)
    watcher.start(guests)
    return new WatchedNetwork(watcher)
  }

  get checker(): Checker {
    return this.#watcher.checker
  }

  member(name: string): Member {
    return this.#watcher.member(name)
  }

  get folder(): string {
    return this.testnet.places.folder
  }

  /** Height of a member, told to the checker; undefined if it does not answer. */
  height(name: string): Promise<number | undefined> {
    return this.#watcher.height(name)
  }

  /** The largest height of all members that answer. */
  top(): Promise<number> {
    return this.#watcher.top()
  }

  /** Waits until the chain has grown by `blocks`. */
  async grows(blocks: number, timeoutMs = 40_000): Promise<void> {
    const from = await this.top()
    await this.expect(
      `the chain grows by ${blocks} from ${from}`,
      async () => (await this.top()) >= from + blocks,
      timeoutMs,
    )
  }

  /** Waits until `name` has caught up and its signature stands in the certificate of a block that is new since now. */
  async votesAgain(name: string, timeoutMs = 40_000): Promise<void> {
    const from = await this.top()
    await this.expect(`${name} has reached ${from}`, async () => ((await this.height(name)) ?? 0) >= from, timeoutMs)
    const other = this.testnet.members.find(({ place, process }) => place.name !== name && process.state === 'running')
    let next = from + 1
    await this.expect(
      `${name} signs a block above ${from}`,
      async () => {
        for (const top = await this.top(); next <= top; next++)
          if ((await (other as Member).client.signed(next)).includes(name)) return true
        return false
      },
      timeoutMs,
    )
  }

  /** Waits until `holds`; an Error with how everybody is after `timeoutMs`. */
  async expect(what: string, holds: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    if (await until(holds, timeoutMs)) return
    const lines = await Promise.all(
      this.testnet.members.map(async ({ place, process, client }) => {
        const status = process.state === 'running' ? await client.status() : undefined
        const log = (await readFile(logFileIn(this.folder, place.name), 'utf8'))
          .trimEnd()
          .split('\n')
          .slice(-3)
          .join('\n  ')
        return `${place.name}: ${process.state}, height ${status?.height}, ${status?.standstill?.sentence}\n  ${log}`
      }),
    )
    throw new Error(`waited ${timeoutMs} ms in vain until ${what}\n${lines.join('\n')}`)
  }

  /** No new writes until `goOn`. */
  rest(): void {
    this.#watcher.rest()
  }

  goOn(): void {
    this.#watcher.goOn()
  }

  /** Ends the writers and asks every member, without those who have left, about everything that was acknowledged. */
  async verdict(left: readonly string[] = []): Promise<readonly Finding[]> {
    await this.#watcher.end()
    this.testnet.load.stop()
    await this.expect('all are level', async () => (await this.#watcher.level(20_000, left)).length === 0, 25_000)
    return this.#watcher.verdict(left)
  }

  async stop(): Promise<void> {
    await this.#watcher.end()
    await this.testnet.stop()
    await rm(this.folder, { recursive: true, force: true })
  }
}
