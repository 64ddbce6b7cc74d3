/**
 * The driver: runs the consensus core of one era in the shell. Stage: block → **consensus** → ledger.
 * Invariants: events are handled one at a time, in order; the effects of a step are carried out in order; a failed write of the signing
 * record is fatal; timers and answers of an earlier era or run go nowhere. It decides nothing: what may be signed is the core's matter.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import type { Effect, Event, Evidence, Timer } from '../../protocol/consensus/events.ts'
import { encodeRecord } from '../../protocol/consensus/record.ts'
import type { State } from '../../protocol/consensus/state.ts'
import { step } from '../../protocol/consensus/step.ts'
import type { Block, Certificate, MemberIndex, Proposal, Slot } from '../../protocol/consensus/types.ts'
import type { Verifier } from '../../protocol/consensus/verify.ts'
import {
  acknowledgements,
  decodeFrame,
  encodeLinkFrame,
  encodeMessage,
  encodeProposal,
  type LinkFrame,
  type ProposalParts,
} from '../../protocol/consensus/wire.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'

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
  }
  readonly blocks: BlockDuties
  readonly log: DriverLog
  /** A write failed or a bug showed: the node must stop. */
  fatal(error: unknown): void
}

/** Bodies, blocks and the ledger, as consensus needs them. Each promise may take as long as it takes. */
export type BlockDuties = {
  /** Whether the proposed block is valid (§4.1): gets its body and waits for its parent first; null if it cannot tell now. */
  validate(proposal: Proposal, parts: ProposalParts & { readonly sealed: SealedHeader }): Promise<boolean | null>
  /** Builds on `parent` as soon as there is work or the heartbeat is due; null if the parent is not here. */
  build(parent: string, height: number, cancelled: () => boolean): Promise<BuiltProposal | null>
  /** The bytes of the proposal of `slot`, from one of `holders`; null if nobody has it. */
  fetchProposal(slot: Slot, holders: readonly MemberIndex[]): Promise<{ from: MemberIndex; frame: Uint8Array } | null>
  /** Headers from `hash` downwards, some of them; none if nobody has it. */
  fetchHeaders(hash: string, height: number): Promise<readonly Block[]>
  /** Whether the committed chain holds this block at `height`; null while it does not reach so far. */
  isCommitted(hash: string, height: number): boolean | null
  /** The block is committed: execute what is missing, write it. Resolves once it is durable. */
  commit(certificate: Certificate): Promise<void>
  assurance(certificate: Certificate): void
  evidence(evidence: Evidence): void
}
/** A block that this leader built. */
export type BuiltProposal = { readonly block: Block; readonly parts: ProposalParts }
/** The calls of a logger that the driver uses. */
export type DriverLog = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Proposals whose wire parts are kept for validating, sending and serving. */
const PARTS_MAX = 512

