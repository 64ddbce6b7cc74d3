/**
 * Stage: the operator. A running testnet: real members and RTUs as processes, what is seen of them, and what may be done to them.
 * Invariants: whatever was started is known to the warden; `stop` leaves nothing running, in bounded time; a participant that was killed or
 * stopped on request is not expected to run, all others are.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readText } from '../cli/files.ts'
import { askRtu } from '../cli/rtuStatus.ts'
import { GENESIS_CHARACTERS_MAX, parseGenesis } from '../config/genesisFile.ts'
import { apiKeyFile } from '../config/home.ts'
import { readKeyFile } from '../node/crypto/keys.ts'
import { installNativePrimitives } from '../node/crypto/native.ts'
import { AlthingError, isAlthingError } from '../node/errors.ts'
import { chainIdOf } from '../protocol/genesis.ts'
import { MemberClient } from './client.ts'
import type { ControlAnswer, ControlRequest } from './control.ts'
import {
  API_KEY,
  homeIn,
  logFileIn,
  type MemberPlace,
  type RtuPlace,
  registrationOf,
  type TestnetPlaces,
  tokenFileIn,
} from './homes.ts'
import { Load } from './load.ts'
import { nameAdvice } from './plan.ts'
import { ManagedProcess, type Manner } from './processes.ts'
import { readReports } from './status.ts'
import type { ShownState, TestnetView } from './table.ts'
import { LOOPBACK, type Seat, type Transport } from './transport.ts'
import { Warden } from './warden.ts'

const BIN = fileURLToPath(new URL('../bin/althing.js', import.meta.url))
/** The node's own deadline is 10 s. */
const STOP_TIMEOUT_MS = 11_000
const START_TIMEOUT_MS = 60_000
/** Between two questions for the reports on the chain, ms. */
const REPORTS_MS = 1000
const TOKEN_LIFETIME_S = 12 * 3600

/** How a member is started next, where that is not as its home says. */
export type MemberManner = {
  /** Program of another version. */
  script: string | undefined
  /** Words for one start only, such as `--recover`. */
  once: readonly string[]
  settings: Readonly<Record<string, string>>
  environment: Readonly<Record<string, string>>
}
/** A member: where it lies, its process, its API, and how it is started. */
export type Member = {
  readonly place: MemberPlace
  readonly process: ManagedProcess
  readonly client: MemberClient
  readonly manner: MemberManner
}
type ReportCount = ReturnType<typeof readReports>
type Rtu = { readonly place: RtuPlace; readonly process: ManagedProcess }

/** Waits until `holds`, asking every 50 ms; false after `timeoutMs`. */
export async function until(holds: () => Promise<boolean> | boolean, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  for (;;) {
    if (await holds()) return true
    if (performance.now() > end) return false
    await new Promise((done) => setTimeout(done, 50))
  }
}

/** Members, RTUs, warden and load of one folder. */
export class Testnet {
  readonly places: TestnetPlaces
  readonly members: readonly Member[]
  readonly rtus: readonly Rtu[]
  readonly load: Load
  /** When all was up, ms of the monotonic clock: from then on its time counts. */
  upAt = performance.now()
  readonly notices: string[] = []
  /** Height from which this run counts: that of the chain when it began. */
  startHeight = 0
  readonly #reports = new Map<string, ReportCount>()
  #reportsReadAt = Number.NEGATIVE_INFINITY
  readonly #warden: Warden
  #view: TestnetView | undefined
  #stopping: Promise<void> | undefined
  #apiSeen = new Set<string>()

  private constructor(
    places: TestnetPlaces,
    warden: Warden,
    load: Load,
    members: readonly Member[],
    mannerOf?: (rtu: RtuPlace) => Manner,
  ) {
    this.places = places
    this.#warden = warden
    this.load = load
    this.members = members
    this.rtus = places.rtus.map((place) => ({
      place,
      process: processOf(places.folder, place.name, 'rtu', warden, mannerOf && (() => mannerOf(place))),
    }))
  }

  /**
   * Prepares the processes of `places`; nothing runs yet. `loadPerSecond` transactions are sent while it runs, to `loadKeysMax` different
   * keys at most; `lost` is called if the warden ends before the testnet. `transport` (open) is the network between the members;
   * `mannerOf`: how RTUs are started, where that is not the plain way.
   */
  static async prepare(
    places: TestnetPlaces,
    loadPerSecond: number,
    lost: () => void,
    {
      transport = LOOPBACK,
      loadKeysMax,
      mannerOf,
    }: {
      readonly transport?: Transport
      readonly loadKeysMax?: number
      readonly mannerOf?: ((rtu: RtuPlace) => Manner) | undefined
    } = {},
  ): Promise<Testnet> {
    installNativePrimitives()
    const { folder } = places
    const warden = await Warden.start(lost)
    const members = places.members.map((place) => memberOf(folder, place, warden, transport.seatOf(place.name)))
    const genesis = parseGenesis(
      await readText(homeIn(folder, places.members[0]?.name ?? '').genesisFile, GENESIS_CHARACTERS_MAX),
    )
    if (!genesis.ok)
      throw new CommandError('TESTNET_FOLDER', EXIT.badData, `the genesis in ${folder} is not valid`, {
        problems: genesis.problems,
      })
    const sources = []
    for (const { place, process, client } of loadPerSecond > 0 ? members : []) {
      const key = await readKeyFile(apiKeyFile(homeIn(folder, place.name), API_KEY) as string)
      sources.push({
        api: () => client.api(),
        secretKey: key.secretKey(),
        usable: () => process.state === 'running',
      })
    }
    const load = new Load(chainIdOf(genesis.value), sources, loadPerSecond, loadKeysMax)
    return new Testnet(places, warden, load, members, mannerOf)
  }

