/**
 * Blocks in the shell: what consensus needs of pool, executor and the other members (`BlockDuties`). Stage: pool → **block** → ledger.
 * Invariants: a block is executed after its parent; a body is whatever hashes to the ids that the leader proposed, whoever sent it; the
 * chain moves only by certificates that were verified; catching up is one loop at a time.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { encodeAs } from '../../protocol/codec.ts'
import type { Evidence } from '../../protocol/consensus/events.ts'
import type { Block, Certificate, MemberIndex, Proposal, Slot } from '../../protocol/consensus/types.ts'
import { toWireCertificate } from '../../protocol/consensus/wire.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { leaderOf, type PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock } from '../clock.ts'
import { type BlockDuties, type BuiltProposal, blockOf, type DriverLog, type Received } from '../consensus/driver.ts'
import { isAlthingError } from '../errors.ts'
import type { CommittedBlock, Executor } from '../executor/executor.ts'
import type { Intake } from '../intake/intake.ts'
import type { Network } from '../network/network.ts'
import { type Pool, signedOf } from '../pool/pool.ts'
import type { Pace } from '../steps.ts'
import type { KeptBlocks } from '../store/keptBlocks.ts'
import { Bodies } from './bodies.ts'
import { CatchingUp } from './catchingUp.ts'
import { ASK_TIMEOUT_MS, pauseOf, RETRY_MS } from './pace.ts'
import { ask, headersAnswer, headersQuestion, proposalQuestion } from './serve.ts'

/** What one era and one node fix. */
export type BlocksOptions = {
  readonly era: number
  /** Keys of the era's members, by index. */
  readonly members: readonly PublicKeyHex[]
  /** −1: no member of the era; follows by asking for blocks. */
  readonly me: MemberIndex
  /** Keys beside the era's members that a node which is none may ask for blocks. */
  readonly alsoAsked: readonly PublicKeyHex[]
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
  readonly intake: Pick<Intake, 'signers' | 'flush'>
  readonly network: Pick<Network, 'request' | 'linkedPeers' | 'penalize'>
  /** Blocks voted for and not committed, on disk. */
  readonly kept: Pick<KeptBlocks, 'keep' | 'keepFrame' | 'forgetUpTo' | 'stored'>
  readonly log: DriverLog
  /** `view`: that of the certificate by which the last of them was committed; null where they were caught up with. */
  committed(blocks: readonly CommittedBlock[], view: number | null): void
  evidence(evidence: Evidence): void
  /** Keys that would become members' by an open proposal. */
  named(): Iterable<PublicKeyHex>
  /** Joins by a snapshot where that is worth it; true once this node is to start again with another ledger. */
  join(): Promise<boolean>
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
  readonly #catchingUp: CatchingUp
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
      arrival: (atMostMs) => this.#arrival(atMostMs),
    })
    this.#catchingUp = new CatchingUp(deps, {
      firstRound: options.me < 0 ? 3 : 0,
      sources: () => this.sources(),
      ask: (peer, question) => this.#ask(peer, question),
      pause: (ms) => this.#pause(ms),
      isStopped: () => this.#stopped,
      restore: () => this.restore(),
      take: (sealed, transactions) => this.#takeCertified(sealed, transactions),
      commit: async (hash, certificate) => this.#publish(await this.#commitWhenThereIsSpace(hash, certificate), null),
      stop: () => this.stop(),
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

  async validate(proposal: Proposal, { sealed, transactionIds, treeRoots, frame }: Received): Promise<boolean | null> {
    const { executor, log } = this.#deps
    if (executor.knows(sealed.hash)) {
      this.#keep(sealed.hash, frame)
      return true
    }
    const holders = [leaderOf(proposal.view, this.#options.members.length)]
    const { height } = sealed.header
    const transactions = await this.#bodies.of(sealed.hash, height, transactionIds, holders)
    if (transactions === null) return null
    await this.#known(toHex(sealed.header.parent))
    while (this.#isAbove(height)) {
      const code = await this.#validate(sealed, transactions, this.#deps.clock.now(), treeRoots)
      if (code === null) {
        this.#keep(sealed.hash, frame)
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

  /** A block that was found valid is on disk with the vote for it (agreement.md §3, Service). */
  #keep(hash: Uint8Array, frame: Uint8Array | undefined): void {
    const { executor, kept } = this.#deps
    const executed = executor.speculation(hash)
    if (executed === undefined) return
    const { sealed, transactions } = executed
    const bodies = transactions.map(({ transaction }) => transaction.bytes)
    kept.keep({ height: sealed.header.height, hash, header: sealed.bytes, transactions: bodies })
    if (frame !== undefined) kept.keepFrame(toHex(hash), frame)
  }

  proposed(hash: string, frame: Uint8Array): void {
    this.#deps.kept.keepFrame(hash, frame)
  }

  /**
   * Executes kept blocks again that rest on what is here, after a start or when nobody else has them; whether there were any. They were judged
   * when they were voted for, so the clock has no say.
   */
  async restore(): Promise<boolean> {
    const { executor, kept, clock, pace } = this.#deps
    let restored = false
    for (const { height, hash, header, transactions } of await kept.stored()) {
      if (height <= executor.head.height || executor.knows(hash)) continue
      const sealed = decodeHeader(header)
      const signed = await this.#bodies.signed(transactions)
      if (signed === null || this.#stopped) continue
      try {
        const nowMs = Math.max(clock.now(), sealed.header.time)
        if ((await executor.validateInSteps(sealed, signed, nowMs, pace)) !== null) continue
      } catch (error) {
        if (isAlthingError(error, 'EXECUTOR_FULL')) break
        throw error
      }
      restored = true
      this.#wake(toHex(hash))
    }
    return restored
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

  /** `treeRoots`: those over the ids of `transactions`, where they were made already. */
  #validate(
    sealed: SealedHeader,
    transactions: readonly SignedTransaction[],
    nowMs: number,
    treeRoots?: readonly Uint8Array[],
  ): Promise<Code | null> {
    const { executor, pace } = this.#deps
    return this.#whenThereIsRoom(() => executor.validateInSteps(sealed, transactions, nowMs, pace, treeRoots))
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
      // What is proposed is with the others when they look for it.
      this.#deps.intake.flush()
      const signed = taken.map(signedOf)
      const built = await this.#whenThereIsRoom(() => executor.buildInSteps(fromHex(parent), signed, clock.now(), pace))
      if (built === 'BLOCK_PARENT') return null
      for (const { id, code } of built.refused) pool.remove([toHex(id)], code)
      if (built.transactions.length === 0 && taken.length > 0 && idleMs > 0) continue
      this.#lastBuiltAt = clock.monotonic()
      this.#keep(built.sealed.hash, undefined)
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
    while (!this.#stopped && executor.speculation(hash) === undefined && executor.head.height < certificate.height)
      await this.#catchingUp.upTo(certificate.height)
    if (this.#stopped) return
    const { era } = this.#options
    const encoded = encodeAs(certificateCodec, toWireCertificate(era, certificate))
    if (executor.knows(hash)) this.#publish(await this.#commitWhenThereIsSpace(hash, encoded), certificate.view)
  }

  async assurance(certificate: Certificate): Promise<void> {
    const { executor } = this.#deps
    const encoded = encodeAs(certificateCodec, toWireCertificate(this.#options.era, certificate))
    if (executor.head.height < certificate.height) return
    await executor.updateCertificate(certificate.height, encoded)
  }

  evidence(evidence: Evidence): void {
    this.#deps.evidence(evidence)
  }

  /** Whether something of `height` is still worth asking for: nothing is given up before the chain has passed it. */
  #isAbove(height: number): boolean {
    return !this.#stopped && this.#deps.executor.head.height < height
  }

  /** Others have blocks above the head here: of a later era, or this node only follows. Fetches at least one of them. */
  follow(): Promise<void> {
    return this.#catchingUp.upTo(this.#deps.executor.head.height + 1, true)
  }

  /**
   * Nothing was committed for a while: perhaps the era has ended, and those that know are not linked, since to them or to this node the other is no
   * member. Asks the members of the era that have no link, and whoever would become one: both let this node fetch.
   */
  lookBeyond(): Promise<void> {
    const { members, me } = this.#options
    const linked = new Set(this.#deps.network.linkedPeers())
    const known = new Set([...members.filter((_key, i) => i !== me), ...this.#deps.named()])
    return this.#catchingUp.lookAt([...known].filter((key) => !linked.has(key)))
  }

  /** Executes a certified block. What is wrong then is the body, or this member: its head may have moved meanwhile. */
  async #takeCertified(sealed: SealedHeader, bodies: readonly Uint8Array[]): Promise<Code | null> {
    const transactions = await this.#bodies.signed(bodies)
    if (transactions === null) return 'BLOCK_TRANSACTION'
    // Whatever this member's clock says: a block's time is judged when it is voted for (§4.1), and a quorum did.
    const code = await this.#validate(sealed, transactions, Number.POSITIVE_INFINITY)
    if (code === null) this.#wake(toHex(sealed.hash))
    return code
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
    this.#deps.kept.forgetUpTo(this.#deps.executor.head.height)
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

  /** Who is asked for committed blocks: linked members; by a node that is no member, and has no links, all that it knows of. */
  sources(): readonly PublicKeyHex[] {
    const { members, me, alsoAsked } = this.#options
    if (me >= 0) return this.#others().map((i) => members[i] as PublicKeyHex)
    const all = [...new Set([...members, ...alsoAsked])]
    const turn = Math.floor(this.#deps.clock.monotonic()) % all.length
    return [...all.slice(turn), ...all.slice(0, turn)]
  }

  #attempt<T>(from: MemberIndex, question: (peer: PublicKeyHex) => Promise<T>): Promise<T | null> {
    const peer = this.#options.members[from]
    return peer === undefined ? Promise.resolve(null) : this.#ask(peer, question)
  }

  /** Asks one peer; a failure of the network or a malformed answer is that peer's, and another is asked. */
  async #ask<T>(peer: PublicKeyHex, question: (peer: PublicKeyHex) => Promise<T>): Promise<T | null> {
    if (this.#deps.executor.failure !== undefined) return null
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

  /** Whether a transaction came into the pool within that time. */
  #arrival(atMostMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (arrived: boolean): void => {
        this.#arrivals.delete(wake)
        timer.cancel()
        resolve(arrived)
      }
      const wake = (): void => end(true)
      const timer = this.#deps.clock.after(Math.min(atMostMs, 1000), () => end(false))
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
