/**
 * Directories whose entries survive a loss of power. Refusals of the system pass through.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A handle to sync the directory `path` with; undefined where there is no such thing. */
export async function openDirectory(path: string): Promise<FileHandle | undefined> {
  // Windows has no handle on directories and writes their entries through.
  return process.platform === 'win32' ? undefined : await open(path, 'r')
}

/** Makes the entries of the directory `path` durable: the names of files created or removed in it. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await openDirectory(path)
  try {
    await handle?.sync()
  } finally {
    await handle?.close()
  }
}

/** Creates the directory `path` and its parents, and makes the name of `path` durable in its parent. */
export async function createDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await syncDirectory(dirname(path))
}
