/**
 * Eras in the shell: one seat at a time in the era of the ledger's next block, and for a while the one before, whose core shows the last
 * certificate to members that lack it. Stage: block → **consensus** → ledger.
 * Invariants: the ledger decides when an era begins (agreement.md §5.5), whoever brought the certificate of its first block; a frame goes to
 * the core of its era or to none; the signing record is written by one era at a time and never goes back to an earlier one.
 */
import { toHex } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import type { Fork, MemberIndex } from '../../protocol/consensus/types.ts'
import { encodeMessage, type Frame } from '../../protocol/consensus/wire.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { LedgerEra } from '../executor/era.ts'
import type { Executor } from '../executor/executor.ts'
import type { Blocks } from '../sync/blocks.ts'
import { type Driver, type DriverLog, frameOf } from './driver.ts'

/** How long the core of the era before goes on showing its last certificate, and its members keep their links, ms. */
const CLOSING_MS = 10_000
/** A peer that is eras behind is shown the end of its era this often at most, ms. */
const SHOW_END_MS = 500
/** How often a node that is no member asks for new blocks, ms. */
const FOLLOW_MS = 500
/** A member that has committed nothing for this long asks those that have no link to it, ms. */
const STILL_MS = 5_000

/** This node in one era. */
export type Seat = {
  readonly ledger: LedgerEra
  /** Keys of the members, by index. */
  readonly keys: readonly PublicKeyHex[]
  /** −1: no member, follows only. */
  readonly me: MemberIndex
  readonly driver: Driver
  readonly blocks: Blocks
  /** A fork of an earlier era that is on record: nothing is signed after it. */
  readonly fork: Fork | null
}

/** What the eras are made with. */
export type ErasDependencies = {
  readonly clock: Clock
  readonly executor: Pick<Executor, 'era' | 'head' | 'reads'>
  readonly log: DriverLog
  /** Makes the seat for the era of the next block; its driver has not started. */
  makeSeat(): Seat
  /** A small message, best effort. */
  send(peer: PublicKeyHex, frame: Uint8Array): void
  /** An era began; `before` is null at the start of the process. */
  entered(seat: Seat, before: Seat | null): void
  /** Members that left have had time to learn of it. */
  closed(): void
}

/** The seats of this node. Use `start` once. */
export class Eras {
  readonly #deps: ErasDependencies
  readonly #runs = new Map<PublicKeyHex, string>()
  readonly #shownAt = new Map<PublicKeyHex, number>()
  #present: Seat
  #before: Seat | undefined
  #closing: TimerHandle | undefined
  #following: TimerHandle | undefined
  #stopped = false

  constructor(deps: ErasDependencies) {
    this.#deps = deps
    this.#present = deps.makeSeat()
  }

  get present(): Seat {
    return this.#present
  }

  start(): void {
    this.#deps.entered(this.#present, null)
    this.#begin(this.#present)
  }

  stop(): void {
    this.#stopped = true
    this.#closing?.cancel()
    this.#following?.cancel()
    for (const { driver, blocks } of this.#seats()) {
      driver.stop()
      blocks.stop()
    }
  }

  /** Blocks were committed: where one of them ended the era, the next begins. */
  committed(): void {
    const { executor, makeSeat, entered } = this.#deps
    const old = this.#present
    if (this.#stopped || executor.era.era <= old.ledger.era) return
    old.blocks.stop()
    this.#endBefore()
    // A core that was passed over has nothing to show; who asks it is shown the end of its era (`#showEnd`).
    const isShowing = old.me >= 0 && old.driver.state.phase === 'ended' && executor.era.era === old.ledger.era + 1
    if (isShowing) this.#before = old
    else old.driver.stop()
    this.#present = makeSeat()
    entered(this.#present, old)
    this.#closing = this.#deps.clock.after(CLOSING_MS, () => {
      this.#endBefore()
      this.#deps.closed()
    })
    this.#begin(this.#present)
  }

  /** A link opened (`run` names the member's process) or closed (null). */
  link(peer: PublicKeyHex, run: string | null): void {
    if (run === null) this.#runs.delete(peer)
    else this.#runs.set(peer, run)
    for (const { ledger, driver } of this.#seats()) {
      const member = ledger.members.get(peer)
      if (member !== undefined) driver.link(member, run)
    }
  }

