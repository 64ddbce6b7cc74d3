/**
 * What the liars do in one era. In a view that a liar leads: one chain for all, or two for chosen audiences, some longer, some strong, proposed at the
 * start or at the worst moment, on any tip that honest members would let pass, before all on one that contradicts what could be committed. In a view
 * of an honest leader: votes for all, for one, late, or none. At any time: certificates and blames withheld and released to chosen members, statuses
 * and answers that show too little, replays, and floods of messages of far views.
 */
import { draftOf, relation } from '../../protocol/consensus/draft.ts'
import { passesLock } from '../../protocol/consensus/lock.ts'
import { RULES } from '../../protocol/consensus/rules.ts'
import type {
  BlameCertificate,
  Block,
  Certificate,
  Justification,
  Message,
  Proposal,
  Reason,
  Signature,
  Slot,
} from '../../protocol/consensus/types.ts'
import type { Director } from './director.ts'
import type { EraSpec } from './eras.ts'
import { type Core, proposalName } from './member.ts'
import type { Random } from './random.ts'

const text = (value: string): Signature => new TextEncoder().encode(value)
const keyOf = (slot: Slot): string => `${slot.view}/${slot.seq}/${slot.hash}`

/** Honest signatures for one slot, and the leader's. */
type Support = {
  readonly slot: Slot
  leaderSignature: Signature | null
  readonly votes: Map<number, Signature>
  readonly commits: Map<number, Signature>
}
/** A chain that a lying leader proposes. */
type Chain = {
  readonly view: number
  readonly audience: readonly number[]
  readonly justification: Justification
  readonly length: number
  /** How the liars vote for it: to whom, and how many of them. */
  readonly shownTo: readonly number[]
  readonly voters: number
  readonly voteAfterMs: number
  seq: number
  tip: Block
  slot: Slot | null
}

export class Plot {
  readonly #director: Director
  readonly #spec: EraSpec
  readonly #random: Random
  readonly #support = new Map<string, Support>()
  readonly #blames = new Map<number, Map<number, Signature>>()
  readonly #reasons = new Map<number, Reason>()
  readonly #chains: Chain[] = []
  readonly #heard: Message[] = []
  /** Members of the era that lie, by index, and organisations that do not. */
  readonly #liars: readonly number[]
  readonly #honest: readonly number[]

  constructor(director: Director, spec: EraSpec) {
    this.#director = director
    this.#spec = spec
    this.#random = director.world.random
    const { members } = spec.plan
    this.#liars = members.flatMap((organisation, i) => (director.moves(organisation) ? [i] : []))
    this.#honest = members.filter((organisation) => !director.moves(organisation))
  }

