/**
 * Stage: the operator. What a testnet leaves that could not clean up (`kill -9`, a loss of power): its folder, and its processes if the warden
 * was killed too. The next testnet sweeps it.
 * Invariants: a folder is left alone unless it is this user's, was locked by a testnet and that process is gone; a process is ended only if it
 * holds the lock of a home in such a folder, by which it is told from a later one of the same number.
 */
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { holderOf } from '../node/store/lock.ts'
import { until } from './testnet.ts'

/** A process may take this long to stop when it is asked to; the node's own deadline is 10 s. */
const STOP_TIMEOUT_MS = 12_000

/** Removes folders that dead testnets left in `runFolder`, which is this user's alone; `remark` hears of each. Never rejects for one of them. */
export async function sweepLeftovers(runFolder: string, remark: (text: string) => void): Promise<void> {
  for (const name of await readdir(runFolder)) {
    const folder = join(runFolder, name)
    if (!name.startsWith('run-') || !(await isLeftover(folder))) continue
    try {
      await endProcesses(folder)
      await rm(folder, { recursive: true, force: true })
      remark(`removed ${folder}, which a testnet left that was killed`)
    } catch (error) {
      remark(`cannot remove ${folder}, which a testnet left that was killed: ${(error as Error).message}`)
    }
  }
}

async function isLeftover(folder: string): Promise<boolean> {
  try {
    const entry = await lstat(folder)
    const isOurs = process.getuid === undefined || entry.uid === process.getuid()
    // One without a lock is being made, or is kept for its logs.
    return entry.isDirectory() && isOurs && (await holderOf(folder)) === null
  } catch {
    return false
  }
}

async function endProcesses(folder: string): Promise<void> {
  const homes = await readdir(join(folder, 'homes')).catch(() => [])
  await Promise.all(homes.map((home) => endHolder(join(folder, 'homes', home, 'data'))))
}

async function endHolder(dataDirectory: string): Promise<void> {
  const isFree = async (): Promise<boolean> => typeof (await holderOf(dataDirectory)) !== 'number'
  for (const signals of [['SIGTERM', 'SIGCONT'], ['SIGKILL']] as const) {
    const pid = await holderOf(dataDirectory)
    if (typeof pid !== 'number') return
    // It may have ended a moment ago.
    for (const signal of signals)
      try {
        process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    if (await until(isFree, STOP_TIMEOUT_MS)) return
  }
  throw new Error(`a process that uses ${dataDirectory} does not end`)
}
