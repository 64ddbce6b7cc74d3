/**
 * Handing: what was submitted here is handed to the leader by name, and a leader that passes it over is noticed (agreement.md §4.4, censorship).
 * Stage: pool → **block**. Gossip carries transactions in the first place and may lose them; handing is acknowledged, so it can be counted on.
 * Invariants: only what the leader has acknowledged counts as handed, only within its view; what is remembered is bounded, and forgetting
 * accuses nobody.
 */
import { encodeCbor } from '../../protocol/cbor.ts'
import { decodeAs, encodeAs, list, oneOf } from '../../protocol/codec.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Transaction } from '../../protocol/transaction.ts'
import { VERDICTS } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { Network } from '../network/network.ts'

/** Own transactions that are watched; those beyond are left to gossip. */
const WATCHED_MAX = 20_000
/** Transactions and bytes of one request to the leader. */
const REQUEST_TRANSACTIONS_MAX = 1000
const REQUEST_BYTES_MAX = 512 * 1024
/** Looks within an inclusion timeout: an own transaction that waits for longer than one of them is handed over. */
const LOOKS = 8

const codeNames = Object.keys(VERDICTS) as (keyof typeof VERDICTS)[]
const answerCodec = list(oneOf(...codeNames), REQUEST_TRANSACTIONS_MAX)

/** What handing asks of the rest of the node. */
export type HandingDependencies = {
  readonly clock: Clock
  readonly network: Pick<Network, 'request' | 'serve'>
  /** The waiting transaction of that id (hexadecimal). */
  waiting(id: string): Transaction | undefined
  /** Takes a piece of transactions in, as from gossip; their codes. */
  receive(piece: Uint8Array): Promise<readonly (keyof typeof VERDICTS)[] | 'malformed'>
  /** The present view and its leader. */
  leader(): { readonly view: number; readonly publicKey: PublicKeyHex; readonly isThisMember: boolean }
  /** Whether a transaction would still apply in the next block. */
  isValid(id: string): boolean
  /** The leader of `view` passed one over for too long. */
  censored(view: number): void
}

type Watched = { readonly since: number; handed: { readonly view: number; readonly at: number } | undefined }

/** Watches over what was submitted here. Times in ms of the monotonic clock. */
export class Handing {
  readonly #inclusionTimeoutMs: number
  readonly #deps: HandingDependencies
  readonly #watched = new Map<string, Watched>()
  #timer: TimerHandle | undefined
  #stopped = false

  constructor(inclusionTimeoutMs: number, deps: HandingDependencies) {
    this.#inclusionTimeoutMs = inclusionTimeoutMs
    this.#deps = deps
    const limits = {
      roles: ['member' as const],
      bytesMax: REQUEST_BYTES_MAX + 8192,
      concurrencyMax: 2,
      ratePerSecond: 20,
    }
    deps.network.serve(
      'hand',
      async (_peer, piece) => {
        const codes = await deps.receive(piece)
        return encodeAs(answerCodec, codes === 'malformed' ? [] : codes)
      },
      limits,
    )
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** A transaction that was submitted here waits in the pool. */
  submitted(id: string): void {
    if (this.#watched.size < WATCHED_MAX)
      this.#watched.set(id, { since: this.#deps.clock.monotonic(), handed: undefined })
  }

  /** A transaction left the pool. */
  left(id: string): void {
    this.#watched.delete(id)
  }

  /**
   * A block of `view` was committed, and the last arrived of its transactions was first seen here at `seenAt`: an own one that was handed
   * over in that view more than the inclusion timeout before that and is valid was passed over.
   */
  included(view: number, seenAt: number): void {
    const now = this.#deps.clock.monotonic()
    for (const [id, { handed }] of this.#watched) {
      if (handed?.view !== view) continue
      const passedOver = now - handed.at > this.#inclusionTimeoutMs && seenAt > handed.at + this.#inclusionTimeoutMs
      if (!passedOver || !this.#deps.isValid(id)) continue
      this.#deps.censored(view)
      return
    }
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(this.#inclusionTimeoutMs / LOOKS, () => {
      if (this.#stopped) return
      void this.#hand().finally(() => this.#schedule())
    })
  }

  async #hand(): Promise<void> {
    const { leader, clock, network, waiting } = this.#deps
    const { view, publicKey, isThisMember } = leader()
    if (isThisMember) return
    try {
      const ids: string[] = []
      const piece: Uint8Array[] = []
      let size = 0
      const oldEnough = clock.monotonic() - this.#inclusionTimeoutMs / LOOKS
      for (const [id, { since, handed }] of this.#watched) {
        if (since > oldEnough || handed?.view === view) continue
        const bytes = waiting(id)?.bytes
        if (bytes === undefined) {
          this.#watched.delete(id)
          continue
        }
        if (piece.length === REQUEST_TRANSACTIONS_MAX || size + bytes.length > REQUEST_BYTES_MAX) break
        ids.push(id)
        piece.push(bytes)
        size += bytes.length
      }
      if (ids.length === 0) return
      const limits = { timeoutMs: this.#inclusionTimeoutMs / LOOKS, bytesMax: 64 * REQUEST_TRANSACTIONS_MAX }
      const codes = decodeAs(answerCodec, await network.request(publicKey, 'hand', encodeCbor(piece), limits))
      const at = clock.monotonic()
      ids.forEach((id, i) => {
        const watched = this.#watched.get(id)
        // It has it, from us now or from gossip before.
        if (watched !== undefined && (codes[i] === 'OK' || codes[i] === 'POOL_DUPLICATE')) watched.handed = { view, at }
      })
    } catch {
      // The leader did not answer: it is tried again, and nothing counts as handed.
    }
  }
}
