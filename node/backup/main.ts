/**
 * Backups of a member: made of a stopped directory, verified, restored. A running node makes its own (`MemberNode.backup`). Stage: the disk.
 * Invariants: a backup is under its name only once it is whole; restoring puts a ledger where there is none, checked from the genesis up, and
 * never a signing record: whoever is restored has to `recover` (agreement.md §6), so that no key signs twice.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { access, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { toHex } from '../../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { installNativePrimitives } from '../crypto/native.ts'
import { createDirectory, syncDirectory } from '../directory.ts'
import { AlthingError } from '../errors.ts'
import { readBody } from '../executor/bodyContents.ts'
import { certificateProblems } from '../executor/eraLinks.ts'
import { stateRootOf } from '../executor/opening.ts'
import { type LedgerStore, openLedger } from '../store/ledgerStore.ts'
import { openLevel } from '../store/level.ts'
import { lockDirectory } from '../store/lock.ts'
import { signingDirectory } from '../store/signingRecord.ts'
import type { StoreOperation } from '../store/store.ts'
import { backupOf, readBackup } from './format.ts'

/** Bytes written to a database in one batch. */
const BATCH_BYTES = 1024 * 1024

/** What a backup was found to hold. */
export type BackupReport = {
  readonly chainId: string
  readonly height: number
  readonly firstHeight: number
  readonly firstBody: number
  readonly problems: readonly string[]
}

/** Bytes of a backup of the ledger of a stopped member. Throws AlthingError STORE_LOCKED, STORE_MISSING, STORE_CORRUPT, STORE_WRONG_CHAIN. */
export async function* backupOfStopped(dataDirectory: string, genesis: Genesis): AsyncGenerator<Buffer> {
  installNativePrimitives()
  const lock = await lockDirectory(dataDirectory)
  try {
    const ledger = await openAt(join(dataDirectory, 'ledger'), genesis)
    try {
      yield* backupOf(genesis, ledger.everything())
    } finally {
      await ledger.close()
    }
  } finally {
    await lock.release()
  }
}

/** Writes `pieces` compressed to the new file `file`, whole or not at all. AlthingError FILE_EXISTS where there is one. */
export async function writeBackup(pieces: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const draft = `${file}.partial`
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  try {
    await pipeline(Readable.from(pieces), createGzip({ level: 1 }), createWriteStream(draft, { mode: 0o600 }))
    const handle = await open(draft, 'r+')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A link, unlike a rename, fails where the name is taken.
    await link(draft, file)
    await syncDirectory(dirname(file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new AlthingError('BACKUP_EXISTS', `${file} exists and is not overwritten`, { cause: error })
  } finally {
    await rm(draft, { force: true })
  }
}

/** Unpacks the backup in `file` into `place`, which is removed afterwards, and checks all of it. Throws AlthingError BACKUP_MALFORMED. */
export async function verifyBackup(file: string, place: string): Promise<BackupReport> {
  try {
    return await unpack(file, place)
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

/**
 * Puts the ledger in the backup `file` where a data directory has none; there must be no signing record, and none is made. `genesis`: that of the
 * home. Throws AlthingError BACKUP_MALFORMED, SIGNING_RECORD_EXISTS, STORE_EXISTS, STORE_WRONG_CHAIN; problems found in it are in the
 * report, and then nothing was put anywhere.
 */
export async function restoreBackup(file: string, dataDirectory: string, genesis: Genesis): Promise<BackupReport> {
  await createDirectory(dataDirectory)
  const lock = await lockDirectory(dataDirectory)
  const place = join(dataDirectory, 'ledger.restoring')
  try {
    const signing = signingDirectory(dataDirectory)
    if (await isThere(signing))
      throw new AlthingError('SIGNING_RECORD_EXISTS', `${signing} exists: whoever has it has not lost what it signed`)
    const location = join(dataDirectory, 'ledger')
    if (await isThere(location)) throw new AlthingError('STORE_EXISTS', `${location} exists and is not replaced`)
    const report = await unpack(file, place)
    if (report.chainId !== toHex(chainIdOf(genesis)))
      throw new AlthingError('STORE_WRONG_CHAIN', `the backup is of chain ${report.chainId}, the genesis is of another`)
    if (report.problems.length > 0) return report
    await rename(place, location)
    await syncDirectory(dataDirectory)
    return report
  } finally {
    await rm(place, { recursive: true, force: true })
    await lock.release()
  }
}

async function unpack(file: string, place: string): Promise<BackupReport> {
  installNativePrimitives()
  await rm(place, { recursive: true, force: true })
  // A missing file is said to be that, and no malformed one.
  await access(file)
  const source = createReadStream(file)
  try {
    return await unpackFrom(source, place)
  } finally {
    source.destroy()
  }
}

async function unpackFrom(source: Readable, place: string): Promise<BackupReport> {
  const gunzip = createGunzip()
  source.on('error', (error) => gunzip.destroy(error))
  const { genesis, entries } = await readBackup(source.pipe(gunzip))
  const store = await openLevel(place, { mode: 'create' })
  try {
    let batch: StoreOperation[] = []
    let bytes = 0
    for await (const [key, value] of entries) {
      batch.push({ key, value })
      bytes += key.length + value.length
      if (bytes < BATCH_BYTES) continue
      await store.batch(batch, { sync: false })
      batch = []
      bytes = 0
    }
    await store.batch(batch, { sync: true })
  } finally {
    await store.close()
  }
  const ledger = await openAt(place, genesis)
  try {
    return await reportOn(ledger, genesis)
  } finally {
    await ledger.close()
  }
}

/** Walks a ledger from the genesis (or its snapshot) up, derives all roots anew, and asks whether a quorum of each era stood behind it. */
async function reportOn(ledger: LedgerStore, genesis: Genesis): Promise<BackupReport> {
  const chainId = chainIdOf(genesis)
  const transactionIdsOf = (body: Uint8Array): readonly Uint8Array[] => readBody(body).transactionIds
  const problems = await ledger.check({ transactionIdsOf, stateRootOf })
  const { committedHeight: height, firstHeight, firstBody } = ledger
  problems.push(...certificateProblems(ledger, genesis))
  return { chainId: toHex(chainId), height, firstHeight, firstBody, problems }
}

async function openAt(location: string, genesis: Genesis): Promise<LedgerStore> {
  const store = await openLevel(location, { mode: 'open' })
  try {
    return openLedger(store, { chainId: chainIdOf(genesis) })
  } catch (error) {
    await store.close()
    throw error
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
