/**
 * Stage: the operator. A machine for each RTU of a scenario: process, mount and network namespaces of its own, on the bridge of `netns.ts`, so that
 * what runs and listens there is seen by this RTU alone; and what an intruder starts on one.
 * Invariants: a machine lasts as long as the input of its first process, which this process holds, so none outlives the testnet, however that
 * ends; what an intruder leaves lies on a small disk that is the machine's own (/dev/shm) and goes with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, EXIT } from '../cli/failure.ts'
import type { RtuPlace, TestnetPlaces } from './homes.ts'
import type { Netns } from './netns.ts'
import type { Manner } from './processes.ts'
import { NAMESPACES, ownName } from './tools.ts'

/** Where an RTU listens for its neighbours, on its own address. */
const RTU_PORT = 7379
/** Where the rogue listens: below the ports of outgoing connections. */
const ROGUE_PORT = 4444
/** The first process: an own disk where programs are dropped, then nothing until its input ends. */
const FIRST_PROCESS = 'mount -t tmpfs -o size=256m althing-machine /dev/shm && exec cat > /dev/null'
/** An installed program under another name, from where anyone may drop one, as intruders do. It says when it listens. */
const INTRUSION = 'cp "$1" /dev/shm/.update && exec /dev/shm/.update -e "$2"'
const ROGUE = `require('net').createServer().listen(${ROGUE_PORT}, '0.0.0.0', () => console.log('listening'))`
const START_MS = 10_000

type Machine = { readonly holder: ChildProcess; readonly pid: number }

/** The machines of the RTUs of one testnet. */
export class Machines {
  readonly #network: Netns
  readonly #places: TestnetPlaces
  readonly #learningCycles: number
  readonly #machines = new Map<string, Machine>()

  /** `network` has the RTUs as guests. `learningCycles`: as `rtu.learning_cycles`. */
  constructor(network: Netns, places: TestnetPlaces, learningCycles: number) {
    this.#network = network
    this.#places = places
    this.#learningCycles = learningCycles
  }

  /** Starts them all. CommandError TESTNET_NETWORK (exit 69) where namespaces of processes cannot be made. */
  async open(): Promise<void> {
    for (const { name } of this.#places.rtus) this.#machines.set(name, await openMachine(name))
  }

  /** How the RTU `place` is started on its machine. */
  mannerOf(place: RtuPlace): Manner {
    const { members } = this.#places
    const owner = members.findIndex(({ name }) => name === place.owner)
    // As its home says: two members, so that one may be away.
    const near = [owner, (owner + 1) % members.length].map((i) => members[i]?.name ?? '')
    const settings = {
      'rtu.members': [...new Set(near)].map((name) => `${name}=${this.#network.lineOf(name)}`).join(','),
      'rtu.listen': `/ip4/${this.#network.guestAddress(place.name)}/tcp/${RTU_PORT}`,
      'rtu.learning_cycles': String(this.#learningCycles),
    }
    const after = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    return { before: this.#inside(place.name), after, environment: {} }
  }

  #inside(rtu: string): string[] {
    const { pid } = this.#machines.get(rtu) as Machine
    return ['nsenter', '--target', String(pid), '--pid', '--mount', '--net', '--']
  }

  /** Starts a program on the machine of `rtu` that was never installed there, and that listens; resolves when it does. */
  async compromise(rtu: string): Promise<void> {
    const [program = '', ...words] = this.#inside(rtu)
    const child = spawn(program, [...words, 'sh', '-c', INTRUSION, 'sh', process.execPath, ROGUE], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const listens = Promise.withResolvers<boolean>()
    child.stdout?.once('data', () => listens.resolve(true))
    child.once('exit', () => listens.resolve(false))
    child.once('error', () => listens.resolve(false))
    const timer = setTimeout(() => listens.resolve(false), START_MS)
    const isListening = await listens.promise
    clearTimeout(timer)
    if (isListening) return
    child.kill('SIGKILL')
    throw new CommandError('TESTNET_TOOL', EXIT.unavailable, `the rogue program did not start on the machine of ${rtu}`)
  }

  /** Ends all machines with everything that runs on them. Never rejects. */
  async close(): Promise<void> {
    await Promise.all([...this.#machines.values()].map(({ holder }) => endOf(holder)))
    this.#machines.clear()
  }
}

async function openMachine(name: string): Promise<Machine> {
  const namespaces = ['unshare', '--pid', '--mount', '--fork', '--kill-child', '--mount-proc', '--']
  const words = [`--net=${join(NAMESPACES, ownName(name))}`, '--', ...namespaces, 'sh', '-c', FIRST_PROCESS]
  const holder = spawn('nsenter', words, { detached: true, stdio: ['pipe', 'ignore', 'pipe'] })
  holder.stdin?.on('error', () => undefined)
  let complaint = ''
  holder.stderr?.on('data', (data: Buffer) => {
    complaint = `${complaint}${data}`.slice(0, 1000)
  })
  const ended = new Promise<void>((done) => holder.once('exit', done).once('error', () => done()))
  const end = performance.now() + START_MS
  while (performance.now() < end && holder.exitCode === null && holder.pid !== undefined) {
    const pid = Number(
      (await readFile(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').catch(() => '')).trim(),
    )
    // Once it is what it is to become, its disk is there too.
    if (pid > 0 && (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim() === 'cat')
      return { holder, pid }
    await Promise.race([ended, new Promise((done) => setTimeout(done, 20))])
  }
  holder.kill('SIGKILL')
  throw new CommandError(
    'TESTNET_NETWORK',
    EXIT.unavailable,
    `no machine of its own for ${name}: ${complaint.trim()}`,
    {
      advice: 'A compromised RTU needs root and namespaces for processes, mounts and networks (unshare of util-linux).',
    },
  )
}

async function endOf(holder: ChildProcess): Promise<void> {
  if (holder.exitCode !== null || holder.signalCode !== null) return
  const ended = new Promise<void>((done) => holder.once('exit', () => done()))
  holder.stdin?.end()
  const timer = setTimeout(() => holder.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(timer)
}
