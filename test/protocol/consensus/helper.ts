/**
 * The core by hand: one member, its events one at a time, everything that the text says about it readable in a few words.
 * Signatures are texts; the disk answers at once unless a test holds it; every other member is connected and answers echoes.
 */

import type { Effect, Event, Timer } from '../../../protocol/consensus/events.ts'
import type { State } from '../../../protocol/consensus/state.ts'
import { type Beginning, initialState, step } from '../../../protocol/consensus/step.ts'
import type {
  Answer,
  BlameCertificate,
  Block,
  Certificate,
  Era,
  Justification,
  Lock,
  MemberIndex,
  Message,
  Proposal,
  Reason,
  Signer,
  SigningRecord,
  Slot,
} from '../../../protocol/consensus/types.ts'
import { quorumSizes } from '../../../protocol/members.ts'

export const DELTA_MS = 100
export const FIRST: Block = { hash: 'first', parent: 'none', height: 0, endsEra: false }

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const signer: Signer = {
  slot: (domain, era, slot) => text(`${domain}/${era}/${slot.view}/${slot.seq}/${slot.height}/${slot.hash}`),
  blame: (era, view) => text(`blame/${era}/${view}`),
  status: (era, view) => text(`status/${era}/${view}`),
}

/** The block `hash` on `parent`. */
export const child = (parent: Block, hash: string, endsEra = false): Block => ({
  hash,
  parent: parent.hash,
  height: parent.height + 1,
  endsEra,
})
export const at = (view: number, seq: number, block: Block): Slot => ({
  view,
  seq,
  height: block.height,
  hash: block.hash,
})
const by = (members: readonly MemberIndex[]): Map<MemberIndex, Uint8Array> =>
  new Map(members.map((m) => [m, text(`by ${m}`)]))
/** Votes of `members` for `slot`. */
export const votes = (slot: Slot, members: readonly MemberIndex[]): Certificate => ({
  ...slot,
  kind: 'vote',
  signatures: by(members),
})
/** Commits of `members` for `slot`: a CC. */
export const commits = (slot: Slot, members: readonly MemberIndex[]): Certificate => ({
  ...votes(slot, members),
  kind: 'commit',
})
export const blames = (view: number, members: readonly MemberIndex[]): BlameCertificate => ({
  view,
  signatures: by(members),
})
export const closedBy = (certificate: Certificate): Reason => ({ kind: 'closed', certificate })
export const blamedBy = (certificate: BlameCertificate): Reason => ({ kind: 'blamed', certificate })
export const START: Reason = { kind: 'start', certificate: null }
export const STARTED: Justification = { reason: START, tip: null, strong: null }

type MessageOf<K extends Message['kind']> = Message & { readonly kind: K }

/** One member. */
export class Hand {
  readonly era: Era
  state: State
  /** All effects so far. */
  readonly effects: Effect[] = []
  /** While true the disk does not answer; `write` makes it. */
  diskHeld = false
  #unwritten: number[] = []

  constructor(
    n: number,
    me: MemberIndex,
    rest: Partial<Era> & { beginning?: Beginning; blocks?: Block[]; head?: Certificate; percent?: number } = {},
  ) {
    const { beginning = { kind: 'fresh' }, blocks = [], head = null, percent = 51, ...changes } = rest
    this.era = {
      era: 0,
      ...quorumSizes(n, percent),
      me,
      deltaMs: DELTA_MS,
      termBlocks: 4,
      heartbeatMs: 1000,
      bodyAllowanceMs: 200,
      timeoutDoublingsMax: 3,
      first: FIRST,
      ...changes,
    }
    this.state = initialState(this.era, signer, beginning, { blocks, certificate: head })
  }

  /** Gives events, and lets the disk answer each write at once; returns the effects of them all. */
  give(...events: Event[]): Effect[] {
    const before = this.effects.length
    for (const event of events) this.#step(event)
    return this.effects.slice(before)
  }

