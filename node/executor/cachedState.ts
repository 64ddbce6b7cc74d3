/**
 * The committed state for executions: the store, with what was read or written lately kept in memory. Signers, devices and the keys that a
 * leader has just checked are asked for again by every member's execution a moment later.
 * Invariants: what it answers is what the store holds at the head's height; whoever moves the head tells it the changes in the same step; what
 * is held is counted: no value is a view of something larger.
 */
import type { StateReader } from '../../protocol/kinds/kind.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'

/** Bytes held, keys and objects counted; the half that was read first is dropped beyond. Some 15 000 entries of 200 bytes. */
const BYTES_MAX = 8 * 1024 * 1024
/** What an entry takes beside its key and its value, bytes: two objects, a buffer and a place in the table. */
const ENTRY_BYTES = 300

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
    this.#forget(key)
    this.#known.set(key, value)
    this.#bytes += bytesOf(key, value)
    if (this.#bytes <= BYTES_MAX) return
    let left = this.#known.size >> 1
    for (const oldest of this.#known.keys()) {
      if (left-- === 0) return
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    const value = this.#known.get(key)
    if (value === undefined) return
    this.#bytes -= bytesOf(key, value)
    this.#known.delete(key)
  }
}

const bytesOf = (key: string, value: Uint8Array | null): number => ENTRY_BYTES + key.length + (value?.length ?? 0)
