/**
 * The simulated world of the consensus core: virtual clock, network, disks and members, all from one seed.
 * Honest members run the core under test. Lying members run several copies of the honest core under one key (twins), each talking to
 * chosen members and releasing what it says late or never: equivocation, double votes, withheld votes and selective blames follow.
 * Two kinds of run: `synchronous` (small messages within Δ, up to f liars) and `asynchronous` (any delay, loss, partitions; no liars).
 */

import { RULES, type Rules } from '../../protocol/consensus/rules.ts'
import { initialState, makeStep, type Step } from '../../protocol/consensus/step.ts'
import type {
  Block,
  Certificate,
  Effect,
  Era,
  Event,
  Message,
  Signer,
  SigningRecord,
  Slot,
  State,
  Timer,
} from '../../protocol/consensus/types.ts'
import { quorumSizes } from '../../protocol/members.ts'
import { Checker } from './checker.ts'
import { type Random, seededRandom } from './random.ts'

export type Scenario = {
  readonly seed: number
  readonly n: number
  readonly synchronous: boolean
  readonly liars: number
  readonly rules?: Rules
  /** Length of the faulty phase, ms of virtual time. */
  readonly faultyMs: number
  /** Length of the healed phase in which every honest member must commit. */
  readonly healedMs: number
  readonly termBlocks: number
}

const DELTA_MS = 100
const FIRST: Block = { hash: 'first', parent: 'none', height: 0, endsEra: false }

/** One running copy of the core. A liar has several copies with one `member`. */
type Copy = {
  readonly name: string
  readonly member: number
  readonly lying: boolean
  /** Members this copy talks to; null: all. */
  audience: Set<number> | null
  state: State
  run: number
  alive: boolean
  record: SigningRecord | null
  stalledUntil: number
  stallBegan: number
  inbox: (() => void)[]
  build: number
}

type Scheduled = { readonly at: number; readonly order: number; readonly run: () => void }

export class World {
  readonly scenario: Scenario
  readonly random: Random
  readonly checker: Checker
  readonly copies: Copy[] = []
  readonly blocks = new Map<string, Block>([[FIRST.hash, FIRST]])
  readonly proposals = new Map<string, Message & { kind: 'proposal' }>()
  now = 0
  steps = 0
  readonly log: string[] = []
  tracing = false
  #queue: Scheduled[] = []
  #order = 0
  #healed = false
  #step: Step
  #names = 0
  #partition: Set<number> | null = null
  readonly #sizes

  constructor(scenario: Scenario) {
    this.scenario = scenario
    this.random = seededRandom(scenario.seed)
    this.#step = makeStep(scenario.rules ?? RULES)
    this.#sizes = quorumSizes(scenario.n, 51)
    const liars = new Set<number>()
    while (liars.size < scenario.liars) liars.add(this.random.below(scenario.n))
    this.checker = new Checker(this.#sizes, liars, this.blocks)
    for (let member = 0; member < scenario.n; member++) {
      const twins = liars.has(member) ? 2 : 1
      for (let twin = 0; twin < twins; twin++) this.copies.push(this.#newCopy(member, twin, liars.has(member)))
    }
  }

  #era(member: number): Era {
    return {
      era: 0,
      ...this.#sizes,
      me: member,
      deltaMs: DELTA_MS,
      termBlocks: this.scenario.termBlocks,
      heartbeatMs: 200,
      bodyAllowanceMs: 200,
      timeoutDoublingsMax: 3,
      first: FIRST,
    }
  }

  #newCopy(member: number, twin: number, lying: boolean): Copy {
    const copy: Copy = {
      name: twin === 0 ? `${member}` : `${member}'`,
      member,
      lying,
      audience: null,
      state: initialState(this.#era(member), this.#signer(member, twin), { kind: 'fresh' }),
      run: 1,
      alive: true,
      record: null,
      stalledUntil: 0,
      stallBegan: 0,
      inbox: [],
      build: 0,
    }
    if (lying) this.#chooseAudience(copy)
    return copy
  }

  #chooseAudience(copy: Copy): void {
    const audience = new Set<number>()
    for (let other = 0; other < this.scenario.n; other++) if (this.random.chance(0.6)) audience.add(other)
    copy.audience = this.random.chance(0.2) ? null : audience
  }

