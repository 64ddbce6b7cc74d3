/**
 * RTU: files of its own. Invariant: a file is replaced whole or not at all, survives a loss of power once the promise has resolved, and
 * can be read by its owner only. Failures are `AlthingError` RTU_WRITE_FAILED, RTU_READ_FAILED or RTU_FILE_TOO_LARGE; a caller never passes
 * over them.
 */
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AlthingError, isAlthingError } from '../errors.ts'
import { replaceFile as replace } from '../wholeFile.ts'
import { refusalOf } from './machine.ts'

const failed = (code: string, what: string, cause: unknown): AlthingError =>
  new AlthingError(code, `${what}: ${refusalOf(cause) ?? 'failed'}`, { cause })

/** Puts `content` in the place of the file at `path` (mode 0600), with its directory (0700) if that is missing. */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  try {
    await replace(path, content)
  } catch (error) {
    throw failed('RTU_WRITE_FAILED', `cannot write ${path}`, error)
  }
}

/** The file at `path`, undefined if there is none. One of more than `bytesMax` is not ours: RTU_FILE_TOO_LARGE. */
export async function readOwnFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      if (size > bytesMax) throw new AlthingError('RTU_FILE_TOO_LARGE', `${path} has more than ${bytesMax} bytes`)
      return new Uint8Array(await file.readFile())
    } finally {
      await file.close()
    }
  } catch (error) {
    if (refusalOf(error) === 'ENOENT') return undefined
    if (error instanceof AlthingError) throw error
    throw failed('RTU_READ_FAILED', `cannot read ${path}`, error)
  }
}

/** Removes the file at `path`; one that is not there is no failure. */
export async function removeFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true })
  } catch (error) {
    throw failed('RTU_WRITE_FAILED', `cannot remove ${path}`, error)
  }
}

/** What the outbox keeps its reports in: numbered values, each written whole. Failures as in this file's head. */
export type Spool = {
  /** All that is there, by rising number. What is no value of a spool is passed over; a value that cannot be one is given as empty. */
  load(): Promise<readonly { readonly sequence: number; readonly value: Uint8Array }[]>
  put(sequence: number, value: Uint8Array): Promise<void>
  remove(sequence: number): Promise<void>
}

/** A spool with one file per value in `directory`, each of at most `valueBytesMax`; of more than `valuesMax` the oldest are removed. */
export function directorySpool(directory: string, valueBytesMax: number, valuesMax: number): Spool {
  const pathOf = (sequence: number): string => join(directory, `${String(sequence).padStart(16, '0')}.report`)
  return {
    async load() {
      let names: string[]
      try {
        names = await readdir(directory)
      } catch (error) {
        if (refusalOf(error) === 'ENOENT') return []
        throw failed('RTU_READ_FAILED', `cannot list ${directory}`, error)
      }
      // Half-written, by a process that died at it.
      for (const name of names) if (/^\d{16}\.report\.tmp$/.test(name)) await removeFile(join(directory, name))
      const sequences = names
        .flatMap((name) => /^(\d{16})\.report$/.exec(name)?.[1] ?? [])
        .map(Number)
        .filter((sequence) => Number.isSafeInteger(sequence))
        .sort((a, b) => a - b)
      const excess = Math.max(0, sequences.length - valuesMax)
      for (const sequence of sequences.slice(0, excess)) await removeFile(pathOf(sequence))
      const values: { sequence: number; value: Uint8Array }[] = []
      for (const sequence of sequences.slice(excess)) {
        const value = await readOwnFile(pathOf(sequence), valueBytesMax).catch((error: unknown) => {
          if (isAlthingError(error, 'RTU_FILE_TOO_LARGE')) return new Uint8Array(0)
          throw error
        })
        if (value !== undefined) values.push({ sequence, value })
      }
      return values
    },
    put: (sequence, value) => replaceFile(pathOf(sequence), value),
    remove: (sequence) => removeFile(pathOf(sequence)),
  }
}
