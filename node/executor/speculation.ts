/**
 * Speculations: blocks that were executed and not yet committed, each on top of its parent, several side by side where leaders forked.
 * Invariants: a speculation descends from the head; its reads see its own changes, then its ancestors', then the committed state; it
 * changes nothing outside itself and the nodes of the state tree that it created.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { encodeAs } from '../../protocol/codec.ts'
import type { BlockExecution, Seen, SignedTransaction } from '../../protocol/execution.ts'
import { appendBlock, type Frontier, type HistoryNode } from '../../protocol/history.ts'
import { deviceStateKey } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { readTrustPoints, TRUST_HISTORY_PREFIX, type TrustPoint } from '../../protocol/kinds/trust/record.ts'
import { memberSetCodec } from '../../protocol/members.ts'
import { encodeEntry, keyHashOf, valueHashOf } from '../../protocol/state/entry.ts'
import type { NodeReference, StateUpdate } from '../../protocol/state/tree.ts'
import type { LedgerBlock, LedgerChanges } from '../store/ledgerBatch.ts'
import { encodeBody } from './body.ts'
import { type LedgerEra, ledgerEra } from './era.ts'
import { packNonces } from './usedNonces.ts'

/** What a block can be put on top of: the head of the committed chain, or a speculation. */
export type Tip = {
  readonly hash: Uint8Array
  readonly height: number
  /** Time of the block, ms. */
  readonly time: number
  /** Era of the next block. */
  readonly era: LedgerEra
  /** State after the block. */
  readonly root: NodeReference
  /** Entries of that state. */
  readonly entries: number
  /** History up to and with the block. */
  readonly frontier: Frontier
  readonly state: StateReader
  readonly seen: Seen
}

/** Changes of the state in the forms of the store and of the tree, in one order. */
export type StateChanges = Pick<LedgerChanges, 'stateChanges' | 'leafChanges'>

/** Encodes and hashes `changes` (key → value, null where deleted) of the block at `height`. */
export function stateChangesOf(changes: ReadonlyMap<string, Uint8Array | null>, height: number): StateChanges {
  const stateChanges: { key: string; entry: Uint8Array | null }[] = []
  const leafChanges: { keyHash: Uint8Array; valueHash: Uint8Array | null }[] = []
  for (const [key, value] of changes) {
    const entry = value === null ? null : encodeEntry({ height, value })
    stateChanges.push({ key, entry })
    leafChanges.push({ keyHash: keyHashOf(key), valueHash: entry === null ? null : valueHashOf(entry) })
  }
  return { stateChanges, leafChanges }
}

/** An event of a device in a block; `index` is that of the transaction. */
export type BlockEvent = LedgerBlock['deviceEvents'][number]

/** The categories in which `transactions` report devices, each once per transaction. */
export function deviceEventsOf(transactions: readonly Pick<SignedTransaction, 'transaction'>[]): BlockEvent[] {
  const found: BlockEvent[] = []
  transactions.forEach(({ transaction }, index) => {
    if (transaction.kind !== deviceReport.name) return
    const { device, events } = deviceReport.payload.from(transaction.payload, deviceReport.name)
    for (const category of new Set(events.map((event) => event.category)))
      found.push({ deviceId: device, category, index })
  })
  return found
}

/** A point of the history of trust in `device` (id, hexadecimal). */
export type DeviceTrustPoint = { readonly device: string; readonly point: TrustPoint }

/** More than one block can add to one device: cut off, reinstated, evaluated, retired. */
const POINTS_PER_BLOCK_MAX = 8

/** What an executed block consists of. */
export type Executed = {
  readonly sealed: SealedHeader
  readonly transactions: readonly SignedTransaction[]
  readonly ids: readonly Uint8Array[]
  /** `treeRoots(ids)`: half of what a commit would cost if they were made again. */
  readonly treeRoots: readonly Uint8Array[]
  readonly execution: BlockExecution
  readonly changes: StateChanges
  readonly update: StateUpdate
}

/** One executed block. */
export class Speculation implements Tip {
  /** The head once the parent is committed. */
  parent: Tip
  readonly sealed: SealedHeader
  readonly update: StateUpdate
  readonly entries: number
  readonly frontier: Frontier
  readonly era: LedgerEra
  /** The era that the block itself stands in. */
  readonly parentEra: LedgerEra
  readonly ids: readonly Uint8Array[]
  readonly state: StateReader
  readonly #executed: Executed
  readonly #base: ParentReader
  readonly #historyNodes: readonly HistoryNode[]

