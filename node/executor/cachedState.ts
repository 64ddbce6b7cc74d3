/**
 * The committed state for executions: the store, with what was read or written lately kept in memory. Signers, devices and the keys that a
 * leader has just checked are asked for again by every member's execution a moment later.
 * Invariants: what it answers is what the store holds at the head's height; whoever moves the head tells it the changes in the same step; what
 * is held is counted: no value is a view of something larger.
 */
import type { StateReader } from '../../protocol/kinds/kind.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'

/** Entries and bytes of values kept; the half that was read first is dropped beyond either. */
const ENTRIES_MAX = 40_000
const BYTES_MAX = 16 * 1024 * 1024

/** Reads of the committed state. */
export class CachedState implements StateReader {
  readonly #ledger: Pick<LedgerStore, 'state'>
  readonly #known = new Map<string, Uint8Array | null>()
  #bytes = 0

  constructor(ledger: Pick<LedgerStore, 'state'>) {
    this.#ledger = ledger
  }

  get(key: string): Uint8Array | undefined {
    const known = this.#known.get(key)
    if (known !== undefined) return known ?? undefined
    const value = this.#ledger.state(key)?.value
    this.#remember(key, value ?? null)
    return value
  }

  /** The head moved to a block with these changes (null: deleted). */
  apply(changes: ReadonlyMap<string, Uint8Array | null>): void {
    // A copy: what a block brings is a view of whatever its transactions came in, up to 48 KiB, all of which a small value would keep.
    for (const [key, value] of changes) this.#remember(key, value === null ? null : new Uint8Array(value))
  }

  #remember(key: string, value: Uint8Array | null): void {
    this.#bytes += (value?.length ?? 0) - (this.#known.get(key)?.length ?? 0)
    this.#known.set(key, value)
    if (this.#known.size <= ENTRIES_MAX && this.#bytes <= BYTES_MAX) return
    let left = this.#known.size >> 1
    for (const [oldest, held] of this.#known) {
      if (left-- === 0) return
      this.#known.delete(oldest)
      this.#bytes -= held?.length ?? 0
    }
  }
}
