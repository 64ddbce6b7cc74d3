/**
 * RTU: its few members: a subscription to each, for ever, and questions to those that let it in.
 * Invariants: one attempt at a time for each member, further and further apart, with jitter; a member that sends or says what nobody honest
 * does is set aside for a while; what changes is logged once, not at every attempt.
 */
import { CborError } from '../../protocol/cbor.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { type AlthingError, isAlthingError } from '../errors.ts'
import { LIGHT_LIMITS } from '../light/limits.ts'
import { decodeAnswer, type LightAnswer } from '../light/messages.ts'
import { TokenBucket } from '../network/limiter.ts'
import type { Network, NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'

/** Times, ms. */
export type MembersOptions = {
  /** Before the second attempt; doubled from one to the next. */
  readonly retryMs: number
  readonly retryMsMax: number
  /** How long a member that was caught lying is not asked. */
  readonly setAsideMs: number
  /** Least time between two complaints that nobody lets this device in. */
  readonly complainMs: number
}
/** From one second to half a minute apart. */
export const MEMBERS_DEFAULTS: MembersOptions = {
  retryMs: 1000,
  retryMsMax: 30_000,
  setAsideMs: 120_000,
  complainMs: 600_000,
}

/**
 * How it stands with a member. `unreachable`: nothing answers there. `refused`: it answers and lets this device not in. `set aside`: it was
 * caught lying.
 */
export type MemberState = 'connecting' | 'up' | 'unreachable' | 'refused' | 'set aside'
/** One member, for logs and status. */
export type MemberStatus = { readonly name: string; readonly state: MemberState }
/** Who a member is. */
export type MemberName = { readonly name: string; readonly publicKey: PublicKeyHex }

/** What the links use. */
export type MembersNeeds = {
  readonly network: Pick<Network, 'openPush' | 'request'>
  readonly log: NetworkLog
  /** Judges a pushed frame. */
  frame(member: MemberName, bytes: Uint8Array): Code
  /** A member lets this device in. */
  up(): void
  /** What an operator can do where all that answer refuse this device. */
  advice: string
}

type Link = Pick<MemberName, 'name'> & {
  publicKey: PublicKeyHex
  state: MemberState
  attempts: number
  setAsideUntil: number
  readonly questions: TokenBucket
  readonly alarm: Alarm
  drop: (() => void) | undefined
}

/** Links to all configured members. */
export class Members {
  readonly #options: MembersOptions
  readonly #needs: MembersNeeds
  readonly #links: readonly Link[]
  readonly #stopping = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #turn = 0
  #complainedAt = Number.NEGATIVE_INFINITY

  constructor(members: readonly MemberName[], options: MembersOptions, needs: MembersNeeds) {
    this.#options = options
    this.#needs = needs
    this.#links = members.map((member) => ({
      ...member,
      state: 'connecting',
      attempts: 0,
      setAsideUntil: Number.NEGATIVE_INFINITY,
      // Half of what a member allows, so that this device is never the one that asks too much.
      questions: new TokenBucket(LIGHT_LIMITS.questionsPerSecond / 2, LIGHT_LIMITS.questionsBurst / 2),
      alarm: new Alarm(),
      drop: undefined,
    }))
  }

  start(): void {
    this.#running = Promise.all(this.#links.map((link) => this.#keep(link)))
  }

  /** Ends all subscriptions and attempts; resolves once none is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const link of this.#links) link.drop?.()
    await this.#running
  }

  /** How many are configured. */
  get count(): number {
    return this.#links.length
  }

  /** Whether any lets this device in. */
  get isUp(): boolean {
    return this.#links.some(({ state }) => state === 'up')
  }

  /** Those that let this device in, each time another one first. */
  inTurn(): MemberName[] {
    const up = this.#links.filter(({ state }) => state === 'up')
    const first = up.length === 0 ? 0 : this.#turn++ % up.length
    return [...up.slice(first), ...up.slice(0, first)]
  }

  get status(): MemberStatus[] {
    return this.#links.map(({ name, state }) => ({ name, state }))
  }

  /**
   * Asks a member. undefined: no answer now (it is gone, slow or busy), or one that is none, for which it is set aside. Waits for its turn
   * where this device asks much.
   */
  ask(member: MemberName, question: string, data: Uint8Array): Promise<LightAnswer | undefined> {
    return this.askFor(member, question, data, decodeAnswer)
  }

  /** The same, where the answer has another form; `decode` throws `CborError` on one that is none. */
  async askFor<T>(
    member: MemberName,
    question: string,
    data: Uint8Array,
    decode: (answer: Uint8Array) => T,
  ): Promise<T | undefined> {
    const link = this.#linkOf(member)
    if (link === undefined) return undefined
    const waitMs = link.questions.charge(1)
    if (waitMs > 0) await new Alarm().wait(waitMs, this.#stopping.signal)
    if (this.#stopping.signal.aborted || link.state !== 'up') return undefined
    try {
      return decode(
        await this.#needs.network.request(member.publicKey, question, data, {
          timeoutMs: LIGHT_LIMITS.answerTimeoutMs,
          bytesMax: LIGHT_LIMITS.answerBytesMax,
        }),
      )
    } catch (error) {
      if (error instanceof CborError) this.fault(member, 'MESSAGE_MALFORMED', question)
      else if (isAlthingError(error))
        this.#needs.log.debug({ member: member.name, question, code: error.code }, 'no answer')
      else throw error
      return undefined
    }
  }

  /** What a member sent or said was `code`. What the table rejects sets it aside. */
  fault(member: MemberName, code: Code, about: string): void {
    if (VERDICTS[code].verdict !== 'reject') return
    const link = this.#linkOf(member)
    if (link === undefined) return
    const { setAsideMs } = this.#options
    this.#needs.log.warn(
      { member: link.name, code, about, reason: VERDICTS[code].text, setAsideMs },
      'a member sent what no honest one does; it is set aside for a while',
    )
    link.state = 'set aside'
    link.setAsideUntil = performance.now() + setAsideMs
    link.drop?.()
  }

  /** A member has another key now: the subscription under the old one ends, and one under the new one is tried. */
  rename(name: string, publicKey: PublicKeyHex): void {
    const link = this.#links.find((one) => one.name === name)
    if (link === undefined || link.publicKey === publicKey) return
    link.publicKey = publicKey
    link.attempts = 0
    link.drop?.()
  }

  /** undefined for a member that has changed its key since it was named. */
  #linkOf({ publicKey }: MemberName): Link | undefined {
    return this.#links.find((link) => link.publicKey === publicKey)
  }

  /** Subscribes again and again, until the stop. */
  async #keep(link: Link): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const asideMs = link.setAsideUntil - performance.now()
      if (asideMs > 0) await link.alarm.wait(asideMs, signal)
      else {
        const failure = await this.#subscribe(link)
        if (failure !== undefined) this.#failed(link, failure)
        const { retryMs, retryMsMax } = this.#options
        await link.alarm.wait(withJitter(Math.min(retryMsMax, retryMs * 2 ** Math.min(16, link.attempts++))), signal)
      }
    }
  }

  /** One subscription, as long as it lasts; why there was none, or undefined if there was. */
  async #subscribe(link: Link): Promise<AlthingError | undefined> {
    const { network, log } = this.#needs
    try {
      const subscription = await network.openPush(link.publicKey, (_, bytes) => this.#heard(link, bytes))
      link.drop = () => subscription.close()
      if (this.#stopping.signal.aborted) subscription.close()
      this.#enter(link, 'up', {})
      this.#needs.up()
      const since = performance.now()
      const reason = await subscription.ended
      // One that ends at once, again and again, is no better than none.
      if (performance.now() - since > this.#options.retryMsMax) link.attempts = 0
      if (link.state === 'up') link.state = 'connecting'
      if (!this.#stopping.signal.aborted) log.info({ member: link.name, problem: reason?.message }, 'member lost')
      return undefined
    } catch (error) {
      if (!isAlthingError(error)) throw error
      return error
    } finally {
      link.drop = undefined
    }
  }

  #heard(link: Link, bytes: Uint8Array): void {
    const code = this.#needs.frame(link, bytes)
    this.fault(link, code, 'push')
  }

  #failed(link: Link, error: AlthingError): void {
    if (this.#stopping.signal.aborted) return
    const cause = error.cause instanceof Error ? error.cause.message : error.message
    // A connection that ends before the hello was made with the right key at the other end: it is the member that ends it.
    const refused = error.code === 'NETWORK_BROKEN' || error.code === 'NETWORK_REFUSED'
    this.#enter(link, refused ? 'refused' : 'unreachable', { code: error.code, problem: cause })
    this.#complain()
  }

  #enter(link: Link, state: MemberState, fields: object): void {
    if (link.state === state) return
    link.state = state
    const what = {
      connecting: 'connecting to a member',
      up: 'a member lets this device in',
      unreachable: 'a member cannot be reached',
      refused: 'a member does not let this device in',
      'set aside': 'a member is set aside',
    }[state]
    this.#needs.log.info({ member: link.name, ...fields }, what)
  }

  /** Where no member is up, an operator is told why and what to do, now and then. */
  #complain(): void {
    const states = this.#links.map(({ state }) => state)
    if (states.some((state) => state === 'up' || state === 'connecting')) return
    if (performance.now() - this.#complainedAt < this.#options.complainMs) return
    this.#complainedAt = performance.now()
    const members = this.status
    if (states.includes('refused'))
      this.#needs.log.warn(
        { code: 'RTU_NOT_ADMITTED', members, advice: this.#needs.advice },
        'no member lets this device in: it is not registered there, or retired or blacklisted, or of another chain; reports are held',
      )
    else
      this.#needs.log.warn(
        { code: 'RTU_NO_MEMBER', members, advice: 'Check the network and rtu.members in config.toml.' },
        'no member can be reached; reports are held',
      )
  }
}
