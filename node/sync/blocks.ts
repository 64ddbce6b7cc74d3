/**
 * Blocks in the shell: what consensus needs of pool, executor and the other members (`BlockDuties`). Stage: pool → **block** → ledger.
 * Invariants: a block is executed after its parent; a body is whatever hashes to the ids that the leader proposed, whoever sent it; the
 * chain moves only by certificates that were verified; catching up is one loop at a time.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import type { Evidence } from '../../protocol/consensus/events.ts'
import type { Block, Certificate, MemberIndex, Proposal, Slot } from '../../protocol/consensus/types.ts'
import type { Verifier } from '../../protocol/consensus/verify.ts'
import { type ProposalParts, toWireCertificate } from '../../protocol/consensus/wire.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { leaderOf, type PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock } from '../clock.ts'
import { type BlockDuties, type BuiltProposal, blockOf, type DriverLog } from '../consensus/driver.ts'
import { isAlthingError } from '../errors.ts'
import { decodeBody } from '../executor/body.ts'
import type { CommittedBlock, Executor } from '../executor/executor.ts'
import type { Intake } from '../intake/intake.ts'
import type { Network } from '../network/network.ts'
import type { Pool } from '../pool/pool.ts'
import type { Pace } from '../steps.ts'
import { Bodies } from './bodies.ts'
import { ASK_TIMEOUT_MS, pauseOf, RETRY_MS } from './pace.ts'
import { ask, blocksAnswer, blocksQuestion, headersAnswer, headersQuestion, proposalQuestion } from './serve.ts'

/** What one era and one node fix. */
export type BlocksOptions = {
  readonly era: number
  /** Keys of the era's members, by index. */
  readonly members: readonly PublicKeyHex[]
  readonly me: MemberIndex
  readonly heartbeatMs: number
  /** Bytes and count of transactions that a built block takes at most. */
  readonly blockBytesMax: number
  readonly blockTransactionsMax: number
}
/** What the duties use. `committed` and `evidence` pass on what came out. */
export type BlocksDependencies = {
  readonly clock: Clock
  readonly pace: Pace
  readonly executor: Executor
  readonly pool: Pool
  readonly intake: Pick<Intake, 'signers'>
  readonly network: Pick<Network, 'request' | 'linkedPeers' | 'penalize'>
  readonly verifier: Verifier
  readonly log: DriverLog
  /** `view`: that of the certificate by which the last of them was committed; null where they were caught up with. */
  committed(blocks: readonly CommittedBlock[], view: number | null): void
  evidence(evidence: Evidence): void
}

/** Between two attempts to write a block to a full disk. */
const DISK_RETRY_MS = 1000
/** Rounds of asking for headers at heights that the chain has passed. */
const PASSED_ROUNDS_MAX = 20
/** Carries out the duties for one era. */
export class Blocks implements BlockDuties {
  readonly #options: BlocksOptions
  readonly #deps: BlocksDependencies
  readonly #bodies: Bodies
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #arrivals = new Set<() => void>()
  #lastBuiltAt: number
  #catchingUp: Promise<void> | undefined
  #target = 0
  #diskFull = false
  #stopped = false

