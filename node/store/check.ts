/**
 * `althing db check`: whether what the store holds is one whole ledger. Walks everything and changes nothing.
 * Invariants: memory is bounded by the number of heights (8 bytes each), whatever the store holds; damage is reported, never thrown;
 * every relation that commitBlock establishes is checked in both directions (nothing missing, nothing too much).
 */
import { decodeHeader, type Header } from '../../protocol/block.ts'
import { compareBytes, equalBytes, toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import {
  appendBlock,
  EMPTY_FRONTIER,
  type Frontier,
  frontierAt,
  frontierRoot,
  type NodeLookup,
} from '../../protocol/history.ts'
import { treeRoots, treesRoot } from '../../protocol/merkle.ts'
import { keyHashOf, valueHashOf } from '../../protocol/state/entry.ts'
import type { StateLeaf } from '../../protocol/state/tree.ts'
import {
  BUCKETS,
  bucketRange,
  decodeHeight,
  decodePosition,
  hashKey,
  heightKey,
  historyKey,
  META,
  textKey,
} from './buckets.ts'
import { unpackHashes } from './prune.ts'
import type { KeyValueStore } from './store.ts'

/** What the check needs to know that the store does not. */
export type CheckRules = {
  /** Ids of the transactions of a body, in order; throws on bytes that are no body. */
  readonly transactionIdsOf: (body: Uint8Array) => readonly Uint8Array[]
  /** Root of the state tree with exactly `leaves`; without it the root is not compared. */
  readonly stateRootOf?: (leaves: AsyncIterable<StateLeaf>) => Promise<Uint8Array>
  /** The check ends once it has found so many problems (default 100). */
  readonly problemsMax?: number
}

/** Buckets whose keys are heights. */
const BY_HEIGHT = ['headers', 'bodies', 'certificates', 'treeRoots', 'replayRecords', 'transactionIds'] as const

/**
 * Height of the block whose certificate commits the block at `committedHeight`, which was written as its ancestor; undefined where none is awaited.
 */
export function awaitedHeight(store: Pick<KeyValueStore, 'getSync'>, committedHeight: number): number | undefined {
  const value = store.getSync(textKey('meta', META.committedBy))
  const height = value?.length === 8 ? decodeHeight(value) : 0
  return height > committedHeight ? height : undefined
}

/** Ends the walk when the list is full. */
class Enough extends Error {}

/** Problems found in `store`, each a sentence; empty if the ledger is whole. The last says so where the check ended early. */
export async function checkLedger(
  store: KeyValueStore,
  rules: CheckRules & { readonly chainId: Uint8Array },
): Promise<string[]> {
  const check = new Check(store, rules)
  try {
    await check.blocks()
    await check.hashIndex()
    await check.transactionIndex()
    await check.eventIndex()
    await check.state()
  } catch (error) {
    if (error instanceof Enough) check.problems.push('The check ended here: there may be more problems.')
    else check.problems.push(`The check could not go on: ${error instanceof Error ? error.message : String(error)}`)
  }
  return check.problems
}

class Check {
  readonly problems: string[] = []
  readonly #store: KeyValueStore
  readonly #rules: CheckRules & { readonly chainId: Uint8Array }
  readonly #committedHeight: number
  readonly #prunedBelow: number
  /** Lowest block held: 1, or where a snapshot began. */
  readonly #firstHeight: number
  /** By height: how many transactions the header counts. */
  readonly #counts: number[] = [0]
  #tip: Header | undefined

  constructor(store: KeyValueStore, rules: CheckRules & { readonly chainId: Uint8Array }) {
    this.#store = store
    this.#rules = rules
    this.#committedHeight = this.#metaHeight(META.committedHeight)
    this.#prunedBelow = this.#metaHeight(META.prunedBelow)
    this.#firstHeight = store.getSync(textKey('meta', META.firstHeight)) ? this.#metaHeight(META.firstHeight) : 1
  }

  #report(problem: string): void {
    this.problems.push(problem)
    if (this.problems.length >= (this.#rules.problemsMax ?? 100)) throw new Enough()
  }

  #metaHeight(name: string): number {
    const value = this.#store.getSync(textKey('meta', name))
    if (value?.length === 8) return decodeHeight(value)
    this.problems.push(`meta ${name} is missing or malformed`)
    return 0
  }

  /** Headers, their chain and history, bodies, certificates, the transaction index as the bodies want it. */
  async blocks(): Promise<void> {
    let { parent, history } = this.#beginning()
    for (let height = this.#firstHeight; height <= this.#committedHeight; height++) {
      const bytes = this.#store.getSync(heightKey('headers', height))
      this.#counts[height] = 0
      if (bytes === undefined) {
        this.#report(`height ${height}: no header`)
        parent = history = undefined
        continue
      }
      const hash = sha3(bytes)
      const header = this.#decode(height, bytes)
      if (header !== undefined) {
        this.#counts[height] = header.transactionCount
        if (header.height !== height) this.#report(`height ${height}: the header says height ${header.height}`)
        if (!equalBytes(header.chainId, this.#rules.chainId)) this.#report(`height ${height}: header of another chain`)
        if (parent !== undefined && !equalBytes(header.parent, parent))
          this.#report(`height ${height}: the parent is not the block below`)
        if (history !== undefined && !equalBytes(header.historyRoot, frontierRoot(history)))
          this.#report(`height ${height}: historyRoot is not that of the blocks below`)
        await this.#body(height, header)
        if (height === this.#committedHeight) this.#tip = header
      }
      const indexed = this.#store.getSync(hashKey('heightByHash', hash))
      if (indexed === undefined || decodeHeight(indexed) !== height)
        this.#report(`height ${height}: the index of block hashes does not lead here`)
      if (height === this.#committedHeight && !this.#isCertified(height))
        this.#report(`height ${height}: the last block has no commit certificate`)
      parent = hash
      history = history && this.#append(history, height, hash)
    }
    for (const bucket of BY_HEIGHT) {
      const range = { gte: heightKey(bucket, this.#committedHeight + 1), lt: bucketRange(bucket).lt }
      for await (const [key] of this.#store.iterate(range))
        this.#report(`${bucket}: height ${decodeHeight(key, 1)} is above the committed height ${this.#committedHeight}`)
    }
  }

  /** Ancestors are written before the block that commits them: a node that ended in between has the certificate to come. */
  #isCertified(height: number): boolean {
    const certificate = this.#store.getSync(heightKey('certificates', height))
    return certificate !== undefined || awaitedHeight(this.#store, height) !== undefined
  }

  /** What the lowest block held stands on. Below a snapshot only the frontier of the log is known, which its header has to confirm. */
  #beginning(): { parent: Uint8Array | undefined; history: Frontier | undefined } {
    const { chainId } = this.#rules
    if (this.#firstHeight === 1) return { parent: chainId, history: this.#append(EMPTY_FRONTIER, 0, chainId) }
    try {
      const node: NodeLookup = (level, index) => {
        const stored = this.#store.getSync(historyKey(level, index))
        if (stored === undefined) throw new Error(`history node (${level}, ${index}) is missing`)
        return stored
      }
      return { parent: undefined, history: frontierAt(this.#firstHeight, node) }
    } catch (error) {
      this.#report(`below height ${this.#firstHeight}: ${error instanceof Error ? error.message : String(error)}`)
      return { parent: undefined, history: undefined }
    }
  }

  #decode(height: number, bytes: Uint8Array): Header | undefined {
    try {
      return decodeHeader(bytes).header
    } catch (error) {
      this.#report(`height ${height}: header: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }

  async #body(height: number, header: Header): Promise<void> {
    const body = await this.#store.get(heightKey('bodies', height))
    const kept = body === undefined ? this.#store.getSync(heightKey('transactionIds', height)) : undefined
    if (body === undefined && (height >= this.#prunedBelow || kept === undefined)) {
      this.#report(`height ${height}: no body${height >= this.#prunedBelow ? '' : ', and no ids of its transactions'}`)
      return
    }
    let ids: readonly Uint8Array[]
    try {
      ids = body === undefined ? unpackHashes(kept as Uint8Array) : this.#rules.transactionIdsOf(body)
    } catch (error) {
      this.#report(`height ${height}: body: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    if (ids.length !== header.transactionCount || !equalBytes(treesRoot(ids), header.treesRoot))
      this.#report(
        `height ${height}: the ${body === undefined ? 'list of ids' : 'body'} is not the one that the header names`,
      )
    const roots = this.#store.getSync(heightKey('treeRoots', height))
    if (roots === undefined || !equalBytes(roots, Buffer.concat(treeRoots(ids))))
      this.#report(`height ${height}: the stored tree roots are not those of the body`)
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index] as Uint8Array
      const value = this.#store.getSync(hashKey('transactions', id))
      const position = value?.length === 12 ? decodePosition(value) : undefined
      if (position?.height !== height || position.index !== index)
        this.#report(`height ${height}: transaction ${index} (${toHex(id)}) is not indexed here`)
    }
  }

  /** Compares the stored nodes that `hash` completes, where the history log stores any for this height. */
  #append(frontier: Frontier, height: number, hash: Uint8Array): Frontier {
    const next = appendBlock(frontier, hash)
    for (const [level, index, node] of next.nodes) {
      const stored = this.#store.getSync(historyKey(level, index))
      if (stored === undefined || !equalBytes(stored, node))
        this.#report(`height ${height}: history node (${level}, ${index}) is missing or wrong`)
    }
    return next.frontier
  }

  /** The index of block hashes holds the committed blocks and the genesis, nothing else. */
  async hashIndex(): Promise<void> {
    let count = 0
    for await (const _ of this.#store.iterate(bucketRange('heightByHash'))) count++
    const blocks = this.#committedHeight - this.#firstHeight + 2
    // Each committed hash was found above, so only a surplus is left to find.
    if (count > blocks) this.#report(`the index of block hashes holds ${count} entries for ${blocks} blocks`)
  }

  /** Each entry of the transaction index leads to a place that a header counts; together they are as many as all headers count. */
  async transactionIndex(): Promise<void> {
    let count = 0
    for await (const [key, value] of this.#store.iterate(bucketRange('transactions'))) {
      count++
      const position = value.length === 12 ? decodePosition(value) : undefined
      if (position === undefined || position.index >= (this.#counts[position.height] ?? 0))
        this.#report(`transaction ${toHex(key.subarray(1))} is indexed at a place that does not exist`)
    }
    const expected = this.#counts.reduce((sum, n) => sum + n, 0)
    if (count !== expected) this.#report(`the transaction index holds ${count} entries, the headers count ${expected}`)
  }

  /** Each event of a device belongs to a transaction that stands where the event says. */
  async eventIndex(): Promise<void> {
    for await (const [key, id] of this.#store.iterate(bucketRange('deviceEvents'))) {
      const value = id.length === 32 ? this.#store.getSync(hashKey('transactions', id)) : undefined
      if (value === undefined || key.length < 12 || compareBytes(value, key.subarray(-12)) !== 0)
        this.#report(`the device event ${toHex(key)} names a transaction that is not where it says`)
    }
  }

  /** Entries and leaves match one to one, and their tree has the root of the last header. */
  async state(): Promise<void> {
    let entries = 0
    for await (const [key, entry] of this.#store.iterate(bucketRange('state'))) {
      entries++
      const name = Buffer.from(key.subarray(1)).toString('utf8')
      const leaf = this.#store.getSync(hashKey('leaves', keyHashOf(name)))
      if (leaf === undefined || !equalBytes(leaf, valueHashOf(entry)))
        this.#report(`state: the leaf of ${JSON.stringify(name)} does not match its entry`)
    }
    let leaves = 0
    for await (const _ of this.#store.iterate(bucketRange('leaves'))) leaves++
    if (leaves !== entries) this.#report(`state: ${entries} entries and ${leaves} leaves`)
    if (this.#rules.stateRootOf === undefined || this.#tip === undefined) return
    const root = await this.#rules.stateRootOf(this.#leaves())
    if (!equalBytes(root, this.#tip.stateRoot))
      this.#report(
        `state: root ${toHex(root)}, the header of height ${this.#committedHeight} has ${toHex(this.#tip.stateRoot)}`,
      )
  }

  async *#leaves(): AsyncIterable<StateLeaf> {
    for await (const [key, valueHash] of this.#store.iterate(bucketRange('leaves')))
      if (key[0] === BUCKETS.leaves) yield { keyHash: key.subarray(1), valueHash }
  }
}
