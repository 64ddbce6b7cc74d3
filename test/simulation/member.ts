/**
 * A simulated process of one organisation: the shell that drives the cores of its eras by the duties of protocol/consensus/README.md, with a disk, a
 * ledger and a way to stall or crash. A liar's twin runs the same, for a chosen audience.
 */
import type { Effect, Event, Timer } from '../../protocol/consensus/events.ts'
import type { State } from '../../protocol/consensus/state.ts'
import { type Beginning, initialState } from '../../protocol/consensus/step.ts'
import type { Block, Certificate, Message, Proposal, SigningRecord, Slot } from '../../protocol/consensus/types.ts'
import { type EraSpec, eraFor, eraSpec } from './eras.ts'
import type { End } from './network.ts'
import type { World } from './world.ts'

export type Core = { readonly spec: EraSpec; state: State }
type Work = 'timer' | 'local' | 'socket'

/** Name of a proposal wherever it is kept. */
export const proposalName = (era: number, { view, seq, hash }: Slot): string => `${era}:${view}/${seq}/${hash}`

export class Member implements End {
  readonly name: string
  readonly organisation: number
  readonly lying: boolean
  readonly world: World
  /** Organisations that a twin talks to; null: all. */
  audience: ReadonlySet<number> | null = null
  run = 0
  alive = false
  /** Latest last; the one before it only shows the CC that ended it. */
  cores: Core[] = []
  stalledUntil = 0
  /** When its quit wait began. */
  quitSince = 0
  /** On disk. */
  record: SigningRecord | null = null
  recordLost = false
  /** An adversary's wish. */
  crashAtNextWrite: 'before' | 'durable' | 'released' | null = null
  stallAtNextWriteMs = 0
  readonly specs = new Map<number, EraSpec>()
  readonly chain = new Map<number, string>()
  head: { readonly certificate: Certificate; readonly era: number } | null = null
  readonly proposals = new Map<string, Proposal>()
  readonly #valid = new Set<string>()
  /** In memory. */
  #held: { readonly kind: Work; readonly run: () => void }[] = []
  #underWay = new Set<string>()
  #waiting = new Map<string, (() => void)[]>()

  constructor(world: World, organisation: number, twin: number, lying: boolean) {
    this.world = world
    this.organisation = organisation
    this.lying = lying
    this.name = twin === 0 ? `${organisation}` : `${organisation}'`
  }

  get core(): Core | undefined {
    return this.cores.at(-1)
  }
  /** Name of its present run; twins share theirs. */
  get runName(): string {
    return `${this.organisation}.${this.run}`
  }
  knows(block: string): boolean {
    return this.#valid.has(block)
  }

  // ------------------------------------------------------------------------------------------------------------ processes

  /** Starts a run, from what is on disk. */
  start(first: EraSpec): void {
    this.run += 1
    this.alive = true
    this.cores = []
    this.#held = []
    this.#underWay = new Set()
    this.#waiting = new Map()
    if (!this.specs.has(first.number)) this.specs.set(first.number, first)
    this.#valid.add(first.first.hash)
    const latest = Math.max(...this.specs.keys())
    const number = this.record?.era ?? latest
    const spec = this.specs.get(number) as EraSpec
    const certificate = spec.certificate === null ? {} : { certificate: spec.certificate }
    const beginning: Beginning = this.recordLost
      ? { kind: 'recover', ...certificate }
      : this.record !== null
        ? { kind: 'restart', record: this.record }
        : { kind: 'fresh', ...certificate }
    this.#startCore(spec, beginning)
  }

