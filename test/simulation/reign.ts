/**
 * What a lying leader does with its view. `exploit`: a chain that contradicts what an honest member has committed to, on whatever tip the others
 * let pass. `secret`: a chain certified for a chosen few, and, just when they commit, another one for the rest, with blames. `split`: two chains at
 * once, or one late. `asleep`: two, and one audience stalls with it. `withheld`: one that the liars certify when the next view begins. `ladder`: a
 * short strong chain here, a longer weak one there. `aside`: a CC for one member alone. `ambush`: a commit just before a member's quit wait ends.
 * `unaware`: a chain for the first one here, another one for one that came after it had voted.
 * `single`: an honest reign. `silent`: none. At the worst moment honest members may crash at their next write, or stall.
 */
import { draftOf, relation } from '../../protocol/consensus/draft.ts'
import { passesLock } from '../../protocol/consensus/lock.ts'
import { RULES } from '../../protocol/consensus/rules.ts'
import type { Block, Justification, Proposal, Reason, Slot } from '../../protocol/consensus/types.ts'
import type { Director } from './director.ts'
import type { Hearsay } from './hearsay.ts'
import { proposalName } from './member.ts'
import type { Plot } from './plot.ts'

/** How a chain is proposed and voted for by the liars. */
type ChainPlan = {
  readonly audience: readonly number[]
  readonly length: number
  readonly startMs: number
  /** To whom the liars show their votes, how many of them vote, and how long they hold them back. */
  readonly shownTo: readonly number[]
  readonly voters: number
  readonly voteAfterMs: number
  readonly contradict: boolean
}
type Chain = ChainPlan & { readonly justification: Justification; seq: number; tip: Block; slot: Slot | null }

const PLANS = [
  ...(['secret', 'secret', 'split', 'split', 'unaware', 'asleep', 'withheld', 'ladder', 'single', 'silent'] as const),
]

export class Reign {
  readonly #director: Director
  readonly #plot: Plot
  readonly #hearsay: Hearsay
  readonly #view: number
  readonly #reason: Reason
  readonly #chains: Chain[] = []

  constructor(director: Director, plot: Plot, view: number, reason: Reason) {
    this.#director = director
    this.#plot = plot
    this.#hearsay = plot.hearsay
    this.#view = view
    this.#reason = reason
  }

