/**
 * `althing db repair`: what can be mended of a stopped member's data directory, from the least to the most. Stage: the disk.
 * Invariants: the signing record is never opened, written or moved; nothing that is not mended is removed, it is moved aside; each thing that
 * was done is said.
 */
import { randomBytes } from 'node:crypto'
import { access, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { installNativePrimitives } from '../crypto/native.ts'
import { syncDirectory } from '../directory.ts'
import { isAlthingError } from '../errors.ts'
import { readBody } from '../executor/bodyContents.ts'
import { certificateProblems } from '../executor/eraLinks.ts'
import { stateRootOf } from '../executor/opening.ts'
import { openLedger } from '../store/ledgerStore.ts'
import { openLevel, salvageLevel } from '../store/level.ts'
import { LOCK_FILE, lockDirectory } from '../store/lock.ts'
import { rebuildIndexes } from '../store/rebuild.ts'
import { signingDirectory } from '../store/signingRecord.ts'

/** What was done, in order, each a sentence; the height of the ledger that is there now, null without one. */
export type RepairReport = {
  readonly height: number | null
  readonly done: readonly string[]
  readonly remarks: readonly string[]
}

/** Mends the data directory of a stopped member. Throws AlthingError STORE_LOCKED, STORE_WRONG_CHAIN, STORE_WRONG_FORMAT, STORE_OPEN_FAILED. */
export async function repairDataDirectory(dataDirectory: string, genesis: Genesis): Promise<RepairReport> {
  installNativePrimitives()
  const done: string[] = []
  const remarks: string[] = []
  const wasLocked = await isThere(join(dataDirectory, LOCK_FILE))
  const lock = await lockDirectory(dataDirectory)
  try {
    if (wasLocked) done.push('The lock of a process that is gone was taken over and removed.')
    const height = await repairLedger(join(dataDirectory, 'ledger'), dataDirectory, genesis, done)
    if (height === null)
      remarks.push('There is no ledger now: `althing start` fills an empty one from the other members.')
    remarks.push(
      (await isThere(signingDirectory(dataDirectory)))
        ? 'The signing record was not touched.'
        : 'There is no signing record: this member has to start with `althing start --recover`.',
    )
    return { height, done, remarks }
  } finally {
    await lock.release()
  }
}

async function repairLedger(
  location: string,
  dataDirectory: string,
  genesis: Genesis,
  done: string[],
): Promise<number | null> {
  if (!(await isThere(location))) return null
  const attempts = [
    () => inspect(location, genesis),
    () => salvage(location, genesis, done),
    () => rebuild(location, genesis, done),
  ]
  let problem = ''
  for (const attempt of attempts) {
    const found = await attempt()
    if (typeof found === 'number') return found
    problem = found
  }
  const place = `${location}.damaged-${randomBytes(4).toString('hex')}`
  await rename(location, place)
  await syncDirectory(dataDirectory)
  done.push(`The ledger cannot be mended (${problem}); it was moved to ${place}.`)
  return null
}

/** The height of a whole ledger, or the first thing that is wrong with it. */
async function inspect(location: string, genesis: Genesis): Promise<number | string> {
  try {
    return await withStore(location, async (store) => {
      const ledger = openLedger(store, { chainId: chainIdOf(genesis) })
      const transactionIdsOf = (body: Uint8Array): readonly Uint8Array[] => readBody(body).transactionIds
      const [problem] = await ledger.check({ transactionIdsOf, stateRootOf, problemsMax: 1 })
      return problem ?? certificateProblems(ledger, genesis)[0] ?? ledger.committedHeight
    })
  } catch (error) {
    return damageOf(error)
  }
}

/** Lets LevelDB save what it can where it could not open or read its files. */
async function salvage(location: string, genesis: Genesis, done: string[]): Promise<number | string> {
  try {
    // Opening reads the files that the manifest names; a walk reads every block of every one.
    await withStore(location, async (store) => {
      for await (const _ of store.iterate({}));
    })
    return 'its files can be read'
  } catch (error) {
    damageOf(error)
  }
  await salvageLevel(location)
  done.push('Files of the database were damaged: what could be read of them was put together anew.')
  return inspect(location, genesis)
}

async function rebuild(location: string, genesis: Genesis, done: string[]): Promise<number | string> {
  try {
    await withStore(location, (store) => rebuildIndexes(store, chainIdOf(genesis), readBody))
  } catch (error) {
    return damageOf(error)
  }
  const found = await inspect(location, genesis)
  if (typeof found === 'number')
    done.push(
      'The indexes (block hashes, transactions, device events, history log, tree roots, state leaves) were rebuilt.',
    )
  return found
}

async function withStore<T>(
  location: string,
  use: (store: Awaited<ReturnType<typeof openLevel>>) => Promise<T>,
): Promise<T> {
  const store = await openLevel(location, { mode: 'open' })
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

/** What is damaged, as a clause; anything that is no damage is thrown on. */
function damageOf(error: unknown): string {
  if (isAlthingError(error) && !['STORE_CORRUPT', 'STORE_MISSING', 'STORE_READ_FAILED'].includes(error.code))
    throw error
  return error instanceof Error ? error.message : String(error)
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