/** Measured by the driver, for metrics and `status`. */
export type DriverFigures = {
  /** Round trips of echoes, ms, by member: the latest. */
  readonly echoRoundTripMs: ReadonlyMap<MemberIndex, number>
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
  readonly #parts = new Map<string, ProposalParts & { readonly sealed: SealedHeader | null }>()
  readonly #frames = new Map<string, Uint8Array>()
  /** Requests of the core under way, by name: it repeats them while it needs the answer. */
  readonly #underWay = new Set<string>()
  readonly #runs = new Map<MemberIndex, string>()
  readonly #echoes = new Map<number, number>()
  readonly #echoRoundTripMs = new Map<MemberIndex, number>()
  readonly #refused = new Map<Code, number>()
  readonly #listeners = new Set<(state: State) => void>()
  #steps = 0
  #stalls = 0
  #longestGapMs = 0
  #lastAwake = 0

  constructor(state: State, deps: DriverDependencies) {
    this.#state = state
    this.#deps = deps
  }

  /** The core's state; a value, never changed. */
  get state(): State {
    return this.#state
  }

  get figures(): DriverFigures {
    return {
      echoRoundTripMs: this.#echoRoundTripMs,
      steps: this.#steps,
      stalls: this.#stalls,
      longestGapMs: this.#longestGapMs,
      refused: this.#refused,
    }
  }

  start(): void {
    this.#lastAwake = this.#deps.clock.monotonic()
    this.dispatch({ type: 'start' })
    this.#tick()
  }

  /** Keeps `#lastAwake` fresh, so that a gap means that this process did not run (§4.3). */
  #tick(): void {
    const handle = this.#deps.clock.after(this.#state.era.deltaMs / 10, () => {
      this.#timers.delete(handle)
      this.#noticeStall()
      if (!this.#stopped) this.#tick()
    })
    this.#timers.add(handle)
  }

  /** A stall is told to the core before anything that was due meanwhile, timers included (§4.3). */
  #noticeStall(): void {
    const now = this.#deps.clock.monotonic()
    const stalledMs = now - this.#lastAwake
    this.#lastAwake = now
    this.#longestGapMs = Math.max(this.#longestGapMs, stalledMs)
    if (stalledMs <= this.#state.era.deltaMs / 4) return
    this.#stalls += 1
    this.#events.push({ type: 'stalled', stalledMs })
  }

  /** Ends all timers; nothing is sent or written from here on. */
  stop(): void {
    this.#stopped = true
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
      this.dispatch({ type: 'disconnected', member })
      return
    }
    this.#runs.set(member, run)
    this.dispatch({ type: 'connected', member, run })
  }

  /** A frame that arrived from member `from`. Returns why it was refused, for the peer's account, or null. */
  receive(from: MemberIndex, data: Uint8Array): Code | null {
    if (this.#stopped) return null
    let frame: ReturnType<typeof decodeFrame>
    try {
      frame = decodeFrame(data)
    } catch {
      return this.#refuse('MESSAGE_MALFORMED')
    }
    if (frame.kind === 'link') {
      this.#receiveLinkFrame(from, frame.frame)
      return null
    }
    const verified = this.#deps.verifier.verify(frame.message, from)
    if (!verified.ok) return this.#refuse(verified.code)
    if (verified.message.kind === 'proposal' && verified.parts !== null) {
      this.#keepParts(verified.message.block.hash, verified.parts)
      this.#keepFrame(verified.message, data)
    }
    this.dispatch({ type: 'message', from, key: verified.key, message: verified.message })
    return null
  }

  /** The frame of a proposal that is kept here, for serving it (§3, Service). */
  proposalFrame(slot: Pick<Slot, 'view' | 'seq' | 'hash'>): Uint8Array | undefined {
    return this.#frames.get(`${slot.view}/${slot.seq}/${slot.hash}`)
  }

  /** Bytes of the header of a proposed block that is kept here. */
  proposedHeader(hash: string): Uint8Array | undefined {
    return this.#parts.get(hash)?.header
  }

  /** Hands an event to the core, after those that came before it. */
  dispatch(event: Event): void {
    if (this.#stopped) return
    this.#noticeStall()
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
    for (const listener of this.#listeners) listener(this.#state)
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
        const sentAt = this.#echoes.get(frame.nonce)
        if (sentAt !== undefined) this.#echoRoundTripMs.set(from, this.#deps.clock.monotonic() - sentAt)
        this.dispatch({ type: 'echoed', from, nonce: frame.nonce })
      }
    }
  }

  #carryOut(effect: Effect): void {
    const { blocks, links, record, clock, log } = this.#deps
    const era = this.#state.era.era
    switch (effect.type) {
      case 'persist':
        record.write(encodeRecord(effect.record)).then(
          () => this.dispatch({ type: 'persisted', ticket: effect.ticket }),
          (error) => this.#deps.fatal(error),
        )
        return
      case 'send': {
        if (effect.message.kind !== 'proposal') return links.send(effect.to, encodeMessage(effect.message))
        const parts = this.#parts.get(effect.message.block.hash)
        if (parts === undefined)
          return log.warn({ hash: effect.message.block.hash }, 'a proposal whose header is not kept')
        const key = `${effect.message.view}/${effect.message.seq}/${effect.message.block.hash}`
        const frame = this.#frames.get(key) ?? encodeProposal(effect.message, parts)
        this.#keepFrame(effect.message, frame)
        return links.push(effect.to, frame)
      }
      case 'acknowledge':
        for (const frame of acknowledgements(era, effect.keys)) links.send(effect.to, frame)
        return
      case 'startTimer':
        return this.#startTimer(effect.timer, effect.afterMs)
      case 'echo':
        this.#echoes.set(effect.nonce, clock.monotonic())
        if (this.#echoes.size > 64) this.#echoes.delete(this.#echoes.keys().next().value as number)
        for (const to of effect.to) links.send(to, encodeLinkFrame({ kind: 'echo', era, nonce: effect.nonce }))
        return
      case 'validate': {
        const parts = this.#parts.get(effect.proposal.block.hash)
        if (parts?.sealed == null) return
        const { hash } = effect.proposal.block
        const { sealed } = parts
        return this.#request(
          `validate/${hash}`,
          () => blocks.validate(effect.proposal, { ...parts, sealed }),
          (valid) => {
            if (valid !== null) this.dispatch({ type: 'validated', hash, valid })
          },
        )
      }
      case 'build': {
        const { view, seq } = effect
        const cancelled = (): boolean =>
          this.#stopped || this.#state.building?.view !== view || this.#state.building.seq !== seq
        const name = `build/${view}/${seq}/${effect.parent}`
        return this.#request(
          name,
          () => blocks.build(effect.parent, effect.height, cancelled),
          (built) => {
            if (built === null) return
            this.#keepParts(built.block.hash, { ...built.parts, sealed: null })
            this.dispatch({ type: 'built', view, seq, block: built.block })
          },
        )
      }
      case 'fetchProposal':
        return this.#request(
          `proposal/${effect.slot.hash}/${effect.holders.join()}`,
          () => blocks.fetchProposal(effect.slot, effect.holders),
          (found) => {
            if (found !== null) this.receive(found.from, found.frame)
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
        return log.warn({ height: effect.certificate.height }, 'the era has ended')
      case 'commit':
        return this.#answer(blocks.commit(effect.certificate), () => {
          this.dispatch({ type: 'applied', hash: effect.certificate.hash })
        })
      case 'assurance':
        return blocks.assurance(effect.certificate)
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
      ask().finally(() => this.#underWay.delete(name)),
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

  #keepParts(hash: string, parts: ProposalParts & { readonly sealed: SealedHeader | null }): void {
    this.#parts.set(hash, parts)
    if (this.#parts.size > PARTS_MAX) this.#parts.delete(this.#parts.keys().next().value as string)
  }

  #keepFrame({ view, seq, block }: Proposal, frame: Uint8Array): void {
    this.#frames.set(`${view}/${seq}/${block.hash}`, frame)
    if (this.#frames.size > PARTS_MAX) this.#frames.delete(this.#frames.keys().next().value as string)
  }
}

/** The core's view of a sealed header. */
export const blockOf = ({ header, hash }: SealedHeader): Block => ({
  hash: toHex(hash),
  parent: toHex(header.parent),
  height: header.height,
  endsEra: header.nextMemberSetHash !== null,
})
