/**
 * Stage: the operator. `althing testnet` from beginning to end: folder, processes, table, second terminal, signals, summary.
 * Invariants: standard output carries data (the table, or with --json the summary alone), remarks go to standard error; however it ends, no
 * process is left, and a folder that nobody asked to keep is removed, unless its logs are needed to see what went wrong; what one that was
 * killed left, the next one removes.
 */
import { readFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError, EXIT } from '../cli/failure.ts'
import { type ControlAnswer, type ControlRequest, ControlServer } from './control.ts'
import { RunFolder } from './folder.ts'
import { createHomes, readPlaces, type TestnetPlaces, tokenFileIn } from './homes.ts'
import type { TestnetPlan } from './plan.ts'
import { SIGNALS, Signals } from './signals.ts'
import { type Summary, summarise, summaryLines } from './summary.ts'
import { compactLine, LiveArea, tableLines } from './table.ts'
import { Testnet } from './testnet.ts'

/** What `althing testnet` was asked for. */
export type RunOptions = {
  readonly plan: TestnetPlan
  /** Folder to make or to resume; a fresh one that is removed at the end, if undefined. */
  readonly folder: string | undefined
  /** Ends by itself this long after all was up, ms. */
  readonly forMs: number | undefined
  /** Constant load, transactions per second. */
  readonly loadPerSecond: number
  readonly json: boolean
}

/** Where a run writes, and what its terminal is like. */
export type RunTerminal = {
  data(text: string): void
  remark(text: string): void
  /** Text that is written as it is, for the live table; undefined where nothing can be redrawn. */
  readonly live: { write(text: string): void; size(): { columns: number; rows: number } } | undefined
}

const TABLE_MS = 500
const LINE_MS = 5000
/** After the time is up, members may still be catching up. After Ctrl-C nobody wants to wait. */
const PATIENCE_MS = 15_000
const PATIENCE_AT_SIGNAL_MS = 2000

/** Runs a testnet until its time is up, a signal or a second terminal ends it. The exit code: 0, 2, or 128 + signal. */
export async function runTestnet(options: RunOptions, terminal: RunTerminal): Promise<number> {
  const run = new Run(options, terminal)
  return run.whole()
}

/** How this program is called on a command line: by its name where it is installed, else by its path from here. */
function commandName(): string {
  if (basename(process.argv[1] ?? '') === 'althing') return 'althing'
  const bin = fileURLToPath(new URL('../bin/althing.js', import.meta.url))
  return `${relative(process.cwd(), process.execPath)} ${relative(process.cwd(), bin)}`
}