  #step(event: Event): void {
    const { state, effects } = step(this.state, event)
    this.state = state
    this.effects.push(...effects)
    for (const effect of effects) if (effect.type === 'persist') this.#unwritten.push(effect.ticket)
    if (!this.diskHeld) this.#write()
  }
  #write(): void {
    for (let ticket = this.#unwritten.shift(); ticket !== undefined; ticket = this.#unwritten.shift())
      this.#step({ type: 'persisted', ticket })
  }
  /** The disk answers what it holds, once each; returns the effects. */
  write(): Effect[] {
    const before = this.effects.length
    const due = this.#unwritten
    this.#unwritten = []
    for (const ticket of due) this.#step({ type: 'persisted', ticket })
    return this.effects.slice(before)
  }

  get others(): MemberIndex[] {
    return Array.from({ length: this.era.n }, (_, i) => i).filter((i) => i !== this.era.me)
  }
  /** First event, and links to all others. */
  start(): this {
    this.give({ type: 'start' }, ...this.others.map((member): Event => ({ type: 'connected', member, run: 'run 1' })))
    return this
  }

  /** Messages from others. The sender of a proposal is the leader. */
  receive(...messages: Message[]): Effect[] {
    return messages.flatMap((message) => {
      const from =
        'from' in message
          ? message.from
          : message.kind === 'proposal'
            ? message.view % this.era.n
            : (this.others[0] as MemberIndex)
      return this.give({ type: 'message', from, key: 'key', message })
    })
  }
  receiveFrom(from: MemberIndex, message: Message, key = 'key'): Effect[] {
    return this.give({ type: 'message', from, key, message })
  }
  valid(...blocks: Block[]): Effect[] {
    return this.give(...blocks.map(({ hash }): Event => ({ type: 'validated', hash, valid: true })))
  }
  /** A proposal arrives and its block is found valid. */
  accept(proposal: Proposal): Effect[] {
    return [...this.receive(proposal), ...this.valid(proposal.block)]
  }
  /** All others acknowledge this member's vote for `slot`. */
  acknowledge(slot: Slot, members = this.others): Effect[] {
    const keys = [`vote/${slot.view}/${slot.seq}/${slot.hash}`]
    return this.give(...members.map((from): Event => ({ type: 'acknowledged', from, run: 'run 1', keys })))
  }

  /** The newest timer of a kind that was started. */
  timer<K extends Timer['kind']>(kind: K): { timer: Timer & { kind: K }; afterMs: number } {
    const found = this.effects.findLast((effect) => effect.type === 'startTimer' && effect.timer.kind === kind)
    if (found?.type !== 'startTimer') throw new Error(`no timer ${kind}`)
    return { timer: found.timer as Timer & { kind: K }, afterMs: found.afterMs }
  }
  /** The newest timer of a kind runs out, and every link answers the echo. */
  elapse(kind: Timer['kind']): Effect[] {
    const fired = this.give({ type: 'elapsed', timer: this.timer(kind).timer })
    return [...fired, ...this.answerEchoes(fired)]
  }
  /** A stall is noticed, and every link answers the echo that tells when its inbox has been read. */
  stall(stalledMs: number): Effect[] {
    const effects = this.give({ type: 'stalled', stalledMs })
    return [...effects, ...this.answerEchoes(effects)]
  }
  answerEchoes(effects: readonly Effect[]): Effect[] {
    return effects.flatMap((effect) =>
      effect.type === 'echo'
        ? this.give(...effect.to.map((from): Event => ({ type: 'echoed', from, nonce: effect.nonce })))
        : [],
    )
  }

  proposal(view: number, seq: number, block: Block, rest: Partial<Proposal> = {}): Proposal {
    return {
      kind: 'proposal',
      era: 0,
      view,
      seq,
      block,
      leaderSignature: text(`leader ${block.hash}`),
      parentCertificate: null,
      justification: seq === 0 ? STARTED : null,
      ...rest,
    }
  }
  vote(from: MemberIndex, slot: Slot): MessageOf<'vote'> {
    const leaderSignature = text(`leader ${slot.hash}`)
    return { kind: 'vote', era: 0, slot, from, signature: text(`by ${from}`), leaderSignature }
  }
  commit(from: MemberIndex, certificate: Certificate): MessageOf<'commit'> {
    const { view, seq, height, hash } = certificate
    return {
      kind: 'commit',
      era: 0,
      slot: { view, seq, height, hash },
      from,
      signature: text(`by ${from}`),
      certificate,
    }
  }
  blame(from: MemberIndex, view: number): MessageOf<'blame'> {
    return { kind: 'blame', era: 0, view, from, signature: text(`by ${from}`), equivocation: null }
  }
  status(
    from: MemberIndex,
    view: number,
    tip: Certificate | null,
    strong: Certificate | null = null,
  ): MessageOf<'status'> {
    return { kind: 'status', era: 0, view, from, signature: text(`by ${from}`), tip, strong }
  }
  cc(certificate: Certificate): MessageOf<'cc'> {
    return { kind: 'cc', era: 0, certificate }
  }
  bc(certificate: BlameCertificate): MessageOf<'bc'> {
    return { kind: 'bc', era: 0, certificate }
  }
  answer(view: number, reason: Reason, rest: Partial<Answer> = {}): Answer {
    return {
      kind: 'answer',
      era: 0,
      nonce: this.state.askNonce,
      view,
      reason,
      tip: null,
      strong: null,
      signed: [],
      equivocation: null,
      highest: null,
      ...rest,
    }
  }
  /** Votes of `members` arrive one by one. */
  receiveVotes(slot: Slot, members: readonly MemberIndex[]): Effect[] {
    return this.receive(...members.map((from) => this.vote(from, slot)))
  }

  /** The record that was written last. */
  get record(): SigningRecord {
    const found = this.effects.findLast((effect) => effect.type === 'persist')
    if (found?.type !== 'persist') throw new Error('nothing was written')
    return found.record
  }
}

/** Messages of a kind that leave in `effects`, one for each thing said. */
export function sent<K extends Message['kind']>(effects: readonly Effect[], kind: K): MessageOf<K>[] {
  const seen = new Map<string, MessageOf<K>>()
  for (const effect of effects)
    if (effect.type === 'send' && effect.message.kind === kind) seen.set(effect.key, effect.message as MessageOf<K>)
  return [...seen.values()]
}
/** Receivers of messages of a kind. */
export const receivers = (effects: readonly Effect[], kind: Message['kind']): MemberIndex[] =>
  effects.flatMap((effect) => (effect.type === 'send' && effect.message.kind === kind ? [effect.to] : []))
/** Hashes that votes or commits in `effects` are for. */
export const hashes = (effects: readonly Effect[], kind: 'vote' | 'commit'): string[] =>
  sent(effects, kind).map(({ slot }) => slot.hash)
export const ofType = <T extends Effect['type']>(effects: readonly Effect[], type: T): (Effect & { type: T })[] =>
  effects.filter((effect): effect is Effect & { type: T } => effect.type === type)
/** (w, σ, τ) and tip. */
export const rank = ({ view, strongSeq, tipSeq, tip }: Lock): readonly [number, number, number, string] => [
  view,
  strongSeq,
  tipSeq,
  tip,
]