  /** Signatures of the simulation say who signed what; the checker sees every one an honest member makes. */
  #signer(member: number, twin: number): Signer {
    const mark = (what: string): Uint8Array => {
      const bytes = new Uint8Array(what.length)
      for (let i = 0; i < what.length; i++) bytes[i] = what.charCodeAt(i)
      return bytes
    }
    return {
      slot: (domain, _era, slot) => {
        this.checker.signed(member, domain, slot, this.now)
        return mark(`${domain}:${member}`)
      },
      blame: (_era, view) => {
        this.checker.blamed(member, view, this.now)
        return mark(`blame:${member}`)
      },
      status: () => mark(`status:${member}:${twin}`),
    }
  }

  at(delayMs: number, run: () => void): void {
    const item = { at: this.now + Math.max(0, delayMs), order: this.#order++, run }
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#queue[middle] as Scheduled
      if (other.at < item.at || (other.at === item.at && other.order < item.order)) high = middle
      else low = middle + 1
    }
    this.#queue.splice(low, 0, item)
  }

  /** Runs the faulty phase, heals, runs the healed phase; returns the violations found. */
  run(): readonly string[] {
    for (const copy of this.copies) this.#start(copy)
    const { faultyMs, healedMs } = this.scenario
    for (let t = 50; t < faultyMs; t += 20 + this.random.below(400)) this.at(t, () => this.#inject())
    this.at(faultyMs, () => this.#heal())
    const end = faultyMs + healedMs
    let target = 0
    while (this.#queue.length > 0 && this.checker.violations.length === 0) {
      const item = this.#queue.pop() as Scheduled
      if (item.at > end) break
      this.now = item.at
      item.run()
      if (this.#healed) {
        if (target === 0) target = 3 + Math.max(...this.#honest().map((copy) => copy.state.highest?.height ?? 0))
        if (this.#honest().every((copy) => (copy.state.highest?.height ?? 0) >= target)) break
      }
    }
    if (this.checker.violations.length === 0)
      for (const { name, state } of this.#honest())
        if ((state.highest?.height ?? 0) < target)
          this.checker.violations.push(
            `liveness: member ${name} is at height ${state.highest?.height ?? 0} of ${target} after ${healedMs} healed ms (view ${state.view}, ${state.phase})`,
          )
    this.checker.finish(this.scenario.synchronous)
    return this.checker.violations
  }

  #honest(): Copy[] {
    return this.copies.filter((copy) => !copy.lying)
  }

  #start(copy: Copy): void {
    const run = copy.run
    this.event(copy, run, { type: 'start' })
    for (const other of this.copies) {
      if (other === copy || other.member === copy.member) continue
      this.event(copy, run, { type: 'connected', member: other.member, run: `${other.name}.${other.run}` })
      if (other.alive)
        this.event(other, other.run, { type: 'connected', member: copy.member, run: `${copy.name}.${copy.run}` })
    }
  }

  /** Hands `event` to one run of a copy, unless that run has ended; a stalled one gets it when it wakes. */
  event(copy: Copy, run: number, event: Event): void {
    if (!copy.alive || copy.run !== run) return
    if (this.now < copy.stalledUntil) {
      copy.inbox.push(() => this.event(copy, run, event))
      return
    }
    this.steps += 1
    if (this.tracing && event.type !== 'elapsed' && event.type !== 'acknowledged')
      this.log.push(
        `${this.now.toFixed(0)} ${copy.name} < ${JSON.stringify(event, (_, v) => (v instanceof Map ? [...v.keys()] : v instanceof Uint8Array ? undefined : v))}`,
      )
    const { state, effects } = this.#step(copy.state, event)
    copy.state = state
    for (const effect of effects) this.#carryOut(copy, run, effect)
  }

  #carryOut(copy: Copy, run: number, effect: Effect): void {
    const { random } = this
    switch (effect.type) {
      case 'persist': {
        const slow = !this.#healed && random.chance(0.1)
        this.at(slow ? random.below(DELTA_MS / 8) : random.next(), () => {
          if (!copy.alive || copy.run !== run) return
          // A crash between the write and what follows it: the record binds, nothing was sent.
          copy.record = effect.record
          if (!this.#healed && !copy.lying && random.chance(0.004)) return this.#crash(copy)
          this.event(copy, run, { type: 'persisted', ticket: effect.ticket })
        })
        return
      }
      case 'send':
        return this.#send(copy, run, effect.to, effect.key, effect.message)
      case 'acknowledge':
        for (const target of this.#reached(copy, effect.to))
          this.at(this.#delay(copy, target), () =>
            this.event(target, target.run, {
              type: 'acknowledged',
              from: copy.member,
              run: `${copy.name}.${copy.run}`,
              keys: effect.keys,
            }),
          )
        return
      case 'startTimer':
        return this.#timer(copy, run, effect.timer, effect.afterMs)
      case 'echo':
        for (const to of effect.to)
          for (const target of this.#reached(copy, to)) {
            const targetRun = target.run
            this.at(this.#delay(copy, target), () => {
              if (!target.alive || target.run !== targetRun) return
              this.at(this.#delay(target, copy), () =>
                this.event(copy, run, { type: 'echoed', from: target.member, nonce: effect.nonce }),
              )
            })
          }
        return
      case 'validate':
        this.at(random.below(DELTA_MS / 4), () => {
          this.event(copy, run, { type: 'validated', hash: effect.proposal.block.hash, valid: true })
        })
        return
      case 'fetchProposal': {
        const fetch = (): void => {
          const found = this.proposals.get(`${effect.slot.view}/${effect.slot.seq}/${effect.slot.hash}`)
          if (found !== undefined)
            this.event(copy, run, { type: 'message', from: effect.holders[0] as number, key: '', message: found })
        }
        this.at(DELTA_MS / 2 + random.below(DELTA_MS), fetch)
        return
      }
      case 'fetchHeaders':
        this.at(random.below(DELTA_MS), () => {
          const headers: Block[] = []
          for (let at = this.blocks.get(effect.hash); at !== undefined; at = this.blocks.get(at.parent))
            headers.push(at)
          this.event(copy, run, { type: 'headers', blocks: headers })
        })
        return
      case 'build': {
        const block: Block = {
          hash: `b${++this.#names}.${copy.name}`,
          parent: effect.parent,
          height: effect.height,
          endsEra: false,
        }
        this.at(random.below(this.#healed ? 60 : 250), () => {
          this.blocks.set(block.hash, block)
          this.event(copy, run, { type: 'built', view: effect.view, seq: effect.seq, block })
        })
        return
      }
      case 'commit':
        this.checker.committed(copy.member, copy.lying, effect.certificate, this.now)
        this.at(1, () => this.event(copy, run, { type: 'applied', hash: effect.certificate.hash }))
        return
      case 'evidence':
        this.checker.evidence(effect.evidence)
        return
      case 'assurance':
      case 'viewEntered':
        return
    }
  }

  #timer(copy: Copy, run: number, timer: Timer, afterMs: number): void {
    this.at(afterMs, () => this.event(copy, run, { type: 'elapsed', timer }))
  }

  /** Copies of `member` that `copy` talks to; a liar's copy only to its audience, and what honest ones send reaches every twin. */
  #reached(copy: Copy, member: number): Copy[] {
    if (copy.audience !== null && !copy.audience.has(member) && !this.#healed) return []
    if (this.#partition !== null && this.#partition.has(copy.member) !== this.#partition.has(member)) return []
    return this.copies.filter((other) => other.member === member && other.alive)
  }

  #delay(from: Copy, to: Copy): number {
    const { random } = this
    const liar = from.lying || to.lying
    if (this.#healed) return random.next() * (DELTA_MS / 4)
    if (this.scenario.synchronous && !liar)
      return random.chance(0.5) ? random.next() * 5 : random.next() * (DELTA_MS - 1)
    // Liars release late, to whom they choose; without timing assumptions everyone may be late.
    return random.chance(0.5) ? random.next() * DELTA_MS : random.next() * 8 * DELTA_MS
  }

  #send(copy: Copy, run: number, to: number, key: string, message: Message): void {
    const { random } = this
    if (message.kind === 'proposal') this.proposals.set(`${message.view}/${message.seq}/${message.block.hash}`, message)
    for (const target of this.#reached(copy, to)) {
      const lossy = !this.#healed && (!this.scenario.synchronous || copy.lying)
      if (lossy && random.chance(0.15)) continue
      const times = !this.#healed && random.chance(0.05) ? 2 : 1
      const bulk = message.kind === 'proposal' ? random.next() * DELTA_MS : 0
      const targetRun = target.run
      for (let i = 0; i < times; i++)
        this.at(bulk + this.#delay(copy, target), () =>
          this.event(target, targetRun, { type: 'message', from: copy.member, key, message }),
        )
    }
    if (run !== copy.run) throw new Error('a run that ended has sent')
  }

  #inject(): void {
    if (this.#healed) return
    const { random, scenario } = this
    const honest = this.copies.filter((copy) => !copy.lying)
    const what = random.below(10)
    if (what === 0) this.#crash(random.pick(honest))
    else if (what === 1)
      this.#stall(random.pick(honest), random.below(scenario.synchronous ? 2.5 * DELTA_MS : 20 * DELTA_MS))
    else if (what <= 3) {
      const liars = this.copies.filter((copy) => copy.lying)
      if (liars.length > 0) this.#chooseAudience(random.pick(liars))
    } else if (what <= 5 && !scenario.synchronous) {
      if (this.#partition === null) {
        this.#partition = new Set(honest.map(({ member }) => member).filter(() => random.chance(0.5)))
      } else this.#partition = null
    }
  }

  #crash(copy: Copy): void {
    if (!copy.alive) return
    copy.alive = false
    copy.inbox = []
    copy.stalledUntil = 0
    for (const other of this.copies)
      if (other.alive) this.event(other, other.run, { type: 'disconnected', member: copy.member })
    this.at(10 + this.random.below(this.scenario.synchronous ? 1500 : 5000), () => this.#restart(copy))
  }

  #restart(copy: Copy): void {
    copy.run += 1
    copy.alive = true
    const beginning =
      copy.record === null ? ({ kind: 'fresh' } as const) : ({ kind: 'restart', record: copy.record } as const)
    copy.state = initialState(this.#era(copy.member), this.#signer(copy.member, 0), beginning)
    this.#start(copy)
  }

  #stall(copy: Copy, stallMs: number): void {
    if (!copy.alive || this.now < copy.stalledUntil) return
    copy.stalledUntil = this.now + stallMs
    copy.stallBegan = this.now
    const run = copy.run
    this.at(stallMs, () => {
      if (!copy.alive || copy.run !== run) return
      const inbox = copy.inbox
      copy.inbox = []
      this.event(copy, run, { type: 'stalled', stalledMs: stallMs })
      // Node fires expired timers before it reads sockets; here any order may come.
      for (const deliver of inbox.sort(() => this.random.next() - 0.5)) deliver()
    })
  }

  #heal(): void {
    this.#healed = true
    this.#partition = null
    for (const copy of this.copies) if (!copy.alive) this.#restart(copy)
  }
}

export type { Certificate, Slot }