class Run {
  readonly #options: RunOptions
  readonly #terminal: RunTerminal
  // The second signal ends it at once. The warden ends what that leaves.
  readonly #signals = new Signals((exitCode) => {
    if (this.#testnet === undefined) process.exit(exitCode)
    void this.#testnet.kill().finally(() => process.exit(exitCode))
  })
  #testnet: Testnet | undefined

  constructor(options: RunOptions, terminal: RunTerminal) {
    this.#options = options
    this.#terminal = terminal
  }

  async whole(): Promise<number> {
    const runFolder = await RunFolder.open(this.#options.folder, this.#terminal.remark)
    const { path: folder } = runFolder
    let keep = false
    try {
      const places = await this.#places(folder)
      const summary = await this.#between(places)
      keep = summary?.ok === false
      if (keep) this.#terminal.remark(`the logs are in ${join(folder, 'logs')}`)
      const { signal } = this.#signals
      return signal !== undefined ? SIGNALS[signal] : summary?.ok === true ? EXIT.ok : EXIT.no
    } catch (error) {
      keep = true
      // Asked to end while it was starting: the failure to start is of no interest.
      if (this.#signals.signal !== undefined) return SIGNALS[this.#signals.signal]
      throw error
    } finally {
      await runFolder.close(keep && this.#signals.signal === undefined)
      this.#signals.close()
    }
  }

  async #places(folder: string): Promise<TestnetPlaces> {
    const there = await readPlaces(folder)
    if (there === undefined) {
      this.#terminal.remark(`making the homes of a new testnet in ${folder}`)
      return createHomes(folder, this.#options.plan)
    }
    const { members, rtus } = this.#options.plan
    if (members !== there.members.length || rtus !== there.rtus.length)
      throw new CommandError(
        'TESTNET_FOLDER',
        EXIT.usage,
        `the testnet in ${folder} has ${there.members.length} members and ${there.rtus.length} RTUs`,
        { advice: 'Give these numbers, or another --dir.' },
      )
    this.#terminal.remark(`resuming the testnet in ${folder}`)
    return there
  }

  async #between(places: TestnetPlaces): Promise<Summary | undefined> {
    const { remark } = this.#terminal
    const testnet = await Testnet.prepare(places, this.#options.loadPerSecond, () => {
      remark('the warden of this testnet is gone, so it ends')
      this.#signals.endNow()
    })
    this.#testnet = testnet
    let control: ControlServer | undefined
    try {
      const starting = testnet.start(remark)
      // Asked to end in the middle of it: what runs is stopped below, and that it did not come up is no failure.
      starting.catch(() => undefined)
      await Promise.race([starting, this.#signals.ended])
      if (this.#signals.isEnding) return undefined
      control = await ControlServer.listen(places.folder, (request) => this.#answer(testnet, request))
      await this.#greet(places)
      await this.#watch(testnet)
      remark(this.#signals.signal === undefined ? 'comparing the members' : 'stopping')
      const patienceMs = this.#signals.signal === undefined ? PATIENCE_MS : PATIENCE_AT_SIGNAL_MS
      const summary = await summarise(testnet, patienceMs)
      if (this.#options.json) this.#terminal.data(JSON.stringify(summary, null, 2))
      else for (const line of summaryLines(summary)) this.#terminal.data(line)
      return summary
    } finally {
      await control?.close()
      await testnet.stop()
    }
  }

  async #answer(testnet: Testnet, request: ControlRequest): Promise<ControlAnswer> {
    const answer = await testnet.act(request)
    if (request.verb === 'stop') this.#signals.endNow()
    return answer
  }

  async #greet(places: TestnetPlaces): Promise<void> {
    const [first] = places.members
    if (first === undefined) return
    const url = `http://127.0.0.1:${first.apiPort}`
    const file = tokenFileIn(places.folder)
    const token = (await readFile(file, 'utf8')).trim()
    const say = this.#options.json ? this.#terminal.remark : this.#terminal.data
    say(
      [
        '',
        `API of ${first.name}    ${url}`,
        `documentation   ${url}/docs`,
        `token           ${token}`,
        `                read and write for 12 hours, on this machine only; also in ${file}`,
        `try             curl -H "Authorization: Bearer $(cat ${file})" ${url}/v1/status`,
        `                ${commandName()} status --home ${join(places.folder, 'homes', first.name)}`,
        `disturb         ${commandName()} testnet --kill NAME   (also --pause, --resume, --restart, --status, --stop)`,
        `logs            ${join(places.folder, 'logs')}`,
        '',
      ].join('\n'),
    )
  }

  // Draws until it is asked to end or its time is up.
  async #watch(testnet: Testnet): Promise<void> {
    const { forMs, json } = this.#options
    const { live, data, remark } = this.#terminal
    const area = live === undefined ? undefined : new LiveArea(live.write)
    const everyMs = area === undefined ? LINE_MS : TABLE_MS
    try {
      while (!this.#signals.isEnding) {
        const beganAt = performance.now()
        const remainingMs = forMs === undefined ? undefined : forMs - (beganAt - testnet.upAt)
        if (remainingMs !== undefined && remainingMs <= 0) break
        const view = await testnet.observe(remainingMs)
        if (area !== undefined && live !== undefined) {
          const { columns, rows } = live.size()
          area.draw(tableLines(view, columns, rows - 1))
        } else (json ? remark : data)(compactLine(view))
        await this.#pause(Math.min(everyMs, remainingMs ?? everyMs) - (performance.now() - beganAt))
      }
    } finally {
      // However it ends, the cursor comes back.
      area?.leave()
    }
  }

  async #pause(pauseMs: number): Promise<void> {
    if (this.#signals.isEnding || pauseMs <= 0) return
    const pause = Promise.withResolvers<void>()
    const timer = setTimeout(pause.resolve, pauseMs)
    await Promise.race([pause.promise, this.#signals.ended])
    clearTimeout(timer)
  }
}
