/**
 * Stage: the operator. The folder of one run: a fresh one that is removed at the end, or one that was named and is kept.
 * Invariants: before a fresh one is made, what killed runs have left is swept; a fresh one is locked while its run lasts, so that nobody else
 * sweeps it, and not locked if it is kept for its logs.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type DirectoryLock, lockDirectory } from '../node/store/lock.ts'
import { ensureRunFolder } from './control.ts'
import { sweepLeftovers } from './leftovers.ts'
import { sweepMachine } from './tools.ts'

/** The folder of a run until it is closed. */
export class RunFolder {
  readonly path: string
  readonly #lock: DirectoryLock | undefined

  private constructor(path: string, lock: DirectoryLock | undefined) {
    this.path = path
    this.#lock = lock
  }

  /** The folder `named`, or a fresh one. `remark` hears of what was swept. */
  static async open(named: string | undefined, remark: (text: string) => void): Promise<RunFolder> {
    // First, since folders cannot be removed while something is mounted in them.
    for (const what of await sweepMachine()) remark(`removed what a killed run had left: ${what}`)
    if (named !== undefined) return new RunFolder(resolve(named), undefined)
    const runFolder = await ensureRunFolder()
    await sweepLeftovers(runFolder, remark)
    const path = await mkdtemp(join(runFolder, 'run-'))
    return new RunFolder(path, await lockDirectory(path))
  }

  /** Removes a fresh one, unless `keep`; one that was named stays in any case. */
  async close(keep: boolean): Promise<void> {
    if (this.#lock === undefined) return
    if (!keep) await rm(this.path, { recursive: true, force: true })
    await this.#lock.release()
  }
}
