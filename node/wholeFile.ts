/**
 * Files written beside their place and moved there whole: those that are written once (keys, configurations, proofs), and those that are
 * replaced (what a device has learnt, where a daemon answers).
 * Invariant: a file is whole, the old one or the new one, whenever the process may end, and on disk when the promise resolves. Refusals of the
 * system pass through.
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from './directory.ts'

/** Writes a new file at `path`; false, and nothing is changed, where there is one. Folders are made, open to their owner only. */
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

/**
 * Puts `content` in the place of the file at `path`, readable by its owner only (0600); its folder (0700) is made if it is missing. One writer
 * at a time: what one that died left at `path`.tmp is the next one's to remove.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const folder = dirname(path)
  const draft = `${path}.tmp`
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // What a crash left behind may have any mode: gone first, so that the file is made anew with ours.
  await rm(draft, { force: true })
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await syncDirectory(folder)
}
