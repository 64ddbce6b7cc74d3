/**
 * The executor: the ledger's shell between consensus and store. Stage: block → consensus → **ledger** → BKVS.
 * It builds blocks, judges those of others, and makes committed ones durable; reads and proofs are in reads.ts.
 * Invariants: building and validating go through one function and change nothing that is committed; a block is committed only after
 * its parent, in one durable batch; what conflicts with the committed chain is abandoned at once; after a failed durable write
 * everything is refused until the node starts anew, and what was acknowledged before is in the store.
 */
import { type SealedHeader, sealHeader } from '../../protocol/block.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { BlockExecution, type SignedTransaction, type Surroundings } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import type { BlockContext, StateReader } from '../../protocol/kinds/kind.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { merkleRoot, treeRoots } from '../../protocol/merkle.ts'
import type { StateTree } from '../../protocol/state/tree.ts'
import type { Code } from '../../protocol/verdict.ts'
import { AlthingError, isAlthingError } from '../errors.ts'
import { atOnce, inSteps, type Pace, type Steps } from '../steps.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import { storeError } from '../store/level.ts'
import type { LedgerEra } from './era.ts'
import { type Committed, type Head, readCommitted } from './opening.ts'
import { LedgerReads } from './reads.ts'
import { HeaderRules, nextMemberSetHashOf } from './rules.ts'
import {
  type BlockEvent,
  type DeviceTrustPoint,
  ParentReader,
  Speculation,
  stateChangesOf,
  type Tip,
} from './speculation.ts'
import type { UsedNonces } from './usedNonces.ts'

/** Bounds of an executor. */
export type ExecutorOptions = {
  /** Executed blocks kept that are not committed; at least 2. Each holds its body. */
  readonly speculationsMax: number
}

/** A block that was built, with what was left out of it. */
export type BuiltBlock = {
  readonly sealed: SealedHeader
  readonly transactions: readonly SignedTransaction[]
  /** Transactions that the state machine refused; those that merely did not fit are in neither list. */
  readonly refused: readonly { readonly id: Uint8Array; readonly code: Code }[]
}

/** A block that became durable. */
export type CommittedBlock = {
  readonly sealed: SealedHeader
  readonly height: number
  readonly transactions: readonly SignedTransaction[]
  /** Ids of its transactions, in order. */
  readonly transactionIds: readonly Uint8Array[]
  /** Reports about devices in it. */
  readonly events: readonly BlockEvent[]
  /** Ids (hexadecimal) of the devices whose records it changed. */
  readonly devicesChanged: readonly string[]
  /** Points that it adds to the histories of trust, in the order of devices. */
  readonly trustPoints: readonly DeviceTrustPoint[]
  /** Whether it was committed by its own certificate, and not by a descendant's. */
  readonly certified: boolean
}

/** Executes, judges and commits the blocks of one chain. One instance per store. Use `Executor.open`. */
export class Executor {
  readonly reads: LedgerReads
  readonly #ledger: LedgerStore
  readonly #options: ExecutorOptions
  readonly #context: Pick<BlockContext, 'chainId'>
  readonly #rules: HeaderRules
  readonly #tree: StateTree
  readonly #head: Head
  readonly #nonces: UsedNonces
  /** Hash (hex) → speculation, the least lately used first. All descend from the head. */
  readonly #speculations = new Map<string, Speculation>()
  /** Those of a running commit, in order of height: never evicted, and nothing that conflicts with them is executed. */
  #committing: readonly Speculation[] = []
  /** Settles when the last commit asked for has. */
  #commits: Promise<unknown> = Promise.resolve()
  #failure: AlthingError | undefined
  /** Committed, and not returned yet: the disk was full before the last block of their commit. */
  readonly #untold: CommittedBlock[] = []

  private constructor(genesis: Genesis, ledger: LedgerStore, options: ExecutorOptions, opened: Committed) {
    if (options.speculationsMax < 2) throw new RangeError('fewer than 2 speculations')
    this.#ledger = ledger
    this.#options = options
    const chainId = chainIdOf(genesis)
    this.#context = { chainId }
    this.#rules = new HeaderRules(genesis)
    this.#tree = opened.tree
    this.#head = opened.head
    this.#nonces = opened.nonces
    this.reads = new LedgerReads(ledger, chainId, {
      tree: opened.tree,
      head: () => this.#head,
      usable: () => this.#assertUsable(),
      settled: () => this.#commits,
    })
  }

