/**
 * The pruner: drops old bodies while the node runs, and gives their disk space back. Stage: the disk at the end of the river.
 * Invariants: nothing is dropped that the configuration, the replay window or a snapshot that is served asks to keep; a step takes a few
 * milliseconds and others get their turn between two; a failed write is fatal, as every failed write of the ledger is.
 */
import type { Clock } from '../clock.ts'
import type { LedgerStore } from './ledgerStore.ts'
import { type BodyReader, PRUNE_STEP_BLOCKS } from './prune.ts'

/** What is kept: bodies that are among the last `blocks`, or younger than `hours`; 0 asks for nothing. Both 0: everything (an archive). */
export type Keep = { readonly blocks: number; readonly hours: number }

/** Whether a node that keeps so much drops nothing. */
export const isArchive = ({ blocks, hours }: Keep): boolean => blocks === 0 && hours === 0

/** What a pruner works with. */
export type PrunerDependencies = {
  readonly ledger: LedgerStore
  readonly clock: Pick<Clock, 'after'>
  readonly readBody: BodyReader
  /** Bodies from this height on are kept, whatever the configuration says. */
  keepFrom(): number
  readonly log: { info(fields: object, message: string): void }
  fatal(error: unknown): void
}

/** Between two steps, ms: the disk belongs to the commits first. */
const PAUSE_MS = 10
/** Dropped bodies after which their space is given back. */
export const COMPACT_AFTER_BYTES_MAX = 32 * 1024 * 1024

/** Prunes one ledger. */
export class Pruner {
  readonly #keep: Keep
  readonly #deps: PrunerDependencies
  #running: Promise<void> | undefined
  #stopped = false
  /** Where dropped bodies begin whose space was not given back: after a start, all that were ever dropped. */
  #compactFrom: number
  #bytes = 0

  constructor(keep: Keep, deps: PrunerDependencies) {
    this.#keep = keep
    this.#deps = deps
    this.#compactFrom = deps.ledger.firstHeight
  }

  /** A block was committed: a run begins where enough has grown old and none is under way. */
  committed(): void {
    if (this.#stopped || isArchive(this.#keep) || this.#running !== undefined) return
    const { ledger } = this.#deps
    const { below, since } = this.#bounds()
    const last = ledger.firstBody + PRUNE_STEP_BLOCKS - 1
    if (last >= below || !ledger.isOld(last, since)) return
    this.#running = this.#run()
      .catch((error) => this.#deps.fatal(error))
      .finally(() => {
        this.#running = undefined
      })
  }

  /** Ends after the step under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  #bounds(): { below: number; since: number } {
    const { ledger } = this.#deps
    const { blocks, hours } = this.#keep
    const tip = ledger.header(ledger.committedHeight)
    return {
      below: Math.min(this.#deps.keepFrom(), ledger.committedHeight - blocks + 1),
      since: hours === 0 ? Number.POSITIVE_INFINITY : (tip?.header.time ?? 0) - hours * 3_600_000,
    }
  }

  async #run(): Promise<void> {
    const { ledger, readBody, clock, log } = this.#deps
    const from = ledger.firstBody
    while (!this.#stopped) {
      const { below, since } = this.#bounds()
      const step = await ledger.pruneStep(below, since, readBody)
      if (step.to === step.from) break
      this.#bytes += step.bytes
      if (this.#bytes >= COMPACT_AFTER_BYTES_MAX) await this.#compact()
      await new Promise<void>((resolve) => void clock.after(PAUSE_MS, resolve))
    }
    log.info({ from, to: ledger.firstBody, bytes: this.#bytes }, 'bodies of old blocks were dropped')
  }

  async #compact(): Promise<void> {
    const { ledger } = this.#deps
    await ledger.compactPruned(this.#compactFrom, ledger.firstBody)
    this.#compactFrom = ledger.firstBody
    this.#bytes = 0
  }
}