  /**
   * Starts the members, waits until they answer, registers the RTUs and starts them. `step` hears what is being done. CommandError
   * TESTNET_START (exit 69) with the end of the log of whoever failed.
   */
  async start(step: (text: string) => void): Promise<void> {
    step(`starting ${this.members.length} members`)
    await Promise.all(this.members.map(({ process }) => process.start()))
    await Promise.all(this.members.map((member) => this.#untilUp(member)))
    const heads = await Promise.all(this.members.map(({ client }) => client.status()))
    this.startHeight = Math.max(0, ...heads.map((head) => head?.height ?? 0))
    const [first] = this.members
    if (first !== undefined)
      await writeFile(
        tokenFileIn(this.places.folder),
        `${await first.client.token(['read', 'write'], TOKEN_LIFETIME_S)}\n`,
        {
          mode: 0o600,
        },
      )
    if (this.rtus.length > 0) {
      step(`registering ${this.rtus.length} RTUs`)
      await Promise.all(this.rtus.map(({ place }) => this.#register(place)))
      if (this.#stopping !== undefined) return
      step(`starting ${this.rtus.length} RTUs`)
      await Promise.all(this.rtus.map(({ process }) => process.start()))
    }
    if (this.#stopping === undefined) this.load.start()
    this.upAt = performance.now()
  }

  async #untilUp({ process, client }: Member): Promise<void> {
    const up = await until(
      async () => !process.isAlive || (await client.probe('/livez')) !== undefined,
      START_TIMEOUT_MS,
    )
    if (up && process.isAlive) {
      this.#apiSeen.add(process.name)
      return
    }
    throw new CommandError(
      'TESTNET_START',
      EXIT.unavailable,
      process.isAlive
        ? `${process.name} gave no sign of life within ${START_TIMEOUT_MS / 1000} s`
        : `${process.name} ended as it started (${process.ending})`,
      { advice: `The end of its log:\n${await logTail(process.options.logFile)}` },
    )
  }

  async #register(rtu: RtuPlace): Promise<void> {
    const owner = this.#member(rtu.owner)
    const api = await owner.client.api(30_000)
    const request = { method: 'POST', segments: ['devices'], json: registrationOf(rtu) } as const
    try {
      await api.json({ ...request, query: { wait: 'committed' } })
    } catch (error) {
      // A testnet that is resumed has them already.
      if (!isAlthingError(error, 'DEVICE_EXISTS')) throw error
    }
    const known = await until(
      async () => (await owner.client.get(['devices', rtu.device])) !== undefined,
      START_TIMEOUT_MS,
    )
    if (!known)
      throw new CommandError('TESTNET_START', EXIT.unavailable, `the registration of ${rtu.name} was not committed`)
  }

  #member(name: string): Member {
    return this.members.find(({ place }) => place.name === name) as Member
  }

  /** Everything the table shows, asked anew. Members that do not answer in time are shown as such. */
  async observe(remainingMs: number | undefined): Promise<TestnetView> {
    const members = await Promise.all(
      this.members.map(async ({ process, client }) => {
        const status = process.state === 'running' ? await client.status() : undefined
        if (status !== undefined) this.#apiSeen.add(process.name)
        return { name: process.name, state: this.#shown(process), api: client.url, status }
      }),
    )
    const best = members.reduce((a, b) => ((b.status?.height ?? -1) > (a.status?.height ?? -1) ? b : a))
    let signed = this.#view?.signed
    if (best.status !== undefined && best.status.height > 0) {
      const { client } = this.#member(best.name)
      if (performance.now() - this.#reportsReadAt >= REPORTS_MS) await this.readReports(client)
      // The newest block may have been committed by its successor's certificate; then the one before has to do.
      for (const height of [best.status.height, best.status.height - 1]) {
        const names = height > 0 ? await client.signed(height) : []
        if (names.length > 0) {
          signed = { height, names }
          break
        }
      }
    }
    const trusts = await Promise.all(this.rtus.map((rtu) => this.#trustsOf(rtu)))
    const now = Date.now()
    this.#view = {
      elapsedMs: performance.now() - this.upAt,
      remainingMs,
      members,
      rtus: this.rtus.map(({ place, process }, i) => {
        const { count, lastHeight, observedAt } = this.reportsOf(place.name)
        return {
          name: place.name,
          state: process.state,
          owner: place.owner,
          reports: count,
          lastHeight,
          lastAgeMs: observedAt === undefined ? undefined : now - observedAt,
          trusts: trusts[i] ?? [],
        }
      }),
      signed,
      notices: this.notices,
    }
    return this.#view
  }

  /** What an RTU says of its peers; nothing where it does not answer. */
  async #trustsOf({ place, process }: Rtu): Promise<{ name: string; trustPpm: number }[]> {
    if (process.state !== 'running') return []
    const status = await askRtu(join(homeIn(this.places.folder, place.name).folder, 'data')).catch((error: unknown) => {
      if (isAlthingError(error, 'RTU_NOT_RUNNING')) return undefined
      throw error
    })
    const names = new Map(this.places.rtus.map(({ device, name }) => [device, name]))
    return (status?.trust ?? [])
      .flatMap(({ device, trustPpm }) => ({ name: names.get(device) ?? device.slice(0, 8), trustPpm }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #shown(process: ManagedProcess): ShownState {
    return process.state === 'running' && !this.#apiSeen.has(process.name) ? 'starting' : process.state
  }

  /** Asks `client` for the reports of all RTUs on its chain; what it does not answer stays as it was. */
  async readReports(client: MemberClient): Promise<void> {
    this.#reportsReadAt = performance.now()
    await Promise.all(
      this.rtus.map(async ({ place }) => {
        const reports = readReports(await client.get(['devices', place.device]))
        if (reports.count >= this.reportsOf(place.name).count) this.#reports.set(place.name, reports)
      }),
    )
  }

  /** Reports of the RTU `name` on the chain, as they were read last. */
  reportsOf(name: string): ReportCount {
    return this.#reports.get(name) ?? { count: 0, lastHeight: undefined, observedAt: undefined }
  }

  /** Carries out what a second terminal asks for; `stop` is the caller's. Never rejects. */
  async act({ verb, name }: ControlRequest): Promise<ControlAnswer> {
    try {
      if (verb === 'status') return { ok: true, text: 'running', data: this.#view ?? null }
      if (verb === 'stop') return { ok: true, text: 'the testnet stops' }
      const text = await this.#actOn(verb, name ?? '')
      this.notices.push(text)
      return { ok: true, text }
    } catch (error) {
      if (!(error instanceof AlthingError)) throw error
      const advice = error instanceof CommandError ? error.advice : undefined
      return { ok: false, code: error.code, text: error.message, ...(advice === undefined ? {} : { advice }) }
    }
  }

  async #actOn(verb: 'kill' | 'pause' | 'resume' | 'restart', name: string): Promise<string> {
    const all = [...this.members, ...this.rtus]
    const found = all.find(({ place }) => place.name === name)
    if (found === undefined)
      throw new CommandError('TESTNET_NAME', EXIT.usage, `this testnet has no ${name === '' ? 'such' : name}`, {
        advice: nameAdvice(
          name,
          all.map(({ place }) => place.name),
        ),
      })
    const { process } = found
    if (verb === 'kill') {
      const { pid } = process
      await process.kill()
      this.#apiSeen.delete(name)
      return `${name} was killed (SIGKILL, process ${pid})`
    }
    if (verb === 'pause') {
      process.pause()
      return `${name} is paused (SIGSTOP)`
    }
    if (verb === 'resume') {
      process.resume()
      return `${name} goes on (SIGCONT)`
    }
    this.#apiSeen.delete(name)
    await process.restart()
    if ('client' in found) await this.#untilUp(found)
    return `${name} was started again (process ${process.pid})`
  }

  /** Stops everything, in at most about 15 s. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.load.stop()
    await Promise.all([...this.rtus, ...this.members].map(({ process }) => process.stop()))
    await this.#warden.close()
  }

  /** Kills everything at once. */
  async kill(): Promise<void> {
    this.load.stop()
    await Promise.all([...this.rtus, ...this.members].map(({ process }) => (process.isAlive ? process.kill() : null)))
    await this.#warden.close()
  }

  /** Process ids of everything that runs, the warden included. */
  get pids(): readonly number[] {
    return [
      this.#warden.pid,
      ...[...this.members, ...this.rtus].flatMap(({ process }) => (process.pid === undefined ? [] : [process.pid])),
    ]
  }
}

function memberOf(folder: string, place: MemberPlace, warden: Warden, { before, settings, apiHost }: Seat): Member {
  const manner: MemberManner = { script: undefined, once: [], settings, environment: {} }
  const next = (): Manner => {
    const { script, once, environment } = manner
    manner.once = []
    const sets = Object.entries(manner.settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    return { before, script, after: [...sets, ...once], environment }
  }
  const client = new MemberClient(folder, place, apiHost)
  return { place, process: processOf(folder, place.name, 'start', warden, next), client, manner }
}

function processOf(
  folder: string,
  name: string,
  command: 'start' | 'rtu',
  warden: Warden,
  manner?: () => Manner,
): ManagedProcess {
  const words = [BIN, command, '--home', homeIn(folder, name).folder]
  const logFile = logFileIn(folder, name)
  return new ManagedProcess(
    { name, words, logFile, stopTimeoutMs: STOP_TIMEOUT_MS, ...(manner === undefined ? {} : { manner }) },
    warden,
  )
}

async function logTail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-8).join('\n') || '(empty)'
}