  /**
   * Goes on at the committed height of `ledger`, which `initializeLedger` has created for this genesis: rebuilds the state tree,
   * the frontier of the history and the nonces in use. Throws AlthingError STORE_CORRUPT if the state is not that of the last block.
   */
  static async open(genesis: Genesis, ledger: LedgerStore, options: ExecutorOptions): Promise<Executor> {
    return new Executor(genesis, ledger, options, await readCommitted(genesis, ledger))
  }

  /** Height and hash of the last committed block; the chain id at height 0. */
  get head(): Pick<Head, 'height' | 'hash' | 'time'> {
    const { height, hash, time } = this.#head
    return { height, hash, time }
  }

  /** The era of the next block on top of the committed chain. */
  get era(): LedgerEra {
    return this.#head.era
  }

  /** The failed write after which everything is refused, if there was one. */
  get failure(): AlthingError | undefined {
    return this.#failure
  }

  /** Executed blocks that are not committed, and nodes of the state tree, for metrics and tests. */
  get usage(): { speculations: number; treeNodes: number; entries: number; nonces: number } {
    const { leaves, branches } = this.#tree.usage
    return {
      speculations: this.#speculations.size,
      treeNodes: leaves + branches,
      entries: this.#head.entries,
      nonces: this.#nonces.size,
    }
  }

  /** An executed block that is not committed, for serving it (agreement.md §3, Service). */
  speculation(hash: Uint8Array): { sealed: SealedHeader; transactions: readonly SignedTransaction[] } | undefined {
    const found = this.#speculations.get(toHex(hash))
    return found === undefined ? undefined : { sealed: found.sealed, transactions: found.transactions }
  }

  /** Whether the block of `hash` is committed, or was built or found valid here and is kept. */
  knows(hash: Uint8Array): boolean {
    return this.#speculations.has(toHex(hash)) || this.#ledger.heightOf(hash) !== undefined
  }

  /**
   * What the outcome of a transaction in the next block after the head depends on: the pool's question (`checkTransaction`). `time` (ms)
   * is the time that block would have.
   */
  surroundings(time: number): Surroundings {
    this.#assertUsable()
    return this.#surroundingsOf(this.#head, Math.max(time, this.#head.time), this.#head.state)
  }

