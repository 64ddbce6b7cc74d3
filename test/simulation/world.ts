/**
 * The simulated world: processes of a consortium under a virtual clock, an adversarial network, and liars, from one seed. A run has a faulty phase
 * and a healed one, in which every honest member must commit. Whatever happens in it is decided by `Scenario` and its seed alone.
 */
import { relation } from '../../protocol/consensus/draft.ts'
import type { Effect, Event } from '../../protocol/consensus/events.ts'
import { makeStep, type Step } from '../../protocol/consensus/machine.ts'
import { RULES } from '../../protocol/consensus/rules.ts'
import type { Block, Certificate, Message, Proposal, Signature, Signer, Slot } from '../../protocol/consensus/types.ts'
import { Checker } from './checker.ts'
import { Director } from './director.ts'
import { type EraSpec, eraSpec, FIRST } from './eras.ts'
import { Faults } from './faults.ts'
import { type Core, Member, proposalName } from './member.ts'
import { type End, Network } from './network.ts'
import { Queue } from './queue.ts'
import { type Random, seededRandom } from './random.ts'
import type { Scenario } from './scenario.ts'

/** Blocks that every honest member must commit after healing. */
const PROGRESS_BLOCKS = 3
/** Steps between two looks at the size of a state. */
const WATCH_EVERY = 64

const text = (value: string): Signature => new TextEncoder().encode(value)

export class World {
  readonly scenario: Scenario
  readonly random: Random
  readonly queue = new Queue()
  readonly network: Network
  readonly checker: Checker
  readonly step: Step
  readonly liars: ReadonlySet<number>
  readonly processes: Member[] = []
  /** Moves the liars that are no twins; null if there are none. */
  readonly director: Director | null
  readonly blocks = new Map<string, Block>([[FIRST.hash, FIRST]])
  /** Blocks that are not valid. */
  readonly invalid = new Set<string>()
  readonly firstEra: EraSpec
  steps = 0
  log: string[] | null = null
  readonly #faults: Faults
  #names = 0

  constructor(scenario: Scenario) {
    this.scenario = scenario
    this.random = seededRandom(scenario.seed)
    this.network = new Network(this.queue, this.random, scenario)
    this.liars = new Set(scenario.liars)
    this.checker = new Checker(scenario.kind, this.liars, this.blocks)
    this.checker.now = () => this.queue.now
    this.step = makeStep(scenario.rules ?? RULES)
    this.firstEra = eraSpec(scenario, 0, FIRST, null)
    const organisations = [...new Set(scenario.eras.flatMap(({ members }) => members))].sort((a, b) => a - b)
    for (const organisation of organisations) {
      const lying = this.liars.has(organisation)
      const count = !lying ? 1 : scenario.theme === 'twins' ? 2 : 0
      for (let twin = 0; twin < count; twin++) this.processes.push(new Member(this, organisation, twin, lying))
    }
    this.director = this.liars.size > 0 && scenario.theme !== 'twins' ? new Director(this) : null
    this.#faults = new Faults(this)
  }

  get isFaulty(): boolean {
    return !this.network.healed
  }
  get honest(): Member[] {
    return this.processes.filter(({ lying }) => !lying)
  }
  /** Honest processes that run. */
  get running(): Member[] {
    return this.honest.filter(({ alive }) => alive)
  }

  /** Faults that struck, by kind. */
  get injected(): ReadonlyMap<string, number> {
    return this.#faults.injected
  }

