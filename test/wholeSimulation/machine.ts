/**
 * One machine of the simulation: disk and clock that outlive its processes, and the member's process that runs on it now. The member is the product's
 * own wiring (MemberNode and NodeService); only what it stands on is simulated.
 */
import type { Clock } from '../../node/clock.ts'
import { createDataDirectory } from '../../node/dataDirectory.ts'
import { isAlthingError } from '../../node/errors.ts'
import type { CommittedBlock } from '../../node/executor/executor.ts'
import type { NodeLog } from '../../node/log.ts'
import { MemberNode } from '../../node/main.ts'
import type { NetworkDependencies } from '../../node/network/host.ts'
import type { NetworkOptions } from '../../node/network/libp2p.ts'
import type { Platform } from '../../node/platform.ts'
import { NodeService, PoolWatch } from '../../node/service/service.ts'
import { signingDirectory } from '../../node/store/signingRecord.ts'
import { toHex } from '../../protocol/bytes.ts'
import { recoverDigest, sha3 } from '../../protocol/crypto.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import type { Random } from '../simulation/random.ts'
import { SimulatedDisk } from './disk.ts'
import { SimulatedNetwork } from './network.ts'
import { cachedPrimitives } from './primitives.ts'
import { type Schedule, Scope } from './schedule.ts'
import type { Outgoing, Twist } from './twist.ts'
import type { Wires } from './wires.ts'

/** Where a member's data are, on its own disk. */
export const DATA = '/data'
export const LEDGER = `${DATA}/ledger`
/** No block is written once fewer bytes would be free. */
export const FREE_BYTES_MIN = 1_000_000
/** Virtual time 0 as wall clock. */
export const EPOCH_MS = 1_800_000_000_000

/** What a machine tells the world. */
export type MachineWatch = {
  committed(machine: Machine, blocks: readonly CommittedBlock[]): void
  opened(machine: Machine, node: MemberNode): void
  sent(machine: Machine, frame: Outgoing): void
  shutOut(machine: Machine, peer: string, reason: string): void
  /** It cannot go on with the ledger that it has. */
  damaged(machine: Machine): void
  /** Keys of members by which a node that is none finds them. */
  peers(): readonly string[]
  violation(text: string): void
  log(machine: Machine, level: string, fields: object, message: string): void
}

/** What a machine is. */
export type MachineOptions = {
  readonly index: number
  readonly place: string
  /** It is no member at first. */
  readonly isCandidate: boolean
  /** What it keeps of the past, and when it makes snapshots. */
  readonly ledger: { readonly keepBlocks: number; readonly snapshotBlocks: number; readonly joinGainMin: number }
  readonly genesis: Genesis
  readonly secretKey: Uint8Array
  readonly apiKey: Uint8Array
  readonly lies: boolean
  readonly twist: Twist | undefined
  readonly rate: number
  readonly diskMsMax: number
  readonly forgetful: boolean
  readonly pool: { readonly bytesMax: number; readonly countMax: number }
}

/** One run of a member's process. */
export type Run = {
  readonly scope: Scope
  readonly number: number
  network: SimulatedNetwork | undefined
  node: MemberNode | undefined
  service: NodeService | undefined
}

export class Machine {
  readonly options: MachineOptions
  readonly disk: SimulatedDisk
  run: Run | undefined
  /** Added to the wall clock, ms. */
  clockOffsetMs = 0
  /** Runs so far. */
  runs = 0
  /** It has to start with `recover`. */
  mustRecover = false
  /** It lost its record and has not been seen to be through with it. */
  recovering = false
  /** Its key now, and the one that is to take its place. */
  secretKey: Uint8Array
  nextKey: Uint8Array | undefined
  /** It has been, or is to be, a member. */
  wasMember = false
  /** Its ledger came by a snapshot: the blocks below are not in it. */
  joined = false
  /** The last backup of its ledger, and the height that it goes back to at least. */
  backup: Uint8Array | undefined
  /** Until when an operator leaves it down, virtual ms. */
  downUntil = 0
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #wires: Wires
  readonly #watch: MachineWatch

