/**
 * The data directory of a member: ledger and signing record, made once, opened at each start, checked on demand.
 * Invariants: a signing record is made by `init` or `recover` and never silently again (agreement.md §6); a ledger may be fetched anew from the
 * other members, a signing record may not.
 */
import { join } from 'node:path'
import { equalBytes } from '../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { type StateLeaf, StateTree } from '../protocol/state/tree.ts'
import type { Clock } from './clock.ts'
import { installNativePrimitives } from './crypto/native.ts'
import { isAlthingError } from './errors.ts'
import { decodeBody } from './executor/body.ts'
import { initializeLedger } from './executor/genesisState.ts'
import type { NetworkLog } from './network/network.ts'
import { type Disk, systemDisk } from './store/disk.ts'
import { isEmptyStore, type LedgerStore, openLedger } from './store/ledgerStore.ts'
import { openLevel } from './store/level.ts'
import {
  createSigningRecord,
  openOrReplaceSigningRecord,
  openSigningRecord,
  type SigningRecord,
  signingDirectory,
} from './store/signingRecord.ts'
import type { KeyValueStore } from './store/store.ts'

const ledgerDirectory = (dataDirectory: string): string => join(dataDirectory, 'ledger')

/** What a signing record holds while its member has to recover: a crash in the middle must not make it look like one that never signed. */
const RECOVERING = Uint8Array.of(0xff)

/** Whether the content of a signing record stands for one that was lost. */
export const isRecovering = (recorded: Uint8Array): boolean => equalBytes(recorded, RECOVERING)

/**
 * Creates the data directory of a member that has never run: an empty ledger at height 0 and an empty signing record. Throws AlthingError
 * STORE_WRONG_CHAIN, SIGNING_RECORD_EXISTS or STORE_WRITE_FAILED.
 */
export async function createDataDirectory(
  dataDirectory: string,
  genesis: Genesis,
  disk: Disk = systemDisk,
): Promise<void> {
  installNativePrimitives()
  await disk.createDirectory(dataDirectory)
  const store = await disk.openStore(ledgerDirectory(dataDirectory), { mode: 'createOrOpen' })
  try {
    if (isEmptyStore(store)) await initializeLedger(store, genesis)
    else openLedger(store, { chainId: chainIdOf(genesis) })
  } finally {
    await store.close()
  }
  await createSigningRecord(signingDirectory(dataDirectory), new Uint8Array(0), disk)
}

/**
 * Walks the ledger of a stopped member: its height, and what is wrong with it, each a sentence. Throws AlthingError STORE_LOCKED, STORE_MISSING,
 * STORE_CORRUPT, STORE_WRONG_CHAIN.
 */
export async function checkDataDirectory(
  dataDirectory: string,
  genesis: Genesis,
  idOf: (transaction: Uint8Array) => Uint8Array,
): Promise<{ height: number; problems: readonly string[] }> {
  installNativePrimitives()
  const store = await openLevel(ledgerDirectory(dataDirectory), { mode: 'open' })
  try {
    const ledger = openLedger(store, { chainId: chainIdOf(genesis) })
    const problems = await ledger.check({
      transactionIdsOf(body) {
        const transactions = decodeBody(body)
        if (typeof transactions === 'string') throw new Error(transactions)
        return transactions.map(idOf)
      },
      async stateRootOf(leaves) {
        const tree = new StateTree()
        const all: StateLeaf[] = []
        for await (const leaf of leaves) all.push(leaf)
        return tree.rootHash(tree.build(all))
      },
    })
    return { height: ledger.committedHeight, problems }
  } finally {
    await store.close()
  }
}

/** The signing record; with `recover` a new one for one that is missing or damaged, marked as lost until the core has written its own. */
export const openRecord = (dataDirectory: string, recover: boolean, disk: Disk): Promise<SigningRecord> =>
  recover
    ? openOrReplaceSigningRecord(signingDirectory(dataDirectory), RECOVERING, disk)
    : openSigningRecord(signingDirectory(dataDirectory), disk)

/** The ledger. One that is missing beside a signing record was moved away: it begins at height 0 and is fetched from the others. */
export async function openMemberLedger(
  genesis: Genesis,
  directory: string,
  freeBytesMin: number,
  { disk, clock, log }: { disk: Disk; clock: Pick<Clock, 'monotonic'>; log: Pick<NetworkLog, 'warn'> },
): Promise<LedgerStore> {
  const location = ledgerDirectory(directory)
  const opening = {
    chainId: chainIdOf(genesis),
    directory,
    freeBytesMin,
    freeBytes: disk.freeBytes,
    nowMs: () => clock.monotonic(),
  }
  let store: KeyValueStore
  try {
    store = await disk.openStore(location, { mode: 'open' })
  } catch (error) {
    if (!isAlthingError(error, 'STORE_MISSING')) throw error
    log.warn({ location }, 'no ledger here: beginning at height 0, the other members have the blocks')
    store = await disk.openStore(location, { mode: 'create' })
  }
  try {
    // A crash between creating the database and writing height 0 leaves an empty one.
    if (isEmptyStore(store)) await initializeLedger(store, genesis)
    return openLedger(store, opening)
  } catch (error) {
    await store.close()
    throw error
  }
}
