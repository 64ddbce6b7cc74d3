/**
 * The director moves all liars that are no twins, together, knowing everything: what each honest member signed, holds and is locked on. What it
 * plans for one era stands in plot.ts. It cannot sign for an honest member, nor pass a certificate that the verifier would refuse.
 */
import type { Certificate, Message, Proposal } from '../../protocol/consensus/types.ts'
import type { EraSpec } from './eras.ts'
import type { Core, Member } from './member.ts'
import type { End } from './network.ts'
import { Plot } from './plot.ts'
import type { World } from './world.ts'

/** A liar as its peers see it: one process that never ends. */
export type Puppet = End & { readonly runName: string }

export class Director {
  readonly world: World
  readonly puppets: readonly Puppet[]
  readonly #plots = new Map<EraSpec, Plot>()
  /** Proposals that liars made, by name: served at times. */
  readonly proposals = new Map<string, Proposal>()

  constructor(world: World) {
    this.world = world
    this.puppets = [...world.liars].map((organisation) => ({
      name: `${organisation}`,
      organisation,
      lying: true,
      runName: `${organisation}.1`,
    }))
  }

  start(): void {
    const { queue, random, scenario } = this.world
    for (const { cores } of this.world.running) for (const core of cores) this.entered(core, core.state.view)
    const until = scenario.liarsAfter === 'silent' ? scenario.faultyMs : scenario.faultyMs + 5_000
    const gapMs = random.pick([60, 250, 2000])
    for (let t = 30; t < until; t += 10 + random.below(gapMs)) queue.at(t, () => this.#plot(this.world)?.meddle())
  }

  /** Whether the liars do anything now. */
  get isActive(): boolean {
    return this.world.isFaulty || this.world.scenario.liarsAfter === 'lying'
  }

  #plot({ running, random }: World): Plot | undefined {
    const cores = running.flatMap((member) => member.cores)
    return cores.length === 0 ? undefined : this.#plotOf(random.pick(cores).spec)
  }
  #plotOf(spec: EraSpec): Plot {
    // Cores of different processes have their own spec of one era: the first is everyone's.
    for (const [known, plot] of this.#plots)
      if (known.number === spec.number && known.first.hash === spec.first.hash) return plot
    const plot = new Plot(this, spec)
    this.#plots.set(spec, plot)
    return plot
  }

  moves(organisation: number): boolean {
    return this.world.liars.has(organisation)
  }
  /** A liar serves a proposal, or not. */
  serves(name: string): Proposal | undefined {
    return this.isActive && this.world.random.chance(0.7) ? this.proposals.get(name) : undefined
  }

  /** An honest member has entered a view. */
  entered(core: Core, view: number): void {
    if (this.isActive) this.#plotOf(core.spec).entered(core, view)
  }
  /** The process of an honest member runs again. */
  restarted({ organisation, cores }: Member): void {
    const core = cores.at(-1)
    if (this.isActive && core !== undefined) this.#plotOf(core.spec).restarted(core, organisation)
  }
  eraStarted(spec: EraSpec): void {
    if (this.isActive) this.#plotOf(spec)
  }

  /** A message leaves an honest member for `organisation`: what goes to a liar, all know at once. */
  hears(from: Member, core: Core, organisation: number, key: string, message: Message): void {
    if (!this.moves(organisation) || from.lying) return
    const { random, queue, scenario } = this.world
    if (this.isActive && scenario.liarsAcknowledge && 'kind' in message && message.kind !== 'proposal') {
      const { run } = from
      const member = core.spec.plan.members.indexOf(organisation)
      const acknowledge = { type: 'acknowledged' as const, from: member, run: `${organisation}.1`, keys: [key] }
      queue.at(random.next() * 30, () =>
        from.hand(run, 'socket', () => from.cores.includes(core) && from.give(core, acknowledge)),
      )
    }
    if (this.isActive) this.#plotOf(core.spec).hears(core.state.era.me, message)
  }

  /** A liar sends a message to an organisation, `afterMs` from now, if the verifier lets it pass. */
  send(spec: EraSpec, from: number, organisation: number, message: Message, afterMs: number): void {
    const { queue, processes } = this.world
    if (!certificatesOf(message).every((certificate) => this.#passes(spec, message.era, certificate))) return
    const puppet = this.puppets.find((one) => one.organisation === spec.plan.members[from])
    if (puppet === undefined) return
    const target = processes.find((one) => one.organisation === organisation && !one.lying)
    if (target === undefined) return
    queue.at(afterMs, () => {
      if (!this.world.network.passes(puppet.organisation, organisation)) return
      const { run } = target
      target.hand(run, 'socket', () => target.receive(puppet, `${message.kind}/${from}`, message))
    })
  }

  /** What verify.ts does to a certificate: each signature is that of the member beside it. A flawed one only counts them. */
  #passes(spec: EraSpec, era: number, { kind, view, seq, hash, signatures }: Certificate): boolean {
    if (signatures.size < spec.sizes.q) return false
    const flawed = this.world.scenario.flaws?.duplicateSigners === true
    for (const [member, signature] of signatures) {
      const [domain, of, by, ...rest] = new TextDecoder().decode(signature).split('/')
      const fits = domain === kind && Number(of) === era && rest.join('/') === `${view}/${seq}/${hash}`
      if (!fits || (Number(by) !== member && !flawed)) return false
    }
    return true
  }
}

function certificatesOf(message: Message): Certificate[] {
  const found: (Certificate | null)[] = []
  if (message.kind === 'commit' || message.kind === 'cc') found.push(message.certificate)
  if (message.kind === 'status' || message.kind === 'answer') found.push(message.tip, message.strong)
  if (message.kind === 'proposal') {
    found.push(message.parentCertificate)
    if (message.justification !== null) found.push(message.justification.tip, message.justification.strong)
  }
  return found.filter((certificate) => certificate !== null)
}