  get #deltaMs(): number {
    return this.#spec.plan.deltaMs
  }
  #later(afterMs: number, work: () => void): void {
    const { queue } = this.#director.world
    queue.at(afterMs, () => this.#director.isActive && work())
  }
  #some(organisations: readonly number[], chance: number): number[] {
    return organisations.filter(() => this.#random.chance(chance))
  }
  #sendTo(organisations: readonly number[], from: number, message: Message, afterMs: () => number): void {
    for (const organisation of organisations) this.#director.send(this.#spec, from, organisation, message, afterMs())
  }

  // ------------------------------------------------------------------------------------------------------------ what is known

  #supportOf(slot: Slot): Support {
    const key = keyOf(slot)
    const known = this.#support.get(key)
    if (known !== undefined) return known
    const support: Support = { slot, leaderSignature: null, votes: new Map(), commits: new Map() }
    this.#support.set(key, support)
    return support
  }

  /** An honest member said `message` to a liar. */
  hears(from: number, message: Message): void {
    if (this.#liars.length === 0) return
    switch (message.kind) {
      case 'proposal': {
        const slot = { view: message.view, seq: message.seq, height: message.block.height, hash: message.block.hash }
        const support = this.#supportOf(slot)
        if (support.leaderSignature === null) this.#supportHonest(support, message)
        return
      }
      case 'vote': {
        const support = this.#supportOf(message.slot)
        support.leaderSignature ??= message.leaderSignature
        if (support.votes.has(from)) return
        support.votes.set(from, message.signature)
        this.#heard.push(message)
        return this.#continue(message.slot)
      }
      case 'commit':
        this.#supportOf(message.slot).commits.set(from, message.signature)
        this.#heard.push(message)
        return
      case 'blame': {
        const blames = this.#blames.get(message.view) ?? new Map<number, Signature>()
        this.#blames.set(message.view, blames)
        if (blames.has(from)) return
        blames.set(from, message.signature)
        if (this.#random.chance(0.7)) this.#showBlames(message.view)
        return
      }
      case 'ask':
        return this.#answer(from, message.nonce)
      case 'cc':
      case 'bc':
      case 'status':
      case 'answer':
        return
    }
  }

  #sign(domain: 'proposal' | 'vote' | 'commit', member: number, slot: Slot): Signature {
    return text(`${domain}/${this.#spec.number}/${member}/${slot.view}/${slot.seq}/${slot.hash}`)
  }

  /** A certificate of what honest members signed and up to `liars` liars add, or null if they are no quorum. */
  #certificate(slot: Slot, kind: 'vote' | 'commit', liars: number): Certificate | null {
    const support = this.#support.get(keyOf(slot))
    if (support === undefined) return null
    const signatures = new Map(kind === 'vote' ? support.votes : support.commits)
    for (const member of this.#liars.slice(0, liars)) signatures.set(member, this.#sign(kind, member, slot))
    return signatures.size < this.#spec.sizes.q ? null : { ...slot, kind, signatures }
  }
  /** The weakest and the strongest certificate that can be shown for a slot, and its CC. */
  #certificates(slot: Slot): Certificate[] {
    const honest = this.#support.get(keyOf(slot))?.votes.size ?? 0
    const least = Math.max(0, this.#spec.sizes.q - honest)
    return [
      this.#certificate(slot, 'vote', least),
      this.#certificate(slot, 'vote', this.#liars.length),
      this.#certificate(slot, 'commit', this.#liars.length),
    ].filter((one) => one !== null)
  }

  // ------------------------------------------------------------------------------------------------------------ views

  /** The first honest member has entered a view. */
  entered(core: Core, view: number): void {
    if (this.#liars.length === 0 || this.#reasons.has(view)) return
    this.#reasons.set(view, core.state.reason)
    const leader = view % this.#spec.sizes.n
    if (this.#liars.includes(leader)) this.#reign(view, core.state.reason)
    else if (core.state.reason.kind === 'blamed') this.#showStatuses(view, leader)
    if (this.#random.chance(0.5)) this.#blame(view, this.#random.next() * 12 * this.#deltaMs)
  }

  #reign(view: number, reason: Reason): void {
    const random = this.#random
    const plan = random.pick(['fork', 'fork', 'split', 'split', 'single', 'silent'] as const)
    if (plan === 'silent') return
    const honest = random.shuffled(this.#honest)
    const cut = plan === 'single' ? honest.length : 1 + random.below(Math.max(1, honest.length - 1))
    const sides = [honest.slice(0, cut), honest.slice(cut)].filter((side) => side.length > 0)
    sides.forEach((side, i) => {
      const audience = i > 0 && random.chance(0.3) ? side.slice(0, 1) : side
      const others = random.chance(0.15) ? this.#some(honest, 0.5) : []
      const startMs = i === 0 || random.chance(0.5) ? random.next() * 10 : random.next() * 5 * this.#deltaMs
      this.#later(startMs, () =>
        this.#startChain(view, reason, [...new Set([...audience, ...others])], plan === 'fork'),
      )
    })
  }

  #startChain(view: number, reason: Reason, audience: readonly number[], contradict: boolean): void {
    const random = this.#random
    const justification = this.#pick(view, reason, audience, contradict)
    const tip = this.#director.world.blocks.get(justification.tip?.hash ?? this.#spec.first.hash)
    if (tip === undefined) return
    const shown = random.pick(['audience', 'audience', 'one', 'nobody', 'all'] as const)
    const one = audience.length === 0 ? [] : [random.pick(audience)]
    const chain: Chain = {
      view,
      audience,
      justification,
      length: random.pick([1, 1, 2, 3]),
      shownTo: shown === 'audience' ? audience : shown === 'one' ? one : shown === 'all' ? this.#honest : [],
      voters: random.chance(0.6) ? this.#liars.length : random.below(this.#liars.length + 1),
      voteAfterMs: random.chance(0.7) ? random.next() * 5 : random.next() * 3 * this.#deltaMs,
      seq: -1,
      tip,
      slot: null,
    }
    this.#chains.push(chain)
    this.#propose(chain)
  }

  /** A tip that many of `audience` let pass; if `contradict`, before all one against which an honest member has committed. */
  #pick(view: number, reason: Reason, audience: readonly number[], contradict: boolean): Justification {
    const shown: Justification[] = [{ reason, tip: null, strong: null }]
    const recent = [...this.#support.values()].filter(({ slot }) => slot.view < view).slice(-40)
    const certificates = recent.flatMap(({ slot }) => this.#certificates(slot))
    for (const tip of certificates) {
      shown.push({ reason, tip, strong: null })
      const strongs = certificates.filter(
        (one) => one.view === tip.view && (one.kind === 'commit' || one.signatures.size >= this.#spec.sizes.s),
      )
      if (strongs.length > 0) shown.push({ reason, tip, strong: this.#random.pick(strongs) })
    }
    const { blocks } = this.#director.world
    const committed = [...this.#support.values()].filter(({ commits }) => commits.size > 0).map(({ slot }) => slot)
    let best: Justification[] = []
    let bestScore = -1
    for (const justification of this.#random.shuffled(shown).slice(0, 24)) {
      const passing = audience.filter((organisation) => this.#lets(organisation, view, justification)).length
      const tip = justification.tip ?? this.#spec.first
      const contradicts = committed.filter((slot) => {
        const how = relation(blocks, slot, tip)
        return how === 'conflicts' || how === 'extends'
      }).length
      const score = passing * 10 + (contradict && passing > 0 ? Math.min(9, contradicts) : 0)
      if (score > bestScore) best = []
      if (score >= bestScore) best.push(justification)
      bestScore = Math.max(score, bestScore)
    }
    return this.#random.pick(best)
  }

  /** Whether an honest member would let the tip pass when it is, or comes, in `view`. */
  #lets(organisation: number, view: number, justification: Justification): boolean {
    const { world } = this.#director
    const member = world.honest.find((one) => one.organisation === organisation)
    const core = member?.cores.find(({ spec }) => spec.number === this.#spec.number)
    if (core === undefined) return false
    const lock = core.state.view === view ? core.state.lock : core.state.lockNow
    return passesLock(
      draftOf({ ...core.state, lock, blocks: world.blocks }, world.scenario.rules ?? RULES),
      justification,
    )
  }

  /** The next block of a chain. */
  #propose(chain: Chain): void {
    const { world, proposals } = this.#director
    const { view, justification, tip, slot: last } = chain
    const leader = view % this.#spec.sizes.n
    const seq = chain.seq + 1
    const parentCertificate = last === null ? null : this.#certificate(last, 'vote', this.#liars.length)
    if (seq >= this.#spec.plan.termBlocks || (last !== null && (parentCertificate === null || tip.endsEra))) return
    const again = last === null && tip.endsEra && justification.tip !== null
    const block = again ? tip : world.newBlock(this.#spec, tip.hash, tip.height + 1, `liar${leader}`)
    if (!again && this.#random.chance(0.02)) world.invalid.add(block.hash)
    const slot: Slot = { view, seq, height: block.height, hash: block.hash }
    chain.seq = seq
    chain.tip = block
    chain.slot = slot
    const message: Proposal = {
      kind: 'proposal',
      era: this.#spec.number,
      view,
      seq,
      block,
      leaderSignature: this.#sign('proposal', leader, slot),
      parentCertificate,
      justification: seq === 0 ? justification : null,
    }
    proposals.set(proposalName(this.#spec.number, slot), message)
    this.#supportOf(slot).leaderSignature = message.leaderSignature
    this.#sendTo(chain.audience, leader, message, () => this.#random.next() * 5)
    this.#vote(slot, chain.voters, chain.shownTo, chain.voteAfterMs)
    if (this.#random.chance(0.5))
      this.#later(this.#random.next() * 6 * this.#deltaMs, () =>
        this.#vote(slot, this.#liars.length, this.#some(this.#honest, 0.4), 0),
      )
  }

  /** An honest vote came: a chain of the liars goes on once it is certified. */
  #continue(slot: Slot): void {
    for (const chain of this.#chains) {
      if (chain.slot === null || keyOf(chain.slot) !== keyOf(slot) || chain.seq + 1 >= chain.length) continue
      if (this.#certificate(slot, 'vote', this.#liars.length) === null) continue
      const { seq } = chain
      this.#later(this.#random.next() * 10, () => chain.seq === seq && this.#propose(chain))
    }
  }

  #vote(slot: Slot, voters: number, to: readonly number[], afterMs: number): void {
    const leaderSignature = this.#supportOf(slot).leaderSignature
    if (leaderSignature === null) return
    for (const from of this.#liars.slice(0, voters)) {
      const message: Message = {
        kind: 'vote',
        era: this.#spec.number,
        slot,
        from,
        signature: this.#sign('vote', from, slot),
        leaderSignature,
      }
      this.#sendTo(to, from, message, () => afterMs + this.#random.next() * 4)
    }
  }

  /** An honest leader proposed. */
  #supportHonest(support: Support, { leaderSignature }: Proposal): void {
    const random = this.#random
    support.leaderSignature = leaderSignature
    const how = random.pick(['all', 'all', 'one', 'some', 'late', 'none'] as const)
    if (how === 'none') return
    const to =
      how === 'one' ? [random.pick(this.#honest)] : how === 'some' ? this.#some(this.#honest, 0.5) : this.#honest
    this.#vote(
      support.slot,
      this.#liars.length,
      to,
      how === 'late' ? random.next() * 4 * this.#deltaMs : random.next() * 10,
    )
  }

  // ------------------------------------------------------------------------------------------------------------ blames, locks, noise

  #blame(view: number, afterMs: number): void {
    const to = this.#random.chance(0.5) ? this.#honest : this.#some(this.#honest, 0.5)
    for (const from of this.#liars) {
      const signature = text(`blame/${this.#spec.number}/${from}/${view}`)
      this.#sendTo(
        to,
        from,
        { kind: 'blame', era: this.#spec.number, view, from, signature, equivocation: null },
        () => afterMs,
      )
    }
  }

  /** A BC of what honest members blamed and the liars add, for chosen members. */
  #showBlames(view: number): void {
    const signatures = new Map(this.#blames.get(view))
    for (const from of this.#liars) signatures.set(from, text(`blame/${this.#spec.number}/${from}/${view}`))
    const [from] = this.#liars
    if (signatures.size < this.#spec.sizes.f + 1 || from === undefined) return
    const certificate: BlameCertificate = { view, signatures }
    const to = this.#random.chance(0.5) ? [this.#random.pick(this.#honest)] : this.#some(this.#honest, 0.6)
    const afterMs = this.#random.chance(0.5) ? 0 : this.#random.next() * 3 * this.#deltaMs
    this.#sendTo(to, from, { kind: 'bc', era: this.#spec.number, certificate }, () => afterMs)
  }

  #showStatuses(view: number, leader: number): void {
    const organisation = this.#spec.plan.members[leader] as number
    for (const from of this.#liars) {
      if (this.#random.chance(0.3)) continue
      const recent = [...this.#support.values()].filter(({ slot }) => slot.view < view).slice(-10)
      const tips = recent.flatMap(({ slot }) => this.#certificates(slot))
      const tip = tips.length === 0 || this.#random.chance(0.4) ? null : this.#random.pick(tips)
      const signature = text(`status/${this.#spec.number}/${from}/${view}`)
      const message: Message = { kind: 'status', era: this.#spec.number, view, from, signature, tip, strong: null }
      this.#director.send(this.#spec, from, organisation, message, this.#random.next() * 3 * this.#deltaMs)
    }
  }

  #answer(to: number, nonce: number): void {
    const organisation = this.#spec.plan.members[to] as number
    for (const from of this.#liars) {
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
    const [from] = random.shuffled(this.#liars)
    if (from === undefined || this.#honest.length === 0) return
    const to = random.chance(0.6) ? [random.pick(this.#honest)] : this.#some(this.#honest, 0.6)
    const era = this.#spec.number
    const recent = [...this.#support.values()].slice(-12)
    switch (random.below(6)) {
      case 0:
      case 1: {
        // A certificate that was withheld, with a liar's commit.
        if (recent.length === 0) return
        const { slot } = random.pick(recent)
        const certificate = this.#certificates(slot)[0]
        if (certificate === undefined) return
        return this.#sendTo(
          to,
          from,
          { kind: 'commit', era, slot, from, signature: this.#sign('commit', from, slot), certificate },
          () => 0,
        )
      }
      case 2: {
        if (recent.length === 0) return
        const { slot } = random.pick(recent)
        const certificate = this.#certificate(slot, 'commit', this.#liars.length)
        if (certificate !== null) return this.#sendTo(to, from, { kind: 'cc', era, certificate }, () => 0)
        return this.#vote(slot, this.#liars.length, to, 0)
      }
      case 3: {
        const view = Math.max(0, ...this.#reasons.keys())
        return this.#blame(view, 0)
      }
      case 4: {
        const old = this.#heard.length === 0 ? undefined : random.pick(this.#heard.slice(-60))
        // A replay of what an honest member said can only come from itself; a liar shows the certificate or nothing.
        if (old?.kind === 'commit' && old.certificate !== null && old.certificate.kind === 'commit')
          this.#sendTo(to, from, { kind: 'cc', era, certificate: old.certificate }, () => 0)
        return this.#stuff(from, to)
      }
      case 5:
        return this.#flood(from, to)
    }
  }

  /** A certificate in which liars stand more than once; only a flawed verifier lets it pass. */
  #stuff(from: number, to: readonly number[]): void {
    const { world } = this.#director
    const view = Math.max(0, ...this.#reasons.keys())
    const block = world.newBlock(this.#spec, this.#spec.first.hash, this.#spec.first.height + 1, `liar${from}`)
    const slot: Slot = { view, seq: 0, height: block.height, hash: block.hash }
    const signature = this.#sign('commit', from, slot)
    const signatures = new Map(this.#spec.plan.members.map((_, member) => [member, signature]))
    this.#sendTo(
      to,
      from,
      { kind: 'cc', era: this.#spec.number, certificate: { ...slot, kind: 'commit', signatures } },
      () => 0,
    )
  }

  /** Votes and blames of far views, to fill memories. */
  #flood(from: number, to: readonly number[]): void {
    const { n } = this.#spec.sizes
    const era = this.#spec.number
    for (let i = 0; i < 20; i++) {
      const view = this.#random.below(10_000)
      const signature = text(`blame/${era}/${from}/${view}`)
      this.#sendTo(to, from, { kind: 'blame', era, view, from, signature, equivocation: null }, () => 0)
      const led = view - (view % n) + from
      const slot: Slot = {
        view: led,
        seq: this.#random.below(this.#spec.plan.termBlocks),
        height: 1 + this.#random.below(50),
        hash: `x${this.#random.below(1e6)}`,
      }
      const leaderSignature = this.#sign('proposal', from, slot)
      this.#sendTo(
        to,
        from,
        { kind: 'vote', era, slot, from, signature: this.#sign('vote', from, slot), leaderSignature },
        () => 0,
      )
    }
  }
}
