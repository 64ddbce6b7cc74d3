/** Blocks of a tiny ledger, true in every hash that the store and its check look at. */
import type { LedgerBlock, LedgerChanges } from '../../../node/store/ledgerBatch.ts'
import { createLedger, type LedgerStore, type LedgerStoreOptions, openLedger } from '../../../node/store/ledgerStore.ts'
import { ReplayWindow } from '../../../node/store/replayWindow.ts'
import type { KeyValueStore } from '../../../node/store/store.ts'
import { sealHeader } from '../../../protocol/block.ts'
import { concat, toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { appendBlock, EMPTY_FRONTIER, type Frontier, frontierRoot } from '../../../protocol/history.ts'
import { treeRoots, treesRoot } from '../../../protocol/merkle.ts'
import { encodeEntry, keyHashOf, valueHashOf } from '../../../protocol/state/entry.ts'

export const CHAIN_ID = sha3(Uint8Array.of(1))
export const DEVICE = sha3(Uint8Array.of(2)).subarray(0, 20)

/** The body of the fixture: the ids one after the other. */
export const idsOf = (body: Uint8Array): Uint8Array[] =>
  Array.from({ length: body.length / 32 }, (_, i) => body.subarray(32 * i, 32 * i + 32))

/** Body (as text) → its block's device events: the fixture's bodies do not hold them. */
const eventsOf = new Map<string, LedgerBlock['deviceEvents']>()

/** What a body of the fixture holds. */
export const readBody = (body: Uint8Array): Pick<LedgerBlock, 'transactionIds' | 'deviceEvents'> => ({
  transactionIds: idsOf(body),
  deviceEvents: eventsOf.get(toHex(body)) ?? [],
})

function changes(height: number, key: string, frontierNodes: LedgerChanges['historyNodes']): LedgerChanges {
  const entry = encodeEntry({ height, value: Uint8Array.of(height) })
  return {
    stateChanges: [{ key, entry }],
    leafChanges: [{ keyHash: keyHashOf(key), valueHash: valueHashOf(entry) }],
    historyNodes: frontierNodes,
    memberSets: height === 0 ? [Uint8Array.of(7)] : [],
  }
}

/** Makes the blocks of one chain, one after the other. */
export class ChainMaker {
  #frontier: Frontier
  #parent = CHAIN_ID
  #height = 0
  readonly genesis: LedgerChanges

  constructor() {
    const { frontier, nodes } = appendBlock(EMPTY_FRONTIER, CHAIN_ID)
    this.#frontier = frontier
    this.genesis = changes(0, 'genesis', nodes)
  }

  next({ transactions = 2, time }: { transactions?: number; time?: number } = {}): LedgerBlock {
    const height = ++this.#height
    const transactionIds = Array.from({ length: transactions }, (_, i) =>
      sha3(Uint8Array.of(3, height >> 8, height & 255, i)),
    )
    const header = sealHeader({
      version: 1,
      chainId: CHAIN_ID,
      era: 0,
      height,
      parent: this.#parent,
      time: time ?? height * 1000,
      treesRoot: treesRoot(transactionIds),
      transactionCount: transactions,
      stateRoot: new Uint8Array(32),
      historyRoot: frontierRoot(this.#frontier),
      memberSetHash: sha3(Uint8Array.of(7)),
      nextMemberSetHash: null,
      modulesHash: new Uint8Array(32),
    })
    const { frontier, nodes } = appendBlock(this.#frontier, header.hash)
    this.#frontier = frontier
    this.#parent = header.hash
    const validUntil = header.header.time + 1000
    const deviceEvents = transactions > 0 ? [{ deviceId: DEVICE, category: height % 2 ? 'odd' : 'even', index: 0 }] : []
    eventsOf.set(toHex(concat(...transactionIds)), deviceEvents)
    return {
      ...changes(height, `key/${height % 7}`, nodes),
      header,
      body: concat(...transactionIds),
      certificate: Uint8Array.of(5, height & 255),
      committedBy: height,
      transactionIds,
      treeRoots: treeRoots(transactionIds),
      deviceEvents,
      replayRecords: ReplayWindow.pack(
        transactionIds.map((id) => ({ signer: CHAIN_ID, nonce: id.subarray(0, 16), validUntil })),
      ),
    }
  }
}

/** A ledger of `blocks` blocks in `store`. */
export async function filledLedger(
  store: KeyValueStore,
  blocks: number,
  options: Partial<LedgerStoreOptions> = {},
): Promise<{ ledger: LedgerStore; maker: ChainMaker }> {
  const maker = new ChainMaker()
  await createLedger(store, CHAIN_ID, maker.genesis)
  const ledger = openLedger(store, { chainId: CHAIN_ID, ...options })
  for (let i = 0; i < blocks; i++) await ledger.commitBlock(maker.next())
  return { ledger, maker }
}
