/**
 * What keeps a ledger from growing without end, and lets others begin without all of it: pruning, snapshots, joining. One for each member.
 * Invariants: it reads the ledger and drops what the configuration allows; it never touches the signing record.
 */
import type { Clock } from '../clock.ts'
import { readBody } from '../executor/bodyContents.ts'
import type { Executor } from '../executor/executor.ts'
import type { Network } from '../network/network.ts'
import type { Pace } from '../steps.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import { type Keep, Pruner } from '../store/pruner.ts'
import { Joiner, type JoinerDependencies, type JoinProgress } from './joiner.ts'
import { type LibraryDependencies, SnapshotLibrary } from './library.ts'
import { serveSnapshots } from './serve.ts'

/** Settings of one member. */
export type GrowthOptions = {
  readonly keep: Keep
  /** A snapshot is made at each height that this divides; 0 for none. */
  readonly snapshotBlocks: number
  readonly join: 'snapshot' | 'replay'
  /** Least gain of a snapshot, blocks; `JOIN_GAIN_MIN` by default. */
  readonly joinGainMin?: number
  readonly snapshotsDirectory: string
}

/** What is used of the node. */
export type GrowthDependencies = Pick<
  JoinerDependencies,
  'genesis' | 'sources' | 'openStaging' | 'settle' | 'signers' | 'hasRoom'
> &
  Pick<LibraryDependencies, 'disk'> & {
    readonly pace: Pace
    readonly ledger: LedgerStore
    readonly executor: Executor
    readonly network: Pick<Network, 'serve' | 'request' | 'penalize'>
    readonly clock: Clock
    readonly chainId: Uint8Array
    readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
    fatal(error: unknown): void
  }

/** What a member holds of the past, for its status. */
export type GrowthFigures = {
  readonly firstHeight: number
  readonly firstBody: number
  readonly snapshots: readonly number[]
  readonly joining: JoinProgress | null
}

/** Pruner, snapshots and joiner of one member. */
export class Growth {
  readonly #options: GrowthOptions
  readonly #ledger: LedgerStore
  readonly #library: SnapshotLibrary
  readonly #pruner: Pruner
  readonly #joiner: Joiner
  #joining: Promise<boolean> | undefined

  private constructor(options: GrowthOptions, deps: GrowthDependencies, library: SnapshotLibrary) {
    const { ledger, executor, network, clock, log } = deps
    this.#options = options
    this.#ledger = ledger
    this.#library = library
    const keepFrom = (): number => library.keepFrom
    this.#pruner = new Pruner(options.keep, { ledger, clock, readBody, keepFrom, log, fatal: deps.fatal })
    const { joinGainMin: gainMin } = options
    const joining = { ...deps, head: () => executor.head.height }
    this.#joiner = new Joiner(joining, gainMin === undefined ? {} : { gainMin })
    serveSnapshots(network, library, executor.reads, () => executor.head.height)
  }

  /** Opens the snapshots and answers questions about them; `committed` begins the rest. */
  static async open(options: GrowthOptions, deps: GrowthDependencies): Promise<Growth> {
    const eraLinks = (era: number) => deps.executor.reads.eraLinks(0, era)
    const library = await SnapshotLibrary.open(options.snapshotsDirectory, options.snapshotBlocks, {
      ...deps,
      eraLinks,
    })
    return new Growth(options, deps, library)
  }

  /** A block was committed. */
  committed(): void {
    this.#pruner.committed()
  }

  /**
   * See `Joiner.join`; false at once where every block is to be replayed. Who asks while one is under way, as in the next era, waits for that
   * one.
   */
  async join(): Promise<boolean> {
    if (this.#options.join !== 'snapshot') return false
    this.#joining ??= this.#joiner.join().finally(() => {
      this.#joining = undefined
    })
    return this.#joining
  }

  /** What is held, and how far joining is. */
  get figures(): GrowthFigures {
    const { firstHeight, firstBody } = this.#ledger
    return { firstHeight, firstBody, snapshots: this.#library.heights, joining: this.#joiner.progress ?? null }
  }

  async stop(): Promise<void> {
    this.#joiner.stop()
    // Whoever asked for it hears of its failure; here it has to let go of its files.
    await this.#joining?.catch(() => undefined)
    await this.#pruner.stop()
    await this.#library.stop()
  }
}
