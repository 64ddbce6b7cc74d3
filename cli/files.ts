/**
 * Stage: the operator. Files that commands read and write.
 * Invariants: what is read is bounded; what is written is new, on disk when the promise resolves, and never replaces a file.
 */
import { open, stat } from 'node:fs/promises'
import { writeNewFile as createFile } from '../node/wholeFile.ts'
import { CommandError, EXIT } from './failure.ts'

/** The bytes of `file`. CommandError: FILE_MISSING, INPUT_TOO_LARGE beyond `bytesMax`. Other refusals of the system pass through. */
export async function readBytes(file: string, bytesMax: number): Promise<Uint8Array> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new CommandError('FILE_MISSING', EXIT.badData, `there is no file ${file}`)
  })
  try {
    // One byte more than allowed tells a file that is too long, whatever its size claims to be (/dev/zero claims 0).
    const buffer = new Uint8Array(bytesMax + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length)
      if (bytesRead === 0) return buffer.slice(0, length)
      length += bytesRead
    }
    throw new CommandError('INPUT_TOO_LARGE', EXIT.badData, `${file} has more than ${bytesMax} bytes`)
  } finally {
    await handle.close()
  }
}

/** The text of `file`; as `readBytes`. */
export const readText = async (file: string, bytesMax: number): Promise<string> =>
  Buffer.from(await readBytes(file, bytesMax)).toString('utf8')

/** The text of `file`, or undefined if there is none. */
export async function readTextIfThere(file: string, bytesMax: number): Promise<string | undefined> {
  try {
    return await readText(file, bytesMax)
  } catch (error) {
    if (error instanceof CommandError && error.code === 'FILE_MISSING') return undefined
    throw error
  }
}

/** Whether there is something at `path`. */
export const exists = async (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )

/** Writes a new file, whole or not at all. CommandError FILE_EXISTS if there is one. Folders are made, open to the owner only. */
export async function writeNewFile(path: string, text: string, mode: 0o600 | 0o644): Promise<void> {
  if (!(await createFile(path, text, mode)))
    throw new CommandError('FILE_EXISTS', EXIT.failure, `${path} exists and is not overwritten`)
}
