/**
 * Stage: the operator. Who watches a disturbed testnet: a writer at each member, whose acknowledged writes the checker remembers, and a look at
 * each member twice a second. All through the public API.
 * Invariants: only an answer counts that says "committed"; a write without an answer promises nothing; every entry is written once.
 */
import { readText } from '../cli/files.ts'
import { GENESIS_CHARACTERS_MAX, parseGenesis } from '../config/genesisFile.ts'
import { apiKeyFile } from '../config/home.ts'
import { readKeyFile } from '../node/crypto/keys.ts'
import { toHex } from '../protocol/bytes.ts'
import { addressOf } from '../protocol/signature.ts'
import { Checker, type Finding } from './checker.ts'
import { witnessOf } from './client.ts'
import { API_KEY, homeIn } from './homes.ts'
import type { MemberStatus } from './status.ts'
import { type Member, type Testnet, until } from './testnet.ts'

const LOOK_MS = 500
const REST_MS = 50
/** How long a writer waits for its answer. */
const WRITE_TIMEOUT_MS = 25_000

/** What the writers met with. Times in ms. */
export type WriteFigures = {
  readonly acknowledged: number
  /** Without an answer, or answered "not yet": nothing was promised. */
  readonly unanswered: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Longest time in which no member acknowledged anything, and when it began (ms after the watcher). */
  readonly longestGapMs: number
  readonly gapAtMs: number
}

/** Writes, looks, and judges at the end. */
export class Watcher {
  readonly testnet: Testnet
  readonly checker: Checker
  /** What each member said last, and when (ms of the monotonic clock). */
  readonly seen = new Map<string, { readonly status: MemberStatus; readonly atMs: number }>()
  readonly #namespaces: ReadonlyMap<string, string>
  readonly #began = performance.now()
  readonly #latencies: number[] = []
  readonly #heard: number[] = []
  #tasks: Promise<void>[] = []
  #unanswered = 0
  #counter = 0
  #ending = false
  #isResting = false
  #endedMs: number | undefined

  private constructor(testnet: Testnet, checker: Checker, namespaces: ReadonlyMap<string, string>) {
    this.testnet = testnet
    this.checker = checker
    this.#namespaces = namespaces
  }

  /** Watches a testnet that is up. */
  static async of(testnet: Testnet): Promise<Watcher> {
    const { folder, members } = testnet.places
    const namespaces = new Map<string, string>()
    for (const { name } of members) {
      const { publicKey } = await readKeyFile(apiKeyFile(homeIn(folder, name), API_KEY) as string)
      namespaces.set(name, toHex(addressOf(publicKey)))
    }
    const file = homeIn(folder, members[0]?.name ?? '').genesisFile
    const genesis = parseGenesis(await readText(file, GENESIS_CHARACTERS_MAX))
    return new Watcher(testnet, new Checker(genesis.ok ? genesis.value : undefined), namespaces)
  }

  /** Begins to write, at all members but `guests`, and to look. */
  start(guests: readonly string[] = []): void {
    for (const member of this.testnet.members) {
      this.#tasks.push(this.#watch(member))
      if (!guests.includes(member.place.name)) this.#tasks.push(this.#write(member))
    }
  }

  /** No new writes until `goOn`. */
  rest(): void {
    this.#isResting = true
  }

  goOn(): void {
    this.#isResting = false
  }

