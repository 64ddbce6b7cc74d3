/**
 * What the liars do in one era. A view that a liar leads is a reign (reign.ts); in that of an honest leader they vote for all, for one, late, or not
 * at all. At any time: certificates and blames withheld and released to chosen members, statuses and answers that show too little, and floods of
 * messages of far views.
 */
import type { BlameCertificate, Message, Proposal, Reason, Slot } from '../../protocol/consensus/types.ts'
import type { Director } from './director.ts'
import type { EraSpec } from './eras.ts'
import { Hearsay, type Support } from './hearsay.ts'
import type { Core } from './member.ts'
import type { Random } from './random.ts'
import { Reign } from './reign.ts'

export class Plot {
  readonly hearsay: Hearsay
  /** Honest organisations of the era. */
  readonly honest: readonly number[]
  readonly #director: Director
  readonly #spec: EraSpec
  readonly #random: Random
  readonly #reigns = new Map<number, Reign>()
  readonly #reasons = new Map<number, Reason>()
  /** By view: the organisation that is shown its BC at once, and nobody else. */
  readonly #targets = new Map<number, number>()
  /** Views in which the liars say nothing more. */
  readonly #quiet = new Set<number>()
  /** Views of which a liar has heard that they are closed. */
  readonly #closed = new Set<number>()
  /** The liars have done what they wanted: from here on they say nothing. */
  #isDone = false

  constructor(director: Director, spec: EraSpec) {
    this.#director = director
    this.#spec = spec
    this.#random = director.world.random
    const { members } = spec.plan
    const liars = members.flatMap((organisation, i) => (director.moves(organisation) ? [i] : []))
    this.hearsay = new Hearsay(spec, liars)
    this.honest = members.filter((organisation) => !director.moves(organisation))
  }

