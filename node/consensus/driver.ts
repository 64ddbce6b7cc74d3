/**
 * The driver: runs the consensus core of one era in the shell. Stage: block → **consensus** → ledger.
 * Invariants: events are handled one at a time, in order; the effects of a step are carried out in order; a failed write of the signing
 * record is fatal; timers and answers of an earlier era or run go nowhere. It decides nothing: what may be signed is the core's matter.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { isRepeating } from '../../protocol/consensus/delivery.ts'
import { slotKey } from '../../protocol/consensus/draft.ts'
import type { Effect, Event, Evidence, Timer } from '../../protocol/consensus/events.ts'
import { encodeRecord } from '../../protocol/consensus/record.ts'
import type { State } from '../../protocol/consensus/state.ts'
import { step } from '../../protocol/consensus/step.ts'
import type { Block, Certificate, MemberIndex, Proposal, Slot } from '../../protocol/consensus/types.ts'
import type { Verified, VerifiedParts, Verifier } from '../../protocol/consensus/verify.ts'
import {
  decodeFrame,
  encodeLinkFrame,
  encodeMessage,
  encodeProposal,
  type Frame,
  type LinkFrame,
  type ProposalParts,
} from '../../protocol/consensus/wire.ts'
import { leaderOf } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle, Vigil } from '../clock.ts'
import type { NetworkLog } from '../network/network.ts'
import { keepVigil } from '../vigil.ts'
import { Acknowledging } from './acknowledging.ts'
import { Proposals } from './proposals.ts'

/** What the driver asks of the rest of the node. */
export type DriverDependencies = {
  readonly clock: Clock
  readonly verifier: Verifier
  /** Durable write of the signing record; a rejection stops the node. */
  readonly record: { write(record: Uint8Array): Promise<void> }
  readonly links: {
    /** Small message, best effort. */
    send(to: MemberIndex, frame: Uint8Array): void
    /** Proposal, on its own channel. */
    push(to: MemberIndex, frame: Uint8Array): void
    /** Proposal to all, best effort, beside the pushes. */
    gossip(frame: Uint8Array): void
  }
  readonly blocks: BlockDuties
  readonly log: DriverLog
  /** A write failed or a bug showed: the node must stop. */
  fatal(error: unknown): void
}

/** A proposal's parts as they arrived; `frame`: the whole, where it is kept. */
export type Received = VerifiedParts & { readonly frame: Uint8Array | undefined }
/** Bodies, blocks and the ledger, as consensus needs them. Each promise may take as long as it takes. */
export type BlockDuties = {
  /** Whether the proposed block is valid (§4.1): gets its body, waits for its parent; null if it cannot tell now. A valid one is kept. */
  validate(proposal: Proposal, received: Received): Promise<boolean | null>
  /** Builds on `parent` as soon as there is work or the heartbeat is due; null if the parent is not here. */
  build(parent: string, height: number, cancelled: () => boolean): Promise<BuiltProposal | null>
  /** A block that was built here is proposed as `frame`. */
  proposed(hash: string, frame: Uint8Array): void
  /** The bytes of the proposal of `slot`, from one of `holders`; null if nobody has it. */
  fetchProposal(slot: Slot, holders: readonly MemberIndex[]): Promise<{ from: MemberIndex; frame: Uint8Array } | null>
  /** Headers from `hash` downwards, some of them; none if nobody has it. */
  fetchHeaders(hash: string, height: number): Promise<readonly Block[]>
  /** Whether the committed chain holds this block at `height`; null while it does not reach so far. */
  isCommitted(hash: string, height: number): boolean | null
  /** The block is committed: execute what is missing, write it. Resolves once it is durable. */
  commit(certificate: Certificate): Promise<void>
  assurance(certificate: Certificate): Promise<void>
  evidence(evidence: Evidence): void
}
/** A block that this leader built. */
export type BuiltProposal = { readonly block: Block; readonly parts: ProposalParts }
/** The calls of a logger that the driver uses. */
export type DriverLog = NetworkLog

/** Index of a sender that is no member: what only a certain member may send is refused. */
const NOBODY = -1
/** Nonces of echoes that measure; the core counts its own from 1. */
const MEASURING_NONCE = 2 ** 40
/** How long an echo of the consensus channel took there and back, ms. */
export type Delay = {
  /** The latest answer; null before the first. */
  readonly roundTripMs: number | null
  /** How long the echo sent last has been waiting; null once it is answered. */
  readonly waitingMs: number | null
}

/** Measured by the driver, for metrics and `status`. */
export type DriverFigures = {
  /** Linked members only. */
  readonly delays: ReadonlyMap<MemberIndex, Delay>
  readonly steps: number
  /** Stalls of more than Δ/4 since the start, and the longest gap seen, ms. */
  readonly stalls: number
  readonly longestGapMs: number
  readonly refused: ReadonlyMap<Code, number>
}

