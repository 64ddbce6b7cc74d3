/**
 * Reads and proofs of the committed ledger: what the API, other members and light peers ask. Stage: ledger → BKVS → explorer.
 * Invariants: nothing that is not committed is ever shown; a read of the state is one lookup; a proof is made of one moment, however
 * many commits run beside it; after a failed write everything is refused.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { historyInclusion } from '../../protocol/history.ts'
import type { EraLink } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { type MemberSet, memberSetCodec } from '../../protocol/members.ts'
import { transactionProof } from '../../protocol/merkle.ts'
import { type BlockEvidence, buildProof, type Proof } from '../../protocol/proof.ts'
import { keyHashOf, type StateEntry, valueHashOf } from '../../protocol/state/entry.ts'
import type { StateTree } from '../../protocol/state/tree.ts'
import type { DeviceEvent, LedgerStore, TransactionPosition } from '../store/ledgerStore.ts'
import { storeError } from '../store/level.ts'
import { decodeBody } from './body.ts'
import { eraEnd, eraLink } from './eraLinks.ts'
import type { Tip } from './speculation.ts'

/** Most entries of one page. */
export const PAGE_ENTRIES_MAX = 1000

/** Moments in which a proof of the state may meet a commit, before the store itself is suspected. */
const PROOF_ATTEMPTS_MAX = 100

/** A part of a list, and where the next begins: null at the end. */
export type Page<T> = { readonly items: readonly T[]; readonly next: string | null }

/** What reads share with the executor. */
export type ReadsOf = {
  readonly tree: StateTree
  readonly head: () => Pick<Tip, 'height' | 'root'>
  /** Throws once the ledger is out of use. */
  readonly usable: () => void
  /** Settles when no commit is under way. */
  readonly settled: () => Promise<unknown>
}

/** Reads of one ledger. Made by the executor. */
export class LedgerReads {
  readonly #ledger: LedgerStore
  readonly #chainId: Uint8Array
  readonly #of: ReadsOf
  /** Era → how it ended, which never changes in what matters: a later certificate only has more signatures. */
  readonly #links = new Map<number, EraLink>()

  constructor(ledger: LedgerStore, chainId: Uint8Array, of: ReadsOf) {
    this.#ledger = ledger
    this.#chainId = chainId
    this.#of = of
  }

  /** What is held: the lowest block, and the lowest body. Both 1 on a node that has dropped nothing and began at the genesis. */
  get held(): { readonly firstHeight: number; readonly firstBody: number } {
    const { firstHeight, firstBody } = this.#ledger
    return { firstHeight, firstBody }
  }

  /** Ids of the transactions of the committed block at `height`, in order; kept when its body is dropped. */
  async transactionIds(height: number): Promise<readonly Uint8Array[] | undefined> {
    const body = await this.body(height)
    if (body === undefined) return this.#ledger.prunedIds(height)
    const transactions = decodeBody(body)
    if (typeof transactions === 'string') throw new Error(`the body of height ${height} is ${transactions}`)
    return transactions.map(sha3)
  }

  /** Header of the committed block at `height` ≥ 1. */
  headerAt(height: number): SealedHeader | undefined {
    this.#of.usable()
    return height > this.#of.head().height ? undefined : this.#ledger.header(height)
  }

  /** Header of the committed block with `hash`. */
  headerBy(hash: Uint8Array): SealedHeader | undefined {
    const height = this.#ledger.heightOf(hash)
    return height === undefined ? undefined : this.headerAt(height)
  }

  /** Body (`decodeBody`) of the committed block at `height`; undefined once pruned. */
  async body(height: number): Promise<Uint8Array | undefined> {
    this.#of.usable()
    return height > this.#of.head().height ? undefined : this.#ledger.body(height)
  }

  /** Encoding of the commit certificate of the block at `height`, where it has one of its own. */
  certificate(height: number): Uint8Array | undefined {
    this.#of.usable()
    return height > this.#of.head().height ? undefined : this.#ledger.certificate(height)
  }

  /** The member set with `hash`, if it is that of an era up to the present one. */
  memberSet(hash: Uint8Array): MemberSet | undefined {
    this.#of.usable()
    const encoded = this.#ledger.memberSet(hash)
    return encoded === undefined ? undefined : decodeAs(memberSetCodec, encoded, 'member set')
  }

  /** Entry of the BKVS under `key`, with the height of its last change: one lookup. */
  state(key: string): StateEntry | undefined {
    this.#of.usable()
    return this.#ledger.state(key)
  }

