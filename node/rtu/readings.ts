/**
 * RTU as a gateway: signed readings of sensors, kept in files of their own and anchored batch by batch (`reading.batch`).
 * Invariants: a reading is on disk before `take` resolves, in the open file or a closed one; a closed file never changes; each closed batch
 * is handed to the outbox before its name says so, so that a crash anchors it twice rather than never. Nothing is deleted: beyond
 * `bytesMax` readings are refused until the operator has taken closed files away.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../protocol/bytes.ts'
import {
  type Batch,
  batchOf,
  parseReading,
  renderReading,
  type VerifiedReading,
  verifyReading,
} from '../../protocol/reading.ts'
import type { Code } from '../../protocol/verdict.ts'
import { syncDirectory } from '../directory.ts'
import { AlthingError } from '../errors.ts'
import { refusalOf } from './machine.ts'

/** Bounds. A batch is closed when it has `readingsMax` or is `openMs` old. `sensors`: addresses of the keys that may sign, hexadecimal. */
export type ReadingsOptions = {
  readonly directory: string
  readonly chainId: Uint8Array
  readonly sensors: ReadonlySet<string>
  readonly bytesMax: number
  readonly readingsMax: number
  readonly openMs: number
}
/** One batch a minute, or as soon as it has 4096 readings. */
export const READINGS_DEFAULTS = { readingsMax: 4096, openMs: 60_000 } as const

/** What a gateway needs. `anchor` resolves once the transaction for `batch` is on disk. */
export type ReadingsNeeds = { anchor(batch: Batch): Promise<void>; now(): number }

/** What became of one line. */
export type Taken = { readonly code: Extract<Code, 'OK' | 'READING_DUPLICATE'> } | Refused
/** `problem` is a clause for people. */
type Refused = {
  readonly code: Extract<Code, 'READING_MALFORMED' | 'READING_SIGNATURE' | 'READING_SENSOR' | 'READING_FULL'>
  readonly problem: string
}

/** Since the gateway was opened, but for what lies on disk. */
export type ReadingsStatus = {
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  /** In the batch that is open. */
  readonly open: number
  readonly batches: number
  readonly bytes: number
}

const OPEN = 'open.jsonl'
const CLOSED = /^(\d{13})-([0-9a-f]{64})(\.new)?\.jsonl$/

/** A gateway's store. Calls of `take` and `tick` run one after another. */
export class Readings {
  readonly #options: ReadingsOptions
  readonly #needs: ReadingsNeeds
  readonly #file: FileHandle
  #open: VerifiedReading[] = []
  #openSince: number
  /** Signatures of the open batch and the last closed one: what a sensor that got no answer sends again. */
  #known: readonly [Set<string>, Set<string>] = [new Set(), new Set()]
  #count = { accepted: 0, duplicates: 0, refused: 0, batches: 0 }
  #bytes: number
  #turn: Promise<unknown> = Promise.resolve()
  /** Bytes of the open file; beyond lie remains of a write that failed. */
  #openBytes = 0
  /** Closed batches whose transaction is not on disk yet, oldest first. */
  #unanchored: { readonly batch: Batch; readonly name: string }[] = []

  private constructor(options: ReadingsOptions, needs: ReadingsNeeds, file: FileHandle, bytes: number) {
    this.#options = options
    this.#needs = needs
    this.#file = file
    this.#bytes = bytes
    this.#openSince = needs.now()
  }

  /**
   * Opens the directory: takes up the open batch, and hands over closed ones that were not. Throws AlthingError RTU_READ_FAILED,
   * RTU_WRITE_FAILED.
   */
  static async open(options: ReadingsOptions, needs: ReadingsNeeds): Promise<Readings> {
    const { directory } = options
    return await attempt('RTU_READ_FAILED', `cannot open ${directory}`, async () => {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      let bytes = 0
      for (const name of await readdir(directory)) {
        if (CLOSED.test(name)) bytes += (await stat(join(directory, name))).size
      }
      const file = await open(join(directory, OPEN), 'a+', 0o600)
      await syncDirectory(directory)
      const readings = new Readings(options, needs, file, bytes)
      await readings.#recover()
      return readings
    })
  }

