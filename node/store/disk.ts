/**
 * The disk as the store sees it: one seam, so that a whole node runs on a simulated one that tears, fills up and fails.
 * Invariant: what a call that makes something durable has acknowledged survives a loss of power.
 */
import { rename, rm, stat, statfs } from 'node:fs/promises'
import { createDirectory, syncDirectory } from '../directory.ts'
import { type LevelOptions, openLevel, storeError } from './level.ts'
import { type DirectoryLock, lockDirectory } from './lock.ts'
import type { KeyValueStore } from './store.ts'

/** Directories, the databases in them, and space. Paths are absolute; refusals of the system pass through where no code is named. */
export type Disk = {
  /** Opens the database in a directory. AlthingError STORE_LOCKED, STORE_CORRUPT, STORE_MISSING, STORE_EXISTS, STORE_OPEN_FAILED. */
  openStore(location: string, options: LevelOptions): Promise<KeyValueStore>
  /** Keeps other processes out of a directory. AlthingError STORE_LOCKED, STORE_OPEN_FAILED. */
  lock(directory: string): Promise<DirectoryLock>
  /** AlthingError STORE_OPEN_FAILED where it cannot be told. */
  exists(path: string): Promise<boolean>
  /** Creates a directory with its parents; its name is durable. */
  createDirectory(path: string): Promise<void>
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Removes a directory and all in it, if there is one. */
  remove(path: string): Promise<void>
  /** Bytes that may still be written to the file system of a directory. */
  freeBytes(directory: string): Promise<number>
}

/** The disk of the machine, databases in LevelDB. */
export const systemDisk: Disk = {
  openStore: openLevel,
  lock: (directory) => lockDirectory(directory),
  createDirectory,
  syncDirectory,
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  async exists(path) {
    try {
      await stat(path)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw storeError('STORE_OPEN_FAILED', `cannot look at ${path}`, error)
    }
  },
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  },
}
