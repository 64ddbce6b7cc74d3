/**
 * Catching up: committed blocks from other members, until the head is where it should be. Stage: block → ledger.
 * Invariants: one loop at a time, and beside it one look at who is not linked; only what a certificate of the present era's members covers is
 * executed; whoever sends what is wrong is penalised, and another one is asked.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { verifyHeader } from '../../protocol/light.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock } from '../clock.ts'
import type { DriverLog } from '../consensus/driver.ts'
import { decodeBody } from '../executor/body.ts'
import type { Executor } from '../executor/executor.ts'
import type { Network } from '../network/network.ts'
import { ASK_TIMEOUT_MS, pauseOf } from './pace.ts'
import { ask, blocksAnswer, blocksQuestion } from './serve.ts'

/** Blocks that a ledger is behind before snapshots are asked for (sooner where nobody gives the next), and ms between two times of asking. */
const JOIN_BEHIND_MIN = 50
const JOIN_RETRY_MS = 10_000

/** What catching up uses. */
export type CatchingUpDependencies = {
  readonly clock: Clock
  readonly executor: Executor
  readonly network: Pick<Network, 'request' | 'penalize'>
  readonly log: DriverLog
  /** Joins by a snapshot where that is worth it; true once this node is to start again with another ledger. */
  join(): Promise<boolean>
}
/** What catching up leaves to `Blocks`. */
export type CatchingUpDuties = {
  /** Where its pauses begin: a node that is no member asks at its leisure, since members allow it few questions. */
  readonly firstRound: number
  sources(): readonly PublicKeyHex[]
  ask<T>(peer: PublicKeyHex, question: (peer: PublicKeyHex) => Promise<T>): Promise<T | null>
  pause(ms: number): Promise<void>
  isStopped(): boolean
  /** Executes blocks that are kept here; whether there were any. */
  restore(): Promise<boolean>
  /** Executes a certified block; why not, or null. */
  take(sealed: SealedHeader, bodies: readonly Uint8Array[]): Promise<Code | null>
  /** Commits an executed block and says so. */
  commit(hash: Uint8Array, certificate: Uint8Array): Promise<void>
  stop(): void
}

/** The loop of one era. */
export class CatchingUp {
  readonly #deps: CatchingUpDependencies
  readonly #duties: CatchingUpDuties
  #running: Promise<void> | undefined
  #looking: Promise<void> | undefined
  #isJoining = false
  #target = 0
  #askAgainAt = 0
  #isBlind = false

  constructor(deps: CatchingUpDependencies, duties: CatchingUpDuties) {
    this.#deps = deps
    this.#duties = duties
  }

  /**
   * Fetches committed blocks until the head is at `height`, or until blocks kept here could be executed. One loop runs; a later, higher target
   * prolongs it. `isBlind`: there is at least as much, and nobody has said how much more; a snapshot may be worth it.
   */
  upTo(height: number, isBlind = false): Promise<void> {
    this.#target = Math.max(this.#target, height)
    this.#isBlind ||= isBlind
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined
      this.#isBlind = false
    })
    return this.#running
  }

  /** Takes from each of `peers` what it has above the head, once, beside the loop: it may be the only one that has it. */
  lookAt(peers: readonly PublicKeyHex[]): Promise<void> {
    this.#looking ??= this.#lookAt(peers).finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #lookAt(peers: readonly PublicKeyHex[]): Promise<void> {
    for (const from of peers) {
      // What is being joined by a snapshot is not replayed beside it.
      if (this.#duties.isStopped() || this.#isJoining) return
      await this.#duties.ask(from, (peer) => this.#blocksFrom(peer))
    }
  }

  async #loop(): Promise<void> {
    const { executor, log } = this.#deps
    if (this.#target > executor.head.height + 1)
      log.info({ from: executor.head.height, to: this.#target }, 'catching up')
    const { firstRound } = this.#duties
    let moved = true
    for (let round = firstRound; executor.head.height < this.#target && !this.#duties.isStopped(); ) {
      const isFar = this.#target - executor.head.height > JOIN_BEHIND_MIN
      if ((isFar || !moved || this.#isBlind) && this.#askAgainAt <= this.#deps.clock.monotonic()) {
        if (await this.#joined()) return
        this.#askAgainAt = this.#deps.clock.monotonic() + JOIN_RETRY_MS
      }
      const before = executor.head.height
      for (const from of this.#duties.sources()) {
        await this.#duties.ask(from, (peer) => this.#blocksFrom(peer))
        if (executor.head.height >= this.#target || this.#duties.isStopped()) break
      }
      moved = executor.head.height > before
      if (moved) {
        round = firstRound
        continue
      }
      if (await this.#duties.restore()) return
      await this.#duties.pause(pauseOf(round++))
    }
  }

  /** Whether another ledger stands ready; then nothing more is committed to this one. */
  async #joined(): Promise<boolean> {
    this.#isJoining = true
    try {
      if (!(await this.#deps.join())) return false
      this.#duties.stop()
      return true
    } catch (error) {
      this.#deps.log.warn({ error: String(error) }, 'joining by a snapshot broke off')
      return false
    } finally {
      this.#isJoining = false
    }
  }

  /**
   * Takes the next blocks from one peer: each run of blocks whose last has a certificate that verifies, and nothing beyond. What is not
   * certified is not executed: blocks of the peer's own making would take the room of all blocks that wait for their commit, for ever.
   */
  async #blocksFrom(peer: PublicKeyHex): Promise<void> {
    const { executor, network } = this.#deps
    const sent = await ask(
      network,
      peer,
      'blocks',
      [blocksQuestion, { from: executor.head.height + 1 }],
      blocksAnswer,
      2 * ASK_TIMEOUT_MS,
    )
    let run: { sealed: SealedHeader; body: Uint8Array }[] = []
    let below: Uint8Array | undefined
    for (const { header, body, certificate } of sent) {
      if (this.#duties.isStopped()) return
      const sealed = decodeHeader(header)
      // What follows the end of an era is taken once that end is committed: only then is it known who signs.
      if (sealed.header.era > executor.era.era) return
      if (below !== undefined && !equalBytes(sealed.header.parent, below)) return network.penalize(peer, 'BLOCK_PARENT')
      below = sealed.hash
      run.push({ sealed, body })
      // What this member's head has passed meanwhile may be of an era that has ended.
      if (certificate === null || sealed.header.height <= executor.head.height) continue
      const code = this.#judgeCertificate(certificate, sealed) ?? (await this.#takeRun(run))
      if (code !== null) return network.penalize(peer, code)
      await this.#duties.commit(sealed.hash, certificate)
      run = []
    }
  }

  /** By the members of the present era, which is the block's. */
  #judgeCertificate(certificate: Uint8Array, sealed: SealedHeader): Code | null {
    const { memberSet } = this.#deps.executor.era
    const judged = verifyHeader(sealed, decodeAs(certificateCodec, certificate), memberSet, sealed.header.chainId)
    return judged.ok ? null : judged.code
  }

  async #takeRun(run: readonly { sealed: SealedHeader; body: Uint8Array }[]): Promise<Code | null> {
    for (const { sealed, body } of run) {
      if (this.#deps.executor.knows(sealed.hash)) continue
      const bodies = decodeBody(body)
      const code = typeof bodies === 'string' ? bodies : await this.#duties.take(sealed, bodies)
      if (code !== null) return code
    }
    return null
  }
}