  constructor(options: BlocksOptions, deps: BlocksDependencies) {
    this.#options = options
    this.#deps = deps
    this.#bodies = new Bodies(deps, {
      others: () => this.#others(),
      attempt: (from, question) => this.#attempt(from, question),
      isAbove: (height) => this.#isAbove(height),
      pause: (ms) => this.#pause(ms),
    })
    this.#lastBuiltAt = deps.clock.monotonic()
  }

  stop(): void {
    this.#stopped = true
    for (const wake of [...this.#arrivals]) wake()
  }

  /** A transaction came into the pool: a leader that waits for work may build. */
  arrived(): void {
    for (const wake of [...this.#arrivals]) wake()
  }

  async validate(
    proposal: Proposal,
    { sealed, transactionIds }: ProposalParts & { readonly sealed: SealedHeader },
  ): Promise<boolean | null> {
    const { executor, log } = this.#deps
    if (executor.knows(sealed.hash)) return true
    const holders = [leaderOf(proposal.view, this.#options.members.length)]
    const { height } = sealed.header
    const transactions = await this.#bodies.of(sealed.hash, height, transactionIds, holders)
    if (transactions === null) return null
    await this.#known(toHex(sealed.header.parent))
    while (this.#isAbove(height)) {
      const code = await this.#validate(sealed, transactions, this.#deps.clock.now())
      if (code === null) {
        this.#wake(toHex(sealed.hash))
        return true
      }
      // A block from the near future becomes valid by waiting (§4.1 asks for this block only, at the time of the vote).
      if (code !== 'BLOCK_TIME_AHEAD') {
        log.warn({ code, height: sealed.header.height, hash: toHex(sealed.hash) }, 'a proposed block is not valid')
        return false
      }
      await this.#pause(RETRY_MS)
    }
    return null
  }

  /** Blocks that wait for their commit are bounded; a further one waits until one of them is committed. */
  async #whenThereIsRoom<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (!isAlthingError(error, 'EXECUTOR_FULL') || this.#stopped) throw error
        await this.#pause(RETRY_MS)
      }
    }
  }

  #validate(sealed: SealedHeader, transactions: readonly SignedTransaction[], nowMs: number): Promise<Code | null> {
    const { executor, pace } = this.#deps
    return this.#whenThereIsRoom(() => executor.validateInSteps(sealed, transactions, nowMs, pace))
  }

  async build(parent: string, height: number, cancelled: () => boolean): Promise<BuiltProposal | null> {
    const { executor, pool, clock, pace, log } = this.#deps
    await this.#known(parent)
    const under = this.#uncommittedIds(parent)
    while (!cancelled() && !this.#stopped) {
      const { blockBytesMax: bytesMax, blockTransactionsMax: countMax } = this.#options
      const taken = pool.take({ bytesMax, countMax, blockTime: clock.now() }, under)
      const idleMs = this.#lastBuiltAt + this.#options.heartbeatMs - clock.monotonic()
      if (taken.length === 0 && idleMs > 0) {
        await this.#arrival(idleMs)
        continue
      }
      const signed = taken.map(({ transaction, signer }) => ({ transaction, signer: fromHex(signer) }))
      const built = await this.#whenThereIsRoom(() => executor.buildInSteps(fromHex(parent), signed, clock.now(), pace))
      if (built === 'BLOCK_PARENT') return null
      for (const { id, code } of built.refused) pool.remove([toHex(id)], code)
      if (built.transactions.length === 0 && taken.length > 0 && idleMs > 0) continue
      this.#lastBuiltAt = clock.monotonic()
      this.#wake(toHex(built.sealed.hash))
      log.debug({ height, transactions: built.transactions.length }, 'block built')
      return {
        block: blockOf(built.sealed),
        parts: {
          header: built.sealed.bytes,
          transactionIds: built.transactions.map(({ transaction }) => transaction.id),
        },
      }
    }
    return null
  }

  async fetchProposal(
    slot: Slot,
    holders: readonly MemberIndex[],
  ): Promise<{ from: MemberIndex; frame: Uint8Array } | null> {
    // The proposal itself is mostly on its way already.
    await this.#pause(RETRY_MS)
    for (let round = 0; this.#isAbove(slot.height); round++) {
      if (this.#deps.executor.knows(fromHex(slot.hash))) return null
      for (const from of holders) {
        if (from === this.#options.me) continue
        const question = [proposalQuestion, { view: slot.view, seq: slot.seq, hash: fromHex(slot.hash) }] as const
        const frame = await this.#attempt(from, (peer) =>
          this.#deps.network.request(peer, 'proposal', encodeAs(...question), { timeoutMs: ASK_TIMEOUT_MS }),
        )
        if (frame !== null && frame.length > 0) return { from, frame }
      }
      await this.#pause(pauseOf(round))
    }
    return null
  }

  async fetchHeaders(hash: string, height: number): Promise<readonly Block[]> {
    // Also of a height that the chain has passed: a conflicting block is compared by its headers.
    for (let round = 0; !this.#stopped && (round < PASSED_ROUNDS_MAX || this.#isAbove(height)); round++) {
      for (const from of this.#others()) {
        const found = await this.#attempt(from, (peer) =>
          ask(
            this.#deps.network,
            peer,
            'headers',
            [headersQuestion, { hash: fromHex(hash), count: 256 }],
            headersAnswer,
            ASK_TIMEOUT_MS,
          ),
        )
        const headers = found === null ? [] : linked(fromHex(hash), found)
        if (headers.length > 0) return headers.map(blockOf)
      }
      await this.#pause(pauseOf(round))
    }
    return []
  }

  isCommitted(hash: string, height: number): boolean | null {
    const sealed = this.#deps.executor.reads.headerAt(height)
    return sealed === undefined ? null : toHex(sealed.hash) === hash
  }

  async commit(certificate: Certificate): Promise<void> {
    const { executor } = this.#deps
    const hash = fromHex(certificate.hash)
    if (executor.speculation(hash) === undefined && executor.head.height < certificate.height)
      await this.#catchUp(certificate.height)
    if (this.#stopped) return
    const { era } = this.#options
    const encoded = encodeAs(certificateCodec, toWireCertificate(era, certificate))
    if (executor.knows(hash)) this.#publish(await this.#commitWhenThereIsSpace(hash, encoded), certificate.view)
  }

  assurance(certificate: Certificate): void {
    const { executor, log } = this.#deps
    const encoded = encodeAs(certificateCodec, toWireCertificate(this.#options.era, certificate))
    if (executor.head.height < certificate.height) return
    executor
      .updateCertificate(certificate.height, encoded)
      .catch((error) => log.warn({ error }, 'certificate not widened'))
  }

  evidence(evidence: Evidence): void {
    this.#deps.evidence(evidence)
  }

  /** Whether something of `height` is still worth asking for: nothing is given up before the chain has passed it. */
  #isAbove(height: number): boolean {
    return !this.#stopped && this.#deps.executor.head.height < height
  }

  /** Fetches committed blocks until the head is at `height`. One loop runs; a later, higher target prolongs it. */
  #catchUp(height: number): Promise<void> {
    this.#target = Math.max(this.#target, height)
    this.#catchingUp ??= this.#catchUpLoop().finally(() => {
      this.#catchingUp = undefined
    })
    return this.#catchingUp
  }

  async #catchUpLoop(): Promise<void> {
    const { executor, log } = this.#deps
    log.info({ from: executor.head.height, to: this.#target }, 'catching up')
    while (executor.head.height < this.#target && !this.#stopped) {
      let moved = false
      for (const from of this.#others()) {
        const before = executor.head.height
        await this.#attempt(from, (peer) => this.#blocksFrom(peer))
        moved ||= executor.head.height > before
        if (executor.head.height >= this.#target) break
      }
      if (!moved) await this.#pause(RETRY_MS)
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
      const sealed = decodeHeader(header)
      if (below !== undefined && !equalBytes(sealed.header.parent, below)) return network.penalize(peer, 'BLOCK_PARENT')
      below = sealed.hash
      run.push({ sealed, body })
      if (certificate === null) continue
      const code = this.#judgeCertificate(certificate, sealed.hash) ?? (await this.#takeRun(run))
      if (code !== null) return network.penalize(peer, code)
      this.#publish(await this.#commitWhenThereIsSpace(sealed.hash, certificate), null)
      run = []
    }
  }

  #judgeCertificate(certificate: Uint8Array, hash: Uint8Array): Code | null {
    const verified = this.#deps.verifier.certificate(decodeAs(certificateCodec, certificate))
    if (!verified.ok) return verified.code
    const fits = verified.certificate.kind === 'commit' && verified.certificate.hash === toHex(hash)
    return fits ? null : 'CERT_STATEMENT'
  }

  /** Executes certified blocks. What is wrong then is the body, or this member: its head may have moved meanwhile. */
  async #takeRun(run: readonly { sealed: SealedHeader; body: Uint8Array }[]): Promise<Code | null> {
    for (const { sealed, body } of run) {
      if (this.#deps.executor.knows(sealed.hash)) continue
      const bodies = decodeBody(body)
      if (typeof bodies === 'string') return bodies
      const transactions = await this.#bodies.signed(bodies)
      if (transactions === null) return 'BLOCK_TRANSACTION'
      // Whatever this member's clock says: a block's time is judged when it is voted for (§4.1), and a quorum did.
      const code = await this.#validate(sealed, transactions, Number.POSITIVE_INFINITY)
      if (code !== null) return code
      this.#wake(toHex(sealed.hash))
    }
    return null
  }

  /** A full disk is waited out: what is committed stays, the node goes on reading, and says so. */
  async #commitWhenThereIsSpace(hash: Uint8Array, certificate: Uint8Array): Promise<CommittedBlock[]> {
    const { executor, log } = this.#deps
    for (;;) {
      try {
        const committed = await executor.commit(hash, certificate)
        this.#diskFull = false
        return committed
      } catch (error) {
        if (!isAlthingError(error, 'STORE_DISK_FULL') || this.#stopped) throw error
        if (!this.#diskFull) log.warn({ error: error.message }, 'the disk is full: reading only until there is space')
        this.#diskFull = true
        await this.#pause(DISK_RETRY_MS)
      }
    }
  }

  /** Bodies of transactions that had to be fetched, because gossip had not brought them. */
  get bodiesFetched(): number {
    return this.#bodies.fetched
  }

  /** Whether blocks wait for space on the disk. */
  get diskFull(): boolean {
    return this.#diskFull
  }

  #publish(blocks: readonly CommittedBlock[], view: number | null): void {
    if (blocks.length === 0) return
    for (const { sealed, transactionIds } of blocks) {
      this.#deps.pool.onCommitted(transactionIds.map(toHex), sealed.header.time)
      this.#wake(toHex(sealed.hash))
    }
    this.#deps.committed(blocks, view)
  }

  /** Ids (hex) in the uncommitted blocks from `parent` down: they wait in the pool but are under way. */
  #uncommittedIds(parent: string): ReadonlySet<string> {
    const ids = new Set<string>()
    for (let at = this.#deps.executor.speculation(fromHex(parent)); at !== undefined; ) {
      for (const { transaction } of at.transactions) ids.add(toHex(transaction.id))
      at = this.#deps.executor.speculation(at.sealed.header.parent)
    }
    return ids
  }

  #others(): MemberIndex[] {
    const linked = new Set(this.#deps.network.linkedPeers())
    const others = this.#options.members.flatMap((key, i) => (i !== this.#options.me && linked.has(key) ? [i] : []))
    // Each time another one first, so that the load and the trust are spread.
    const turn = others.length === 0 ? 0 : Math.floor(this.#deps.clock.monotonic()) % others.length
    return [...others.slice(turn), ...others.slice(0, turn)]
  }

  /** Asks one member; a failure of the network or a malformed answer is that member's, and another is asked. */
  async #attempt<T>(from: MemberIndex, question: (peer: PublicKeyHex) => Promise<T>): Promise<T | null> {
    const peer = this.#options.members[from]
    if (peer === undefined || this.#deps.executor.failure !== undefined) return null
    try {
      return await question(peer)
    } catch (error) {
      if (this.#deps.executor.failure !== undefined) throw error
      if (error instanceof CborError) this.#deps.network.penalize(peer, 'MESSAGE_MALFORMED')
      this.#deps.log.debug({ peer, error: String(error) }, 'a member did not answer')
      return null
    }
  }

  /** Resolves once the block is executed or committed here. */
  async #known(hash: string): Promise<void> {
    if (this.#stopped || this.#deps.executor.knows(fromHex(hash))) return
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(hash) ?? new Set()
      this.#waiting.set(hash, waiting.add(resolve))
    })
  }

  #wake(hash: string): void {
    const waiting = this.#waiting.get(hash)
    this.#waiting.delete(hash)
    for (const resolve of waiting ?? []) resolve()
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(ms, resolve))
  }

  #arrival(atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#arrivals.delete(wake)
        timer.cancel()
        resolve()
      }
      const timer = this.#deps.clock.after(Math.min(atMostMs, 1000), wake)
      this.#arrivals.add(wake)
    })
  }
}

/** The longest beginning of `headers` in which each is the parent of the one before, from `hash` on. */
function linked(hash: Uint8Array, headers: readonly Uint8Array[]): SealedHeader[] {
  const chain: SealedHeader[] = []
  let expected = hash
  for (const data of headers) {
    let sealed: SealedHeader
    try {
      sealed = decodeHeader(data)
    } catch {
      break
    }
    if (!equalBytes(sealed.hash, expected)) break
    chain.push(sealed)
    expected = sealed.header.parent
  }
  return chain
}

/** What a built block takes at most unless configured lower. */
export const BUILD_BOUNDS = {
  blockBytesMax: LIMITS.blockBytesMax,
  /** One tree: what executing it and writing it down holds up stays far below Δ/4. */
  blockTransactionsMax: LIMITS.treeTransactionsMax,
} as const
