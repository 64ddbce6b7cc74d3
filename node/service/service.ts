/**
 * The service of a running member: everything that people, probes and programs ask of it. Stage: BKVS → **explorer**.
 * Invariants: it only reads the node and hands transactions to its intake; what is kept here is bounded and is lost without harm.
 */
import { randomBytes } from 'node:crypto'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { decodeTransaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { ApiDependencies, Fate, SigningKey, Submission } from '../api/dependencies.ts'
import type { Clock } from '../clock.ts'
import { decodeBody } from '../executor/body.ts'
import type { CommittedBlock } from '../executor/executor.ts'
import type { MemberNode } from '../main.ts'
import type { PoolEntry, PoolObserver } from '../pool/pool.ts'
import { Feed } from './feed.ts'
import { CommitFigures } from './figures.ts'
import { Heads } from './heads.ts'
import { healthOf } from './health.ts'
import { ledgerQueries } from './ledgerQueries.ts'
import { Metrics } from './metrics.ts'
import { type Observed, observe } from './observed.ts'
import { statusOf } from './status.ts'
import { TimingWatch } from './timing.ts'
import { trustPointsFrom } from './trustQueries.ts'

/** Refused transactions remembered after they have left the pool: bytes of all together. */
const REFUSED_BYTES_MAX = 8 * 1024 * 1024
/** Offences that a status counts; the list of them has pages. */
const OFFENCES_MAX = 1000
/** Blocks whose events the feed has again after a start. */
const FEED_BLOCKS = 256

/** How transactions leave the pool: counted, and their refusals remembered. Made before the node, which tells it. */
export class PoolWatch implements PoolObserver {
  readonly figures = new CommitFigures()
  readonly refusals = new Map<string, Refused>()
  #bytes = 0
  /** Set once there are metrics. */
  metrics: Metrics | undefined

  committed(_id: string, waitedMs: number): void {
    this.figures.waited(waitedMs)
    this.metrics?.committed(waitedMs)
  }

  dropped({ id, transaction, signer }: PoolEntry, code: Code): void {
    this.metrics?.dropped(code)
    this.#forget(id)
    this.refusals.set(id, { bytes: transaction.bytes, signer, code })
    this.#bytes += transaction.bytes.length
    for (const oldest of this.refusals.keys()) {
      if (this.#bytes <= REFUSED_BYTES_MAX) return
      this.#forget(oldest)
    }
  }

  #forget(id: string): void {
    this.#bytes -= this.refusals.get(id)?.bytes.length ?? 0
    this.refusals.delete(id)
  }
}

/** A transaction that was accepted and then refused. */
export type Refused = { readonly bytes: Uint8Array; readonly signer: string; readonly code: Code }

/** What a service is made with. */
export type ServiceOptions = {
  readonly clock: Clock
  readonly signingKeys: ReadonlyMap<string, SigningKey>
  readonly disk: { readonly directory: string; readonly freeBytesMin: number }
  /** The newest lines of the log. */
  readonly recentLog: () => readonly string[]
  /** Whether the metrics tell of the whole process as well; default true. Several nodes of one process say false. */
  readonly processMetrics?: boolean
}

/** Answers for one node until `stop`. */
export class NodeService {
  readonly dependencies: ApiDependencies
  readonly metrics: Metrics
  readonly #node: MemberNode
  readonly #watch: PoolWatch
  readonly #options: ServiceOptions
  readonly #heads: Heads
  readonly #feed: Feed
  readonly #timing = new TimingWatch()
  #lastCommitMs: number
  #hasCommitted = false

  private constructor(node: MemberNode, watch: PoolWatch, options: ServiceOptions, feed: Feed) {
    const { clock } = options
    this.#node = node
    this.#watch = watch
    this.#options = options
    this.#feed = feed
    this.#lastCommitMs = clock.monotonic()
    this.metrics = new Metrics(() => this.#look(), node.version, options.processMetrics)
    watch.metrics = this.metrics
    this.#heads = new Heads({
      clock,
      network: node.network,
      roster: node.roster,
      own: () => ({ height: node.executor.head.height, view: node.driver.state.view }),
      tick: () => {
        node.driver.measureDelays()
        // Violations that begin and end while nobody asks are counted too.
        this.#look()
      },
    })
    node.onCommitted((blocks) => this.#committed(blocks))
    this.dependencies = this.#make()
  }

  /** Reads what the feed needs of the last blocks, and begins. */
  static async start(node: MemberNode, watch: PoolWatch, options: ServiceOptions): Promise<NodeService> {
    // Listening first: what is committed while the older blocks are read comes after them.
    const early: CommittedBlock[] = []
    let service: NodeService | undefined
    node.onCommitted((blocks) => {
      if (service === undefined) early.push(...blocks)
    })
    const { height: head } = node.executor.head
    const first = Math.max(node.executor.reads.held.firstHeight, head - FEED_BLOCKS + 1)
    const feed = new Feed(first - 1)
    const points = await trustPointsFrom(node.executor.reads, first)
    for (let height = first; height <= head; height++) {
      const sealed = node.executor.reads.headerAt(height)
      const body = await node.executor.reads.body(height)
      const transactions = body === undefined ? [] : decodeBody(body)
      if (sealed === undefined || typeof transactions === 'string') throw new Error(`height ${height} cannot be read`)
      const read = transactions.map((bytes) => ({ transaction: decodeTransaction(bytes) }))
      feed.add({ sealed, transactions: read, trustPoints: points.get(height) ?? [] })
    }
    service = new NodeService(node, watch, options, feed)
    for (const block of early) if (block.height > head) feed.add(block)
    return service
  }

  stop(): void {
    this.#heads.stop()
    this.metrics.stop()
  }

  #committed(blocks: readonly CommittedBlock[]): void {
    const nowMs = this.#options.clock.monotonic()
    for (const block of blocks) {
      this.#watch.figures.block(block.transactions.length, nowMs)
      this.metrics.block(block.transactions.length, nowMs - this.#lastCommitMs)
      this.#lastCommitMs = nowMs
      this.#hasCommitted = true
      this.#feed.add(block)
    }
  }

  #look(): Observed {
    const { clock } = this.#options
    return observe(this.#node, this.#watch.figures, this.#timing, {
      nowMs: clock.now(),
      monotonicMs: clock.monotonic(),
      lastCommitMs: this.#lastCommitMs,
      hasCommitted: this.#hasCommitted,
      followers: this.#feed.followers,
    })
  }

  #make(): ApiDependencies {
    const node = this.#node
    const look = (): Observed => this.#look()
    const { clock, signingKeys, disk } = this.#options
    const queries = ledgerQueries(node.genesis, {
      executor: node.executor,
      pool: node.pool,
      refusedOf: (id) => this.#watch.refusals.get(id),
    })
    return {
      ...queries,
      chainId: node.chainId,
      version: node.version,
      now: () => clock.now(),
      randomNonce: () => Uint8Array.from(randomBytes(16)),
      signingKey: (name) => signingKeys.get(name),
      submit: async (list) => submissions(list, await node.intake.submit(list)),
      waitFor: (id, timeoutMs) => this.#waitFor(id, timeoutMs),
      async status() {
        const offences = await queries.offences({ member: undefined, after: undefined, limit: OFFENCES_MAX })
        const members = new Set(offences.map(({ name, member }) => name ?? member))
        return statusOf(look(), { count: offences.length, members: [...members] })
      },
      backup: () => node.backup(),
      recentLog: () => this.#options.recentLog(),
      metrics: () => this.metrics.render(),
      health: () => healthOf(this.#look(), disk),
      subscribe: (after, listener) => this.#feed.subscribe(after, listener),
    }
  }

  #waitFor(id: string, timeoutMs: number): Promise<Fate> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.after(timeoutMs, () => {
        stopListening?.()
        settle()
      })
      const settle = (): void => {
        timer.cancel()
        try {
          resolve(this.#fateOf(id) ?? { outcome: 'timeout' })
        } catch (error) {
          reject(error)
        }
      }
      const stopListening = this.#node.pool.listen(id, settle)
      if (stopListening === undefined && this.#fateOf(id) !== undefined) settle()
    })
  }

  /** What became of a transaction that is no longer in the pool; undefined while nothing has. */
  #fateOf(id: string): Fate | undefined {
    const { reads } = this.#node.executor
    const position = reads.transaction(fromHex(id))
    if (position !== undefined) {
      const sealed = reads.headerAt(position.height)
      if (sealed !== undefined) return { outcome: 'committed', ...position, blockHash: toHex(sealed.hash) }
    }
    const refused = this.#watch.refusals.get(id)
    return refused === undefined ? undefined : { outcome: 'refused', code: refused.code }
  }
}

const submissions = (list: readonly Uint8Array[], codes: readonly Code[]): Submission[] =>
  list.map((bytes, i) => {
    const code = codes[i] as Code
    return code === 'OK' ? { ok: true, id: toHex(sha3(bytes)) } : { ok: false, code }
  })
