/**
 * Height 0: what the genesis puts into state, history and store before the first block (ledger.md §4).
 * Invariant: a function of the genesis alone, so that all members begin with one state root and one history.
 */

import { encodeAs } from '../../protocol/codec.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { appendBlock, EMPTY_FRONTIER } from '../../protocol/history.ts'
import { genesisEntries } from '../../protocol/kinds/key/record.ts'
import { genesisModuleEntries } from '../../protocol/kinds/module/record.ts'
import { memberSetCodec } from '../../protocol/members.ts'
import type { LedgerChanges } from '../store/ledgerBatch.ts'
import { createLedger } from '../store/ledgerStore.ts'
import type { KeyValueStore } from '../store/store.ts'
import { stateChangesOf } from './speculation.ts'

/** What height 0 writes. Throws `RangeError` on a genesis whose API keys contradict its members, or with two modules of a kind. */
export function genesisChanges(genesis: Genesis): LedgerChanges {
  return {
    ...stateChangesOf(new Map([...genesisEntries(genesis), ...genesisModuleEntries(genesis)]), 0),
    historyNodes: appendBlock(EMPTY_FRONTIER, chainIdOf(genesis)).nodes,
    memberSets: [encodeAs(memberSetCodec, genesis.memberSet)],
  }
}

/** Writes height 0 of `genesis` into an empty store. Throws AlthingError STORE_EXISTS, STORE_WRITE_FAILED; `RangeError` as above. */
export const initializeLedger = (store: KeyValueStore, genesis: Genesis): Promise<void> =>
  createLedger(store, chainIdOf(genesis), genesisChanges(genesis))