  /** `base` is the reader over `parent` on which the block was executed, to the end. */
  constructor(parent: Tip, executed: Executed, base: ParentReader) {
    this.parent = parent
    this.#executed = executed
    this.sealed = executed.sealed
    this.update = executed.update
    this.ids = executed.ids
    this.state = executed.execution.state
    this.entries = parent.entries + executed.execution.state.entriesAdded
    const { frontier, nodes } = appendBlock(parent.frontier, executed.sealed.hash)
    this.frontier = frontier
    this.#historyNodes = nodes
    const { nextEra } = executed.execution
    this.parentEra = parent.era
    this.era = nextEra === null ? parent.era : ledgerEra(nextEra)
    this.#base = base
    base.forget()
  }

  get hash(): Uint8Array {
    return this.sealed.hash
  }

  get height(): number {
    return this.sealed.header.height
  }

  get time(): number {
    return this.sealed.header.time
  }

  get root(): NodeReference {
    return this.update.root
  }

  /** See `Seen`: of this block and those below. */
  readonly seen: Seen = (use, time) => this.#executed.execution.has(use, time) || this.parent.seen(use, time)

  /** Key → value after the block, null where it was deleted, for each key that the block changed. */
  get stateChanges(): ReadonlyMap<string, Uint8Array | null> {
    return this.#executed.execution.state.changes()
  }

  get transactions(): readonly SignedTransaction[] {
    return this.#executed.transactions
  }

  /** Ids (hexadecimal) of the devices whose records this block changes. */
  get devicesChanged(): string[] {
    const prefix = deviceStateKey('')
    const found: string[] = []
    for (const key of this.#executed.execution.state.changes().keys())
      if (key.startsWith(prefix)) found.push(key.slice(prefix.length))
    return found
  }

  /** Points that this block adds to the histories of trust, in the order of devices. */
  get trustPoints(): DeviceTrustPoint[] {
    const { state } = this.#executed.execution
    const pages = [...state.changes().keys()].filter((key) => key.startsWith(TRUST_HISTORY_PREFIX))
    const devices = new Set(pages.map((key) => key.slice(TRUST_HISTORY_PREFIX.length, key.lastIndexOf('/'))))
    const page = { limit: POINTS_PER_BLOCK_MAX, height: this.height }
    return [...devices].sort().flatMap((device) =>
      readTrustPoints(state, device, page)
        .toReversed()
        .map((point) => ({ device, point })),
    )
  }

  /** Puts the head in the place of the parent, which was committed: its overlay is let go, and reads get shorter. */
  rebase(head: Tip): void {
    this.parent = head
    this.#base.rebase(head)
  }

  /** All that the store writes for this block. `certificate` is null where a descendant's commits it. */
  ledgerBlock(certificate: Uint8Array | null, committedBy: number): LedgerBlock {
    const { sealed, transactions, ids, treeRoots, execution, changes } = this.#executed
    return {
      ...changes,
      header: sealed,
      body: encodeBody(transactions.map(({ transaction }) => transaction.bytes)),
      ...{ certificate, committedBy },
      transactionIds: ids,
      treeRoots,
      deviceEvents: deviceEventsOf(transactions),
      replayRecords: packNonces(execution.nonces()),
      historyNodes: this.#historyNodes,
      memberSets: execution.nextEra === null ? [] : [encodeAs(memberSetCodec, execution.nextEra.memberSet)],
    }
  }
}

/**
 * The state of a parent, through an indirection, so that the head can take the parent's place once it is committed. While a block is
 * executed it remembers what it has read: the signers of a block are few, and each transaction asks for the role of its own.
 */
export class ParentReader implements StateReader {
  #tip: Tip
  readonly #read = new Map<string, Uint8Array | null>()
  #executing = true

  constructor(tip: Tip) {
    this.#tip = tip
  }

  get(key: string): Uint8Array | undefined {
    const known = this.#read.get(key)
    if (known !== undefined) return known ?? undefined
    const value = this.#tip.state.get(key)
    if (this.#executing) this.#read.set(key, value ?? null)
    return value
  }

  /** Ends the execution: nothing is remembered any more. */
  forget(): void {
    this.#executing = false
    this.#read.clear()
  }

  /** Reads `tip` from now on, which must hold what the parent holds. */
  rebase(tip: Tip): void {
    this.#tip = tip
  }
}
