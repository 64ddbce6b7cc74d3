/**
 * API clients: they write, wait, repeat and misbehave as programs do, and remember every answer, so that at the end none may turn out untrue.
 */
import { idempotentNonce, submit as submitOne, write } from '../../node/api/write.ts'
import type { NodeService } from '../../node/service/service.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { kvStateKey } from '../../protocol/kinds/kv/kv.ts'
import { addressOf } from '../../protocol/signature.ts'
import { signTransaction, type Transaction } from '../../protocol/transaction.ts'
import type { Random } from '../simulation/random.ts'
import { EPOCH_MS, type Machine } from './machine.ts'
import type { Schedule } from './schedule.ts'

/** A transaction that was handed in, and what was answered. */
export type Write = {
  readonly id: string
  /** null: it was signed by the member, for an idempotency key. */
  readonly bytes: Uint8Array | null
  readonly validUntil: number
  /** Honest members that answered 202, and in which of their runs. */
  readonly accepted: { readonly machine: Machine; readonly run: number }[]
  /** Where it stands, as an honest member has answered. */
  committed: { readonly height: number; readonly block: string; readonly by: string } | undefined
}

/** What clients are given. */
export type ClientWorld = {
  readonly schedule: Schedule
  readonly random: Random
  readonly genesis: Genesis
  readonly machines: readonly Machine[]
  violation(text: string): void
}

const WAIT_MS = 8000

/** An entry as honest members have shown it. `height`: of its last change, as they say. */
export type Read = { readonly key: string; readonly height: number; readonly value: Uint8Array; readonly by: string }

export class Clients {
  readonly writes = new Map<string, Write>()
  /** What was read, by key and height of the last change. */
  readonly reads = new Map<string, Read>()
  /** Answers by kind, for the report. */
  readonly answers = new Map<string, number>()
  readonly #world: ClientWorld
  readonly #chainId: Uint8Array
  #nonces = 0

  constructor(world: ClientWorld) {
    this.#world = world
    this.#chainId = chainIdOf(world.genesis)
  }

  /** Begins client number `client`: it writes every `pauseMs` or so, until `stop`. */
  begin(client: number, pauseMs: number, stop: () => boolean): void {
    const { schedule, random } = this.#world
    schedule.at(random.next() * 2 * pauseMs, () => {
      if (stop()) return
      this.act(client)
      this.begin(client, pauseMs, stop)
    })
  }

