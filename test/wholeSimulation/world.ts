/**
 * The world of one run: machines, wires, clients and light peers, first under faults (safety), then healed (liveness). Everything in it follows from
 * the scenario; two runs of one have one trace.
 */

import { toHex } from '../../protocol/bytes.ts'
import { installPrimitives, publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { deviceRegister } from '../../protocol/kinds/device/device.ts'
import { type MemberSet, quorumSizes } from '../../protocol/members.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { registration, secretKey } from '../protocol/kinds/consortium.ts'
import { type Random, seededRandom } from '../simulation/random.ts'
import { Changes, isClosing } from './changes.ts'
import { Checker } from './checker.ts'
import { Clients } from './clients.ts'
import { checkLedgers } from './ledgers.ts'
import { flood, twistOf } from './lies.ts'
import { DEVICE, Light } from './lights.ts'
import { DATA, EPOCH_MS, Machine, RECORD } from './machine.ts'
import { Operator } from './operator.ts'
import { cachedPrimitives } from './primitives.ts'
import type { Fault, Scenario, Worst } from './scenario.ts'
import { Schedule } from './schedule.ts'
import type { Outgoing } from './twist.ts'
import { calm, Wires } from './wires.ts'

/** What a run came to. */
export type Outcome = {
  readonly violations: readonly string[]
  /** Hash of everything that happened, in order. */
  readonly trace: string
  readonly virtualMs: number
  readonly events: number
  readonly heights: number
  readonly transactions: number
  /** Faults injected, by kind: those that struck something. */
  readonly injected: ReadonlyMap<string, number>
}

/** Number of the first API key, as keys of test/protocol/kinds/consortium.ts are numbered. */
const API_KEY = 101
const LOOK_MS = 500

export class World {
  readonly scenario: Scenario
  readonly schedule = new Schedule()
  readonly random: Random
  readonly genesis: Genesis
  readonly machines: Machine[] = []
  readonly wires: Wires
  readonly checker: Checker
  readonly clients: Clients
  readonly changes: Changes
  readonly operator: Operator
  readonly lights: Light[] = []
  /** Member sets of the eras that honest members have reached. */
  readonly #sets = new Map<number, MemberSet>()
  /** What strikes the leader of the next closing block. */
  #worst: Worst = null
  readonly injected = new Map<string, number>()
  log: string[] | null = null
  /** Real time, ms, at which a run that is not over by then is given up; it shows nothing. */
  giveUpAt = Number.POSITIVE_INFINITY
  #audience = 0
  #healed = false
  #ended = false

  constructor(scenario: Scenario) {
    installPrimitives(cachedPrimitives)
    this.scenario = scenario
    this.random = seededRandom(scenario.seed)
    this.genesis = genesisOf(scenario)
    this.wires = new Wires(this.schedule, this.random, scenario.weather)
    this.wires.audience = (_key, asker) => (this.#audience >> (Number(asker.slice(1)) || 0)) & 1
    this.checker = new Checker(this.schedule, this.genesis, scenario.kind, scenario.liars.size)
    for (let index = 0; index < scenario.n + scenario.candidates; index++) this.#addMachines(index)
    this.clients = new Clients({
      schedule: this.schedule,
      random: this.random,
      genesis: this.genesis,
      machines: this.machines,
      violation: (text) => this.checker.violation(text),
    })
    this.changes = new Changes({
      ...this,
      count: (kind) => this.#count(kind),
      say: (line) => this.say(line),
      isOver: () => this.#healed,
    })
    this.operator = new Operator({ ...this, members: () => this.changes.members(), faults: () => this.#faultsBorne() })
  }

  get honest(): Machine[] {
    return this.machines.filter(({ options }) => !options.lies)
  }

  #addMachines(index: number): void {
    const { liars, drift, diskMsMax, pool, n, growth } = this.scenario
    const isCandidate = index >= n
    // Some drop what is old; the others have all of it.
    const prunes = growth !== null && n >= 3 && index === 1
    const nothing = { keepBlocks: 0, snapshotBlocks: 0, joinGainMin: 3 }
    const lie = liars.get(index)
    for (const suffix of lie === 'twins' ? ['', 'b'] : ['']) {
      const options = {
        index,
        place: `m${index}${suffix}`,
        isCandidate,
        ledger: { ...(growth ?? nothing), ...(prunes ? {} : { keepBlocks: 0 }) },
        genesis: this.genesis,
        secretKey: secretKey(index + 1),
        apiKey: secretKey(API_KEY + index),
        lies: lie !== undefined,
        twist: twistOf(lie, this.random),
        rate: drift[index] ?? 1,
        diskMsMax,
        forgetful: this.scenario.forgetful === true,
        pool,
      }
      const watch = {
        committed: (machine: Machine, blocks: Parameters<Checker['committed']>[1]) =>
          machine.options.lies ? undefined : this.checker.committed(machine, blocks),
        opened: (machine: Machine, node: Parameters<Checker['opened']>[1]) =>
          machine.options.lies ? undefined : this.checker.opened(machine, node),
        sent: (machine: Machine, frame: Outgoing) => {
          if (this.#worst !== null && frame.channel === 'push' && isClosing(frame.bytes)) this.#strikeAtWorst(machine)
          if (!machine.options.lies) this.checker.sent(machine, frame)
        },
        shutOut: (machine: Machine, peer: string, reason: string) => this.#shutOut(machine, peer, reason),
        damaged: (machine: Machine) => this.operator.damaged(machine),
        peers: () => this.changes.set.members.map(({ publicKey }) => toHex(publicKey)),
        violation: (text: string) => this.checker.violation(text),
        log: (machine: Machine, level: string, fields: object, message: string) =>
          this.say(() => `${machine.place} ${level} ${message} ${textOf(fields)}`),
      }
      this.machines.push(new Machine(options, { ...this, watch }))
    }
  }

  get isGivenUp(): boolean {
    return Date.now() > this.giveUpAt
  }

  say(line: () => string): void {
    this.log?.push(`${this.schedule.now.toFixed(1).padStart(9)} ${line()}`)
  }

  #shutOut(machine: Machine, peer: string, reason: string): void {
    this.say(() => `${machine.place} shuts ${peer.slice(0, 8)} out: ${reason}`)
    if (machine.options.lies) return
    const other = this.machines.find(({ publicKey }) => publicKey === peer)
    if (other !== undefined && !other.options.lies)
      this.checker.violation(`${machine.place} shuts the honest member ${other.place} out: ${reason}`)
  }

  /** Runs both phases. */
  async run(): Promise<Outcome> {
    const bug = (error: unknown): void =>
      this.checker.violation(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`)
    process.on('unhandledRejection', bug)
    try {
      await this.#phases()
    } finally {
      process.off('unhandledRejection', bug)
    }
    const { heightMax, transactions, violations } = this.checker
    const { now: virtualMs, events } = this.schedule
    const trace = this.schedule.digest()
    return { violations, trace, virtualMs, events, heights: heightMax, transactions, injected: this.injected }
  }

  async #phases(): Promise<void> {
    const { scenario, schedule, checker } = this
    const failed = (): boolean => checker.violations.length > 0 || this.isGivenUp
    let made = 0
    const first = this.machines.filter(({ options }) => !options.isCandidate)
    for (const machine of first) void machine.init().then(() => made++)
    await schedule.run(60_000, () => made === first.length)
    for (const machine of first) machine.start()
    const over = (): boolean => this.#healed
    for (let client = 0; client < scenario.clients; client++) this.clients.begin(client, scenario.clientPauseMs, over)
    this.#registerDevices()
    for (let light = 0; light < scenario.lights; light++) {
      const device = new Light(light, {
        ...this,
        slowness: scenario.isQuiet ? 200 : 1,
        saw: (h, hash) => checker.saw(h, hash),
        violation: (text) => checker.violation(text),
      })
      this.lights.push(device)
      device.begin(over)
    }
    for (const machine of this.machines) if (scenario.liars.get(machine.options.index) === 'flood') this.#flood(machine)
    for (const fault of scenario.faults) schedule.at(fault.at, () => this.#strike(fault))
    this.#look()
    await schedule.run(scenario.faultyMs, failed)
    if (failed()) return
    await this.#heal(failed)
    if (failed()) return
    await this.#end()
  }

  #look(): void {
    this.schedule.at(this.scenario.isQuiet ? 10 * LOOK_MS : LOOK_MS, () => {
      if (this.#ended) return
      this.changes.activate()
      for (const machine of this.honest) {
        this.checker.watch(machine)
        const era = machine.node?.executor.era
        if (era !== undefined) this.#sets.set(era.era, era.memberSet)
        const phase = machine.node?.driver.state.phase
        if (phase !== undefined && phase !== 'recovering') machine.recovering = false
      }
      this.#look()
    })
  }

  /** Devices are registered by the API key of member 0, at whoever runs, until it is done. */
  #registerDevices(): void {
    const { machines, schedule, scenario } = this
    const register = (light: number): void => {
      const nonce = new Uint8Array(16).fill(200 + light)
      const validUntil = EPOCH_MS + 600_000
      const payload = deviceRegister.payload.to(registration(DEVICE + light) as never)
      const key = (machines[0] as Machine).options.apiKey
      const transaction = signTransaction(
        { kind: 'device.register', payload, nonce, validUntil },
        chainIdOf(this.genesis),
        key,
      )
      for (const machine of machines) this.clients.submit(machine, transaction, false)
    }
    for (const at of [1000, 5000])
      schedule.at(at, () => {
        for (let light = 0; light < scenario.lights; light++) register(light)
      })
  }

  // Faults.

  #count(kind: string): void {
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
  }

  #strike(fault: Fault): void {
    if (this.#healed) return
    this.say(() => `fault ${textOf(fault)}`)
    this.schedule.note(`fault ${fault.kind}`)
    this.#count(fault.kind)
    const { schedule, wires } = this
    // Of twins the first is struck.
    const machine = 'member' in fault ? this.machines.find(({ options }) => options.index === fault.member) : undefined
    switch (fault.kind) {
      case 'crash':
        return machine?.crash(fault.downMs)
      case 'restart':
        return machine?.restart(fault.downMs)
      case 'crashAtWrite':
      case 'writeFails': {
        if (machine === undefined) return
        const kind = fault.kind === 'crashAtWrite' ? 'crash' : 'fail'
        machine.disk.fault = { kind, made: fault.made, writes: fault.writes, crash: () => machine.crash(fault.downMs) }
        return
      }
      case 'power':
        for (const one of this.machines) if (one.runs > 0) one.crash(fault.downMs + this.random.below(500))
        return
      case 'ledgerLost':
        return machine && this.operator.loseLedger(machine, fault.downMs)
      case 'diskLost':
      case 'recordLost':
        return void (
          machine && this.operator.loseRecord(machine, fault.kind === 'diskLost' ? DATA : RECORD, fault.downMs)
        )
      case 'backup':
        return machine && this.operator.backUp(machine)
      case 'restore':
        return machine && this.operator.restore(machine, fault.downMs)
      case 'readFails':
        if (machine?.node !== undefined) machine.disk.readsUntilFailure = fault.reads
        return
      case 'rot':
        return machine && this.operator.rot(machine, fault.entries)
      case 'change':
        this.#worst = fault.worst
        return this.changes.plan(fault)
      case 'stall':
        return machine?.run?.scope.stall(fault.forMs)
      case 'clockJump': {
        if (machine === undefined) return
        machine.clockOffsetMs += fault.byMs
        return schedule.at(fault.forMs, () => {
          machine.clockOffsetMs -= this.#healed ? 0 : fault.byMs
        })
      }
      case 'diskFull': {
        if (machine === undefined) return
        machine.disk.freeBytes = fault.hard ? 100 : 900_000
        return schedule.at(fault.forMs, () => {
          machine.disk.freeBytes = Number.POSITIVE_INFINITY
        })
      }
      case 'cut':
        return this.#cut([[fault.from, fault.to]], fault.forMs)
      case 'partition': {
        const others = this.machines.map(({ options }) => options.index).filter((i) => !fault.side.includes(i))
        const pairs = fault.side.flatMap((a) => others.map((b): [number, number] => [a, b]))
        return this.#cut(
          fault.oneWay ? pairs : [...pairs, ...pairs.map(([a, b]): [number, number] => [b, a])],
          fault.forMs,
        )
      }
      case 'flap':
        return wires.breakLinkOf(`m${fault.from}`, `m${fault.to}`)
      case 'audience':
        this.#audience = this.random.below(1 << 8)
        return wires.audiencesChanged()
    }
  }

  #cut(pairs: readonly (readonly [number, number])[], forMs: number): void {
    const placesOf = (index: number): string[] =>
      this.machines.flatMap(({ options, place }) => (options.index === index ? [place] : []))
    const set = (cut: boolean): void => {
      for (const [from, to] of pairs)
        for (const a of placesOf(from)) for (const b of placesOf(to)) this.wires.setCut(a, b, cut)
    }
    set(true)
    this.schedule.at(forMs, () => set(false))
  }

  /** How many members may lie, be far off, or have lost their record in the present set, without those that do. */
  #faultsBorne(): number {
    const { members, parameters } = this.changes.set
    return quorumSizes(members.length, parameters.percent).f - this.scenario.liars.size
  }

  /** The block that closes the era is under way: its leader is struck, and blamed for it. */
  #strikeAtWorst(leader: Machine): void {
    const { scenario, random, schedule } = this
    const { deltaMs } = scenario.parameters
    const isTimely = scenario.kind === 'synchronous'
    const worst = this.#worst
    this.#worst = null
    if (this.#healed) return
    schedule.at(random.next() * 3 * deltaMs, () => {
      if (this.#healed) return
      this.say(() => `${leader.place} is struck at its closing block: ${worst}`)
      this.#count('struck at the closing block')
      if (worst === 'stall' || (isTimely && worst === 'cut')) return leader.run?.scope.stall(deltaMs * 20)
      if (worst === 'crash' || isTimely) return leader.crash(random.pick([500, 5000]))
      if (worst === 'power') for (const one of this.machines) if (one.runs > 0) one.crash(random.below(2000))
      const from = leader.options.index
      if (worst === 'cut')
        this.#cut(
          this.machines.flatMap(({ options: { index } }) => (index === from ? [] : [[from, index] as const])),
          5000,
        )
    })
  }

  /** Junk on all channels, as fast as a member may be expected to bear. */
  #flood(machine: Machine): void {
    const frames = flood(machine, this.random)
    for (let i = 0; i < frames; i++) this.#count('flooded frame')
    this.schedule.at(this.scenario.isQuiet ? 2000 : 20, () => this.#flood(machine))
  }

  // Liveness.

  async #heal(failed: () => boolean): Promise<void> {
    const { scenario, schedule, wires, changes } = this
    this.#healed = true
    this.say(() => 'healed')
    schedule.note('healed')
    wires.weather = calm(scenario.parameters.deltaMs)
    wires.mend()
    for (const machine of this.machines) {
      machine.disk.freeBytes = Number.POSITIVE_INFINITY
      machine.disk.fault = undefined
      machine.disk.readsUntilFailure = Number.POSITIVE_INFINITY
      machine.clockOffsetMs = 0
      machine.downUntil = 0
      this.operator.scrub(machine)
      if (machine.runs > 0) machine.start()
    }
    const { heartbeatMs, deltaMs, bodyAllowanceMs, timeoutDoublingsMax } = scenario.parameters
    const slowest = (heartbeatMs + 64 * deltaMs + bodyAllowanceMs) * 2 ** timeoutDoublingsMax
    const deadline = schedule.now + 60_000 + 10 * heartbeatMs + 2 * (scenario.liars.size + 1) * slowest
    // Whoever is up again takes transactions, and they are committed by all.
    const probes: string[] = []
    let done = false
    const probe = (): void => {
      if (done) return
      // An era that begins only now may bring one member more.
      const machine = changes.members()[probes.length]
      if (machine?.service !== undefined) {
        const put = this.clients.put(0, 50 + probes.length, 3_000_000)
        probes.push(toHex(put.id))
        this.clients.submit(machine, put, false)
        const again = (): void => {
          // A stopped or pressed member may refuse: a client hands it in again.
          if (this.#ended || this.#isEverywhere(toHex(put.id))) return
          this.clients.submit(machine, put, false)
          schedule.at(3000, again)
        }
        schedule.at(3000, again)
      }
      schedule.at(200, probe)
    }
    schedule.at(1000, probe)
    const converged = (): boolean =>
      probes.length >= changes.members().length && probes.every((id) => this.#isEverywhere(id)) && this.#isLevel()
    const look = (): void => {
      done = converged()
      if (!done) schedule.at(50, look)
    }
    look()
    await schedule.run(deadline, () => failed() || done)
    if (failed() || done) return
    const heads = changes.members().map(({ place, node }) => {
      if (node === undefined) return `${place} down`
      const { view, phase } = node.driver.state
      return `${place} era ${node.executor.era.era} ${node.executor.head.height} view ${view} ${phase}`
    })
    const missing = probes.filter((id) => !this.#isEverywhere(id)).length
    this.checker.violation(
      `no progress after healing: ${heads.join(', ')}; ${missing} of ${probes.length} probes missing`,
    )
  }

  #isEverywhere(id: string): boolean {
    return this.changes
      .members()
      .every(({ node }) => node?.executor.reads.transaction(Buffer.from(id, 'hex')) !== undefined)
  }

  #isLevel(): boolean {
    const heights = new Set(this.changes.members().map(({ node }) => node?.executor.head.height))
    return heights.size === 1 && !heights.has(undefined)
  }

  /** Everything is looked at once more, running and stopped. */
  async #end(): Promise<void> {
    const { checker, clients, schedule } = this
    const members = this.changes.members()
    const running = this.honest.filter(({ node }) => node !== undefined)
    const liars = new Set(this.machines.filter(({ options }) => options.lies).map(({ publicKey }) => publicKey))
    this.#ended = true
    let looked = false
    const look = async (): Promise<void> => {
      for (const machine of members) await checker.evidence(machine, liars, [...this.#sets.values()])
      await checker.acknowledged(clients, members)
      looked = true
    }
    look().catch((error) => checker.violation(`a read failed: ${String(error)}`))
    await schedule.run(schedule.now + 10_000, () => looked)
    if (!looked) checker.violation('reads do not come back')
    let stopped = 0
    for (const { node, service } of running) {
      service?.stop()
      void node?.stop().then(() => stopped++)
    }
    await schedule.run(schedule.now + 10_000, () => stopped === running.length)
    if (stopped !== running.length) checker.violation(`only ${stopped} of ${running.length} members stopped in 10 s`)
    // With liars and without timing a block that is not assured may have been shown and be gone.
    const reads = this.scenario.kind === 'lying' ? [] : [...clients.reads.values()]
    await checkLedgers(this.genesis, this.honest, reads, (text) => checker.violation(text))
  }
}

function genesisOf({ n, parameters }: Scenario): Genesis {
  return {
    format: 1,
    network: 'simulated',
    createdAt: EPOCH_MS - 1000,
    memberSet: {
      members: Array.from({ length: n }, (_, i) => ({ name: `Org ${i}`, publicKey: publicKeyOf(secretKey(i + 1)) })),
      parameters,
    },
    apiKeys: Array.from({ length: n }, (_, i) => [toHex(publicKeyOf(secretKey(API_KEY + i)))]),
    modules: [],
  }
}

const textOf = (fields: object): string =>
  JSON.stringify(fields, (_key, value) =>
    value instanceof Error ? value.message : value instanceof Uint8Array ? toHex(value).slice(0, 16) : value,
  )