  get status(): ReadingsStatus {
    return { ...this.#count, open: this.#open.length, bytes: this.#bytes + this.#openBytes }
  }

  /**
   * Judges `lines` and keeps those that are good. Rejects with RTU_WRITE_FAILED where the disk did not take them: none of them is then
   * acknowledged, and sending them again is right.
   */
  take(lines: readonly string[]): Promise<readonly Taken[]> {
    return this.#inTurn(() => this.#take(lines))
  }

  /** Closes the open batch when it is due, or at once. */
  tick(now = false): Promise<void> {
    return this.#inTurn(async () => {
      await this.#anchorAll()
      if (this.#open.length > 0 && (now || this.#needs.now() - this.#openSince >= this.#options.openMs))
        await this.#close()
    })
  }

  /** Ends with everything on disk; the open batch stays open for the next start. */
  async stop(): Promise<void> {
    await this.#turn.catch(() => undefined)
    await this.#file.close()
  }

  async #take(lines: readonly string[]): Promise<readonly Taken[]> {
    const taken: Taken[] = []
    const fresh: { reading: VerifiedReading; text: string; key: string }[] = []
    const inLines = new Set<string>()
    let added = 0
    for (const line of lines) {
      const judged = this.#judge(line)
      if ('code' in judged) {
        taken.push(judged)
        continue
      }
      const key = toHex(judged.reading.signature)
      if (inLines.has(key) || this.#known.some((set) => set.has(key))) {
        taken.push({ code: 'READING_DUPLICATE' })
        continue
      }
      const text = `${renderReading(judged.reading)}\n`
      const textBytes = Buffer.byteLength(text)
      if (this.#bytes + this.#openBytes + added + textBytes > this.#options.bytesMax) {
        taken.push({ code: 'READING_FULL', problem: `${this.#options.bytesMax} bytes of readings are held` })
        continue
      }
      inLines.add(key)
      added += textBytes
      fresh.push({ reading: judged, text, key })
      taken.push({ code: 'OK' })
    }
    for (let i = 0; i < fresh.length; ) {
      const part = fresh.slice(i, i + this.#options.readingsMax - this.#open.length)
      await this.#append(part.map(({ text }) => text).join(''))
      if (this.#open.length === 0) this.#openSince = this.#needs.now()
      for (const { reading, key } of part) {
        this.#open.push(reading)
        this.#known[0].add(key)
      }
      i += part.length
      if (this.#open.length >= this.#options.readingsMax) await this.#close()
    }
    for (const { code } of taken)
      this.#count[code === 'OK' ? 'accepted' : code === 'READING_DUPLICATE' ? 'duplicates' : 'refused']++
    return taken
  }

  #judge(line: string): VerifiedReading | Refused {
    const verified = this.#verify(line)
    if ('code' in verified || this.#options.sensors.has(verified.sensor)) return verified
    return { code: 'READING_SENSOR', problem: `signed by ${verified.sensor}` }
  }

  #verify(line: string): VerifiedReading | Refused {
    const parsed = parseReading(line)
    if (!parsed.ok) return { code: 'READING_MALFORMED', problem: parsed.problem }
    const answer = verifyReading(parsed.reading, this.#options.chainId)
    return answer.ok ? answer.verified : { code: answer.code as Refused['code'], problem: answer.problem }
  }

  #append(text: string): Promise<void> {
    return attempt('RTU_WRITE_FAILED', `cannot write ${join(this.#options.directory, OPEN)}`, async () => {
      // What an earlier write left behind when it failed half-way was never acknowledged.
      await this.#file.truncate(this.#openBytes)
      await this.#file.appendFile(text)
      await this.#file.sync()
      this.#openBytes += Buffer.byteLength(text)
    })
  }

  async #close(): Promise<void> {
    const { directory } = this.#options
    const batch = batchOf(this.#open)
    const name = `${String(this.#needs.now()).padStart(13, '0')}-${toHex(batch.root)}`
    const fresh = join(directory, `${name}.new.jsonl`)
    await attempt('RTU_WRITE_FAILED', `cannot write ${fresh}`, async () => {
      // A copy, not a rename, so that the open file stays the one that is held open.
      const file = await open(fresh, 'w', 0o600)
      try {
        await file.writeFile(this.#open.map(({ reading }) => `${renderReading(reading)}\n`).join(''))
        await file.sync()
      } finally {
        await file.close()
      }
      await syncDirectory(directory)
      await this.#file.truncate(0)
      await this.#file.sync()
    })
    this.#bytes += this.#openBytes
    this.#openBytes = 0
    this.#open = []
    this.#known = [new Set(), this.#known[0]]
    this.#unanchored.push({ batch, name })
    await this.#anchorAll()
  }

  /** Hands over what is closed and was not handed over yet, oldest first. */
  async #anchorAll(): Promise<void> {
    const { directory } = this.#options
    for (let next = this.#unanchored[0]; next !== undefined; next = this.#unanchored[0]) {
      const { batch, name } = next
      await this.#needs.anchor(batch)
      this.#count.batches++
      this.#unanchored.shift()
      await attempt('RTU_WRITE_FAILED', `cannot rename ${name}`, async () => {
        await rename(join(directory, `${name}.new.jsonl`), join(directory, `${name}.jsonl`))
        await syncDirectory(directory)
      })
    }
  }

  async #recover(): Promise<void> {
    const { directory } = this.#options
    const closed = new Set<string>()
    for (const name of (await readdir(directory)).sort()) {
      const [, time, root, isNew] = CLOSED.exec(name) ?? []
      if (isNew === undefined) continue
      const { readings } = await this.#read(name)
      const batch = readings.length > 0 ? batchOf(readings) : undefined
      // Half-written, by a process that died at it: everything in it is still in the open file.
      if (batch === undefined || toHex(batch.root) !== root) {
        await rm(join(directory, name), { force: true })
        continue
      }
      for (const { reading } of readings) closed.add(toHex(reading.signature))
      this.#unanchored.push({ batch, name: `${time}-${root}` })
    }
    const { readings, bytes } = await this.#read(OPEN)
    const signatures = readings.map(({ reading }) => toHex(reading.signature))
    // A batch is closed whole: where one reading of the open file is in a closed one, all are.
    const isClosed = signatures.some((signature) => closed.has(signature))
    this.#openBytes = isClosed ? 0 : bytes
    this.#open = isClosed ? [] : readings
    this.#known = [new Set(isClosed ? [] : signatures), closed]
    await this.#file.truncate(this.#openBytes)
    await this.#file.sync()
    await this.#anchorAll()
  }

  /**
   * The readings of a file of ours, and its bytes up to the end of the last whole line; what follows was never acknowledged. Whose they are was
   * judged when they came: a sensor that is no longer configured does not lose what was acknowledged to it.
   */
  async #read(name: string): Promise<{ readings: VerifiedReading[]; bytes: number }> {
    const file = await open(join(this.#options.directory, name), 'r')
    try {
      const content = await file.readFile()
      const bytes = content.lastIndexOf(0x0a) + 1
      const readings = content
        .toString('utf8', 0, bytes)
        .split('\n')
        .slice(0, -1)
        .flatMap((line) => {
          const read = this.#verify(line)
          return 'code' in read ? [] : [read]
        })
      return { readings, bytes }
    } finally {
      await file.close()
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task, task)
    this.#turn = mine.catch(() => undefined)
    return mine
  }
}

async function attempt<T>(code: string, what: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (cause) {
    if (cause instanceof AlthingError) throw cause
    throw new AlthingError(code, `${what}: ${refusalOf(cause) ?? 'failed'}`, { cause })
  }
}