  /** A frame from a linked peer. Returns why it was refused, for the peer's account, or null. */
  receive(peer: PublicKeyHex, data: Uint8Array): Code | null {
    const frame = frameOf(data)
    if (frame === undefined) return 'MESSAGE_MALFORMED'
    const seat = this.#seatOf(frame)
    if (seat !== undefined) {
      const from = seat.ledger.members.get(peer)
      if (from !== undefined) return seat.driver.receive(from, data, frame)
      // Whoever has moved on may show how an era ended, also one who was no member of it.
      return kindOf(frame) === 'cc' ? seat.driver.receive(0, data, frame) : null
    }
    if (eraOf(frame) > this.#present.ledger.era) this.#behind()
    else this.#showEnd(peer, eraOf(frame))
    return null
  }

  /** A gossiped proposal. Returns why it was refused, or null. */
  receiveGossiped(data: Uint8Array): Code | null {
    const frame = frameOf(data)
    if (frame === undefined) return 'MESSAGE_MALFORMED'
    const seat = this.#seatOf(frame)
    if (seat !== undefined) return seat.driver.receiveGossiped(data, frame)
    if (eraOf(frame) > this.#present.ledger.era) this.#behind()
    return 'MESSAGE_ERA'
  }

  /** The first of `ask` over the present era and the one before that knows an answer. */
  find<T>(ask: (driver: Driver) => T | undefined): T | undefined {
    for (const { driver } of this.#seats()) {
      const found = ask(driver)
      if (found !== undefined) return found
    }
    return undefined
  }

  #seats(): Seat[] {
    return this.#before === undefined ? [this.#present] : [this.#present, this.#before]
  }

  #seatOf(frame: Frame): Seat | undefined {
    const era = eraOf(frame)
    return this.#seats().find(({ ledger }) => ledger.era === era)
  }

  #begin(seat: Seat): void {
    seat.driver.start()
    if (seat.fork !== null) seat.driver.dispatch({ type: 'forked', fork: seat.fork })
    for (const [peer, run] of this.#runs) {
      const member = seat.ledger.members.get(peer)
      if (member !== undefined) seat.driver.link(member, run)
    }
    if (seat.me < 0) this.#follow()
    else this.#watch()
  }

  #endBefore(): void {
    this.#closing?.cancel()
    this.#before?.driver.stop()
    this.#before = undefined
  }

  /** Others are in a later era: the blocks that led there are fetched, and the ledger then moves on. */
  #behind(): void {
    const { log } = this.#deps
    this.#present.blocks
      .follow()
      .catch((error) => log.warn({ error: String(error) }, 'could not follow to a later era'))
  }

  /** A node that is no member hears nothing by itself: it asks. */
  #follow(): void {
    this.#following?.cancel()
    const again = (): void => {
      if (this.#stopped || this.#present.me >= 0) return
      this.#behind()
      this.#following = this.#deps.clock.after(FOLLOW_MS, again)
    }
    again()
  }

  /**
   * A member hears of a later era by those that are linked. Whoever was the only one to see the present one end may be linked to nobody: it has
   * left, or joined only by that end (agreement.md §3: a commit certificate is served to anyone).
   */
  #watch(): void {
    this.#following?.cancel()
    const { clock, executor, log } = this.#deps
    const { height } = executor.head
    this.#following = clock.after(STILL_MS, () => {
      if (executor.head.height === height)
        this.#present.blocks
          .lookBeyond()
          .catch((error) => log.warn({ error: String(error) }, 'could not look for the end of the era'))
      this.#watch()
    })
  }

  /** A peer speaks of an era that is over here: the certificate of its last block lets it move on. */
  #showEnd(peer: PublicKeyHex, era: number): void {
    const { clock, executor, send } = this.#deps
    const now = clock.monotonic()
    if (now - (this.#shownAt.get(peer) ?? Number.NEGATIVE_INFINITY) < SHOW_END_MS) return
    this.#shownAt.set(peer, now)
    const height = executor.reads.eraEnd(era)
    const encoded = height === undefined ? undefined : executor.reads.certificate(height)
    if (height === undefined || encoded === undefined) return
    const { statement, signatures } = decodeAs(certificateCodec, encoded)
    const { view, seq, hash } = statement
    const shown = { kind: 'commit' as const, view, seq, height, hash: toHex(hash) }
    // Only the signatures travel; whose they are is the receiver's to find out.
    const certificate = { ...shown, signatures: new Map(signatures.map((signature, i) => [i, signature])) }
    send(peer, encodeMessage({ kind: 'cc', era, certificate }))
  }
}

const eraOf = (frame: Frame): number => (frame.kind === 'link' ? frame.frame.era : frame.message.unverified.era)
const kindOf = (frame: Frame): string => (frame.kind === 'link' ? frame.frame.kind : frame.message.unverified.kind)
