/** How tests look at processes, and how they run a testnet as a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../../testnet/testnet.ts'
import { althing } from '../cli/process.ts'

/** State of a process as the kernel says (`R`, `S`, `T` stopped, `Z` a zombie); undefined if there is none. */
export function stateOf(pid: number | undefined): string | undefined {
  try {
    // The name in parentheses may hold anything; the state follows the last one.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0]
  } catch {
    return undefined
  }
}

/** Whether the process exists. A zombie has ended: it only waits for its parent to notice. */
export const isAlive = (pid: number | undefined): boolean => {
  const state = stateOf(pid)
  return state !== undefined && state !== 'Z' && state !== 'X'
}

const BIN = fileURLToPath(new URL('../../bin/althing.js', import.meta.url))

/** `althing testnet` as a process of its own, with a TMPDIR of its own, so that tests do not find each other's testnets. */
export class RunningTestnet {
  readonly #child: ChildProcess
  readonly #tmp: string
  readonly #ended: Promise<{ code: number | null }>
  stdout = ''
  stderr = ''

  private constructor(child: ChildProcess, tmp: string) {
    this.#child = child
    this.#tmp = tmp
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.#ended = new Promise((done) => child.on('close', (code) => done({ code })))
  }

  static async start(words: readonly string[]): Promise<RunningTestnet> {
    const tmp = await mkdtemp(join(tmpdir(), 'althing-command-'))
    const child = spawn(process.execPath, [BIN, 'testnet', ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: tmp, NO_COLOR: '1' },
    })
    return new RunningTestnet(child, tmp)
  }

  /** The folder of its homes, as it said. */
  get folder(): string {
    return /testnet in (.+)/.exec(this.stderr)?.[1] ?? ''
  }

  /** Waits until its table says a height above 0. */
  async isUp(): Promise<void> {
    if (!(await until(() => /height [1-9]/.test(this.stdout) || this.#child.exitCode !== null, 40_000)))
      throw new Error(`the testnet did not come up\n${this.stdout}\n${this.stderr}`)
  }

  /** Waits for its end. */
  ended(): Promise<{ code: number | null }> {
    return this.#ended
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The processes that it started and that run, by the kernel's word. */
  async processes(): Promise<number[]> {
    const parent = this.#child.pid
    const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number)
    return pids.filter((pid) => isAlive(pid) && parentOf(pid) === parent)
  }

  /** Processes that name its folder on their command line. */
  async survivors(): Promise<number[]> {
    const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number)
    return pids.filter((pid) => isAlive(pid) && textOf(`/proc/${pid}/cmdline`).includes(this.#tmp))
  }

  /** What a second terminal gets for `althing testnet …words`, or a later testnet in the same temporary folder. */
  async ask(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    return althing(this.#tmp, ['testnet', ...words], '', { TMPDIR: this.#tmp })
  }

  /** Ends it and removes what it left. */
  async destroy(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    await this.#ended
    await until(async () => (await this.survivors()).length === 0, 10_000)
    await rm(this.#tmp, { recursive: true, force: true })
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

const parentOf = (pid: number): number => Number(textOf(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')[1])
