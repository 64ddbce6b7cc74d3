/**
 * RTU: what of the chain lies on its disk: the newest header with its certificate, and evidence of forks.
 * Invariants: one write at a time, the newest last; a failed write of the header loses nothing but the height to begin at, so it is logged
 * and the next one is tried; evidence is never overwritten or removed here.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isAlthingError } from '../errors.ts'
import { readOwnFile, replaceFile } from './disk.ts'
import { evidenceOf, type Fork } from './headers.ts'
import { refusalOf } from './machine.ts'

/** The few calls of a logger that are used here. */
export type HeaderDiskLog = {
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Bytes of the files of the newest header and of the era. */
const HEADER_FILE_BYTES_MAX = 128 * 1024
/** Forks of which the evidence is kept; of further ones only the log tells. */
const EVIDENCE_MAX = 8

/** Files in the data directory of one RTU. */
export class HeaderDisk {
  readonly #headerFile: string
  readonly #eraFile: string
  readonly #evidenceDirectory: string
  readonly #network: string
  readonly #log: HeaderDiskLog
  readonly #evidence = new Set<string>()
  #writes: Promise<void> = Promise.resolve()

  /** `network`: its name, for people who read the evidence. */
  constructor(directory: string, network: string, log: HeaderDiskLog) {
    this.#headerFile = join(directory, 'header')
    this.#eraFile = join(directory, 'era')
    this.#evidenceDirectory = join(directory, 'evidence')
    this.#network = network
    this.#log = log
  }

  /** The newest header of an earlier run, undefined if there is none or it cannot be read; `isDisputed`: evidence of a fork lies there. */
  async load(): Promise<{ newest: Uint8Array | undefined; era: Uint8Array | undefined; isDisputed: boolean }> {
    const names = await readdir(this.#evidenceDirectory).catch((error: unknown) => {
      if (refusalOf(error) === 'ENOENT') return []
      throw error
    })
    for (const name of names) if (name.startsWith('fork-')) this.#evidence.add(name)
    if (this.#evidence.size > 0)
      this.#log.error(
        { code: 'LIGHT_FORK', directory: this.#evidenceDirectory, files: [...this.#evidence] },
        'evidence of contradicting commit certificates lies here; no header is followed until it is taken away: show it to the members',
      )
    const read = (file: string): Promise<Uint8Array | undefined> =>
      readOwnFile(file, HEADER_FILE_BYTES_MAX).catch((error: unknown) => {
        if (!isAlthingError(error)) throw error
        this.#log.warn(
          { error, file },
          'what is known of the chain cannot be read: beginning at whatever the members show',
        )
        return undefined
      })
    const [newest, era] = [await read(this.#headerFile), await read(this.#eraFile)]
    return { newest, era, isDisputed: this.#evidence.size > 0 }
  }

  /** Puts the present era on disk, after what is being written. */
  saveEra(bytes: Uint8Array): void {
    this.#write(() => replaceFile(this.#eraFile, bytes), 'the present era could not be put on disk')
  }

  /** Puts the newest header on disk, after what is being written. */
  save(bytes: Uint8Array): void {
    this.#write(() => replaceFile(this.#headerFile, bytes), 'the newest header could not be put on disk')
  }

  /** Puts the evidence of a fork on disk and says so. */
  keepEvidence(fork: Fork): void {
    const { name, text } = evidenceOf(fork, this.#network)
    if (this.#evidence.has(name)) return
    this.#log.error(
      { code: 'LIGHT_FORK', file: join(this.#evidenceDirectory, name), evidence: text },
      'two commit certificates contradict each other: no header is followed any more, reports go on; show this file to the members',
    )
    if (this.#evidence.size >= EVIDENCE_MAX) return
    this.#evidence.add(name)
    this.#write(async () => {
      await mkdir(this.#evidenceDirectory, { recursive: true, mode: 0o700 })
      await replaceFile(join(this.#evidenceDirectory, name), new TextEncoder().encode(text))
    }, 'evidence of a fork could not be put on disk; it is in this log')
  }

  /** Resolves when nothing is being written. */
  settled(): Promise<void> {
    return this.#writes
  }

  #write(write: () => Promise<void>, failure: string): void {
    this.#writes = this.#writes.then(write).catch((error: unknown) => {
      if (!isAlthingError(error)) throw error
      this.#log.error({ error }, failure)
    })
  }
}