/** Runs the core from `start` until `stop`. */
export class Driver {
  readonly #deps: DriverDependencies
  #state: State
  readonly #events: Event[] = []
  #draining = false
  #stopped = false
  readonly #timers = new Set<TimerHandle>()
  readonly #proposals = new Proposals()
  /** Requests of the core under way, by name: it repeats them while it needs the answer. */
  readonly #underWay = new Set<string>()
  readonly #runs = new Map<MemberIndex, string>()
  readonly #delays = new Map<MemberIndex, { roundTripMs: number | null; sentAt: number | null }>()
  #measures = 0
  readonly #refused = new Map<Code, number>()
  readonly #listeners = new Set<(state: State) => void>()
  readonly #acknowledging: Acknowledging
  #steps = 0
  #stalls = 0
  #longestGapMs = 0
  #vigil: Vigil | undefined
  /** The repeat timer, held while nothing waits to be repeated. */
  #resting: (() => void) | undefined

  constructor(state: State, deps: DriverDependencies) {
    this.#state = state
    this.#deps = deps
    this.#acknowledging = new Acknowledging(deps.clock, state.era, deps.links.send)
  }

  /** The core's state; a value, never changed. */
  get state(): State {
    return this.#state
  }

  get figures(): DriverFigures {
    const now = this.#deps.clock.monotonic()
    return {
      delays: new Map(
        [...this.#delays].map(([member, { roundTripMs, sentAt }]) => [
          member,
          { roundTripMs, waitingMs: sentAt === null ? null : now - sentAt },
        ]),
      ),
      steps: this.#steps,
      stalls: this.#stalls,
      longestGapMs: this.#longestGapMs,
      refused: this.#refused,
    }
  }

  start(): void {
    const { clock } = this.#deps
    this.#vigil = keepVigil(clock, this.#state.era.deltaMs / 10, (gapMs) => {
      const stalled = this.#stallOf(gapMs)
      if (stalled !== null) this.dispatch(stalled)
    })
    this.dispatch({ type: 'start' })
  }

  /** A stall is told to the core before anything that was due meanwhile, timers included (§4.3). */
  #stallOf(gapMs = this.#vigil?.look() ?? 0): Event | null {
    this.#longestGapMs = Math.max(this.#longestGapMs, gapMs)
    if (gapMs <= this.#state.era.deltaMs / 4) return null
    this.#stalls += 1
    return { type: 'stalled', stalledMs: gapMs }
  }

  /**
   * Sends an echo to each linked member that owes no answer: what comes back is the delay of a small message, both members' own included,
   * which agreement.md §1 bounds by Δ each way.
   */
  measureDelays(): void {
    if (this.#stopped) return
    const nonce = MEASURING_NONCE + ++this.#measures
    const frame = encodeLinkFrame({ kind: 'echo', era: this.#state.era.era, nonce })
    for (const [member, delay] of this.#delays) {
      if (delay.sentAt !== null) continue
      delay.sentAt = this.#deps.clock.monotonic()
      this.#deps.links.send(member, frame)
    }
  }

  /** Ends all timers; nothing is sent or written from here on. */
  stop(): void {
    this.#stopped = true
    this.#vigil?.stop()
    this.#acknowledging.stop()
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  /** Calls `listener` after each step. */
  onStep(listener: (state: State) => void): void {
    this.#listeners.add(listener)
  }

  /** A link to `member` opened or closed. `run` names the member's present process. */
  link(member: MemberIndex, run: string | null): void {
    if (run === null) {
      this.#delays.delete(member)
      this.dispatch({ type: 'disconnected', member })
      return
    }
    this.#runs.set(member, run)
    this.#delays.set(member, { roundTripMs: null, sentAt: null })
    this.dispatch({ type: 'connected', member, run })
  }

  /** A frame that arrived from member `from`, `asked` for or not. Returns why it was refused, for the peer's account, or null. */
  receive(from: MemberIndex, data: Uint8Array, frame: Frame | undefined = frameOf(data), asked = false): Code | null {
    if (this.#stopped) return null
    if (frame === undefined) return this.#refuse('MESSAGE_MALFORMED')
    if (frame.kind === 'link') {
      this.#receiveLinkFrame(from, frame.frame)
      return null
    }
    const verified = this.#deps.verifier.verify(frame.message, from)
    return verified.ok ? this.#take(from, verified, data, asked) : this.#refuse(verified.code)
  }

  /** A proposal that was gossiped, by whomever: the leader's signature says whose it is. Returns why it was refused, or null. */
  receiveGossiped(data: Uint8Array, frame: Frame | undefined = frameOf(data)): Code | null {
    if (this.#stopped) return null
    if (frame === undefined || frame.kind === 'link') return this.#refuse('MESSAGE_MALFORMED')
    const verified = this.#deps.verifier.verify(frame.message, NOBODY)
    if (!verified.ok) return this.#refuse(verified.code)
    const { message } = verified
    if (message.kind !== 'proposal') return this.#refuse('MESSAGE_MALFORMED')
    return this.#take(leaderOf(message.view, this.#state.era.n), verified, data)
  }

  #take(from: MemberIndex, { message, parts, key }: Verified, data: Uint8Array, asked = false): Code | null {
    if (message.kind === 'proposal' && parts !== null) {
      // It comes by push and by gossip: the second one says nothing new, unless the core has let it go and asks for it.
      if (!asked && this.#proposals.frame(nameOf(message)) !== undefined) return null
      const { sealed, treeRoots } = parts
      this.#proposals.keepParts(message.block.hash, { ...parts, verified: { sealed, treeRoots } })
      this.#proposals.keepFrame(nameOf(message), data)
    }
    this.dispatch({ type: 'message', from, key, message })
    return null
  }

  /** The frame of a proposal that is kept here, for serving it (§3, Service). */
  proposalFrame(slot: Pick<Slot, 'view' | 'seq' | 'hash'>): Uint8Array | undefined {
    return this.#proposals.frame(slotKey(slot))
  }

  /** Bytes of the header of a proposed block that is kept here. */
  proposedHeader(hash: string): Uint8Array | undefined {
    return this.#proposals.header(hash)
  }

  /** Hands an event to the core, after those that came before it. */
  dispatch(event: Event): void {
    if (this.#stopped) return
    const stalled = this.#stallOf()
    if (stalled !== null) this.#events.push(stalled)
    this.#events.push(event)
    if (this.#draining) return
    this.#draining = true
    try {
      for (let next = this.#events.shift(); next !== undefined && !this.#stopped; next = this.#events.shift()) {
        const { state, effects } = step(this.#state, next)
        this.#state = state
        this.#steps += 1
        for (const effect of effects) this.#carryOut(effect)
      }
    } catch (error) {
      this.#deps.fatal(error)
    } finally {
      this.#draining = false
    }
    this.#wake()
    for (const listener of this.#listeners) listener(this.#state)
  }

  /** Starts the repeat timer that is held, unless it would find nothing to repeat and nothing to ask for again. */
  #wake(): void {
    const { building, requested } = this.#state
    const isBuilding = building !== null && this.#underWay.has(buildName(building))
    if (this.#stopped || (requested.size <= (isBuilding ? 1 : 0) && !isRepeating(this.#state))) return
    this.#resting?.()
    this.#resting = undefined
  }

  #refuse(code: Code): Code {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1)
    return code
  }

  #receiveLinkFrame(from: MemberIndex, frame: LinkFrame): void {
    switch (frame.kind) {
      case 'ack': {
        const run = this.#runs.get(from)
        if (run !== undefined && frame.era === this.#state.era.era)
          this.dispatch({ type: 'acknowledged', from, run, keys: frame.keys })
        return
      }
      case 'echo':
        this.#deps.links.send(from, encodeLinkFrame({ kind: 'echoed', era: frame.era, nonce: frame.nonce }))
        return
      case 'echoed': {
        if (frame.nonce >= MEASURING_NONCE) {
          const delay = this.#delays.get(from)
          if (delay?.sentAt == null) return
          delay.roundTripMs = this.#deps.clock.monotonic() - delay.sentAt
          delay.sentAt = null
          return
        }
        this.dispatch({ type: 'echoed', from, nonce: frame.nonce })
      }
    }
  }

  #carryOut(effect: Effect): void {
    const { blocks, links, record, log } = this.#deps
    const era = this.#state.era.era
    switch (effect.type) {
      case 'persist':
        record.write(encodeRecord(effect.record)).then(
          () => this.dispatch({ type: 'persisted', ticket: effect.ticket }),
          (error) => this.#deps.fatal(error),
        )
        return
      case 'send': {
        if (effect.message.kind !== 'proposal') {
          // What is owed to the same member leaves with it.
          this.#acknowledging.now(effect.to)
          return links.send(effect.to, encodeMessage(effect.message))
        }
        if (!this.#proposals.has(effect.message.block.hash))
          return log.warn({ hash: effect.message.block.hash }, 'a proposal whose header is not kept')
        let frame = this.#proposals.frame(nameOf(effect.message))
        if (frame === undefined) {
          frame = encodeProposal(effect.message, this.#proposals.parts(effect.message.block.hash) as ProposalParts)
          this.#proposals.keepFrame(nameOf(effect.message), frame)
          blocks.proposed(effect.message.block.hash, frame)
          links.gossip(frame)
        }
        return links.push(effect.to, frame)
      }
      case 'acknowledge':
        return this.#acknowledging.soon(effect.to, effect.keys)
      case 'startTimer':
        // Nothing is repeated while nothing waits: an idle node sleeps.
        if (effect.timer.kind !== 'repeat') return this.#startTimer(effect.timer, effect.afterMs)
        this.#resting = () => this.#startTimer(effect.timer, effect.afterMs)
        return
      case 'echo':
        for (const to of effect.to) links.send(to, encodeLinkFrame({ kind: 'echo', era, nonce: effect.nonce }))
        return
      case 'validate': {
        const parts = this.#proposals.parts(effect.proposal.block.hash)
        if (parts?.verified == null) return
        const { hash } = effect.proposal.block
        const received = { ...parts, ...parts.verified, frame: this.#proposals.frame(nameOf(effect.proposal)) }
        return this.#request(
          `validate/${hash}`,
          () => blocks.validate(effect.proposal, received),
          (valid) => {
            if (valid !== null) this.dispatch({ type: 'validated', hash, valid })
          },
        )
      }
      case 'build': {
        const { view, seq } = effect
        const cancelled = (): boolean =>
          this.#stopped || this.#state.building?.view !== view || this.#state.building.seq !== seq
        return this.#request(
          buildName(effect),
          () => blocks.build(effect.parent, effect.height, cancelled),
          (built) => {
            if (built === null) return
            this.#proposals.keepParts(built.block.hash, { ...built.parts, verified: null })
            this.dispatch({ type: 'built', view, seq, block: built.block })
          },
        )
      }
      case 'fetchProposal':
        return this.#request(
          `proposal/${effect.slot.hash}/${effect.holders.join()}`,
          () => blocks.fetchProposal(effect.slot, effect.holders),
          (found) => {
            if (found !== null) this.receive(found.from, found.frame, undefined, true)
          },
        )
      case 'fetchHeaders':
        return this.#request(
          `headers/${effect.hash}`,
          () => blocks.fetchHeaders(effect.hash, effect.height),
          (headers) => {
            if (headers.length > 0) this.dispatch({ type: 'headers', blocks: headers })
          },
        )
      case 'checkCommitted': {
        const committed = blocks.isCommitted(effect.hash, effect.height)
        if (committed !== null) this.dispatch({ type: 'checked', hash: effect.hash, committed })
        return
      }
      case 'eraEnded':
        // The next one begins once its last block is in the ledger, with this or another certificate (eras.ts).
        return log.info({ era, height: effect.certificate.height }, 'the era has ended')
      case 'commit':
        return this.#answer(blocks.commit(effect.certificate), () => {
          this.dispatch({ type: 'applied', hash: effect.certificate.hash })
        })
      case 'assurance':
        return this.#answer(blocks.assurance(effect.certificate), () => undefined)
      case 'evidence':
        log.warn({ evidence: effect.evidence.kind }, 'evidence of misbehaviour')
        return blocks.evidence(effect.evidence)
      case 'viewEntered':
        log.info({ view: effect.view, reason: effect.reason }, 'view entered')
    }
  }

  /** What comes of a duty is an event like any other; what it throws stops the node. */
  #answer<T>(duty: Promise<T>, then: (value: T) => void): void {
    duty
      .then((value) => {
        if (!this.#stopped) then(value)
      })
      .catch((error) => {
        if (!this.#stopped) this.#deps.fatal(error)
      })
  }

  /** A request of the core: repeated while it is under way, it is made once. */
  #request<T>(name: string, ask: () => Promise<T>, then: (value: T) => void): void {
    if (this.#underWay.has(name)) return
    this.#underWay.add(name)
    this.#answer(
      ask().finally(() => {
        this.#underWay.delete(name)
        this.#wake()
      }),
      then,
    )
  }

  #startTimer(timer: Timer, afterMs: number): void {
    const handle = this.#deps.clock.after(afterMs, () => {
      this.#timers.delete(handle)
      this.dispatch({ type: 'elapsed', timer })
    })
    this.#timers.add(handle)
  }
}

/** Name of a request for a block. */
const buildName = ({ view, seq, parent }: { view: number; seq: number; parent: string }): string =>
  `build/${view}/${seq}/${parent}`

/** Name of the frame of a proposal. */
const nameOf = ({ view, seq, block }: Proposal): string => slotKey({ view, seq, hash: block.hash })

/** The frame in `data`, or undefined where it holds none. */
export function frameOf(data: Uint8Array): Frame | undefined {
  try {
    return decodeFrame(data)
  } catch {
    return undefined
  }
}

/** The core's view of a sealed header. */
export const blockOf = ({ header, hash }: SealedHeader): Block => ({
  hash: toHex(hash),
  parent: toHex(header.parent),
  height: header.height,
  endsEra: header.nextMemberSetHash !== null,
})
