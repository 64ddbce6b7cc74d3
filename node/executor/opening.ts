/**
 * Opening: what a running executor keeps in memory of the committed chain, read from the store at start.
 * Invariant: at any committed height it equals what an executor holds that has come there by committing; a test holds them together.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { type Frontier, frontierAt } from '../../protocol/history.ts'
import { readEra } from '../../protocol/kinds/governance/record.ts'
import { EMPTY_STATE, type NodeReference, type StateChange, StateTree } from '../../protocol/state/tree.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'
import { storeError } from '../store/level.ts'
import { CachedState } from './cachedState.ts'
import { ledgerEra } from './era.ts'
import { genesisChanges } from './genesisState.ts'
import type { Tip } from './speculation.ts'
import { UsedNonces } from './usedNonces.ts'

/** Leaves put into the state tree at a time at start: bounds the memory beside the tree. */
const LEAVES_PER_STEP = 4096

/** The committed end of the chain. It alone changes in place: speculations read through it once their parent is committed. */
export type Head = { -readonly [K in keyof Tip]: Tip[K] } & { header: SealedHeader | null; readonly state: CachedState }

/** The committed chain in memory. */
export type Committed = { readonly tree: StateTree; readonly head: Head; readonly nonces: UsedNonces }

/** The committed chain of `ledger`. Throws AlthingError STORE_CORRUPT if its state is not that of its last block. */
export async function readCommitted(genesis: Genesis, ledger: LedgerStore): Promise<Committed> {
  const height = ledger.committedHeight
  const header = ledger.header(height) ?? null
  const time = header?.header.time ?? genesis.createdAt
  const frontier: Frontier = frontierAt(height + 1, (level, index) => ledger.historyNode(level, index))
  const tree = new StateTree()
  const { root, entries } = await rebuildTree(tree, ledger)
  const expected = header?.header.stateRoot ?? genesisRoot(genesis)
  if (!equalBytes(tree.rootHash(root), expected))
    throw storeError('STORE_CORRUPT', `the state is not that of the committed height ${height}; fetch the ledger anew`)
  const nonces = await UsedNonces.rebuild(ledger, time)
  const state = new CachedState(ledger)
  const head: Head = {
    header,
    hash: ledger.committedHash,
    height,
    time,
    era: ledgerEra(readEra(state)),
    root,
    entries,
    frontier,
    state,
    seen: nonces.has,
  }
  return { tree, head, nonces }
}

function genesisRoot(genesis: Genesis): Uint8Array {
  const tree = new StateTree()
  return tree.rootHash(tree.update(EMPTY_STATE, genesisChanges(genesis).leafChanges).root)
}

/** Root of the state with exactly `leaves`, in ascending order of key hash. */
export async function stateRootOf(leaves: AsyncIterable<StateChange>): Promise<Uint8Array> {
  const tree = new StateTree()
  return tree.rootHash((await rebuildTree(tree, { leaves: () => leaves })).root)
}

/** Puts all leaves of `ledger` into `tree`. They come in the order of the tree, so each step rehashes only the path to the last. */
async function rebuildTree(
  tree: StateTree,
  ledger: { leaves(): AsyncIterable<StateChange> },
): Promise<{ root: NodeReference; entries: number }> {
  let root: NodeReference = EMPTY_STATE
  let entries = 0
  let step: StateChange[] = []
  const flush = (): void => {
    const update = tree.update(root, step)
    tree.release(update.replaced)
    root = update.root
    entries += step.length
    step = []
  }
  for await (const leaf of ledger.leaves()) {
    step.push(leaf)
    if (step.length === LEAVES_PER_STEP) flush()
  }
  flush()
  return { root, entries }
}