  async #write({ place, client, process }: Member): Promise<void> {
    while (!this.#ending) {
      if (process.state !== 'running' || this.#isResting) {
        await pause(REST_MS)
        continue
      }
      const key = `${place.name}-${this.#counter++}`
      const value = Buffer.from(`value of ${key}`)
      const sentMs = performance.now()
      try {
        const { status, bytes } = await (await client.api(WRITE_TIMEOUT_MS)).send({
          method: 'PUT',
          segments: ['kv', key],
          query: { wait: 'committed' },
          body: { bytes: value, type: 'application/octet-stream' },
        })
        const heardMs = performance.now()
        const answer = JSON.parse(Buffer.from(bytes).toString()) as { id: string; height: number; block: string }
        // 202: accepted and not yet committed, which promises nothing.
        if (status !== 200) {
          this.#unanswered += 1
          continue
        }
        this.checker.acknowledged({ ...answer, member: place.name, span: { sentMs, heardMs } })
        this.checker.wrote(key, value.toString('hex'))
        this.#latencies.push(heardMs - sentMs)
        this.#heard.push(heardMs)
      } catch {
        // Killed in the middle, or just not there: nothing was acknowledged.
        this.#unanswered += 1
        await pause(REST_MS)
      }
    }
  }

  async #watch({ place, client, process }: Member): Promise<void> {
    while (!this.#ending) {
      if (process.state === 'running') {
        await this.height(place.name)
        const status = await client.status().catch(() => undefined)
        if (status !== undefined) {
          this.seen.set(place.name, { status, atMs: performance.now() })
          const { assurance, era } = status
          if (assurance?.liarsTolerated !== undefined)
            this.checker.assured({ ...assurance, era, liarsTolerated: assurance.liarsTolerated, member: place.name })
        }
      }
      await pause(LOOK_MS)
    }
  }

  /** The member `name`. */
  member(name: string): Member {
    return this.testnet.members.find(({ place }) => place.name === name) as Member
  }

  /** Height of a member, told to the checker; undefined if it does not answer. */
  async height(name: string): Promise<number | undefined> {
    const { process, client } = this.member(name)
    const header = process.state === 'running' ? await client.header('head').catch(() => undefined) : undefined
    if (header !== undefined) this.checker.saw(name, header.height, header.hash)
    return header?.height
  }

  /** The largest height of all members that answer. */
  async top(): Promise<number> {
    const heights = await Promise.all(this.testnet.members.map(({ place }) => this.height(place.name)))
    return Math.max(0, ...heights.map((height) => height ?? 0))
  }

  /** Ends the writers and all looking. */
  async end(): Promise<void> {
    this.#ending = true
    this.#endedMs ??= performance.now()
    await Promise.all(this.#tasks)
    this.#tasks = []
  }

  /** Waits until all members but those who have left are at the largest height there is now; the names of those that are not, in the end. */
  async level(timeoutMs: number, left: readonly string[] = []): Promise<string[]> {
    const top = await this.top()
    const members = this.#without(left)
    let behind: string[] = []
    await until(async () => {
      const heights = await Promise.all(members.map(({ place }) => this.height(place.name)))
      behind = members.flatMap(({ place }, i) => ((heights[i] ?? 0) < top ? [place.name] : []))
      return behind.length === 0
    }, timeoutMs)
    return behind
  }

  #without(left: readonly string[]): readonly Member[] {
    return this.testnet.members.filter(({ place }) => !left.includes(place.name))
  }

  /** Asks every member, without those who have left, about everything that was acknowledged. */
  async verdict(left: readonly string[] = []): Promise<readonly Finding[]> {
    const namespaceOf = (key: string): string => this.#namespaces.get(key.slice(0, key.lastIndexOf('-'))) ?? ''
    return this.checker.verdict(this.#without(left).map(({ client }) => witnessOf(client, namespaceOf)))
  }

  /** What the writers met with so far. */
  figures(): WriteFigures {
    const sorted = [...this.#latencies].sort((a, b) => a - b)
    const at = (share: number): number => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
    const heard = [this.#began, ...this.#heard, this.#endedMs ?? performance.now()].sort((a, b) => a - b)
    let [longest, beganAt] = [0, this.#began]
    for (const [i, ms] of heard.entries()) {
      const before = heard[i - 1] ?? ms
      if (ms - before > longest) [longest, beganAt] = [ms - before, before]
    }
    return {
      acknowledged: this.#latencies.length,
      unanswered: this.#unanswered,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      longestGapMs: Math.round(longest),
      gapAtMs: Math.round(beganAt - this.#began),
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
