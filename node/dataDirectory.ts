/**
 * The data directory of a member: ledger and signing record, made once, opened at each start, checked on demand.
 * Invariants: a signing record is made by `init` or `recover` and never silently again (agreement.md §6); a ledger may be fetched anew from the
 * other members, a signing record may not.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { equalBytes } from '../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import type { Clock } from './clock.ts'
import { installNativePrimitives } from './crypto/native.ts'
import { isAlthingError } from './errors.ts'
import { decodeBody } from './executor/body.ts'
import { certificateProblems } from './executor/eraLinks.ts'
import { initializeLedger } from './executor/genesisState.ts'
import { stateRootOf } from './executor/opening.ts'
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
  await createSigningRecord(signingDirectory(dataDirectory), chainIdOf(genesis), new Uint8Array(0), disk)
}

/**
 * Walks the ledger of a stopped member: its height, and what is wrong with it, each a sentence. `awaited`: height of the block whose certificate
 * commits the last one, where the node ended between the two; else null. Throws AlthingError STORE_LOCKED, STORE_MISSING, STORE_CORRUPT,
 * STORE_WRONG_CHAIN.
 */
export async function checkDataDirectory(
  dataDirectory: string,
  genesis: Genesis,
  idOf: (transaction: Uint8Array) => Uint8Array,
): Promise<{ height: number; awaited: number | null; problems: readonly string[] }> {
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
      stateRootOf,
    })
    problems.push(...certificateProblems(ledger, genesis))
    return { height: ledger.committedHeight, awaited: ledger.awaitedHeight ?? null, problems }
  } finally {
    await store.close()
  }
}

/** The signing record; with `recover` a new one for one that is missing or damaged, marked as lost until the core has written its own. */
export const openRecord = (
  dataDirectory: string,
  chainId: Uint8Array,
  recover: boolean,
  disk: Disk,
): Promise<SigningRecord> =>
  recover
    ? openOrReplaceSigningRecord(signingDirectory(dataDirectory), chainId, RECOVERING, disk)
    : openSigningRecord(signingDirectory(dataDirectory), chainId, disk)

/** Folder of the snapshots that a member has made. */
export const snapshotsDirectory = (dataDirectory: string): string => join(dataDirectory, 'snapshots')

/** The ledger that is built by a snapshot beside the other one; `anew` removes what there is of it. */
export async function openStaging(disk: Disk, dataDirectory: string, anew: boolean): Promise<KeyValueStore> {
  const location = join(dataDirectory, 'ledger.joining')
  if (anew) await disk.remove(location)
  return disk.openStore(location, { mode: 'createOrOpen' })
}

/** Gives a ledger that is whole the name by which `openMemberLedger` takes it in the place of the other one. */
export async function settleStaging(disk: Disk, dataDirectory: string): Promise<void> {
  await disk.rename(join(dataDirectory, 'ledger.joining'), join(dataDirectory, 'ledger.joined'))
  await disk.syncDirectory(dataDirectory)
}

/**
 * Puts a ledger that came by a snapshot in the place of the one that was behind. That one is removed if it held no block; else it is kept
 * beside it, for it may be the only one with the oldest blocks. A crash at any step leaves what the next start goes on with.
 */
async function takeJoinedLedger(
  genesis: Genesis,
  directory: string,
  disk: Disk,
  log: Pick<NetworkLog, 'warn'>,
): Promise<void> {
  const joined = join(directory, 'ledger.joined')
  const location = ledgerDirectory(directory)
  const empty = `${location}.empty`
  if (await disk.exists(joined)) {
    if (await disk.exists(location)) {
      const store = await disk.openStore(location, { mode: 'open' })
      const height = isEmptyStore(store) ? 0 : openLedger(store, { chainId: chainIdOf(genesis) }).committedHeight
      await store.close()
      const kept = height === 0 ? empty : `${location}.before-${height}-${randomBytes(4).toString('hex')}`
      await disk.rename(location, kept)
      if (height > 0)
        log.warn({ kept }, 'the ledger that was behind is kept; remove it if nobody needs its oldest blocks')
    }
    await disk.rename(joined, location)
    await disk.syncDirectory(directory)
  }
  await disk.remove(empty)
}

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
  await takeJoinedLedger(genesis, directory, disk, log)
  let store: KeyValueStore
  try {
    store = await disk.openStore(location, { mode: 'open' })
  } catch (error) {
    if (!isAlthingError(error, 'STORE_MISSING')) throw error
    log.warn({ location }, 'no ledger here: beginning at height 0, the other members have the blocks')
    store = await disk.openStore(location, { mode: 'create' })
    // Its own files are synced by every write; its name stands in the directory above.
    await disk.syncDirectory(directory)
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