  /** One deed of a client, at some member. */
  act(client: number): void {
    const { random, machines } = this.#world
    const machine = random.pick(machines)
    const { service } = machine
    if (service === undefined) return this.#count('unreachable')
    if (random.chance(0.15)) return this.#read(machine)
    const deed = random.next()
    if (deed < 0.55) return this.submit(machine, this.put(client, random.below(12)), random.chance(0.5))
    if (deed < 0.65) return this.submit(machine, this.#make(client, 'kv.delete', [`key ${random.below(12)}`]), false)
    if (deed < 0.8) return this.#writeIdempotent(machine, service)
    if (deed < 0.9) return this.#repeat(machine)
    if (deed < 0.95) return this.#rubbish(machine)
    return this.submit(machine, this.#make(client, 'kv.put', ['large', new Uint8Array(random.below(50_000))]), false)
  }

  /** A new entry, valid for a while. */
  put(client: number, key: number, validMs = 5000 + this.#world.random.below(60_000)): Transaction {
    return this.#make(
      client,
      'kv.put',
      [`key ${key}`, Uint8Array.of(client, key, this.#world.random.below(256))],
      validMs,
    )
  }

  #make(
    client: number,
    kind: string,
    payload: unknown[],
    validMs = 5000 + this.#world.random.below(60_000),
  ): Transaction {
    const { schedule, machines } = this.#world
    const nonce = new Uint8Array(16)
    new DataView(nonce.buffer).setUint32(0, ++this.#nonces)
    const validUntil = Math.floor(EPOCH_MS + schedule.now + validMs)
    const { apiKey } = (machines[client % machines.length] as Machine).options
    return signTransaction({ kind, payload: payload as never, nonce, validUntil }, this.#chainId, apiKey)
  }

  /** Hands `transaction` in at `machine`; with `wait` until it is committed. */
  submit(
    machine: Machine,
    { id, bytes, validUntil }: Pick<Transaction, 'id' | 'bytes' | 'validUntil'>,
    wait: boolean,
  ): void {
    const { run, service } = machine
    if (run === undefined || service === undefined) return this.#count('unreachable')
    const name = toHex(id)
    const write: Write = this.writes.get(name) ?? { id: name, bytes, validUntil, accepted: [], committed: undefined }
    this.writes.set(name, write)
    void run.scope
      .after(1 + this.#world.random.next() * 5, () => submitOne(service.dependencies, bytes, name, wait ? WAIT_MS : 0))
      .then((task) => task)
      .then(
        (written) => {
          this.#count(written.status)
          if (machine.options.lies) return
          if (written.status === 'committed') this.#wasCommitted(machine, write, written.height, written.block)
          else write.accepted.push({ machine, run: run.number })
        },
        (error: unknown) => this.#refused(error),
      )
  }

  #wasCommitted(machine: Machine, write: Write, height: number, block: string): void {
    const before = write.committed
    if (before !== undefined && (before.height !== height || before.block !== block))
      this.#world.violation(`${machine.place} says ${write.id} is in ${height}, ${before.by} said ${before.height}`)
    write.committed = { height, block, by: machine.place }
  }

  /** The same key twice is the same write, at whatever member holds the API key and however often it is asked. */
  #writeIdempotent(machine: Machine, service: NodeService): void {
    const { random } = this.#world
    const key = `write ${random.below(40)}`
    const { run } = machine
    const payload = { key: 'once', value: idempotentNonce('key', key) }
    const options = { subject: 'key', idempotencyKey: key, waitMs: random.chance(0.5) ? WAIT_MS : 0 }
    void run?.scope
      .after(1 + random.next() * 5, () => write(service.dependencies, 'kv.put', payload, options))
      .then((task) => task)
      .then(
        (written) => {
          this.#count(`idempotent ${written.status}`)
          if (machine.options.lies) return
          const { id } = written
          const validUntil = Number.POSITIVE_INFINITY
          const made: Write = this.writes.get(id) ?? { id, bytes: null, validUntil, accepted: [], committed: undefined }
          this.writes.set(id, made)
          if (written.status === 'committed') this.#wasCommitted(machine, made, written.height, written.block)
          else if (run !== undefined) made.accepted.push({ machine, run: run.number })
        },
        (error: unknown) => this.#refused(error),
      )
  }

  /** Something that was handed in before, elsewhere or again. */
  #repeat(machine: Machine): void {
    const known = [...this.writes.values()]
    if (known.length === 0) return
    const { id, bytes, validUntil } = this.#world.random.pick(known)
    if (bytes !== null) this.submit(machine, { id: Buffer.from(id, 'hex'), bytes, validUntil }, true)
  }

  /** Any entry of any client: whoever shows it, one change of it has one value. */
  #read(machine: Machine): void {
    const { random, machines } = this.#world
    const { run, node } = machine
    if (run === undefined || node === undefined) return
    const owner = (random.pick(machines) as Machine).options.apiKey
    const key = kvStateKey(toHex(addressOf(publicKeyOf(owner))), `key ${random.below(12)}`)
    void run.scope
      .after(1 + random.next(), () => node.executor.reads.state(key))
      .then(
        (entry) => {
          this.#count(entry === undefined ? 'read absent' : 'read')
          if (entry === undefined || machine.options.lies) return
          const name = `${entry.height} ${key}`
          const before = this.reads.get(name)
          if (before !== undefined && !equalBytes(before.value, entry.value))
            this.#world.violation(`${machine.place} shows another value of ${key} at ${entry.height} than ${before.by}`)
          this.reads.set(name, { key, height: entry.height, value: entry.value, by: machine.place })
        },
        (error: unknown) => this.#refused(error),
      )
  }

  #rubbish(machine: Machine): void {
    const { random } = this.#world
    const { run, service } = machine
    if (run === undefined || service === undefined) return
    const bytes = Uint8Array.from({ length: random.below(300) }, () => random.below(256))
    void run.scope
      .after(1, () => service.dependencies.submit([bytes]))
      .then((task) => task)
      .then(([submission]) => {
        if (submission?.ok !== false) this.#world.violation(`${machine.place} takes rubbish in`)
        this.#count('rubbish refused')
      })
      .catch((error: unknown) => this.#refused(error))
  }

  #refused(error: unknown): void {
    const code = (error as { code?: unknown }).code
    if (typeof code !== 'string') this.#world.violation(`a write failed with ${String(error)}`)
    this.#count(`refused ${String(code)}`)
  }

  #count(answer: string): void {
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1)
  }
}