  /** Runs both phases; returns the violations found. */
  run(): readonly string[] {
    const { faultyMs, healedMs } = this.scenario
    for (const member of this.processes) this.startProcess(member)
    this.#faults.plan()
    this.director?.start()
    this.queue.at(faultyMs, () => this.#heal())
    let target = Number.POSITIVE_INFINITY
    while (this.checker.violations.length === 0 && this.queue.runNext(faultyMs + healedMs)) {
      if (!this.network.healed) continue
      if (target === Number.POSITIVE_INFINITY)
        target = PROGRESS_BLOCKS + this.#heights().reduce((a, b) => Math.max(a, b), 0)
      if (this.#heights().every((height) => height >= target) && this.#stragglers().length === 0) break
    }
    if (this.checker.violations.length === 0) this.#checkProgress(target)
    return this.checker.finish()
  }

  /** Heights of the honest members of the latest era. */
  #heights(): number[] {
    const latest = Math.max(0, ...this.honest.map(({ core }) => core?.spec.number ?? 0))
    const members = this.scenario.eras[latest]?.members ?? []
    return this.honest
      .filter(({ organisation }) => members.includes(organisation))
      .map(({ core }) => (core === undefined ? 0 : (core.state.highest?.height ?? core.spec.first.height)))
  }

  /** Honest members of an era that is over who have not heard so, where that is asked for. */
  #stragglers(): Member[] {
    if (this.scenario.theme !== 'closing') return []
    const latest = Math.max(0, ...this.honest.map(({ core }) => core?.spec.number ?? 0))
    return this.honest.filter(({ core, organisation }) => {
      const { number, plan } = core?.spec ?? {}
      return number !== undefined && number < latest && plan?.members.includes(organisation) === true
    })
  }

  #checkProgress(target: number): void {
    if (this.scenario.kind === 'lying' && !this.#mustProgress()) return
    // A member that lost its record counts as one of the f, for progress.
    if (this.checker.recordsLost && this.liars.size > 0) return
    const heights = this.#heights()
    if (heights.every((height) => height >= target) && this.#stragglers().length === 0) return
    const where = this.honest.map(
      ({ name, core }) =>
        `${name}: ${core?.spec.number}:${core?.state.view} ${core?.state.phase} ${core?.state.highest?.height ?? 0}`,
    )
    this.checker.violations.push(
      `liveness: heights ${heights.join()} of ${target} after ${this.scenario.healedMs} healed ms (${where.join('; ')})`,
    )
  }

  /**
   * After asynchrony with liars there is nothing left to be live about if honest members hold what contradicts: a fork, or a lock that a CC
   * conflicts with and does not outrank.
   */
  #mustProgress(): boolean {
    const cores = this.honest.flatMap(({ core }) => (core === undefined ? [] : [core]))
    if (this.scenario.liarsAfter !== 'silent' || this.checker.isForked) return false
    if (
      cores.some(({ state, spec }) => state.phase === 'forked' || spec !== cores[0]?.spec) &&
      this.scenario.eras.length > 1
    )
      return false
    for (const { state: holder } of cores)
      for (const { state } of cores) {
        const { highest } = holder
        if (highest === null) continue
        const tip = state.lockNow.tipCertificate ?? state.era.first
        if (relation(this.blocks, tip, highest) !== 'conflicts') continue
        const outranks =
          state.lockNow.view < highest.view ||
          (state.lockNow.view === highest.view && state.lockNow.strongSeq < highest.seq)
        if (!outranks) return false
      }
    return true
  }