  constructor(
    options: MachineOptions,
    world: { schedule: Schedule; random: Random; wires: Wires; watch: MachineWatch },
  ) {
    this.options = options
    this.secretKey = options.secretKey
    this.wasMember = !options.isCandidate
    this.#schedule = world.schedule
    this.#random = world.random
    this.#wires = world.wires
    this.#watch = world.watch
    const { diskMsMax, forgetful } = options
    this.disk = new SimulatedDisk(world.random, { writeMsMax: diskMsMax, readMsMax: 1, forgetful })
  }

  get place(): string {
    return this.options.place
  }

  /** The running member, once it has started. */
  get node(): MemberNode | undefined {
    return this.run?.scope.alive ? this.run.node : undefined
  }

  get service(): NodeService | undefined {
    return this.run?.scope.alive ? this.run.service : undefined
  }

  /** Its public key now, hexadecimal. */
  get publicKey(): string {
    return toHex(cachedPrimitives.publicKey(this.secretKey))
  }

  /** Whether all blocks are in its ledger, with their bodies. */
  get keepsAll(): boolean {
    return this.options.ledger.keepBlocks === 0 && !this.joined && !this.disk.isRotten(LEDGER)
  }

  /** A candidate is set up and started. */
  begin(): void {
    if (this.runs > 0) return
    void this.init().then(() => this.start())
  }

  /** The next key is its key from the next start on. */
  takeKey(): void {
    this.secretKey = this.nextKey ?? this.secretKey
    this.nextKey = undefined
  }

  /** Makes the data directory of a new member, as `althing init` does. */
  async init(): Promise<void> {
    const scope = this.#scope()
    const { genesis } = this.options
    await createDataDirectory(
      DATA,
      genesis,
      this.disk.seenBy(scope, () => this.#schedule.now),
    )
    scope.end()
  }

  /** Starts the process unless it runs. An operator tries again where it cannot start. */
  start(): void {
    if (this.run?.scope.alive === true || this.#schedule.now < this.downUntil) return
    const scope = this.#scope()
    const run: Run = { scope, number: ++this.runs, network: undefined, node: undefined, service: undefined }
    this.run = run
    this.#schedule.note(`${this.place} starts`)
    this.#start(run).catch((error) => this.#ended(run, error))
  }

  /** kill −9, or loss of power. */
  crash(downMs: number): void {
    this.downUntil = Math.max(this.downUntil, this.#schedule.now + downMs)
    this.#schedule.at(downMs + 1, () => this.start())
    const { run } = this
    if (run === undefined || !run.scope.alive) return
    this.#schedule.note(`${this.place} crashes`)
    this.#leave(run)
    this.disk.crash()
  }

  /** SIGTERM, and a start later. */
  restart(downMs: number): void {
    const { run } = this
    if (run?.node === undefined || !run.scope.alive) return this.crash(downMs)
    this.downUntil = Math.max(this.downUntil, this.#schedule.now + downMs)
    this.#schedule.note(`${this.place} stops`)
    run.service?.stop()
    void run.node.stop().then(() => {
      if (run.scope.alive) this.crash(downMs)
    })
    // A process that does not stop in time is killed.
    this.#schedule.at(10_000, () => {
      if (this.run === run && run.scope.alive) this.crash(downMs)
    })
  }

  #scope(): Scope {
    return new Scope(this.#schedule, (error) => this.#watch.violation(`bug at ${this.place}: ${textOf(error)}`))
  }

  #leave(run: Run): void {
    run.scope.end()
    run.service?.stop()
    if (run.network !== undefined) this.#wires.leave(run.network)
  }

  async #start(run: Run): Promise<void> {
    const { genesis, pool, apiKey } = this.options
    const { keepBlocks, snapshotBlocks, joinGainMin } = this.options.ledger
    const { secretKey } = this
    const watch = new PoolWatch()
    const platform = this.#platform(run)
    const node = await MemberNode.start(
      {
        genesis,
        dataDirectory: DATA,
        secretKey,
        listen: [],
        announce: [],
        peers: this.#watch.peers().map((member) => ({ member, address: '/dns4/member.example/tcp/7379' })),
        pool,
        diskFreeBytesMin: FREE_BYTES_MIN,
        ledger: { keep: { blocks: keepBlocks, hours: 0 }, snapshotBlocks, join: 'snapshot', joinGainMin },
        restart: () => {
          if (this.run !== run || !run.scope.alive) return
          this.joined = true
          this.restart(10)
        },
        recover: this.mustRecover,
        poolObserver: watch,
        log: this.#log(run),
        fatal: (error) => this.#ended(run, error),
      },
      platform,
    )
    run.node = node
    this.mustRecover = false
    this.#watch.opened(this, node)
    node.onCommitted((blocks) => this.#watch.committed(this, blocks))
    run.service = await NodeService.start(node, watch, {
      clock: platform.clock,
      signingKeys: new Map([['key', { publicKey: cachedPrimitives.publicKey(apiKey), secretKey: apiKey }]]),
      disk: { directory: DATA, freeBytesMin: FREE_BYTES_MIN },
      processMetrics: false,
      recentLog: () => [],
    })
  }

  /** The process ended by itself. What the disk did to it is no bug; everything else is. */
  #ended(run: Run, error: unknown): void {
    if (!run.scope.alive) return
    this.#schedule.note(`${this.place} ended`)
    const code = isAlthingError(error) ? error.code : undefined
    this.#watch.log(this, 'fatal', { code }, textOf(error))
    if (code === 'SIGNING_RECORD_MISSING' || code === 'SIGNING_RECORD_CORRUPT') this.mustRecover = true
    else if (code === 'STORE_CORRUPT' && this.disk.isRotten(LEDGER)) this.#watch.damaged(this)
    else if (code === 'STORE_READ_FAILED' && this.disk.readsFailed) this.disk.readsFailed = false
    else if (code !== 'STORE_WRITE_FAILED') this.#watch.violation(`${this.place} ended: ${textOf(error)}`)
    this.#leave(run)
    this.disk.crash()
    this.#schedule.at(2000, () => this.start())
  }