  get #deltaMs(): number {
    return this.#hearsay.spec.plan.deltaMs
  }

  /** Draws a plan and carries it out. */
  begin(): void {
    const { random } = this.#director.world
    const passing = this.#contradicted()
    if (passing.length > 0 && random.chance(0.85)) return this.#exploit(passing)
    const honest = random.shuffled(this.#plot.honest)
    const straggler = this.#straggler()
    if (straggler !== null && random.chance(0.6))
      return random.chance(0.75) ? this.#ambush(straggler) : this.#unaware(honest)
    if (this.#director.world.scenario.kind === 'lying' && random.chance(0.3)) return this.#aside(honest)
    switch (random.pick(PLANS)) {
      case 'secret':
        return this.#secret(honest)
      case 'split':
        return this.#split(honest)
      case 'unaware':
        return this.#unaware(honest)
      case 'asleep':
        return this.#asleep(honest)
      case 'withheld':
        return this.#withheld(honest)
      case 'ladder':
        return this.#ladder(honest)
      case 'single':
        return this.#start(this.#full(honest, random.next() * 10))
      case 'silent':
        return
    }
  }

  #full(audience: readonly number[], startMs: number): ChainPlan {
    const voters = this.#hearsay.liars.length
    return {
      audience,
      length: 1 + this.#director.world.random.below(3),
      startMs,
      shownTo: audience,
      voters,
      voteAfterMs: 0,
      contradict: false,
    }
  }

  /** As few liars as certify what `honest` members vote for. */
  #fewest(honest: number): number {
    return Math.max(0, Math.min(this.#hearsay.liars.length, this.#hearsay.spec.sizes.q - honest))
  }

  #exploit(audience: readonly number[]): void {
    const { random } = this.#director.world
    const startMs = random.chance(0.7) ? random.next() * 20 : random.next() * 2 * this.#deltaMs
    this.#start({ ...this.#full(audience, startMs), contradict: true })
    this.#trouble()
  }

  #secret(honest: readonly number[]): void {
    const { random } = this.#director.world
    const { q, f } = this.#hearsay.spec.sizes
    const few = honest.slice(0, Math.max(1, random.chance(0.7) ? q - f : 1 + random.below(honest.length)))
    const rest = honest.slice(few.length)
    const voters = random.chance(0.6) ? this.#fewest(few.length) : this.#hearsay.liars.length
    const length = random.pick([1, 1, 2, 2, 3])
    this.#start({
      ...this.#full(few, random.next() * 5),
      length,
      shownTo: few.slice(0, random.chance(0.5) ? 1 : few.length),
      voters,
    })
    // More than 2Δ after the first vote the few commit.
    const turnMs = random.chance(0.7) ? (2 + random.next() * 0.6) * this.#deltaMs : random.next() * 4 * this.#deltaMs
    const late = random.chance(0.5) ? rest : honest
    if (random.chance(0.75))
      this.#start({ ...this.#full(late, turnMs), length: 1, shownTo: random.chance(0.5) ? late : [] })
    if (random.chance(0.7)) this.#plot.blame(this.#view, turnMs - random.next() * this.#deltaMs)
    this.#trouble()
  }

  #split(honest: readonly number[]): void {
    const { random } = this.#director.world
    const cut = 1 + random.below(Math.max(1, honest.length - 1))
    const sides = [honest.slice(0, cut), honest.slice(cut)]
    sides.forEach((side, i) => {
      const startMs = i === 0 || random.chance(0.6) ? random.next() * 10 : random.next() * 4 * this.#deltaMs
      const audience = random.chance(0.15) ? [...new Set([...side, random.pick(honest)])] : side
      const voters = random.chance(0.6) ? this.#hearsay.liars.length : random.below(this.#hearsay.liars.length + 1)
      const voteAfterMs = random.chance(0.8) ? 0 : random.next() * 3 * this.#deltaMs
      this.#start({ ...this.#full(audience, startMs), voters, voteAfterMs })
    })
    this.#trouble()
  }

  #ladder(honest: readonly number[]): void {
    const { random } = this.#director.world
    const { s, f } = this.#hearsay.spec.sizes
    const strong = honest.slice(0, Math.max(1, s - f))
    const weak = honest.slice(strong.length)
    this.#start({ ...this.#full(strong, random.next() * 10), length: 1, shownTo: strong.slice(0, 1) })
    if (weak.length > 0) this.#start({ ...this.#full(weak, random.next() * 10), length: 2 + random.below(2) })
    this.#trouble()
  }

  /**
   * Those who are here vote, and their votes reach one that has not come yet; it gets a longer chain just when they commit, and neither hears of the
   * other before.
   */
  #unaware(honest: readonly number[]): void {
    const { random } = this.#director.world
    const isHere = (organisation: number): boolean => this.#plot.coreOf(organisation)?.state.view === this.#view
    const late = honest.filter((organisation) => !isHere(organisation))
    const { q, f } = this.#hearsay.spec.sizes
    const few = [...honest.filter(isHere), ...late].slice(0, Math.max(1, q - f))
    const one = late.at(-1)
    if (one === undefined || few.includes(one) || this.#reason.kind !== 'blamed') return this.#secret(honest)
    this.#steer(few, one, 0)
    this.#start({ ...this.#full(few, 0), length: 1, shownTo: few, voters: this.#fewest(few.length) })
    const turnMs = (2.1 + random.next() * 0.8) * this.#deltaMs
    this.#plot.later(turnMs, () => this.#steer(few, one, this.#deltaMs))
    this.#start({ ...this.#full([one], turnMs), length: 2, voters: this.#fewest(1) })
    this.#plot.later(turnMs + 2 * this.#deltaMs, () => this.#steer(few, one, null))
    if (random.chance(0.7)) this.#plot.blame(this.#view, turnMs + random.next() * this.#deltaMs)
  }

  /** What passes between `few` and `one` takes `ms`, or what it does otherwise (null). */
  #steer(few: readonly number[], one: number, ms: number | null): void {
    const { honest, network } = this.#director.world
    const ends = honest.filter(({ organisation }) => few.includes(organisation))
    for (const a of ends)
      for (const b of honest.filter(({ organisation }) => organisation === one)) {
        network.steer(a, b, ms)
        network.steer(b, a, ms)
      }
  }

  /**
   * A chain for some; the others, the next leader among them, get another one and fall asleep with their votes for it in their hands, until the first
   * ones may have committed.
   */
  #asleep(honest: readonly number[]): void {
    const { world } = this.#director
    const { random } = world
    const { spec } = this.#hearsay
    const next = spec.plan.members[(this.#view + 1) % spec.sizes.n]
    const ordered = [...honest].sort((a, b) => Number(a === next) - Number(b === next))
    const awake = ordered.slice(0, Math.max(1, spec.sizes.q - spec.sizes.f))
    const sleepers = ordered.slice(awake.length)
    const startMs = random.next() * 1.2 * this.#deltaMs
    this.#start({ ...this.#full(sleepers, startMs), length: 1, voters: this.#fewest(1) })
    this.#start({ ...this.#full(awake, startMs + random.next() * 10), length: 1, voters: this.#fewest(awake.length) })
    if (world.scenario.kind === 'steady') return
    const atWrite = random.chance(0.7)
    this.#plot.later(startMs + (atWrite ? 0 : 8 + random.next() * 4), () => {
      for (const member of world.running) {
        if (!sleepers.includes(member.organisation) || world.spares(member)) continue
        const ms = (1.5 + random.next() * 3) * this.#deltaMs
        if (atWrite) member.stallAtNextWriteMs = ms
        else member.stall(ms)
      }
    })
  }

  /** A chain that honest members vote for and the liars do not, until the next view begins (plot.ts); with blames, so that it does. */
  #withheld(honest: readonly number[]): void {
    const { random } = this.#director.world
    const audience = random.chance(0.5)
      ? honest
      : honest.slice(0, Math.max(1, this.#hearsay.spec.sizes.q - this.#hearsay.spec.sizes.f))
    this.#start({ ...this.#full(audience, random.next() * 5), length: 1, shownTo: [] })
    this.#plot.blame(this.#view, random.next() * 2 * this.#deltaMs)
    if (random.chance(0.5))
      this.#start({ ...this.#full(honest.slice(-1), (0.5 + random.next()) * this.#deltaMs), length: 1, shownTo: [] })
  }

  /**
   * A CC for one member alone, on a weak chain, while nothing passes between it and the others; these get a longer chain, as weak, and learn that it
   * is not the only one before they commit. Then, mostly, the liars rest.
   */
  #aside(honest: readonly number[]): void {
    const { world } = this.#director
    const { random, network } = world
    const [one, ...others] = honest
    if (one === undefined) return
    network.partition = new Set([one])
    this.#start({ ...this.#full([one], random.next() * 5), length: 1, shownTo: [one], voters: this.#fewest(1) })
    this.#start({ ...this.#full(others, random.next() * 5), length: 2, voters: this.#fewest(others.length) })
    this.#plot.later((0.5 + random.next()) * this.#deltaMs, () => {
      const first = this.#chains.find(({ audience }) => audience.includes(one))?.slot
      if (first != null) this.#plot.vote(first, 1, others, 0)
    })
    for (let i = 1; i < 16; i++)
      this.#plot.later((2 + i / 4) * this.#deltaMs, () => this.#plot.showCommits(this.#view, one))
    this.#plot.later(6.2 * this.#deltaMs, () => {
      network.partition = null
      if (random.chance(0.8)) this.#plot.rest()
    })
  }

  /** An honest member that still waits to quit a view below this one, and when its wait may end. */
  #straggler(): { readonly organisation: number; readonly endsAt: number } | null {
    const { world } = this.#director
    for (const { organisation, quitSince } of world.running) {
      const state = this.#plot.coreOf(organisation)?.state
      if (state === undefined || state.view >= this.#view || state.quitWait !== 'running') continue
      const echoMs = world.scenario.liarsEcho ? 0 : this.#deltaMs
      return { organisation, endsAt: quitSince + 2 * this.#deltaMs + echoMs }
    }
    return null
  }

  /**
   * The others commit on a strong chain just before the straggler's wait ends, and it is shown a BC of this view, so that it quits this one too: with
   * the wait that it had begun, or a new one?
   */
  #ambush({ organisation, endsAt }: { readonly organisation: number; readonly endsAt: number }): void {
    const { random, queue } = this.#director.world
    const honest = this.#plot.honest.filter((other) => other !== organisation)
    const startMs = Math.max(0, endsAt - queue.now - random.next() * 0.4 * this.#deltaMs)
    this.#start({ ...this.#full(honest, startMs), length: 1 })
    this.#plot.target(this.#view, organisation)
    for (let i = 0; i < 2; i++)
      this.#start({ ...this.#full([random.pick(honest)], startMs + 5 + random.next() * 30), length: 1, shownTo: [] })
  }

  /** The worst moment for an honest member to crash or to stall. */
  #trouble(): void {
    const { world } = this.#director
    const { random, queue } = world
    if (world.scenario.kind === 'steady' || !world.isFaulty || !random.chance(0.4)) return
    if (random.chance(0.25)) return this.#absent()
    const target = random.pick(this.#plot.honest)
    const member = world.running.find(({ organisation }) => organisation === target)
    if (member === undefined || world.spares(member)) return
    const what = random.pick(['stall', 'stall', 'write', 'crash'] as const)
    queue.at(random.next() * 60, () => {
      if (!world.isFaulty) return
      if (what === 'stall') member.stall((0.25 + random.next() * 3.5) * this.#deltaMs)
      else if (what === 'write') member.crashAtNextWrite = 'durable'
      else world.crash(member, this.#deltaMs * random.next() * 12)
    })
  }

  /** All but two honest members are away for a while: too few are left to blame. */
  #absent(): void {
    const { world } = this.#director
    const away = world.random
      .shuffled(world.running)
      .slice(2)
      .filter((member) => !world.spares(member))
    for (const member of away) world.crash(member, (3 + world.random.next() * 6) * this.#deltaMs)
  }

  /** Those who would let pass a tip that contradicts a commit, if they and the liars are a quorum. */
  #contradicted(): number[] {
    const { honest } = this.#plot
    const justification = this.#pick(honest, true)
    const tip = justification.tip ?? this.#hearsay.spec.first
    const contradicts = this.#hearsay.committed.some((slot) => this.#isContradiction(slot, tip))
    const passing = honest.filter((organisation) => this.#lets(organisation, justification))
    return contradicts && passing.length + this.#hearsay.liars.length >= this.#hearsay.spec.sizes.q ? passing : []
  }

  #isContradiction(slot: Slot, tip: { readonly hash: string; readonly height: number }): boolean {
    const how = relation(this.#director.world.blocks, slot, tip)
    return how === 'conflicts' || how === 'extends'
  }

  /** A tip that many of `audience` let pass; if `contradict`, before all one that contradicts what an honest member has committed to. */
  #pick(audience: readonly number[], contradict: boolean): Justification {
    const { random } = this.#director.world
    const certificates = this.#hearsay.recent(30, this.#view).flatMap(({ slot }) => this.#hearsay.all(slot))
    const shown: Justification[] = [{ reason: this.#reason, tip: null, strong: null }]
    for (const tip of certificates) {
      shown.push({ reason: this.#reason, tip, strong: null })
      const strongs = certificates.filter((one) => one.view === tip.view && this.#hearsay.isStrong(one))
      if (strongs.length > 0) shown.push({ reason: this.#reason, tip, strong: random.pick(strongs) })
    }
    const { committed } = this.#hearsay
    const enough = this.#hearsay.spec.sizes.q - this.#hearsay.liars.length
    let best: Justification[] = []
    let bestScore = -1
    for (const justification of random.shuffled(shown).slice(0, 40)) {
      const passing = audience.filter((organisation) => this.#lets(organisation, justification)).length
      const tip = justification.tip ?? this.#hearsay.spec.first
      const contradicts =
        contradict && passing >= enough ? committed.filter((slot) => this.#isContradiction(slot, tip)).length : 0
      const score = passing + 100 * Math.min(1, contradicts)
      if (score > bestScore) best = []
      if (score >= bestScore) best.push(justification)
      bestScore = Math.max(score, bestScore)
    }
    return random.pick(best)
  }

  /** Whether an honest member would let the tip pass when it is, or comes, in this view. */
  #lets(organisation: number, justification: Justification): boolean {
    const { world } = this.#director
    const core = this.#plot.coreOf(organisation)
    if (core === undefined || core.state.view > this.#view) return false
    const lock = core.state.view === this.#view ? core.state.lock : core.state.lockNow
    return passesLock(
      draftOf({ ...core.state, lock, blocks: world.blocks }, world.scenario.rules ?? RULES),
      justification,
    )
  }

  #start(plan: ChainPlan): void {
    this.#plot.later(plan.startMs, () => {
      const justification = this.#pick(plan.audience, plan.contradict)
      const tip = this.#director.world.blocks.get(justification.tip?.hash ?? this.#hearsay.spec.first.hash)
      if (tip === undefined) return
      const chain: Chain = { ...plan, justification, seq: -1, tip, slot: null }
      this.#chains.push(chain)
      this.#propose(chain)
    })
  }

  /** The next block of a chain. */
  #propose(chain: Chain): void {
    const { world, proposals } = this.#director
    const { random } = world
    const { spec } = this.#hearsay
    const { justification, tip, slot: last } = chain
    const leader = this.#view % spec.sizes.n
    const seq = chain.seq + 1
    const parentCertificate = last === null ? null : this.#hearsay.least(last)
    if (seq >= spec.plan.termBlocks || (last !== null && (parentCertificate === null || tip.endsEra))) return
    const again = last === null && tip.endsEra && justification.tip !== null
    const block = again ? tip : world.newBlock(spec, tip.hash, tip.height + 1, `liar${leader}`)
    if (!again && random.chance(0.02)) world.invalid.add(block.hash)
    const slot: Slot = { view: this.#view, seq, height: block.height, hash: block.hash }
    chain.seq = seq
    chain.tip = block
    chain.slot = slot
    const message: Proposal = {
      kind: 'proposal',
      era: spec.number,
      view: this.#view,
      seq,
      block,
      leaderSignature: this.#hearsay.sign('proposal', leader, slot),
      parentCertificate,
      justification: seq === 0 ? justification : null,
    }
    proposals.set(proposalName(spec.number, slot), message)
    this.#hearsay.of(slot).leaderSignature = message.leaderSignature
    this.#plot.sendTo(chain.audience, leader, message, () => random.next() * 4)
    this.#plot.vote(slot, chain.voters, chain.shownTo, chain.voteAfterMs)
    if (random.chance(0.3))
      this.#plot.later(random.next() * 6 * this.#deltaMs, () =>
        this.#plot.vote(slot, this.#hearsay.liars.length, this.#plot.some(0.4), 0),
      )
  }

  /** An honest member runs again in this view: it is shown another chain than those before, as if it had never voted. */
  restarted(organisation: number): void {
    const { random } = this.#director.world
    if (this.#chains.length === 0 || random.chance(0.5)) return
    this.#start({ ...this.#full([organisation], (2 + random.next() * 2) * this.#deltaMs), length: 1 })
  }

  /** An honest vote came: a chain goes on once it is certified. */
  heardVote(slot: Slot): void {
    for (const chain of this.#chains) {
      if (chain.slot?.hash !== slot.hash || chain.slot.seq !== slot.seq || chain.seq + 1 >= chain.length) continue
      if (this.#hearsay.least(slot) === null) continue
      const { seq } = chain
      this.#plot.later(this.#director.world.random.next() * 10, () => chain.seq === seq && this.#propose(chain))
    }
  }
}
