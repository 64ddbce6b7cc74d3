/**
 * Stage: the operator. Reports of RTUs as they stand on the chain, read block by block over the public API.
 * Invariants: a report counts when it is in a committed block, whoever tells; each block is read once; ids of a load that this testnet makes
 * itself are not looked at one by one.
 */
import type { MemberClient } from './client.ts'
import type { RtuPlace } from './homes.ts'
import { readTransaction } from './status.ts'

/** Reports of one RTU. */
export type ReportCount = { reports: number; lastHeight: number | undefined; lastAt: number | undefined }

/** Requests at the same time. */
const CONCURRENCY = 8
/** Transactions that are looked at in one call of `follow`, so that a flood does not stop the table. */
const LOOKS_MAX = 400

/** Follows the chain from the height at which it is made. */
export class ReportReader {
  readonly #counts: ReadonlyMap<string, ReportCount>
  readonly #byKey: ReadonlyMap<string, ReportCount>
  readonly #load: { has(id: string): boolean; committed(id: string): void }
  #next: number
  #rest: string[] = []

  /** `from`: the first height to read. `load` knows the transactions of our own making and is told of their commit. */
  constructor(
    rtus: readonly RtuPlace[],
    from: number,
    load: { has(id: string): boolean; committed(id: string): void },
  ) {
    const empty = (): ReportCount => ({ reports: 0, lastHeight: undefined, lastAt: undefined })
    this.#counts = new Map(rtus.map(({ name }) => [name, empty()]))
    this.#byKey = new Map(rtus.map(({ name, publicKey }) => [publicKey, this.#counts.get(name) as ReportCount]))
    this.#load = load
    this.#next = from
  }

  /** What is known of the RTU `name`. */
  of(name: string): ReportCount {
    return this.#counts.get(name) ?? { reports: 0, lastHeight: undefined, lastAt: undefined }
  }

  /** Reads on up to `height` at `member`; true if all of it was read. Stops early where the member does not answer. */
  async follow(member: MemberClient, height: number): Promise<boolean> {
    let looks = 0
    while (looks < LOOKS_MAX) {
      if (this.#rest.length === 0) {
        if (this.#next > height) return true
        const header = await member.header(this.#next)
        if (header === undefined) return false
        if (header.transactionCount > 0) {
          const ids = await member.transactionIds(this.#next)
          if (ids.length === 0) return false
          for (const id of ids) {
            if (this.#load.has(id)) this.#load.committed(id)
            else this.#rest.push(id)
          }
        }
        this.#next += 1
        continue
      }
      const part = this.#rest.slice(0, CONCURRENCY)
      const answers = await Promise.all(part.map((id) => member.get(['transactions', id])))
      if (answers.includes(undefined)) return false
      for (const answer of answers) this.#count(readTransaction(answer))
      this.#rest = this.#rest.slice(part.length)
      looks += part.length
    }
    return this.#rest.length === 0 && this.#next > height
  }

  #count({ kind, signer, height, committedAt }: ReturnType<typeof readTransaction>): void {
    const count = kind === 'device.report' ? this.#byKey.get(signer) : undefined
    if (count === undefined || height === undefined) return
    count.reports += 1
    if (height >= (count.lastHeight ?? 0)) {
      count.lastHeight = height
      count.lastAt = committedAt
    }
  }
}