  #platform(run: Run): Platform {
    const { rate } = this.options
    const clock: Clock = {
      now: () => Math.floor(EPOCH_MS + this.clockOffsetMs + this.#schedule.now * rate),
      monotonic: () => this.#schedule.now * rate + 1000,
      // Timers are late by a little, as those of Node.js.
      after: (delayMs, task) =>
        run.scope.later(Math.max(1, Math.ceil(delayMs)) / rate + 0.5 * this.#random.next(), task),
      vigil: (looked) => run.scope.vigil(looked, rate),
    }
    return {
      clock,
      // Blocks here are small: what takes 5 ms in them is the machine of the simulation, not the one that is simulated.
      pace: { nowMs: () => this.#schedule.now, breathe: () => run.scope.after(0, () => undefined) },
      disk: this.disk.seenBy(run.scope, () => this.#schedule.now),
      primitives: cachedPrimitives,
      createNetwork: async (options: NetworkOptions, dependencies: NetworkDependencies) => {
        run.network = new SimulatedNetwork(options, dependencies, {
          name: this.place,
          scope: run.scope,
          wires: this.#wires,
          now: clock.monotonic,
          watch: {
            sent: (frame) => this.#watch.sent(this, frame),
            shutOut: (peer, reason) => this.#watch.shutOut(this, peer, reason),
            bug: (error) => this.#ended(run, error),
            twist: this.options.twist,
          },
        })
        return run.network
      },
      createSignatures: () => ({
        recover: (items) =>
          run.scope.after(0.2 + this.#random.next(), () =>
            items.map((item) => recoverDigest('digest' in item ? item.digest : sha3(item.body), item.signature)),
          ),
        close: async () => undefined,
      }),
    }
  }

  #log(run: Run): NodeLog {
    const say = (level: string) => (fields: object, message: string) => {
      if (run.scope.alive) this.#watch.log(this, level, fields, message)
    }
    return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  }
}

/** The record's place on the disk, for losing it. */
export const RECORD = signingDirectory(DATA)

const textOf = (error: unknown): string => (error instanceof Error ? `${error.message}\n${error.stack}` : String(error))