  /**
   * Builds a block of `transactions`, in their order, on top of `parentHash`: those that fail are left out and named, those that do
   * not fit within the bounds of a block are left out. Its time is `timeMs`, or the parent's if that is later. The block counts as
   * validated. BLOCK_PARENT if the parent is neither the head nor a block built or found valid on top of it.
   */
  build(
    parentHash: Uint8Array,
    transactions: Iterable<SignedTransaction>,
    timeMs: number,
  ): BuiltBlock | 'BLOCK_PARENT' {
    return atOnce(this.#building(parentHash, transactions, timeMs))
  }

  /** As `build`, giving way in between, so that no step holds the process for long (agreement.md §4.3). */
  buildInSteps(
    parentHash: Uint8Array,
    transactions: Iterable<SignedTransaction>,
    timeMs: number,
    pace: Pace,
  ): Promise<BuiltBlock | 'BLOCK_PARENT'> {
    return inSteps(this.#building(parentHash, transactions, timeMs), pace)
  }

  *#building(
    parentHash: Uint8Array,
    transactions: Iterable<SignedTransaction>,
    timeMs: number,
  ): Steps<BuiltBlock | 'BLOCK_PARENT'> {
    this.#assertUsable()
    const first = this.#tipOf(parentHash)
    if (first === undefined) return 'BLOCK_PARENT'
    const time = Math.max(timeMs, first.time)
    const base = new ParentReader(first)
    const execution = new BlockExecution(this.#surroundingsOf(first, time, base))
    const included: SignedTransaction[] = []
    const refused: { id: Uint8Array; code: Code }[] = []
    let bytesLeft: number = LIMITS.blockBytesMax
    for (const signed of transactions) {
      if (included.length >= LIMITS.blockTransactionsMax) break
      if (signed.transaction.bytes.length > bytesLeft) continue
      const code = execution.apply(signed)
      if (code !== null) refused.push({ id: signed.transaction.id, code })
      else {
        bytesLeft -= signed.transaction.bytes.length
        included.push(signed)
      }
      // What waits comes into the next era, whose members may judge it otherwise.
      if (execution.nextEra !== null) break
      yield
    }
    execution.end()
    const ids = included.map(({ transaction }) => transaction.id)
    const roots = treeRoots(ids)
    const changes = stateChangesOf(execution.state.changes(), first.height + 1)
    yield
    const parent = this.#parentStill(parentHash, base)
    if (parent === undefined) return 'BLOCK_PARENT'
    this.#makeRoom(parent)
    const update = this.#tree.update(parent.root, changes.leafChanges)
    const sealed = sealHeader({
      ...this.#rules.expected(parent),
      time,
      treesRoot: merkleRoot(sha3, roots),
      transactionCount: ids.length,
      stateRoot: this.#tree.rootHash(update.root),
      nextMemberSetHash: nextMemberSetHashOf(execution),
    })
    if (this.#speculations.has(toHex(sealed.hash))) this.#tree.release(update.created)
    else
      this.#keep(
        parent,
        new Speculation(
          parent,
          { sealed, transactions: included, ids, treeRoots: roots, execution, changes, update },
          base,
        ),
      )
    return { sealed, transactions: included, refused }
  }

  /**
   * What the block of `parentHash` is to one that was executed on top of it over several steps: commits may have gone on meanwhile. The head
   * where it was committed, itself where it was not; undefined where a block that conflicts was.
   */
  #parentStill(parentHash: Uint8Array, base: ParentReader): Tip | undefined {
    this.#assertUsable()
    const parent = this.#tipOf(parentHash)
    if (parent !== undefined) base.rebase(parent)
    return parent
  }

  /**
   * Judges a block by all rules of agreement.md §4.1 about blocks and of ledger.md §4; `nowMs` is this member's clock. null: it is valid
   * and kept, to be built upon or committed. Else a code of the table's BLOCK part, and nothing has changed. `transactions` are read
   * from the body with `decodeBody` and `readTransaction`. Throws AlthingError EXECUTOR_FULL if no speculation can make room.
   */
  validate(sealed: SealedHeader, transactions: readonly SignedTransaction[], nowMs: number): Code | null {
    return atOnce(this.#validating(sealed, transactions, nowMs))
  }

  /** As `validate`, giving way in between. BLOCK_PARENT too where a conflicting block was committed meanwhile. */
  validateInSteps(
    sealed: SealedHeader,
    transactions: readonly SignedTransaction[],
    nowMs: number,
    pace: Pace,
  ): Promise<Code | null> {
    return inSteps(this.#validating(sealed, transactions, nowMs), pace)
  }

  *#validating(sealed: SealedHeader, transactions: readonly SignedTransaction[], nowMs: number): Steps<Code | null> {
    this.#assertUsable()
    const hash = toHex(sealed.hash)
    const { header } = sealed
    if (header.version !== 1 || sealed.bytes.length > LIMITS.headerBytesMax) return 'BLOCK_MALFORMED'
    if (!equalBytes(header.chainId, this.#context.chainId)) return 'BLOCK_CHAIN'
    const known = this.#speculations.get(hash)
    if (known !== undefined) {
      // Its time was judged by a clock that has moved on since; all else about it is settled by its hash.
      this.#touch(hash, known)
      return this.#rules.isAhead(header, known.parentEra, nowMs) ? 'BLOCK_TIME_AHEAD' : null
    }
    if (this.#ledger.heightOf(sealed.hash) !== undefined) return null
    const first = this.#tipOf(header.parent)
    if (first === undefined) return 'BLOCK_PARENT'
    const refusal = this.#rules.judge(header, first, transactions, nowMs)
    if (refusal !== null) return refusal
    const ids = transactions.map(({ transaction }) => transaction.id)
    const roots = treeRoots(ids)
    if (!equalBytes(merkleRoot(sha3, roots), header.treesRoot)) return 'BLOCK_TREES'
    const base = new ParentReader(first)
    const execution = new BlockExecution(this.#surroundingsOf(first, header.time, base))
    for (const signed of transactions) {
      yield
      if (execution.apply(signed) !== null)
        // Over several steps a commit may have taken the state away under the execution: then it says nothing about the block.
        return this.#parentStill(header.parent, base) === undefined ? 'BLOCK_PARENT' : 'BLOCK_TRANSACTION'
    }
    execution.end()
    const end = this.#rules.judgeEnd(header, execution)
    if (end !== null) return this.#parentStill(header.parent, base) === undefined ? 'BLOCK_PARENT' : end
    const changes = stateChangesOf(execution.state.changes(), header.height)
    yield
    const parent = this.#parentStill(header.parent, base)
    if (parent === undefined) return 'BLOCK_PARENT'
    if (this.#speculations.has(hash) || this.#ledger.heightOf(sealed.hash) !== undefined) return null
    this.#makeRoom(parent)
    const update = this.#tree.update(parent.root, changes.leafChanges)
    if (!equalBytes(this.#tree.rootHash(update.root), header.stateRoot)) {
      this.#tree.release(update.created)
      return 'BLOCK_ROOT'
    }
    this.#keep(
      parent,
      new Speculation(parent, { sealed, transactions, ids, treeRoots: roots, execution, changes, update }, base),
    )
    return null
  }

  /**
   * Commits the block of `hash` with its commit certificate, and before it each ancestor that is not committed yet, each in one durable batch;
   * returns them in order of height once all are durable, and before them those of an attempt that ended at a full disk. For a block that is
   * committed already the certificate is kept if it has none, and nothing is returned. Commits run one after the other. Throws AlthingError
   * EXECUTOR_UNKNOWN_BLOCK (not executed here: validate it first), STORE_DISK_FULL (the blocks before are committed; may be tried again),
   * STORE_WRITE_FAILED (everything is refused from then on).
   */
  commit(hash: Uint8Array, certificate: Uint8Array): Promise<CommittedBlock[]> {
    const run = this.#commits.then(() => this.#commit(hash, certificate))
    this.#commits = run.catch(() => undefined)
    return run
  }

  async #commit(hash: Uint8Array, certificate: Uint8Array): Promise<CommittedBlock[]> {
    this.#assertUsable()
    const height = this.#ledger.heightOf(hash)
    if (height !== undefined) {
      if (height > 0 && this.#ledger.certificate(height) === undefined)
        await this.#write(() => this.#ledger.updateCertificate(height, certificate))
      return []
    }
    const chain: Speculation[] = []
    let tip: Tip | undefined = this.#speculations.get(toHex(hash))
    for (; tip instanceof Speculation; tip = tip.parent) chain.unshift(tip)
    if (chain.length === 0)
      throw new AlthingError(
        'EXECUTOR_UNKNOWN_BLOCK',
        `block ${toHex(hash)} was not executed here; fetch and validate it first`,
      )
    // What follows it is of another era and signed by others: whoever starts that era, or proves it, needs the certificate of its last block.
    if (chain.some((block) => block.sealed !== chain.at(-1)?.sealed && block.sealed.header.nextMemberSetHash !== null))
      throw new Error('a block that ends its era is committed by its own certificate only')
    // Its certificate exists, so what conflicts with it is over; and while the store changes, only blocks above it read what they should.
    this.#committing = chain
    const last = chain.at(-1) as Speculation
    for (const other of [...this.#speculations.values()])
      if (!chain.includes(other) && !descends(other, last)) this.#abandon(other)
    try {
      for (const speculation of chain) {
        const certified = speculation === last
        const { trustPoints } = speculation
        const block = speculation.ledgerBlock(certified ? certificate : null, last.height)
        await this.#write(() => this.#ledger.commitBlock(block))
        this.#advance(speculation, block.replayRecords)
        const { sealed, transactions, ids, height, devicesChanged } = speculation
        const events = block.deviceEvents
        const what = { events, devicesChanged, trustPoints }
        this.#untold.push({ sealed, height, transactions, transactionIds: ids, ...what, certified })
      }
    } finally {
      this.#committing = []
    }
    return this.#untold.splice(0)
  }

  /** Replaces the certificate of a committed block by one of more members (agreement.md §7). Throws like `commit`. */
  updateCertificate(height: number, certificate: Uint8Array): Promise<void> {
    const run = this.#commits.then(() => {
      this.#assertUsable()
      return this.#write(() => this.#ledger.updateCertificate(height, certificate))
    })
    this.#commits = run.catch(() => undefined)
    return run
  }

  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      // A full disk is noticed before anything is written. After any other failure nobody knows what the disk holds.
      if (!isAlthingError(error, 'STORE_DISK_FULL'))
        this.#failure = isAlthingError(error)
          ? error
          : storeError('STORE_WRITE_FAILED', 'a block was not written', error)
      throw this.#failure ?? error
    }
  }

  /** The head moves to `speculation`, a child of it that is durable and with which nothing kept conflicts. */
  #advance(speculation: Speculation, replayRecords: Uint8Array): void {
    const head = this.#head
    this.#speculations.delete(toHex(speculation.hash))
    this.#tree.release(speculation.update.replaced)
    this.#nonces.commit(replayRecords, speculation.time)
    head.header = speculation.sealed
    head.hash = speculation.hash
    head.height = speculation.height
    head.time = speculation.time
    head.era = speculation.era
    head.root = speculation.root
    head.entries = speculation.entries
    head.frontier = speculation.frontier
    head.state.apply(speculation.stateChanges)
    for (const child of this.#speculations.values()) if (child.parent === speculation) child.rebase(head)
  }

  #abandon(speculation: Speculation): void {
    this.#speculations.delete(toHex(speculation.hash))
    this.#tree.release(speculation.update.created)
  }

  #keep(parent: Tip, speculation: Speculation): void {
    if (parent instanceof Speculation) this.#touch(toHex(parent.hash), parent)
    this.#speculations.set(toHex(speculation.hash), speculation)
  }

  #touch(hash: string, speculation: Speculation): void {
    this.#speculations.delete(hash)
    this.#speculations.set(hash, speculation)
  }

  /** Abandons the block least lately used on which nothing rests, if there is no room for a child of `parent`. */
  #makeRoom(parent: Tip): void {
    if (this.#speculations.size < this.#options.speculationsMax) return
    const parents = new Set<Tip>([parent])
    for (const { parent: below } of this.#speculations.values()) parents.add(below)
    for (const candidate of this.#speculations.values()) {
      if (parents.has(candidate) || this.#committing.includes(candidate)) continue
      this.#abandon(candidate)
      return
    }
    throw new AlthingError('EXECUTOR_FULL', `${this.#speculations.size} blocks in a row wait for their commit`)
  }

  /** What a block can be put on top of now. */
  #tipOf(hash: Uint8Array): Tip | undefined {
    const tip = this.#speculations.get(toHex(hash))
    const last = this.#committing.at(-1)
    if (last !== undefined) return tip === last || (tip !== undefined && descends(tip, last)) ? tip : undefined
    return tip ?? (equalBytes(hash, this.#head.hash) ? this.#head : undefined)
  }

  #surroundingsOf(parent: Tip, time: number, state: StateReader): Surroundings {
    return {
      block: {
        ...this.#context,
        era: parent.era.era,
        memberSet: parent.era.memberSet,
        members: parent.era.members,
        quorum: parent.era.quorum,
        height: parent.height + 1,
        time,
      },
      state,
      entries: parent.entries,
      seen: parent.seen,
    }
  }

  #assertUsable(): void {
    if (this.#failure !== undefined)
      throw storeError('STORE_WRITE_FAILED', 'the ledger is out of use since a write failed', this.#failure)
  }
}

/** Whether `ancestor` is below `speculation`. */
function descends(speculation: Speculation, ancestor: Speculation): boolean {
  for (let tip: Tip = speculation; tip instanceof Speculation; tip = tip.parent)
    if (tip.parent === ancestor) return true
  return false
}
