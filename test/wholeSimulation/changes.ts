/**
 * Changes of members, keys and parameters while everything else goes on (agreement.md §5.5): operators propose and approve until the era ends, and
 * the members that joined or changed their key follow. At the worst moment, when the block that closes the era is under way, its leader is struck.
 * Invariant: a change is only begun where the set after it bears the liars that are in it, for else nothing is promised.
 */
import { decodeHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { decodeFrame } from '../../protocol/consensus/wire.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { setAfter } from '../../protocol/kinds/governance/change.ts'
import { type Change, consentBytes, readProposal } from '../../protocol/kinds/governance/record.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import { type MemberSet, PARAMETER_NAMES, type ParameterChanges, quorumSizes } from '../../protocol/members.ts'
import { sign } from '../../protocol/signature.ts'
import { signTransaction, type Transaction } from '../../protocol/transaction.ts'
import { secretKey } from '../protocol/kinds/consortium.ts'
import type { Random } from '../simulation/random.ts'
import type { Clients } from './clients.ts'
import { EPOCH_MS, type Machine } from './machine.ts'
import type { Fault, Scenario } from './scenario.ts'
import type { Schedule } from './schedule.ts'

/** What operators are given. */
export type ChangeWorld = {
  readonly scenario: Scenario
  readonly schedule: Schedule
  readonly random: Random
  readonly genesis: Genesis
  readonly machines: readonly Machine[]
  readonly clients: Clients
  /** Counts what struck. */
  count(kind: string): void
  say(line: () => string): void
  readonly isOver: () => boolean
}
type Consent = Pick<Extract<Change, { kind: 'add' }>, 'publicKey' | 'name' | 'addresses' | 'consent'>
type Planned = Extract<Fault, { kind: 'change' }>

/** Number of the first key that takes the place of another. */
const NEXT_KEY = 61
/** Between two looks of an operator, ms, in busy runs and in quiet ones; and how often one change is looked at until it is given up. */
const LOOK_MS = 350
const QUIET_LOOK_MS = 8000
const TRIES_MAX = 40

/** The operators of a consortium, who speak to each other beside the network. */
export class Changes {
  readonly #world: ChangeWorld
  readonly #planned: Planned[] = []
  #isBusy = false
  #nonces = 0
  #keys = NEXT_KEY
  /** Changes carried out, by kind. */
  done = 0

  constructor(world: ChangeWorld) {
    this.#world = world
  }

  /** The set of the last era that an honest member has reached. */
  get set(): MemberSet {
    return this.#newest?.node?.executor.era.memberSet ?? this.#world.genesis.memberSet
  }

  /** The running honest machine whose ledger is the longest. */
  get #newest(): Machine | undefined {
    const heightOf = ({ node }: Machine): number => node?.executor.head.height ?? -1
    const honest = this.#world.machines.filter(({ node, options }) => node !== undefined && !options.lies)
    return honest.reduce<Machine | undefined>(
      (best, one) => (best === undefined || heightOf(one) > heightOf(best) ? one : best),
      undefined,
    )
  }

  /** Honest machines whose key is that of a member now. */
  members(set = this.set): Machine[] {
    const keys = new Set(set.members.map(({ publicKey }) => toHex(publicKey)))
    return this.#world.machines.filter(({ options, publicKey }) => !options.lies && keys.has(publicKey))
  }

  /** A change is to be made, after those that were begun before. */
  plan(change: Planned): void {
    this.#planned.push(change)
    this.#next()
  }

  /** Keys that others took over are laid down: whoever runs on with an old one is started with the new one, as `keys activate` does. */
  activate(): void {
    const keys = new Set(this.set.members.map(({ publicKey }) => toHex(publicKey)))
    for (const machine of this.#world.machines) {
      const next = machine.nextKey
      if (next === undefined || !keys.has(toHex(publicKeyOf(next)))) continue
      machine.takeKey()
      machine.restart(10)
    }
  }

  #next(): void {
    const planned = this.#isBusy ? undefined : this.#planned.shift()
    if (planned === undefined || this.#world.isOver()) return
    const { set } = this
    const change = this.#changeOf(planned, set)
    if (change === undefined) {
      this.#world.count(`no ${planned.change} possible`)
      return this.#next()
    }
    this.#isBusy = true
    const era = this.#newest?.node?.executor.era.era ?? 0
    this.#world.say(() => `operators begin ${planned.change} in era ${era}`)
    this.#carryOut(planned, change, era, set, undefined, 0)
  }

  #carryOut(
    planned: Planned,
    change: Change,
    era: number,
    set: MemberSet,
    proposal: Transaction | undefined,
    tries: number,
  ): void {
    const { schedule, random, isOver } = this.#world
    const newest = this.#newest
    const isDone = (newest?.node?.executor.era.era ?? 0) > era
    if (isDone || tries > TRIES_MAX || isOver()) {
      this.#isBusy = false
      if (!isDone && !isOver()) this.#world.count('change given up')
      if (isDone) {
        this.done++
        this.#world.count(`era by ${planned.change}`)
        this.activate()
      }
      return this.#next()
    }
    let now = proposal
    const members = this.members(set).filter(({ service }) => service !== undefined)
    if (newest?.node !== undefined && members.length > 0) {
      const state = { get: (key: string) => newest.node?.executor.reads.state(key)?.value }
      const open = now && newest.disk.unfailing(() => readProposal(state, toHex((now as Transaction).id)))
      if (open !== undefined) {
        for (const machine of members)
          if (!open.approvals.includes(machine.publicKey) && random.chance(0.7))
            this.#submit(machine, 'governance.approve', { proposal: (now as Transaction).id })
      } else if (tries % 8 === 0) {
        const expiresAt = Math.floor(EPOCH_MS + schedule.now + 3_600_000)
        now = this.#submit(random.pick(members), 'governance.propose', { era, change, expiresAt, reason: 'simulated' })
      }
    }
    schedule.at(this.#world.scenario.isQuiet ? QUIET_LOOK_MS : LOOK_MS, () =>
      this.#carryOut(planned, change, era, set, now, tries + 1),
    )
  }

  #submit(machine: Machine, kind: string, fields: unknown): Transaction {
    const nonce = new Uint8Array(16).fill(7)
    new DataView(nonce.buffer).setUint32(0, ++this.#nonces)
    const payload = (KINDS.get(kind) as NonNullable<ReturnType<typeof KINDS.get>>).payload.to(fields)
    const validUntil = Math.floor(EPOCH_MS + this.#world.schedule.now + 60_000)
    const draft = { kind, payload, nonce, validUntil }
    const transaction = signTransaction(draft, chainIdOf(this.#world.genesis), machine.secretKey)
    this.#world.clients.submit(machine, transaction, false)
    return transaction
  }

  /** The change that was planned, as it is possible now; undefined where it is not, or not safe. */
  #changeOf({ change: kind, member }: Planned, set: MemberSet): Change | undefined {
    const change = this.#wanted(kind, member, set)
    if (change === undefined) return undefined
    const after = setAfter(set, change)
    return typeof after !== 'string' && this.#isBearable(after) ? change : undefined
  }

  #wanted(kind: Planned['change'], member: number, set: MemberSet): Change | undefined {
    const { machines } = this.#world
    const places = set.members.map(({ publicKey }) => toHex(publicKey))
    const joining = machines.find(
      ({ publicKey, options, wasMember }) => options.isCandidate && !wasMember && !places.includes(publicKey),
    )
    const at = member % places.length
    const machine = machines.find(({ publicKey }) => publicKey === places[at])
    const { name, publicKey } = set.members[at] as MemberSet['members'][number]
    switch (kind) {
      case 'add':
        if (joining === undefined) return undefined
        return { kind, ...this.#joins(joining, joining.secretKey, `Org ${joining.options.index}`) }
      case 'replace': {
        // The API key of member 0 registers devices and writes the last transactions.
        if (joining === undefined || machine === undefined || machine.options.index === 0) return undefined
        const { publicKey: by, addresses, consent } = this.#joins(joining, joining.secretKey, name)
        return { kind, publicKey, by, addresses, consent }
      }
      case 'rotate': {
        if (machine === undefined || machine.options.lies) return undefined
        machine.nextKey ??= secretKey(this.#keys++)
        const { publicKey: by, addresses, consent } = this.#consents(machine, machine.nextKey, name)
        return { kind: 'replace', publicKey, by, addresses, consent }
      }
      case 'remove':
        return machine?.options.index === 0 ? undefined : { kind, publicKey }
      case 'parameters':
        return { kind, values: this.#values(set) }
    }
  }

  #values({ parameters, members }: MemberSet): ParameterChanges {
    const { random } = this.#world
    const { deltaMs, percent, termBlocks } = parameters
    const others = [1, 3, 10, 50].filter((blocks) => blocks !== termBlocks)
    const none = Object.fromEntries(PARAMETER_NAMES.map((name) => [name, null])) as ParameterChanges
    const kind = random.below(4)
    if (kind === 0 && deltaMs < 1000)
      // Downwards Δ would no longer bound the weather of this run.
      return {
        ...none,
        deltaMs: deltaMs * 2,
        inclusionTimeoutMs: 20_000 + 32 * deltaMs,
        clockDriftMs: 2000 + 4 * deltaMs,
      }
    if (kind === 1 && members.length > 3) return { ...none, percent: percent === 51 ? 67 : 51 }
    return { ...none, termBlocks: random.pick(others), heartbeatMs: deltaMs * random.pick([5, 11, 19]) }
  }

  /** The machine of a member to be starts before it is one, and follows. */
  #joins(machine: Machine, secret: Uint8Array, name: string): Consent {
    machine.wasMember = true
    machine.begin()
    return this.#consents(machine, secret, name)
  }

  #consents(machine: Machine, secret: Uint8Array, name: string): Consent {
    const addresses = [`/dns4/${machine.place}.example/tcp/7379`]
    const consent = sign('membership', chainIdOf(this.#world.genesis), consentBytes(name, addresses), secret)
    return { publicKey: publicKeyOf(secret), name, addresses, consent }
  }

  /** Liars, and whoever may have a far clock or lose its record, stay within what the set bears. */
  #isBearable(after: MemberSet): boolean {
    const { scenario, machines, genesis } = this.#world
    const keys = new Set(after.members.map(({ publicKey }) => toHex(publicKey)))
    const liars = new Set(
      machines.filter(({ options, publicKey }) => options.lies && keys.has(publicKey)).map((one) => one.options.index),
    )
    const { f } = quorumSizes(after.members.length, after.parameters.percent)
    const before = quorumSizes(genesis.memberSet.members.length, genesis.memberSet.parameters.percent).f
    // Clocks of some are far off, within what the first set bears.
    const isFar = scenario.faults.some(({ kind }) => kind === 'clockJump') || scenario.kind === 'lying'
    const keepsAll = this.members(after).some(({ keepsAll: one }) => one)
    return keepsAll && liars.size <= f && (!isFar || f >= before)
  }
}

/** Whether a pushed frame proposes a block that ends its era. */
export function isClosing(bytes: Uint8Array): boolean {
  try {
    const frame = decodeFrame(bytes)
    const message = frame.kind === 'message' ? frame.message.unverified : undefined
    return message?.kind === 'proposal' && decodeHeader(message.header).header.nextMemberSetHash !== null
  } catch {
    // A liar's.
    return false
  }
}