  #heal(): void {
    this.network.healed = true
    this.network.blackout = false
    this.network.partition = null
    this.#faults.heal()
    for (const member of this.processes) if (!member.alive) this.startProcess(member)
  }

  // ------------------------------------------------------------------------------------------------------------ processes

  /** Starts a run of a process and opens its links. */
  startProcess(member: Member): void {
    member.start(this.firstEra)
    if (this.scenario.theme === 'closing' && !member.lying && this.random.chance(0.5)) this.#passErasOver(member)
    for (const other of this.processes)
      if (
        other.organisation !== member.organisation &&
        other.alive &&
        this.network.passes(other.organisation, member.organisation)
      )
        other.linked(member, true)
    for (const liar of this.director?.puppets ?? []) member.linked(liar, true)
    if (!member.lying && member.run > 1) this.director?.restarted(member)
  }

  /** Its shell fetches the blocks of others, and goes on in the era that they lead to: those between have no core here (§5.5). */
  fetchBlocks(member: Member): void {
    if (this.scenario.theme !== 'closing' || member.lying || member.isFetching) return
    member.isFetching = true
    const { run } = member
    this.queue.at(this.network.bulkMs(), () => {
      member.isFetching = false
      member.hand(run, 'local', () => this.#passErasOver(member))
    })
  }

  #passErasOver(member: Member): void {
    const known = (other: Member): number => Math.max(...other.specs.keys())
    const ahead = this.running.filter(
      (other) => known(other) > known(member) && this.network.passes(other.organisation, member.organisation),
    )
    if (ahead.length === 0) return
    this.#faults.count('eras passed over')
    member.passOver(this.random.pick(ahead))
  }

  /** A process ends; it starts again later. */
  crash(member: Member, afterMs = 5 + this.random.next() * (this.random.chance(0.5) ? 50 : 1500)): void {
    if (!member.alive) return
    this.trace(`${member.name} crashes`)
    this.#faults.count('crash')
    member.crash()
    this.#faults.crashed(member)
    for (const other of this.processes)
      if (other.alive && other.organisation !== member.organisation) other.linked(member, false)
    if (this.network.healed) return this.startProcess(member)
    this.queue.at(afterMs, () => {
      if (!member.alive) this.startProcess(member)
    })
  }

  /** Whether a process ends at the write that it begins now, and when. */
  crashAtWrite(member: Member): 'before' | 'durable' | 'released' | null {
    return this.network.healed ? null : this.#faults.crashAtWrite(member)
  }
  /** Whether a member is spared crashes and stalls in this run. */
  spares(member: Member): boolean {
    return this.#faults.spares(member)
  }

  /** How long a process stalls while the write that it begins now is under way. */
  stallAtWriteMs(): number {
    return this.network.healed ? 0 : this.#faults.stallAtWriteMs()
  }

  /** The signatures of the simulation say who signed what; the checker sees every one that an honest member makes. */
  signer(member: Member, spec: EraSpec): Signer {
    const me = spec.plan.members.indexOf(member.organisation)
    return {
      slot: (domain, era, slot) => {
        this.checker.signed(member, spec, domain, slot)
        return text(`${domain}/${era}/${me}/${slot.view}/${slot.seq}/${slot.hash}`)
      },
      blame: (era, view) => {
        this.checker.blamed(member, spec, view)
        return text(`blame/${era}/${me}/${view}`)
      },
      status: (era, view) => text(`status/${era}/${me}/${view}`),
    }
  }

  /** A new block by `builder`; now and then one that ends the era. */
  newBlock(spec: EraSpec, parent: string, height: number, builder: string): Block {
    const isLast = spec.number === this.scenario.eras.length - 1
    const endsEra = !isLast && height >= spec.first.height + spec.plan.blocks && this.random.chance(0.6)
    const block: Block = { hash: `b${++this.#names}.${builder}`, parent, height, endsEra }
    this.blocks.set(block.hash, block)
    const leader = this.honest.find(({ name }) => name === builder)
    if (endsEra && leader !== undefined) this.#faults.closing(leader, spec.number)
    return block
  }

  // ------------------------------------------------------------------------------------------------------------ messages

  #targets(from: Member, organisation: number): Member[] {
    if (from.audience !== null && !from.audience.has(organisation)) return []
    return this.processes.filter((other) => other.organisation === organisation && other.alive)
  }

  /** A process sends a message to a member of its era. */
  send(from: Member, core: Core, to: number, key: string, message: Message): void {
    if (!from.lying) this.checker.leaves(from, from.record, message)
    const organisation = core.spec.plan.members[to] as number
    this.director?.hears(from, core, organisation, key, message)
    for (const target of this.#targets(from, organisation)) this.deliver(from, target, key, message)
  }

  /** A message is under way to a process. */
  deliver(from: End, target: Member, key: string, message: Message): void {
    const { run } = target
    const arrive = (): void => target.hand(run, 'socket', () => target.receive(from, key, message))
    if (message.kind === 'proposal') this.network.bulk(from, target, arrive)
    else this.network.small(from, target, arrive)
  }

  /** What only the two ends of a link say to each other. */
  sendLink(from: Member, core: Core, to: number, arrive: (target: Member, theirs: Core, from: number) => void): void {
    const organisation = core.spec.plan.members[to] as number
    for (const target of this.#targets(from, organisation)) {
      const { run } = target
      this.network.small(from, target, () =>
        target.hand(run, 'socket', () => {
          const theirs = target.cores.find(({ spec }) => spec.number === core.spec.number)
          if (theirs !== undefined) arrive(target, theirs, core.state.era.me)
        }),
      )
    }
  }

  /** An echo, answered at once and in order. */
  echo(from: Member, core: Core, to: number, nonce: number): void {
    const organisation = core.spec.plan.members[to] as number
    const { run } = from
    const answer = (): void =>
      from.hand(run, 'socket', () => from.cores.includes(core) && from.give(core, { type: 'echoed', from: to, nonce }))
    if (this.director?.moves(organisation) === true) {
      if (this.scenario.liarsEcho) this.queue.at(this.random.next() * 20, answer)
      return
    }
    for (const target of this.#targets(from, organisation)) {
      const theirs = target.run
      this.network.small(from, target, () =>
        target.hand(theirs, 'socket', () => this.network.small(target, from, answer)),
      )
    }
  }

  /** The proposal of `slot`, from one of those who hold it. */
  findProposal(
    asker: Member,
    core: Core,
    slot: Slot,
    holders: readonly number[],
  ): { proposal: Proposal; from: number } | null {
    const name = proposalName(core.spec.number, slot)
    for (const from of holders) {
      const organisation = core.spec.plan.members[from] as number
      if (!this.network.passes(asker.organisation, organisation)) continue
      for (const holder of this.processes) {
        if (holder.organisation !== organisation || !holder.alive) continue
        const proposal = holder.proposals.get(name)
        if (proposal !== undefined) return { proposal, from }
      }
      const told = this.director?.moves(organisation) === true ? this.director.serves(name) : undefined
      if (told !== undefined) return { proposal: told, from }
    }
    return null
  }

  /** The shell of `asker` asks `from` for the CC that ended era `number` (§5.5). */
  askEra(asker: Member, from: End, number: number): void {
    const holder = this.processes.find(
      (other) => other.organisation === from.organisation && other.alive && !other.lying,
    )
    const certificate = holder?.specs.get(number + 1)?.certificate
    if (holder !== undefined && certificate != null) this.#showEnd(holder, asker, certificate, number)
  }
  /** `from` is heard in an era that this one has left: it is shown the CC that ended it. */
  tellEra(holder: Member, from: Pick<End, 'organisation'>, number: number): void {
    const certificate = holder.specs.get(number + 1)?.certificate
    if (certificate == null) return
    for (const target of this.processes)
      if (target.organisation === from.organisation && target.alive) this.#showEnd(holder, target, certificate, number)
  }
  #showEnd(from: Member, to: Member, certificate: Certificate, number: number): void {
    const { run } = to
    this.network.small(from, to, () =>
      to.hand(run, 'socket', () => {
        if (to.core?.spec.number === number) to.giveEnd(from, certificate)
      }),
    )
  }

  // ------------------------------------------------------------------------------------------------------------ watching

  entered(member: Member, core: Core, view: number): void {
    if (!member.lying) this.director?.entered(core, view)
  }
  eraStarted(member: Member, spec: EraSpec): void {
    if (!member.lying) this.director?.eraStarted(spec)
    for (const liar of this.director?.puppets ?? []) member.linked(liar, true)
  }
  watch(member: Member, core: Core): void {
    if (!member.lying && this.steps % WATCH_EVERY === 0) this.checker.watch(member, core.state)
  }
  trace(line: string): void {
    this.log?.push(`${this.queue.now.toFixed(1)} ${line}`)
  }
  traceEvent(member: Member, core: Core, event: Event): void {
    if (this.log === null || event.type === 'acknowledged' || event.type === 'echoed') return
    if (event.type === 'elapsed' && (event.timer.kind === 'repeat' || event.timer.kind === 'echo')) return
    this.trace(
      `${member.name} ${core.spec.number}:${core.state.view}${core.state.quit === null ? '' : 'q'} < ${brief(event)}`,
    )
  }
  traceEffects(member: Member, effects: readonly Effect[]): void {
    if (this.log === null) return
    for (const effect of effects) {
      if (effect.type === 'startTimer' || effect.type === 'acknowledge' || effect.type === 'persist') continue
      if (effect.type === 'send' && effect.to !== (member.core?.state.era.me === 0 ? 1 : 0)) continue
      const shown = effect.type === 'send' ? `send ${effect.key} to ${effect.to}` : brief(effect)
      this.trace(`${member.name}     > ${shown}`)
    }
  }
}

const brief = (value: unknown): string =>
  JSON.stringify(value, (_, inner) =>
    inner instanceof Map ? [...inner.keys()] : inner instanceof Uint8Array ? undefined : inner,
  )
