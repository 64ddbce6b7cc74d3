/**
 * Evidence that this member has found and that is not on the chain yet (agreement.md §7). Stage: consensus → the disk → pool.
 * Invariants: it stands in the database of the signing record, under keys of its own; what `keep` has settled for is found again after any end
 * of the process; nothing here says what was signed by this member, so losing it binds nobody.
 */
import { concat } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { prefixRange } from './buckets.ts'
import type { KeyValueStore } from './store.ts'

// 1 … 4 are taken: keptBlocks.ts, signingRecord.ts.
const EVIDENCE = Uint8Array.of(5)
const keyOf = (payload: Uint8Array): Uint8Array => concat(EVIDENCE, sha3(payload))

/** The evidence kept beside one signing record. How much that is, is the caller's to bound. */
export class KeptEvidence {
  readonly #store: KeyValueStore

  constructor(store: KeyValueStore) {
    this.#store = store
  }

  /** What is kept, each the encoding of a payload. Throws AlthingError of the store. */
  async stored(): Promise<readonly Uint8Array[]> {
    const found: Uint8Array[] = []
    for await (const [, payload] of this.#store.iterate(prefixRange(EVIDENCE))) found.push(payload)
    return found
  }

  /** Keeps a payload; settles once it is durable. Throws AlthingError STORE_WRITE_FAILED. */
  keep(payload: Uint8Array): Promise<void> {
    return this.#store.batch([{ key: keyOf(payload), value: payload }], { sync: true })
  }

  /** Lets go of a payload. If that is lost, it is brought once more and refused as known. Throws as `keep`. */
  forget(payload: Uint8Array): Promise<void> {
    return this.#store.batch([{ key: keyOf(payload), value: undefined }], { sync: false })
  }
}
