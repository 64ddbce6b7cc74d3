/**
 * The nonces of committed transactions that have not expired, by the packed records that the store keeps of each block.
 * Invariants: whether a nonce counts follows from committed blocks and the time of the block that asks, never from how far this node has
 * committed meanwhile; after a restart the answers are the same, because running and restarting both read the same records.
 */
import { type Seen, type UsedNonce, ReplayWindow as Window } from '../../protocol/execution.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import { REPLAY_RECORD_BYTES, ReplayWindow } from '../store/replayWindow.ts'

/** Bytes of a record that name the pair of signer and nonce. */
const PAIR_BYTES = 16

/** The records of the nonces that a block uses, for the store and for `UsedNonces.commit`. */
export const packNonces = (nonces: readonly UsedNonce[]): Uint8Array =>
  ReplayWindow.pack(
    nonces.map(({ address, nonce, validUntil }) => ({ signer: Buffer.from(address, 'hex'), nonce, validUntil })),
  )

/** Used nonces of the committed chain. Memory: about 150 bytes for each transaction of the last hour. */
export class UsedNonces {
  readonly #window = new Window()

  /** The nonces that the blocks in `ledger` leave in use at `time`, the time (ms) of its last block. */
  static async rebuild(ledger: LedgerStore, time: number): Promise<UsedNonces> {
    const used = new UsedNonces()
    for await (const records of ledger.replayRecordsSince(time - LIMITS.transactionValidityMsMax))
      used.commit(records, time)
    return used
  }

  /** See `Seen`. */
  readonly has: Seen = (address, nonce, time) => {
    const record = packNonces([{ address, nonce, validUntil: 0 }])
    return this.#window.has('', record.subarray(0, PAIR_BYTES), time)
  }

  /** Takes in the records of a block committed with `time` (ms), or of an earlier one after a restart. */
  commit(records: Uint8Array, time: number): void {
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength)
    const nonces: UsedNonce[] = []
    for (let at = 0; at + REPLAY_RECORD_BYTES <= records.length; at += REPLAY_RECORD_BYTES) {
      const validUntil = view.getFloat64(at + PAIR_BYTES)
      // The pair already holds the address, so the window is given none.
      if (validUntil >= time) nonces.push({ address: '', nonce: records.subarray(at, at + PAIR_BYTES), validUntil })
    }
    this.#window.commit(nonces, time)
  }

  /** Nonces in memory. */
  get size(): number {
    return this.#window.size
  }
}
