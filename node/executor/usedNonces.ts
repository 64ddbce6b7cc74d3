/**
 * The nonces of committed transactions that have not expired, by the packed records that the store keeps of each block.
 * Invariants: whether a nonce counts follows from committed blocks and the time of the block that asks, never from how far this node has
 * committed meanwhile; after a restart the answers are the same, because running and restarting both read the same records.
 */
import type { NonceUse, Seen } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import { ReplayWindow } from '../store/replayWindow.ts'

/** The records of the nonces that a block uses, for the store and for `UsedNonces.commit`. */
export const packNonces = (nonces: readonly NonceUse[]): Uint8Array => ReplayWindow.packHashes(nonces)

/** Used nonces of the committed chain. Memory: 27 to 34 bytes for each transaction that has not expired. */
export class UsedNonces {
  // As many as there are: a bound here would have to be a rule about blocks, or members would differ in what they forget.
  readonly #window = new ReplayWindow({ entriesMax: Number.POSITIVE_INFINITY })

  /** The nonces that the blocks in `ledger` leave in use at `time`, the time (ms) of its last block. */
  static async rebuild(ledger: LedgerStore, time: number): Promise<UsedNonces> {
    const used = new UsedNonces()
    for await (const records of ledger.replayRecordsSince(time - LIMITS.transactionValidityMsMax))
      used.commit(records, time)
    return used
  }

  /** See `Seen`. */
  readonly has: Seen = ({ hash }, time) => this.#window.hasHashAt(hash, time)

  /** Takes in the records of a block committed with `time` (ms), or of an earlier one after a restart. */
  commit(records: Uint8Array, time: number): void {
    this.#window.commit(records, time)
  }

  /** Nonces in memory. */
  get size(): number {
    return this.#window.size
  }
}
