/**
 * Files that are written once: keys, configurations, proofs.
 * Invariants: a file is whole or not there, on disk when the promise resolves, and never put in the place of another.
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from './directory.ts'

/**
 * Writes a new file at `path`; false, and nothing is changed, where there is one. Folders are made, open to their owner only. Refusals of
 * the system pass through.
 */
export async function writeNewFile(path: string, text: string, mode: 0o600 | 0o644): Promise<boolean> {
  const folder = dirname(path)
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    const file = await open(draft, 'wx', mode)
    try {
      // A umask may only take rights away; this restores the owner's own.
      if (mode === 0o600) await chmod(draft, mode)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    try {
      // A link, unlike a rename, fails where the name is taken; a crash leaves a whole file or none.
      await link(draft, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
    await syncDirectory(folder)
    return true
  } finally {
    await rm(draft, { force: true })
  }
}
