/**
 * The world of one run: machines, wires, clients and light peers, first under faults (safety), then healed (liveness). Everything in it follows from
 * the scenario; two runs of one have one trace.
 */

import { toHex } from '../../protocol/bytes.ts'
import { encodeLinkFrame } from '../../protocol/consensus/wire.ts'
import { installPrimitives, publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { deviceRegister } from '../../protocol/kinds/device/device.ts'
import { quorumSizes } from '../../protocol/members.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { registration, secretKey } from '../protocol/kinds/consortium.ts'
import { type Random, seededRandom } from '../simulation/random.ts'
import { Checker } from './checker.ts'
import { Clients } from './clients.ts'
import { garbled, twistOf } from './lies.ts'
import { DEVICE, Light } from './lights.ts'
import { DATA, EPOCH_MS, LEDGER, Machine, RECORD } from './machine.ts'
import { cachedPrimitives } from './primitives.ts'
import type { Fault, Scenario } from './scenario.ts'
import { Schedule } from './schedule.ts'
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
/** Between two looks at the bounds, ms. */
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
  readonly lights: Light[] = []
  readonly injected = new Map<string, number>()
  /** Lines of what happens; null where nobody reads them. */
  log: string[] | null = null
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
    for (let index = 0; index < scenario.n; index++) this.#addMachines(index)
    this.clients = new Clients({
      schedule: this.schedule,
      random: this.random,
      genesis: this.genesis,
      machines: this.machines,
      violation: (text) => this.checker.violation(text),
    })
  }

  get honest(): Machine[] {
    return this.machines.filter(({ options }) => !options.lies)
  }

  #addMachines(index: number): void {
    const { liars, drift, diskMsMax, pool } = this.scenario
    const lie = liars.get(index)
    for (const suffix of lie === 'twins' ? ['', 'b'] : ['']) {
      const options = {
        index,
        place: `m${index}${suffix}`,
        genesis: this.genesis,
        secretKey: secretKey(index + 1),
        apiKey: secretKey(API_KEY + index),
        lies: lie !== undefined,
        twist: twistOf(lie, this.random),
        rate: drift[index] as number,
        diskMsMax,
        forgetful: this.scenario.forgetful === true,
        pool,
      }
      const watch = {
        committed: (machine: Machine, blocks: Parameters<Checker['committed']>[1]) => {
          if (!machine.options.lies) this.checker.committed(machine, blocks)
        },
        opened: (machine: Machine, node: Parameters<Checker['opened']>[1]) => {
          if (!machine.options.lies) this.checker.opened(machine, node)
        },
        sent: (machine: Machine, frame: Parameters<Checker['sent']>[1]) => {
          if (!machine.options.lies) this.checker.sent(machine, frame)
        },
        shutOut: (machine: Machine, peer: string, reason: string) => this.#shutOut(machine, peer, reason),
        violation: (text: string) => this.checker.violation(text),
        log: (machine: Machine, level: string, fields: object, message: string) =>
          this.say(() => `${machine.place} ${level} ${message} ${textOf(fields)}`),
      }
      this.machines.push(new Machine(options, { ...this, watch }))
    }
  }

  say(line: () => string): void {
    this.log?.push(`${this.schedule.now.toFixed(1).padStart(9)} ${line()}`)
  }

  #shutOut(machine: Machine, peer: string, reason: string): void {
    this.say(() => `${machine.place} shuts ${peer.slice(0, 8)} out: ${reason}`)
    if (machine.options.lies) return
    const other = this.machines.find(({ options }) => toHex(publicKeyOf(options.secretKey)) === peer)
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
    const failed = (): boolean => checker.violations.length > 0
    let made = 0
    for (const machine of this.machines) void machine.init().then(() => made++)
    await schedule.run(60_000, () => made === this.machines.length)
    for (const machine of this.machines) machine.start()
    const over = (): boolean => this.#healed
    for (let client = 0; client < scenario.clients; client++) this.clients.begin(client, scenario.clientPauseMs, over)
    this.#registerDevices()
    for (let light = 0; light < scenario.lights; light++) {
      const device = new Light(light, {
        ...this,
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
    this.schedule.at(LOOK_MS, () => {
      if (this.#ended) return
      for (const machine of this.honest) {
        this.checker.watch(machine)
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
        for (const one of this.machines) one.crash(fault.downMs + this.random.below(500))
        return
      case 'ledgerLost':
        return machine && this.#lose(machine, LEDGER, fault.downMs)
      case 'diskLost':
      case 'recordLost':
        return machine && this.#loseRecord(machine, fault.kind === 'diskLost' ? DATA : RECORD, fault.downMs)
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

  /** A ledger of which there is no other copy is not lost: nobody could have it back. */
  #lose(machine: Machine, path: string, downMs: number): void {
    if (!machine.options.lies && !this.checker.hasCopy(machine, this.honest)) return
    machine.crash(downMs)
    machine.disk.wipe(path)
    if (path !== RECORD) this.checker.forgets(machine)
  }

  /** One member at a time recovers, and never one alone; a liar's record is its own affair. */
  #loseRecord(machine: Machine, path: string, downMs: number): void {
    const recovering = this.honest.some((one) => one.recovering)
    const { f } = quorumSizes(this.scenario.n, this.scenario.parameters.percent)
    if (recovering || machine.options.lies || this.scenario.liars.size >= Math.max(1, f)) return
    if (!this.checker.hasCopy(machine, this.honest)) return
    machine.mustRecover = true
    machine.recovering = true
    this.#lose(machine, path, downMs)
  }

  /** Junk on all channels, as fast as a member may be expected to bear. */
  #flood(machine: Machine): void {
    const { random, schedule } = this
    const { network, scope } = machine.run ?? {}
    if (network !== undefined && scope?.alive === true) {
      const peers = network.linkedPeers()
      for (let i = 0; i < 20 && peers.length > 0; i++) {
        const peer = random.pick(peers)
        const deed = random.below(5)
        this.#count('flooded frame')
        if (deed === 0) network.send(peer, garbled(random, new Uint8Array(200)))
        if (deed === 1) network.send(peer, encodeLinkFrame({ kind: 'echo', era: 0, nonce: random.below(1000) }))
        if (deed === 2) void network.publish('transactions', garbled(random, new Uint8Array(300)))
        if (deed === 3)
          void network
            .request(peer, random.pick(['blocks', 'headers', 'bodies', 'hand']), garbled(random, new Uint8Array(50)))
            .catch(() => undefined)
        if (deed === 4) void network.push(peer, garbled(random, new Uint8Array(5000)))
      }
    }
    schedule.at(20, () => this.#flood(machine))
  }

  // Liveness.

  async #heal(failed: () => boolean): Promise<void> {
    const { scenario, schedule, wires, honest } = this
    this.#healed = true
    this.say(() => 'healed')
    schedule.note('healed')
    wires.weather = calm(scenario.parameters.deltaMs)
    wires.mend()
    for (const machine of this.machines) {
      machine.disk.freeBytes = Number.POSITIVE_INFINITY
      machine.disk.fault = undefined
      machine.clockOffsetMs = 0
      machine.downUntil = 0
      machine.start()
    }
    const { heartbeatMs, deltaMs, bodyAllowanceMs, timeoutDoublingsMax } = scenario.parameters
    const slowest = (heartbeatMs + 8 * deltaMs + bodyAllowanceMs) * 2 ** timeoutDoublingsMax
    const deadline = schedule.now + 60_000 + 2 * (scenario.liars.size + 1) * slowest
    // Whoever is up again takes transactions, and they are committed by all.
    const probes: string[] = []
    const probe = (): void => {
      if (probes.length >= honest.length) return
      const machine = honest[probes.length] as Machine
      if (machine.service !== undefined) {
        const put = this.clients.put(probes.length, 50 + probes.length, 3_000_000)
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
      probes.length === honest.length && probes.every((id) => this.#isEverywhere(id)) && this.#isLevel()
    let done = false
    const look = (): void => {
      done = converged()
      if (!done) schedule.at(50, look)
    }
    look()
    await schedule.run(deadline, () => failed() || done)
    if (failed() || done) return
    const heads = honest.map(
      ({ place, node }) =>
        `${place} ${node === undefined ? 'down' : `${node.executor.head.height} view ${node.driver.state.view} ${node.driver.state.phase}`}`,
    )
    const missing = probes.filter((id) => !this.#isEverywhere(id)).length
    this.checker.violation(
      `no progress after healing: ${heads.join(', ')}; ${missing} of ${honest.length} probes missing`,
    )
  }

  #isEverywhere(id: string): boolean {
    return this.honest.every(({ node }) => node?.executor.reads.transaction(Buffer.from(id, 'hex')) !== undefined)
  }

  #isLevel(): boolean {
    const heights = new Set(this.honest.map(({ node }) => node?.executor.head.height))
    return heights.size === 1 && !heights.has(undefined)
  }

  /** Everything is looked at once more, running and stopped. */
  async #end(): Promise<void> {
    const { checker, honest, clients, schedule, scenario } = this
    for (const machine of honest) checker.evidence(machine, new Set(scenario.liars.keys()))
    this.#ended = true
    let looked = false
    void checker.acknowledged(clients, honest).then(() => {
      looked = true
    })
    await schedule.run(schedule.now + 10_000, () => looked)
    if (!looked) checker.violation('reads do not come back')
    let stopped = 0
    for (const { node, service } of honest) {
      service?.stop()
      void node?.stop().then(() => stopped++)
    }
    await schedule.run(schedule.now + 10_000, () => stopped === honest.length)
    if (stopped !== honest.length) checker.violation(`only ${stopped} of ${honest.length} members stopped in 10 s`)
    for (const machine of honest) await checker.ledger(machine)
  }
}

function genesisOf({ n, parameters, lights: _lights }: Scenario): Genesis {
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
