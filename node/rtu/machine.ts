/**
 * RTU, stage 0: the machine that is watched, behind one seam, so that monitors run the same on a made-up /proc tree.
 * Invariants: every read is bounded in bytes or entries and says when it was cut; only regular files are read (a FIFO or device put in
 * the place of a watched file cannot make the reader wait); a failed read is a value or an error with `code`, never a crash.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'

/** What is known of a file without reading it: whole numbers, times in ms since epoch. */
export type FileFacts = {
  readonly kind: 'file' | 'directory' | 'other'
  readonly device: number
  readonly inode: number
  readonly sizeBytes: number
  /** Permission bits with set-uid, set-gid and sticky: 0 … 0o7777. */
  readonly mode: number
  readonly userId: number
  readonly groupId: number
  /** Names that still point at the file; 0 for one that was deleted and is held open. */
  readonly links: number
  readonly modifiedMs: number
  readonly changedMs: number
}
/** First part of a file; `truncated` where the file goes on beyond it. */
export type FileContent = { readonly bytes: Uint8Array; readonly truncated: boolean }
/** First part of a directory, in the system's order; `truncated` where there are more. */
export type DirectoryContent = { readonly names: readonly string[]; readonly truncated: boolean }

/**
 * What monitors may ask of a machine. All but `monotonicMs`, `wallMs` and `cpus` throw an error with a string `code` (`ENOENT`, `EACCES`, …)
 * when the machine refuses; no other error is thrown. `readFile` throws `EINVAL` for anything that is not a regular file.
 */
export type Machine = {
  readFile(path: string, bytesMax: number): FileContent
  /** The same from byte `offset` on, for what only grows. */
  readFrom(path: string, offset: number, bytesMax: number): FileContent
  /** SHA-256 (hexadecimal) of the first `bytesMax` bytes, and how many there were; nothing of it is kept in memory. */
  digest(path: string, bytesMax: number): { readonly digest: string; readonly bytes: number }
  readdir(path: string, entriesMax: number): DirectoryContent
  readlink(path: string): string
  /** Follows links, those of /proc too. */
  stat(path: string): FileFacts
  /** Bytes of the file system that holds `path`; `bytesFree` is what an unprivileged process may still use. */
  statfs(path: string): { readonly bytesTotal: number; readonly bytesFree: number }
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number
  /** The clock on the wall, ms since 1970-01-01T00:00Z. */
  wallMs(): number
  /** Processors, at least 1. */
  cpus(): number
}

/** Code of a refusal by the system, such as `ENOENT`; undefined for anything that is a bug rather than a refusal. */
export function refusalOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  // ERR_… are Node's complaints about a call, thus about us; the system's own are E and capitals.
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

/** `read()`, or the system's refusal as a code. Anything that is not a refusal is thrown on. */
export function attempt<T>(read: () => T): { readonly value: T } | { readonly refusal: string } {
  try {
    return { value: read() }
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === undefined) throw error
    return { refusal }
  }
}

/** The machine that this process runs on. */
export function realMachine(): Machine {
  // Files of /proc are small and read every cycle: one shared buffer, and a copy of exactly what was read.
  const scratch = new Uint8Array(16 * 1024)
  const readFrom = (path: string, offset: number | null, bytesMax: number): FileContent => {
    const fd = openRegular(path)
    try {
      return readBounded(fd, offset, bytesMax, scratch)
    } finally {
      closeSync(fd)
    }
  }
  return {
    readFile: (path, bytesMax) => readFrom(path, null, bytesMax),
    readFrom,
    digest(path, bytesMax) {
      const fd = openRegular(path)
      try {
        const hash = createHash('sha256')
        let bytes = 0
        while (bytes < bytesMax) {
          const read = readSync(fd, scratch, 0, Math.min(scratch.length, bytesMax - bytes), null)
          if (read === 0) break
          hash.update(scratch.subarray(0, read))
          bytes += read
        }
        return { digest: hash.digest('hex'), bytes }
      } finally {
        closeSync(fd)
      }
    },
    readdir(path, entriesMax) {
      const directory = opendirSync(path, { bufferSize: 256 })
      try {
        const names: string[] = []
        for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
          if (names.length === entriesMax) return { names, truncated: true }
          names.push(entry.name)
        }
        return { names, truncated: false }
      } finally {
        directory.closeSync()
      }
    },
    readlink: (path) => readlinkSync(path),
    stat: (path) => factsOf(statSync(path)),
    statfs(path) {
      const { bsize, blocks, bavail } = statfsSync(path)
      return { bytesTotal: bsize * blocks, bytesFree: bsize * bavail }
    },
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    cpus: () => Math.max(1, availableParallelism()),
  }
}

function openRegular(path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw Object.assign(new Error('not a regular file'), { code: 'EINVAL' })
}

function readBounded(fd: number, offset: number | null, bytesMax: number, scratch: Uint8Array): FileContent {
  // One byte beyond the bound is asked for: that alone tells whether there is more. /proc says size 0, so sizes are no help.
  const parts: Uint8Array[] = []
  let length = 0
  while (length <= bytesMax) {
    const read = readSync(
      fd,
      scratch,
      0,
      Math.min(scratch.length, bytesMax + 1 - length),
      offset === null ? null : offset + length,
    )
    if (read === 0) break
    parts.push(scratch.slice(0, read))
    length += read
  }
  const only = parts[0]
  const whole = parts.length === 1 && only !== undefined ? only : new Uint8Array(Buffer.concat(parts))
  return { bytes: whole.subarray(0, bytesMax), truncated: length > bytesMax }
}

// Whoever owns a file chooses its size and times, and some file systems use 64-bit inodes: all are brought into the safe integers,
// where equal stays equal.
const safe = (value: number): number => Math.trunc(value) % Number.MAX_SAFE_INTEGER || 0

const factsOf = (stats: Stats): FileFacts => ({
  kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other',
  device: safe(stats.dev),
  inode: safe(stats.ino),
  sizeBytes: safe(stats.size),
  mode: stats.mode & 0o7777,
  userId: stats.uid,
  groupId: stats.gid,
  links: stats.nlink,
  modifiedMs: safe(stats.mtimeMs),
  changedMs: safe(stats.ctimeMs),
})

const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
/** Text of a file of the system; ill-formed UTF-8 becomes U+FFFD. */
export const textOf = (content: FileContent): string => decoder.decode(content.bytes)
