/** A testnet inside a test: real processes, a writer whose acknowledged writes the checker remembers, and states to wait for. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apiKeyFile } from '../../config/home.ts'
import { readKeyFile } from '../../node/crypto/keys.ts'
import { toHex } from '../../protocol/bytes.ts'
import { addressOf } from '../../protocol/signature.ts'
import { Checker, type Finding } from '../../testnet/checker.ts'
import { witnessOf } from '../../testnet/client.ts'
import { API_KEY, createHomes, homeIn, initMember, logFileIn } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'
import { freePorts } from '../../testnet/ports.ts'
import { Testnet, until } from '../../testnet/testnet.ts'

type Member = Testnet['members'][number]

/** Four members under a light load, watched by a checker. */
export class WatchedNetwork {
  readonly testnet: Testnet
  readonly checker = new Checker()
  readonly #namespaces: ReadonlyMap<string, string>
  readonly #writers: Promise<void>[] = []
  #counter = 0
  #writing = true
  #paused = false

  private constructor(testnet: Testnet, namespaces: ReadonlyMap<string, string>) {
    this.testnet = testnet
    this.#namespaces = namespaces
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
    const namespaces = new Map<string, string>()
    for (const { name } of made.members) {
      const { publicKey } = await readKeyFile(apiKeyFile(homeIn(folder, name), API_KEY) as string)
      namespaces.set(name, toHex(addressOf(publicKey)))
    }
    const network = new WatchedNetwork(testnet, namespaces)
    for (const member of testnet.members)
      if (!guests.includes(member.place.name)) network.#writers.push(network.#write(member))
    return network
  }

  member(name: string): Member {
    return this.testnet.members.find(({ place }) => place.name === name) as Member
  }

  get folder(): string {
    return this.testnet.places.folder
  }

  /** Writes entries at one member, one after the other, and tells the checker what was acknowledged as committed. */
  async #write({ place, client, process }: Member): Promise<void> {
    while (this.#writing) {
      if (process.state !== 'running' || this.#paused) {
        await new Promise((done) => setTimeout(done, 50))
        continue
      }
      const key = `${place.name}-${this.#counter++}`
      const value = Buffer.from(`value of ${key}`)
      try {
        const { status, bytes } = await (await client.api(25_000)).send({
          method: 'PUT',
          segments: ['kv', key],
          query: { wait: 'committed' },
          body: { bytes: value, type: 'application/octet-stream' },
        })
        const answer = JSON.parse(Buffer.from(bytes).toString()) as { id: string; height: number; block: string }
        // 202: accepted and not yet committed, which promises nothing.
        if (status !== 200) continue
        this.checker.acknowledged({ ...answer, member: place.name })
        this.checker.wrote(key, value.toString('hex'))
      } catch {
        // Killed in the middle, or just not there: nothing was acknowledged.
        await new Promise((done) => setTimeout(done, 50))
      }
    }
  }

  /** Height of a member, told to the checker; undefined if it does not answer. */
  async height(name: string): Promise<number | undefined> {
    const { process, client } = this.member(name)
    const header = process.state === 'running' ? await client.header('head') : undefined
    if (header !== undefined) this.checker.saw(name, header.height, header.hash)
    return header?.height
  }

  /** The largest height of all members that answer. */
  async top(): Promise<number> {
    const heights = await Promise.all(this.testnet.members.map(({ place }) => this.height(place.name)))
    return Math.max(0, ...heights.map((height) => height ?? 0))
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
    this.#paused = true
  }

  goOn(): void {
    this.#paused = false
  }

  /** Ends the writers and asks every member, without those who have left, about everything that was acknowledged. */
  async verdict(left: readonly string[] = []): Promise<readonly Finding[]> {
    const members = this.testnet.members.filter(({ place }) => !left.includes(place.name))
    this.#writing = false
    await Promise.all(this.#writers)
    this.testnet.load.stop()
    const top = await this.top()
    for (const { place } of members)
      await this.expect(`${place.name} is level`, async () => ((await this.height(place.name)) ?? 0) >= top, 20_000)
    const namespaceOf = (key: string): string => this.#namespaces.get(key.split('-')[0] as string) ?? ''
    return this.checker.verdict(members.map(({ client }) => witnessOf(client, namespaceOf)))
  }

  async stop(): Promise<void> {
    this.#writing = false
    await this.testnet.stop()
    await rm(this.folder, { recursive: true, force: true })
  }
}
