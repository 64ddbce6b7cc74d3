/**
 * The lock of a data directory: one node per directory, with a message that names the other one.
 * Invariants: the lock file appears with its content or not at all (it is linked into place); a lock is taken over only from a process
 * that is gone, and by one alone. LevelDB's own lock, held by the kernel, is the second line: this one is there to fail early and say why.
 */
import { createHash, randomUUID } from 'node:crypto'
import { link, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isAlive } from '../alive.ts'
import { AlthingError } from '../errors.ts'

/** Name of the lock file in a data directory. */
export const LOCK_FILE = 'LOCK'

/** Who holds a lock. */
export type LockHolder = {
  readonly pid: number
  /** Tells two processes with one pid apart (after a reboot, in containers); null where the system does not say. */
  readonly started: string | null
}

/** A held lock. */
export type DirectoryLock = {
  /** Gives the lock up. Idempotent; leaves a file that is no longer this lock's alone. */
  release(): Promise<void>
}

/** What the lock asks of the system; other ones in tests. */
export type ProcessTable = {
  readonly pid: number
  /** Whether a process with `pid` exists, whoever owns it. */
  isAlive(pid: number): boolean
  /** Mark of the process's start, null where unknown. */
  startedAt(pid: number): Promise<string | null>
}

const ATTEMPTS_MAX = 5

/** The error of `code`. Not from level.ts: an RTU locks its directory too, and has no database. */
const lockError = (code: 'STORE_LOCKED' | 'STORE_OPEN_FAILED', message: string, cause?: unknown): AlthingError =>
  new AlthingError(code, message, { cause })

/**
 * Takes the lock of `directory`, which must exist. Throws AlthingError STORE_LOCKED (held by a live process, named in the message)
 * or STORE_OPEN_FAILED.
 */
export async function lockDirectory(directory: string, table: ProcessTable = systemTable): Promise<DirectoryLock> {
  const path = join(directory, LOCK_FILE)
  const token = randomUUID()
  const draft = join(directory, `${LOCK_FILE}.${token}`)
  // The token makes every content unlike every other, also of one process and where `started` is unknown.
  const content = `${JSON.stringify({ pid: table.pid, started: await table.startedAt(table.pid), token })}\n`
  try {
    await writeFile(draft, content, { mode: 0o600 })
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (await linkInto(draft, path)) return held(path, content)
      await removeStale(directory, path, draft, table)
    }
  } catch (error) {
    throw (error as { code?: unknown }).code === 'STORE_LOCKED'
      ? error
      : lockError('STORE_OPEN_FAILED', `cannot lock ${directory}`, error)
  } finally {
    await remove(draft)
  }
  throw lockError('STORE_LOCKED', `several processes are taking ${directory} at once; start one only`)
}

/** Id of the live process that holds the lock of `directory`; null if none holds it any more, undefined if there is no lock. */
export async function holderOf(
  directory: string,
  table: ProcessTable = systemTable,
): Promise<number | null | undefined> {
  const content = await contentOf(join(directory, LOCK_FILE))
  if (content === undefined) return undefined
  const holder = parseHolder(content)
  return holder !== undefined && (await isRunning(holder, table)) ? holder.pid : null
}

function held(path: string, content: string): DirectoryLock {
  let released = false
  return {
    async release() {
      if (released) return
      released = true
      if ((await contentOf(path)) === content) await remove(path)
    },
  }
}

/** Removes the lock file if its holder is gone; throws STORE_LOCKED if not. */
async function removeStale(directory: string, path: string, draft: string, table: ProcessTable): Promise<void> {
  const seen = await contentOf(path)
  if (seen === undefined) return
  const holder = parseHolder(seen)
  if (holder !== undefined && (await isRunning(holder, table))) {
    throw lockError(
      'STORE_LOCKED',
      `${directory} is used by process ${holder.pid}; stop it first. If no such node runs, remove ${path}`,
    )
  }
  // Between the look and now another process may have taken this lock over and hold it. Whoever has the claim to this very content
  // is alone in removing it: if it is still there then, it stays there until it is removed.
  const claim = join(directory, `${LOCK_FILE}.takeover.${createHash('sha256').update(seen).digest('hex').slice(0, 16)}`)
  if (!(await linkInto(draft, claim)))
    throw lockError(
      'STORE_LOCKED',
      `another process is taking over the lock of ${directory}. If none does, remove ${claim}`,
    )
  try {
    if ((await contentOf(path)) === seen) await remove(path)
  } finally {
    await remove(claim)
  }
}

async function isRunning(holder: LockHolder, table: ProcessTable): Promise<boolean> {
  if (!table.isAlive(holder.pid)) return false
  const started = await table.startedAt(holder.pid)
  return started === null || holder.started === null || started === holder.started
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { pid, started } = value as Record<string, unknown>
    if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return undefined
    return { pid: pid as number, started: typeof started === 'string' ? started : null }
  } catch {
    // The file appears whole, so what cannot be read was not written by a node: it holds nothing.
    return undefined
  }
}

/** Whether `to` now is `from`; false if there was one already. */
async function linkInto(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

const hasCode = (error: unknown, code: string): boolean => (error as NodeJS.ErrnoException).code === code

const systemTable: ProcessTable = {
  pid: process.pid,
  isAlive,
  async startedAt(pid) {
    try {
      const [status, boot] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8'),
        readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      ])
      // Field 22, counted behind the name, which may itself hold spaces and brackets (proc(5)).
      const start = status.slice(status.lastIndexOf(')') + 2).split(' ')[19]
      return start === undefined ? null : `${boot.trim()}/${start}`
    } catch {
      // No /proc on this system: liveness alone decides.
      return null
    }
  },
}
