/**
 * Stage: the operator. One process of a testnet: a member or an RTU, started, stopped, killed, paused and started again.
 * Invariants: each runs in a session of its own, so that the terminal's Ctrl-C reaches the testnet alone, which then stops them in order; the
 * warden knows it from its first to its last moment; what it prints goes to its log file; no ALTHING_ variable of this shell reaches it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { CommandError, EXIT } from '../cli/failure.ts'
import type { Warden } from './warden.ts'

/**
 * `running`, `paused`: as it says. `stopped`, `killed`: as we asked. `ended`: by itself, which is a failure.
 */
export type ProcessState = 'running' | 'paused' | 'stopped' | 'killed' | 'ended'

/** How a process is started. */
export type ProcessOptions = {
  readonly name: string
  /** The script and its words; it runs on the Node.js that runs this. */
  readonly words: readonly string[]
  /** What is different about the next start; asked at each. */
  readonly manner?: () => Manner
  readonly logFile: string
  /** How long it may take to stop before it is killed, ms. */
  readonly stopTimeoutMs: number
}

/** How one start differs from the plain one. */
export type Manner = {
  /** Program and words before Node.js. */
  readonly before: readonly string[]
  /** In the place of the first of `words`, if given. */
  readonly script?: string | undefined
  /** Words after all others. */
  readonly after: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}
const PLAIN: Manner = { before: [], after: [], environment: {} }

type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** A process that can be started again and again. */
export class ManagedProcess {
  readonly options: ProcessOptions
  readonly #warden: Warden
  #child: ChildProcess | undefined
  #ended: Promise<Ended> = Promise.resolve({ code: null, signal: null })
  #last: Ended | undefined
  #state: ProcessState = 'stopped'
  #asked: 'stopped' | 'killed' | undefined
  /** Starts after the first. */
  restarts = -1
  /** How it ended each time that nobody had asked it to. */
  readonly unasked: string[] = []

  constructor(options: ProcessOptions, warden: Warden) {
    this.options = options
    this.#warden = warden
  }

  get name(): string {
    return this.options.name
  }

  get state(): ProcessState {
    return this.#state
  }

  /** Whether there is a process, running or paused. */
  get isAlive(): boolean {
    return this.#state === 'running' || this.#state === 'paused'
  }

  /** Process id; undefined where none runs. */
  get pid(): number | undefined {
    return this.isAlive ? this.#child?.pid : undefined
  }

  /** How it ended, in words: `exit code 78`, `signal SIGSEGV`; undefined while it runs or if it never did. */
  get ending(): string | undefined {
    if (this.isAlive || this.#last === undefined) return undefined
    const { code, signal } = this.#last
    return signal === null ? `exit code ${code}` : `signal ${signal}`
  }

  /** Starts it. TESTNET_ALREADY_RUNNING if it runs. */
  async start(): Promise<void> {
    if (this.isAlive)
      throw new CommandError('TESTNET_ALREADY_RUNNING', EXIT.failure, `${this.name} is ${this.#state} already`)
    const log = await open(this.options.logFile, 'a', 0o600)
    try {
      const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('ALTHING_'))
      const { before, script, after, environment: more } = this.options.manner?.() ?? PLAIN
      const [first = '', ...rest] = this.options.words
      const [program = '', ...words] = [...before, process.execPath, script ?? first, ...rest, ...after]
      const child = spawn(program, words, {
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: { ...Object.fromEntries(environment), ...more, NO_COLOR: '1' },
      })
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve)
        child.once('error', reject)
        // Before anything else can happen: the warden is told in the same turn in which the process exists.
        if (child.pid !== undefined) this.#warden.keep(child.pid)
      })
      this.#child = child
      this.#asked = undefined
      this.#last = undefined
      this.#state = 'running'
      this.restarts += 1
      this.#ended = new Promise((resolve) => {
        const settle = (code: number | null, signal: NodeJS.Signals | null): void => {
          this.#warden.drop(child.pid as number)
          this.#last = { code, signal }
          this.#state = this.#asked ?? 'ended'
          if (this.#state === 'ended') this.unasked.push(this.ending ?? '')
          resolve(this.#last)
        }
        if (child.exitCode !== null || child.signalCode !== null) settle(child.exitCode, child.signalCode)
        else child.once('exit', settle)
      })
    } finally {
      await log.close()
    }
  }

  /** Kills it at once (SIGKILL), paused or not; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#alive()
    this.#asked = 'killed'
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** Asks it to stop (SIGTERM), kills it after `stopTimeoutMs`. True if it stopped by itself, with exit code 0. */
  async stop(): Promise<boolean> {
    if (!this.isAlive) return true
    this.#asked = 'stopped'
    this.#child?.kill('SIGTERM')
    this.#child?.kill('SIGCONT')
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), this.options.stopTimeoutMs)
    const { code } = await this.#ended
    clearTimeout(timer)
    return code === 0
  }

  /** Suspends it (SIGSTOP). */
  pause(): void {
    this.#alive()
    this.#child?.kill('SIGSTOP')
    this.#state = 'paused'
  }

  /** Lets it go on (SIGCONT). TESTNET_NOT_PAUSED if it is not suspended. */
  resume(): void {
    this.#alive()
    if (this.#state !== 'paused')
      throw new CommandError('TESTNET_NOT_PAUSED', EXIT.failure, `${this.name} is not paused`)
    this.#child?.kill('SIGCONT')
    this.#state = 'running'
  }

  /** Stops it if it runs and starts it again. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  #alive(): void {
    if (!this.isAlive)
      throw new CommandError(
        'TESTNET_NOT_RUNNING',
        EXIT.failure,
        `${this.name} is not running (${this.ending ?? 'never started'})`,
      )
  }
}
