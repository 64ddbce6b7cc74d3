/**
 * The data directory of a member: ledger and signing record, made once, opened at each start, checked on demand.
 * Invariants: a signing record is made by `init` or `recover` and never silently again (agreement.md §6); a ledger may be fetched anew from the
 * other members, a signing record may not.
 */
import { randomBytes } from 'node:crypto'
import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { equalBytes } from '../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { installNativePrimitives } from './crypto/native.ts'
import { createDirectory, syncDirectory } from './directory.ts'
import { isAlthingError } from './errors.ts'
import { decodeBody } from './executor/body.ts'
import { initializeLedger } from './executor/genesisState.ts'
import { stateRootOf } from './executor/opening.ts'
import type { NetworkLog } from './network/network.ts'
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

/** Buffer and cache of databases that are written once and read now and then. */
const SMALL_BUFFER_BYTES = 4 * 1024 * 1024

/** What a signing record holds while its member has to recover: a crash in the middle must not make it look like one that never signed. */
const RECOVERING = Uint8Array.of(0xff)

/** Whether the content of a signing record stands for one that was lost. */
export const isRecovering = (recorded: Uint8Array): boolean => equalBytes(recorded, RECOVERING)

/**
 * Creates the data directory of a member that has never run: an empty ledger at height 0 and an empty signing record. Throws AlthingError
 * STORE_WRONG_CHAIN, SIGNING_RECORD_EXISTS or STORE_WRITE_FAILED.
 */
export async function createDataDirectory(dataDirectory: string, genesis: Genesis): Promise<void> {
  installNativePrimitives()
  await createDirectory(dataDirectory)
  const store = await openLevel(ledgerDirectory(dataDirectory), { mode: 'createOrOpen' })
  try {
    if (isEmptyStore(store)) await initializeLedger(store, genesis)
    else openLedger(store, { chainId: chainIdOf(genesis) })
  } finally {
    await store.close()
  }
  await createSigningRecord(signingDirectory(dataDirectory), new Uint8Array(0))
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
      stateRootOf,
    })
    return { height: ledger.committedHeight, problems }
  } finally {
    await store.close()
  }
}

/** The signing record; with `recover` a new one for one that is missing or damaged, marked as lost until the core has written its own. */
export const openRecord = (dataDirectory: string, recover: boolean): Promise<SigningRecord> =>
  recover
    ? openOrReplaceSigningRecord(signingDirectory(dataDirectory), RECOVERING)
    : openSigningRecord(signingDirectory(dataDirectory))

/** Folder of the snapshots that a member has made. */
export const snapshotsDirectory = (dataDirectory: string): string => join(dataDirectory, 'snapshots')

/** Opens the database of one snapshot. As `openLevel`. */
export const openSnapshot = (location: string, mode: 'create' | 'open'): Promise<KeyValueStore> =>
  openLevel(location, { mode, writeBufferBytes: SMALL_BUFFER_BYTES, cacheBytes: SMALL_BUFFER_BYTES })

/** The ledger that is built by a snapshot beside the other one; `anew` removes what there is of it. */
export async function openStaging(dataDirectory: string, anew: boolean): Promise<KeyValueStore> {
  const location = join(dataDirectory, 'ledger.joining')
  if (anew) await rm(location, { recursive: true, force: true })
  return openLevel(location, { mode: 'createOrOpen' })
}

/** Gives a ledger that is whole the name by which `openMemberLedger` takes it in the place of the other one. */
export async function settleStaging(dataDirectory: string): Promise<void> {
  await rename(join(dataDirectory, 'ledger.joining'), join(dataDirectory, 'ledger.joined'))
  await syncDirectory(dataDirectory)
}

/**
 * Puts a ledger that came by a snapshot in the place of the one that was behind. That one is removed if it held no block; else it is kept
 * beside it, for it may be the only one with the oldest blocks. A crash at any step leaves what the next start goes on with.
 */
async function takeJoinedLedger(genesis: Genesis, directory: string, log: Pick<NetworkLog, 'warn'>): Promise<void> {
  const joined = join(directory, 'ledger.joined')
  const location = ledgerDirectory(directory)
  const empty = `${location}.empty`
  if (await isThere(joined)) {
    if (await isThere(location)) {
      const store = await openLevel(location, { mode: 'open' })
      const height = isEmptyStore(store) ? 0 : openLedger(store, { chainId: chainIdOf(genesis) }).committedHeight
      await store.close()
      const kept = height === 0 ? empty : `${location}.before-${height}-${randomBytes(4).toString('hex')}`
      await rename(location, kept)
      if (height > 0)
        log.warn({ kept }, 'the ledger that was behind is kept; remove it if nobody needs its oldest blocks')
    }
    await rename(joined, location)
    await syncDirectory(directory)
  }
  await rm(empty, { recursive: true, force: true })
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** The ledger. One that is missing beside a signing record was moved away: it begins at height 0 and is fetched from the others. */
export async function openMemberLedger(
  genesis: Genesis,
  directory: string,
  freeBytesMin: number,
  log: Pick<NetworkLog, 'warn'>,
): Promise<LedgerStore> {
  const location = ledgerDirectory(directory)
  const opening = { chainId: chainIdOf(genesis), directory, freeBytesMin }
  await takeJoinedLedger(genesis, directory, log)
  let store: KeyValueStore
  try {
    store = await openLevel(location, { mode: 'open' })
  } catch (error) {
    if (!isAlthingError(error, 'STORE_MISSING')) throw error
    log.warn({ location }, 'no ledger here: beginning at height 0, the other members have the blocks')
    store = await openLevel(location, { mode: 'create' })
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
