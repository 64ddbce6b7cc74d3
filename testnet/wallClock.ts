/**
 * Stage: the operator. Wall clocks that are wrong: a member runs under libfaketime (Debian package faketime), which reads a file for how far
 * to be off. The monotonic clock stays true, as it does on a machine whose clock is set.
 */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const LIBRARIES = '/usr/lib'
const LIBRARY = 'faketime/libfaketimeMT.so.1'
/** How long libfaketime may take to see a new offset, s. */
const CACHE_S = 1

/** Path of the library, or undefined where it is not installed. */
async function faketimeLibrary(): Promise<string | undefined> {
  const found = await readdir(LIBRARIES, { withFileTypes: true }).catch(() => [])
  for (const { name } of found) {
    const path = join(LIBRARIES, name)
    const files = await readdir(join(path, 'faketime')).catch((): string[] => [])
    if (files.includes('libfaketimeMT.so.1')) return join(path, LIBRARY)
  }
  return undefined
}

/** Why `clock` cannot be done here, or null. */
export async function refusesClock(): Promise<string | null> {
  return (await faketimeLibrary()) === undefined ? 'clock needs libfaketime (Debian package faketime)' : null
}

/** A wall clock that can be set while its process runs. */
export class WallClock {
  readonly #file: string
  readonly #library: string

  private constructor(file: string, library: string) {
    this.#file = file
    this.#library = library
  }

  /** A true one, to be set by `file`. */
  static async at(file: string): Promise<WallClock> {
    const library = await faketimeLibrary()
    if (library === undefined) throw new Error('libfaketime was there a moment ago')
    const clock = new WallClock(file, library)
    await clock.set(0)
    return clock
  }

  /** Environment of the process that has this clock. */
  get environment(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: String(CACHE_S),
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    }
  }

  /** Sets it to be off by `offsetMs`. */
  async set(offsetMs: number): Promise<void> {
    await writeFile(this.#file, `${offsetMs < 0 ? '-' : '+'}${Math.abs(offsetMs) / 1000}s\n`)
  }
}