  #startCore(spec: EraSpec, beginning: Beginning): void {
    const { world } = this
    const blocks: Block[] = []
    for (
      let height = (this.head?.certificate.height ?? 0) - 20;
      height <= (this.head?.certificate.height ?? 0);
      height++
    ) {
      const block = world.blocks.get(this.chain.get(height) ?? '')
      if (block !== undefined && block.height > spec.first.height) blocks.push(block)
    }
    const certificate = this.head?.era === spec.number ? this.head.certificate : null
    const era = eraFor(spec, this.organisation)
    const core: Core = { spec, state: initialState(era, world.signer(this, spec), beginning, { blocks, certificate }) }
    this.cores = [...this.cores.slice(-1), core]
    this.give(core, { type: 'start' })
    for (const other of world.processes)
      if (
        other.organisation !== this.organisation &&
        other.alive &&
        world.network.passes(this.organisation, other.organisation)
      )
        this.linked(other, true)
  }

  /** The process ends; what is not on disk is gone. */
  crash(): void {
    this.alive = false
    this.stalledUntil = 0
    this.#held = []
    this.cores = []
  }

  /** Does not run for `ms`. */
  stall(ms: number): void {
    if (!this.alive || this.world.queue.now < this.stalledUntil) return
    const { queue, random } = this.world
    this.stalledUntil = queue.now + ms
    const { run } = this
    queue.at(ms, () => {
      if (!this.alive || this.run !== run) return
      // A stall is told before anything that was due meanwhile. Node fires expired timers before it reads sockets; other orders occur.
      for (const core of this.cores) this.give(core, { type: 'stalled', stalledMs: ms })
      const held = this.#held
      this.#held = []
      const order: readonly Work[] = random.chance(0.7)
        ? ['timer', 'local', 'socket']
        : random.shuffled(['timer', 'local', 'socket'])
      for (const kind of order) for (const work of held) if (work.kind === kind) this.hand(run, kind, work.run)
    })
  }

  /** Runs `work` in one run of the process: when it wakes, if it is stalled; never, if that run has ended. */
  hand(run: number, kind: Work, work: () => void): void {
    if (!this.alive || this.run !== run) return
    if (this.world.queue.now < this.stalledUntil) this.#held.push({ kind, run: work })
    else work()
  }

  #later(afterMs: number, kind: Work, work: () => void): void {
    const { run } = this
    this.world.queue.at(afterMs, () => this.hand(run, kind, work))
  }

  // ------------------------------------------------------------------------------------------------------------ the core

  /** Hands an event to a core and carries out what follows. */
  give(core: Core, event: Event): void {
    const { world, run } = this
    world.traceEvent(this, core, event)
    const before = core.state
    const { state, effects } = world.step(before, event)
    if (state.quitWait === 'running' && state.generation !== before.generation) this.quitSince = world.queue.now
    core.state = state
    world.steps += 1
    world.watch(this, core)
    world.traceEffects(this, effects)
    for (const effect of effects) {
      if (!this.alive || this.run !== run) return
      this.#carryOut(core, effect)
    }
  }

  #carryOut(core: Core, effect: Effect): void {
    const { world } = this
    const { random } = world
    switch (effect.type) {
      case 'persist':
        return this.#persist(core, effect.ticket, effect.record)
      case 'send':
        if (effect.message.kind === 'proposal') this.#keep(core, effect.message)
        return world.send(this, core, effect.to, effect.key, effect.message)
      case 'acknowledge':
        return world.sendLink(this, core, effect.to, (target, theirs, from) => {
          const { runName: run } = this
          target.give(theirs, { type: 'acknowledged', from, run, keys: effect.keys })
        })
      case 'startTimer':
        return this.#startTimer(core, effect.timer, effect.afterMs)
      case 'echo':
        for (const to of effect.to) world.echo(this, core, to, effect.nonce)
        return
      case 'validate':
        return this.#validate(core, effect.proposal)
      case 'fetchProposal':
        return this.#request(
          `p/${proposalName(core.spec.number, effect.slot)}/${effect.holders.join()}`,
          world.network.bulkMs() + 1,
          () => {
            const found = world.findProposal(this, core, effect.slot, effect.holders)
            if (found === null) return
            this.#keep(core, found.proposal)
            this.give(core, { type: 'message', from: found.from, key: '', message: found.proposal })
          },
        )
      case 'fetchHeaders':
        return this.#request(`h/${effect.hash}`, random.next() * 20, () => {
          const blocks: Block[] = []
          for (
            let at = world.blocks.get(effect.hash);
            at !== undefined && blocks.length < 4;
            at = world.blocks.get(at.parent)
          )
            blocks.push(at)
          if (blocks.length > 0) this.give(core, { type: 'headers', blocks })
        })
      case 'checkCommitted':
        return this.#request(`c/${effect.hash}`, 1, () => {
          const own = this.chain.get(effect.height)
          if (own !== undefined) this.give(core, { type: 'checked', hash: effect.hash, committed: own === effect.hash })
        })
      case 'build':
        return this.#build(core, effect)
      case 'commit':
        world.checker.holds(this, core.spec, effect.certificate)
        return this.#apply(core, effect.certificate)
      case 'eraEnded':
        return this.#endEra(core, effect.certificate)
      case 'evidence': {
        world.checker.evidence(this, core.spec, effect.evidence)
        if (effect.evidence.kind !== 'fork') return
        const { kind: _, ...fork } = effect.evidence
        for (const other of this.cores) if (other !== core) this.give(other, { type: 'forked', fork })
        return
      }
      case 'viewEntered':
        return world.entered(this, core, effect.view)
      case 'assurance':
        return world.checker.holds(this, core.spec, effect.certificate)
    }
  }

  /** Disks are slow at times, and processes end before, while and after a record becomes durable. */
  #persist(core: Core, ticket: number, record: SigningRecord): void {
    const { world } = this
    const { random } = world
    const ms = world.isFaulty && random.chance(0.3) ? random.next() * world.scenario.diskMsMax : random.next()
    const crash = this.lying ? null : (this.crashAtNextWrite ?? world.crashAtWrite(this))
    this.crashAtNextWrite = null
    const stallMs = this.lying ? 0 : this.stallAtNextWriteMs || world.stallAtWriteMs()
    this.stallAtNextWriteMs = 0
    if (stallMs > 0) this.stall(stallMs)
    const { run } = this
    world.queue.at(ms, () => {
      if (!this.alive || this.run !== run) return
      if (crash === 'before') return world.crash(this)
      this.record = record
      this.recordLost = false
      if (crash === 'durable') return world.crash(this)
      this.hand(run, 'local', () => {
        this.give(core, { type: 'persisted', ticket })
        if (crash === 'released' && this.run === run) world.crash(this)
      })
    })
  }

  #startTimer(core: Core, timer: Timer, afterMs: number): void {
    this.#later(afterMs, 'timer', () => {
      if (this.cores.includes(core)) this.give(core, { type: 'elapsed', timer })
    })
  }

  /** A request that the core repeats while it is under way is made once. */
  #request(name: string, afterMs: number, work: () => void): void {
    if (this.#underWay.has(name)) return
    this.#underWay.add(name)
    this.#later(afterMs, 'local', () => {
      this.#underWay.delete(name)
      work()
    })
  }

  #whenKnown(block: string, work: () => void): void {
    if (this.#valid.has(block)) return work()
    this.#waiting.set(block, [...(this.#waiting.get(block) ?? []), work])
  }
  #nowKnown(block: string): void {
    if (this.#valid.has(block)) return
    this.#valid.add(block)
    const waiting = this.#waiting.get(block) ?? []
    this.#waiting.delete(block)
    for (const work of waiting) work()
  }

  /** Serves a proposal from now on (§3, Service). */
  #keep(core: Core, proposal: Proposal): void {
    const { view, seq, block } = proposal
    this.proposals.set(proposalName(core.spec.number, { view, seq, height: block.height, hash: block.hash }), proposal)
  }

  #validate(core: Core, proposal: Proposal): void {
    const { world } = this
    const { hash, parent } = proposal.block
    this.#request(`v/${hash}`, this.#valid.has(hash) ? 0 : world.network.bulkMs(), () =>
      this.#whenKnown(parent, () => {
        const valid = !world.invalid.has(hash)
        if (this.cores.includes(core)) this.give(core, { type: 'validated', hash, valid })
        if (valid) this.#nowKnown(hash)
      }),
    )
  }

  #build(core: Core, { view, seq, parent, height }: Effect & { type: 'build' }): void {
    const { world } = this
    this.#request(
      `b/${core.spec.number}/${view}/${seq}/${parent}`,
      world.random.next() * (world.isFaulty ? 80 : 30),
      () =>
        this.#whenKnown(parent, () => {
          const block = world.newBlock(core.spec, parent, height, this.name)
          this.#nowKnown(block.hash)
          if (this.cores.includes(core)) this.give(core, { type: 'built', view, seq, block })
        }),
    )
  }

  /** The ledger takes the block with its ancestors, fetching what is missing. */
  #apply(core: Core, certificate: Certificate): void {
    const { world } = this
    const isHere = this.#valid.has(certificate.hash)
    this.#later(isHere ? 1 : world.network.bulkMs() + 1, 'local', () => {
      const missing: Block[] = []
      let at = world.blocks.get(certificate.hash)
      while (at !== undefined && this.chain.get(at.height) !== at.hash && at.height > 0) {
        missing.unshift(at)
        at = world.blocks.get(at.parent)
      }
      for (const block of missing) this.chain.set(block.height, block.hash)
      if ((this.head?.certificate.height ?? 0) < certificate.height) this.head = { certificate, era: core.spec.number }
      for (const block of missing) this.#nowKnown(block.hash)
      if (this.cores.includes(core)) this.give(core, { type: 'applied', hash: certificate.hash })
    })
  }

  // ------------------------------------------------------------------------------------------------------------ eras and links

  /** §5.5: the next era starts from the block whose CC this is. */
  #endEra(core: Core, certificate: Certificate): void {
    const number = core.spec.number + 1
    if (this.core !== core || number >= this.world.scenario.eras.length) return
    const first = this.world.blocks.get(certificate.hash) as Block
    const spec = eraSpec(this.world.scenario, number, first, certificate)
    this.specs.set(number, spec)
    this.world.eraStarted(this, spec)
    this.#valid.add(first.hash)
    this.#startCore(spec, { kind: 'fresh', certificate })
    for (const organisation of spec.plan.members)
      if (!core.spec.plan.members.includes(organisation)) this.world.tellEra(this, { organisation }, core.spec.number)
  }

  /** A link to another process opened or closed. */
  linked(other: End & { readonly runName: string }, up: boolean): void {
    for (const core of this.cores) {
      const member = core.spec.plan.members.indexOf(other.organisation)
      if (member >= 0)
        this.give(core, up ? { type: 'connected', member, run: other.runName } : { type: 'disconnected', member })
    }
  }

  /** A message arrives: for the core of its era, or as news of another era. */
  receive(from: End, key: string, message: Message): void {
    const core = this.cores.find(({ spec }) => spec.number === message.era)
    if (core !== undefined) {
      if (message.kind === 'proposal') this.#keep(core, message)
      const member = core.spec.plan.members.indexOf(from.organisation)
      if (member >= 0) this.give(core, { type: 'message', from: member, key, message })
      return
    }
    const own = this.core
    if (own === undefined) return
    if (message.era > own.spec.number) this.#learnEra(from, message)
    else this.world.tellEra(this, from, message.era)
  }

  /** The first proposal of the next era carries the CC that ended this one (§5.5); other messages of it make the shell ask for it. */
  #learnEra(from: End, message: Message): void {
    const own = this.core as Core
    if (message.era !== own.spec.number + 1) return
    const shown =
      message.kind === 'proposal' && message.justification?.reason.kind === 'start'
        ? message.justification.reason.certificate
        : null
    if (shown !== null) this.giveEnd(from, shown)
    else this.world.askEra(this, from, own.spec.number)
  }

  /** Someone shows the CC that ended the present era. */
  giveEnd(from: End, certificate: Certificate): void {
    const core = this.core
    if (core === undefined) return
    const member = Math.max(0, core.spec.plan.members.indexOf(from.organisation))
    const message: Message = { kind: 'cc', era: core.spec.number, certificate }
    this.give(core, { type: 'message', from: member, key: '', message })
  }
}