  /** Entries whose keys begin with `prefix`, in the order of their UTF-8 bytes, after the key `cursor`; `limit` 1 … PAGE_ENTRIES_MAX. */
  async states(prefix: string, limit: number, cursor?: string): Promise<Page<{ key: string; entry: StateEntry }>> {
    this.#of.usable()
    const size = pageSize(limit)
    const items: { key: string; entry: StateEntry }[] = []
    for await (const item of this.#ledger.states(prefix, size + 1, cursor)) items.push(item)
    return pageOf(items, size, ({ key }) => key)
  }

  /**
   * Reports about a device in one `category`, the newest first, after `cursor`; `limit` 1 … PAGE_ENTRIES_MAX. A page costs what it holds.
   */
  async deviceEvents(
    deviceId: Uint8Array,
    category: string,
    limit: number,
    cursor?: string,
  ): Promise<Page<DeviceEvent>> {
    this.#of.usable()
    const size = pageSize(limit)
    const before = cursor === undefined ? undefined : positionOf(cursor)
    const items: DeviceEvent[] = []
    for await (const event of this.#ledger.deviceEvents(deviceId, { category, reverse: true, before, limit: size + 1 }))
      items.push(event)
    return pageOf(items, size, ({ height, index }) => `${height}.${index}`)
  }

  /** Where the transaction `id` was committed. */
  transaction(id: Uint8Array): TransactionPosition | undefined {
    this.#of.usable()
    return this.#ledger.transaction(id)
  }

  /**
   * Proof that the committed transaction `id` stands in its block, from its bytes to a commit certificate. `kept`: its bytes, from someone who
   * has kept them, where the body was dropped here. undefined if it is not committed, its bytes are not known, or no certificate covers the
   * block yet.
   */
  async proveTransaction(id: Uint8Array, kept?: Uint8Array): Promise<Proof | undefined> {
    await this.#of.settled()
    this.#of.usable()
    const position = this.#ledger.transaction(id)
    if (position === undefined) return undefined
    const { height, index } = position
    const block = this.proveBlock(height)
    const ids = await this.transactionIds(height)
    const transaction = kept ?? (await this.#transactionAt(position))
    if (block === undefined || ids === undefined || transaction === undefined) return undefined
    return buildProof({ kind: 'transaction', transaction, place: transactionProof(ids, index) }, block)
  }

  async #transactionAt({ height, index }: TransactionPosition): Promise<Uint8Array | undefined> {
    const body = await this.#ledger.body(height)
    const transactions = body === undefined ? undefined : decodeBody(body)
    return typeof transactions === 'string' ? undefined : transactions?.[index]
  }

  /**
   * Proof of the entry under `key`, or of its absence, in the state after the last committed block. undefined while no certificate
   * covers that block (and before the first).
   */
  async proveState(key: string): Promise<Proof | undefined> {
    // Between the store's batch and the move of the head the two differ: such a moment passes, or the store is damaged.
    for (let attempt = 0; attempt < PROOF_ATTEMPTS_MAX; attempt++) {
      await this.#of.settled()
      this.#of.usable()
      const { height, root } = this.#of.head()
      const keyHash = keyHashOf(key)
      const entry = this.#ledger.stateBytes(key) ?? null
      const held = this.#of.tree.valueHash(root, keyHash)
      if (held === undefined ? entry !== null : entry === null || !equalBytes(held, valueHashOf(entry))) continue
      const block = this.proveBlock(height)
      if (block === undefined) return undefined
      return buildProof({ kind: 'state', key, entry, place: this.#of.tree.prove(root, keyHash) }, block)
    }
    throw storeError('STORE_CORRUPT', `the entry under ${JSON.stringify(key)} is not the one in the state tree`)
  }

  /**
   * Proof that the block at `height` is committed: its own certificate, or that of the next block that has one, with the history of
   * that block up to this one. undefined above the head and while there is no certificate.
   */
  proveBlock(height: number): BlockEvidence | undefined {
    this.#of.usable()
    const sealed = this.headerAt(height)
    if (sealed === undefined) return undefined
    for (let at = height; at <= this.#of.head().height; at++) {
      const certificate = this.#ledger.certificate(at)
      if (certificate === undefined) continue
      const descendant = this.#ledger.header(at) as SealedHeader
      const eras = this.eraLinks(0, descendant.header.era)
      if (eras === undefined) return undefined
      const base = { chainId: this.#chainId, eras, header: sealed.bytes, certificate }
      if (at === height) return { ...base, history: null }
      return { ...base, history: { header: descendant.bytes, path: this.proveHistory(height, at) } }
    }
    return undefined
  }

  /**
   * How the eras from `from` up to, and without, `to` ended. undefined if they are more than `LIMITS.proofErasMax`, or not over yet.
   */
  eraLinks(from: number, to: number): EraLink[] | undefined {
    this.#of.usable()
    if (to - from > LIMITS.proofErasMax) return undefined
    const links: EraLink[] = []
    for (let era = from; era < to; era++) {
      const link = this.#links.get(era) ?? (this.eraEnd(era) === undefined ? undefined : eraLink(this.#ledger, era))
      if (link === undefined) return undefined
      this.#links.set(era, link)
      if (this.#links.size > LIMITS.proofErasMax) this.#links.delete(this.#links.keys().next().value as number)
      links.push(link)
    }
    return links
  }

  /** Height of the last block of `era`; undefined while it lasts. */
  eraEnd(era: number): number | undefined {
    this.#of.usable()
    const height = eraEnd(this.#ledger, era)
    return height !== undefined && height <= this.#of.head().height ? height : undefined
  }

  /** RFC 9162 proof that the block at `height` is leaf `height` of the log in the header at `of` > `height` (`verifyHistory`). */
  proveHistory(height: number, of: number): Uint8Array[] {
    this.#of.usable()
    return historyInclusion(height, of, (level, index) => this.#ledger.historyNode(level, index))
  }
}

/** Throws `RangeError` outside 1 … PAGE_ENTRIES_MAX. */
function pageSize(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > PAGE_ENTRIES_MAX) throw new RangeError(`a page of ${limit}`)
  return limit
}

function pageOf<T>(items: readonly T[], size: number, cursorOf: (item: T) => string): Page<T> {
  const last = items.length > size ? items[size - 1] : undefined
  return { items: items.slice(0, size), next: last === undefined ? null : cursorOf(last) }
}

/** Throws `RangeError` on a cursor that `deviceEvents` did not give. */
function positionOf(cursor: string): TransactionPosition {
  const match = /^(\d{1,15})\.(\d{1,5})$/.exec(cursor)
  if (match === null) throw new RangeError('not a cursor')
  return { height: Number(match[1]), index: Number(match[2]) }
}