  get #deltaMs(): number {
    return this.#spec.plan.deltaMs
  }
  /** Does something later, if the liars are still at it. */
  later(afterMs: number, work: () => void): void {
    this.#director.world.queue.at(afterMs, () => this.#director.isActive && !this.#isDone && work())
  }
  /** Nothing more is said in this era. */
  rest(): void {
    this.#isDone = true
  }
  /** Each honest organisation with a chance. */
  some(chance: number): number[] {
    return this.honest.filter(() => this.#random.chance(chance))
  }
  sendTo(organisations: readonly number[], from: number, message: Message, afterMs: () => number): void {
    for (const organisation of organisations) this.#director.send(this.#spec, from, organisation, message, afterMs())
  }
  /** The core of an honest organisation in this era. */
  coreOf(organisation: number): Core | undefined {
    const member = this.#director.world.honest.find((one) => one.organisation === organisation)
    return member?.cores.find(({ spec }) => spec.number === this.#spec.number)
  }
  /** The BC of `view` is for this organisation alone. */
  target(view: number, organisation: number): void {
    this.#targets.set(view, organisation)
  }
  /** The highest view that an honest member has entered. */
  get #view(): number {
    return Math.max(0, ...this.#reasons.keys())
  }

  /** An honest member said `message` to a liar. */
  hears(from: number, message: Message): void {
    if (this.#isDone) return
    switch (message.kind) {
      case 'proposal': {
        const { view, seq, block } = message
        const support = this.hearsay.of({ view, seq, height: block.height, hash: block.hash })
        if (support.leaderSignature === null) this.#supportHonest(support, message)
        return
      }
      case 'vote': {
        const support = this.hearsay.of(message.slot)
        support.leaderSignature ??= message.leaderSignature
        if (support.votes.has(from)) return
        support.votes.set(from, message.signature)
        if (this.#quiet.has(message.slot.view)) return this.#showEarly(message.slot)
        return this.#reigns.get(message.slot.view)?.heardVote(message.slot)
      }
      case 'commit':
        this.hearsay.of(message.slot).commits.set(from, message.signature)
        return this.#closeEarly(message.slot)
      case 'blame':
        if (this.hearsay.blamed(message.view, from, message.signature) && this.#random.chance(0.8))
          this.#showBlames(message.view)
        return
      case 'ask':
        return this.#answer(from, message.nonce)
      case 'cc':
      case 'bc':
      case 'status':
      case 'answer':
        return
    }
  }

  /** The first honest member has entered a view. */
  entered(core: Core, view: number): void {
    if (this.hearsay.liars.length === 0 || this.#isDone || this.#reasons.has(view)) return
    this.#reasons.set(view, core.state.reason)
    const leader = view % this.#spec.sizes.n
    if (this.hearsay.liars.includes(leader)) {
      const reign = new Reign(this.#director, this, view, core.state.reason)
      this.#reigns.set(view, reign)
      reign.begin()
    } else if (core.state.reason.kind === 'blamed') this.#showStatuses(view, leader)
    if (this.#random.chance(0.4)) this.blame(view, this.#random.next() * 12 * this.#deltaMs)
    if (this.#random.chance(0.5)) this.#releaseBelow(view)
  }

  /** An honest member runs again, in the view of its record. */
  restarted({ state }: Core, organisation: number): void {
    if (!this.#isDone) this.#reigns.get(state.view)?.restarted(organisation)
  }

  /** A view has just been entered: votes withheld below it are released to one member that may be there still. */
  #releaseBelow(view: number): void {
    const below = this.hearsay
      .recent(12, view)
      .filter(({ slot }) => slot.view >= view - 2 && this.hearsay.least(slot) !== null)
    if (below.length === 0) return
    const late = this.honest.filter((organisation) => (this.coreOf(organisation)?.state.view ?? view) < view)
    const to = this.#random.pick(late.length > 0 ? late : this.honest)
    this.vote(this.#random.pick(below).slot, this.hearsay.liars.length, [to], this.#random.next() * 10)
  }

  /** Votes of the first `voters` liars for a slot, to chosen members. */
  vote(slot: Slot, voters: number, to: readonly number[], afterMs: number): void {
    const { leaderSignature } = this.hearsay.of(slot)
    if (leaderSignature === null) return
    const era = this.#spec.number
    for (const from of this.hearsay.liars.slice(0, voters)) {
      const signature = this.hearsay.sign('vote', from, slot)
      const message: Message = { kind: 'vote', era, slot, from, signature, leaderSignature }
      this.sendTo(to, from, message, () => afterMs + this.#random.next() * 4)
    }
  }

  /** An honest leader proposed. */
  #supportHonest(support: Support, { leaderSignature }: Proposal): void {
    const random = this.#random
    support.leaderSignature = leaderSignature
    if (support.slot.seq === 0 && random.chance(0.2)) this.#quiet.add(support.slot.view)
    if (this.#quiet.has(support.slot.view)) return
    const how = random.pick(['all', 'all', 'one', 'some', 'late', 'none'] as const)
    if (how === 'none' || this.honest.length === 0) return
    const to = how === 'one' ? [random.pick(this.honest)] : how === 'some' ? this.some(0.5) : this.honest
    const afterMs = how === 'late' ? random.next() * 4 * this.#deltaMs : random.next() * 10
    const voters = random.chance(0.5) ? this.hearsay.liars.length : random.below(this.hearsay.liars.length + 1)
    this.vote(support.slot, voters, to, afterMs)
  }

  /** The leader of the next view alone is shown that this one is closed: those who come later can see first what it does there. */
  #closeEarly(slot: Slot): void {
    const { sizes, plan } = this.#spec
    const next = plan.members[(slot.view + 1) % sizes.n] as number
    if (slot.seq < plan.termBlocks - 1 || this.#closed.has(slot.view) || !this.honest.includes(next)) return
    const certificate = this.hearsay.certificate(slot, 'commit', this.hearsay.liars.length)
    const [from] = this.hearsay.liars
    if (certificate === null || from === undefined) return
    this.#closed.add(slot.view)
    if (this.#random.chance(0.5)) return
    this.sendTo([next], from, { kind: 'cc', era: this.#spec.number, certificate }, () => 0)
    if (this.#random.chance(0.7)) this.#quiet.add(slot.view + 1)
  }

  /**
   * In a view in which they are quiet otherwise, the liars certify what its leader alone voted for, and show it to one member, best to one that has
   * not come yet.
   */
  #showEarly(slot: Slot): void {
    const certificate = this.hearsay.least(slot)
    const [from] = this.hearsay.liars
    if (slot.seq > 0 || certificate === null || from === undefined) return
    const view = slot.view + 1
    const signature = this.hearsay.signStatus(from, view)
    const message: Message = {
      kind: 'status',
      era: this.#spec.number,
      view,
      from,
      signature,
      tip: certificate,
      strong: null,
    }
    const late = this.honest.filter((organisation) => (this.coreOf(organisation)?.state.view ?? view) < slot.view)
    this.sendTo([this.#random.pick(late.length > 0 ? late : this.honest)], from, message, () => this.#random.next() * 5)
  }

  /** The liars blame a view. */
  blame(view: number, afterMs: number): void {
    const to = this.#random.chance(0.5) ? this.honest : this.some(0.5)
    const era = this.#spec.number
    for (const from of this.hearsay.liars) {
      const signature = this.hearsay.signBlame(from, view)
      this.sendTo(to, from, { kind: 'blame', era, view, from, signature, equivocation: null }, () => afterMs)
    }
  }

  /** A BC of what honest members blamed and the liars add, for chosen members. */
  #showBlames(view: number): void {
    const signatures = this.hearsay.blames(view)
    const [from] = this.hearsay.liars
    if (signatures.size < this.#spec.sizes.f + 1 || from === undefined) return
    const certificate: BlameCertificate = { view, signatures }
    const target = this.#targets.get(view)
    if (target !== undefined)
      return this.sendTo(
        [target],
        from,
        { kind: 'bc', era: this.#spec.number, certificate },
        () => this.#random.next() * 3,
      )
    const to = this.#random.chance(0.5) ? [this.#random.pick(this.honest)] : this.some(0.6)
    const afterMs = this.#random.chance(0.5) ? 0 : this.#random.next() * 3 * this.#deltaMs
    this.sendTo(to, from, { kind: 'bc', era: this.#spec.number, certificate }, () => afterMs)
  }

  /** Statuses that show too little, or nothing. */
  #showStatuses(view: number, leader: number): void {
    const organisation = this.#spec.plan.members[leader] as number
    for (const from of this.hearsay.liars) {
      if (this.#random.chance(0.3)) continue
      const tips = this.hearsay.recent(10, view).flatMap(({ slot }) => this.hearsay.all(slot))
      const tip = tips.length === 0 || this.#random.chance(0.4) ? null : this.#random.pick(tips)
      const signature = this.hearsay.signStatus(from, view)
      const message: Message = { kind: 'status', era: this.#spec.number, view, from, signature, tip, strong: null }
      this.#director.send(this.#spec, from, organisation, message, this.#random.next() * 3 * this.#deltaMs)
    }
  }

  /** Answers that know of nothing. */
  #answer(to: number, nonce: number): void {
    const organisation = this.#spec.plan.members[to] as number
    for (const from of this.hearsay.liars) {
      if (this.#random.chance(0.4)) continue
      const reason: Reason = { kind: 'start', certificate: this.#spec.certificate }
      const nothing = { tip: null, strong: null, signed: [], equivocation: null, highest: null }
      const message: Message = { kind: 'answer', era: this.#spec.number, nonce, view: 0, reason, ...nothing }
      this.#director.send(this.#spec, from, organisation, message, this.#random.next() * this.#deltaMs)
    }
  }

  /** Something out of turn. */
  meddle(): void {
    const random = this.#random
    if (this.hearsay.liars.length === 0 || this.honest.length === 0 || this.#isDone) return
    const from = random.pick(this.hearsay.liars)
    const to = random.chance(0.6) ? [random.pick(this.honest)] : this.some(0.6)
    switch (random.below(6)) {
      case 0:
      case 1:
        return this.#release(from, to)
      case 2:
        return this.#showCommits(from, to)
      case 3:
        return this.blame(this.#view, 0)
      case 4:
        return this.#stuff(from, to)
      case 5:
        return this.#flood(from, to)
    }
  }

  /** A certificate that was withheld, with a liar's commit. */
  #release(from: number, to: readonly number[]): void {
    const recent = this.hearsay.recent(12)
    if (recent.length === 0) return
    const { slot } = this.#random.pick(recent)
    const [certificate] = this.hearsay.all(slot)
    if (certificate === undefined) return
    const signature = this.hearsay.sign('commit', from, slot)
    this.sendTo(to, from, { kind: 'commit', era: this.#spec.number, slot, from, signature, certificate }, () => 0)
  }

  /** Every CC of a view that can be assembled, for one organisation. */
  showCommits(view: number, organisation: number): void {
    const [from] = this.hearsay.liars
    for (const slot of this.hearsay.committed) {
      const certificate =
        slot.view === view ? this.hearsay.certificate(slot, 'commit', this.hearsay.liars.length) : null
      if (certificate !== null && from !== undefined)
        this.sendTo([organisation], from, { kind: 'cc', era: this.#spec.number, certificate }, () => 0)
    }
  }

  /** A CC, where one can be assembled; else votes. */
  #showCommits(from: number, to: readonly number[]): void {
    const recent = this.hearsay.recent(12)
    if (recent.length === 0) return
    const { slot } = this.#random.pick(recent)
    const certificate = this.hearsay.certificate(slot, 'commit', this.hearsay.liars.length)
    if (certificate === null) return this.vote(slot, this.hearsay.liars.length, to, 0)
    this.sendTo(to, from, { kind: 'cc', era: this.#spec.number, certificate }, () => 0)
  }

  /** A certificate in which a liar stands more than once; only a flawed verifier lets it pass. */
  #stuff(from: number, to: readonly number[]): void {
    const { first } = this.#spec
    const block = this.#director.world.newBlock(this.#spec, first.hash, first.height + 1, `liar${from}`)
    const slot: Slot = { view: this.#view, seq: 0, height: block.height, hash: block.hash }
    const signature = this.hearsay.sign('commit', from, slot)
    const signatures = new Map(this.#spec.plan.members.map((_, member) => [member, signature]))
    const certificate = { ...slot, kind: 'commit' as const, signatures }
    this.sendTo(to, from, { kind: 'cc', era: this.#spec.number, certificate }, () => 0)
  }

  /** Votes and blames of far views, to fill memories. */
  #flood(from: number, to: readonly number[]): void {
    const { n } = this.#spec.sizes
    const era = this.#spec.number
    for (let i = 0; i < 20; i++) {
      const view = this.#random.below(10_000)
      const signature = this.hearsay.signBlame(from, view)
      this.sendTo(to, from, { kind: 'blame', era, view, from, signature, equivocation: null }, () => 0)
      const seq = this.#random.below(this.#spec.plan.termBlocks)
      const hash = `x${this.#random.below(1e6)}`
      const slot: Slot = { view: view - (view % n) + from, seq, height: 1 + this.#random.below(50), hash }
      const leaderSignature = this.hearsay.sign('proposal', from, slot)
      const vote = this.hearsay.sign('vote', from, slot)
      this.sendTo(to, from, { kind: 'vote', era, slot, from, signature: vote, leaderSignature }, () => 0)
    }
  }
}
