/**
 * A simulated disk: directories, and databases shaped like LevelDB. A write that was not synced may be lost at a crash, the youngest first, each
 * batch whole; a synced one under way may have been made or not. It fills up, fails, and loses what the scenario says.
 * Invariant: what `sync` has acknowledged is there after every crash.
 */
import { dirname } from 'node:path'
import type { Disk } from '../../node/store/disk.ts'
import { storeError } from '../../node/store/level.ts'
import type { KeyValueStore, StoreEntry, StoreOperation, StoreRange } from '../../node/store/store.ts'
import type { Random } from '../simulation/random.ts'
import type { Scope } from './schedule.ts'

/** What a batch has replaced, to be put back if it is lost. */
type Undo = readonly (readonly [key: string, before: Uint8Array | undefined])[]
/** One database: what a reader sees now, and how to take back what is not durable. */
type Image = {
  readonly values: Map<string, Uint8Array>
  sorted: string[] | undefined
  unsynced: Undo[]
  /** Keys whose values cannot be read any more. */
  readonly rotten: Set<string>
}
/** A batch that was asked for and not yet acknowledged. */
type Write = { readonly image: Image; readonly operations: readonly StoreOperation[]; readonly sync: boolean }
/** A change of names that is not durable yet, and how to take it back. */
type NameChange = () => void

// One character per byte: strings of such characters sort as the bytes do.
const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))

/** What happens at the next write, told to whoever armed it. `before`: it is not made; `after`: it is, and nobody hears of it. */
export type WriteFault = { readonly kind: 'crash' | 'fail'; readonly made: boolean; writes: number; crash(): void }

/** How fast a disk is, ms. */
export type DiskSpeed = {
  readonly writeMsMax: number
  readonly readMsMax: number
  /** It acknowledges syncs and does not make them: such a disk must be found out. */
  readonly forgetful: boolean
}

/** The disk of one machine; outlives the processes that use it. */
export class SimulatedDisk {
  readonly #random: Random
  readonly #speed: DiskSpeed
  readonly #names = new Map<string, Image | null>()
  readonly #nameChanges: NameChange[] = []
  readonly #open = new Set<string>()
  readonly #writes = new Set<Write>()
  #lastWriteAt = 0
  /** Bytes that are free. Below what a batch needs it fails. */
  freeBytes = Number.POSITIVE_INFINITY
  fault: WriteFault | undefined
  /** Reads of databases until one fails; none by itself. */
  readsUntilFailure = Number.POSITIVE_INFINITY
  /** One has failed, and its process is to end of it. */
  readsFailed = false
  /** Writes asked for so far. */
  written = 0

  constructor(random: Random, speed: DiskSpeed) {
    this.#random = random
    this.#speed = speed
  }

  /** The machine lost its process: what was not durable may be gone. */
  crash(): void {
    this.#finish(this.#random.below(this.#writes.size + 1))
    this.#writes.clear()
    this.#open.clear()
    for (const image of this.#names.values()) {
      if (image === null || image.unsynced.length === 0) continue
      const kept = this.#random.below(image.unsynced.length + 1)
      for (const undo of image.unsynced.splice(kept).reverse()) this.#undo(image, undo)
      image.unsynced = []
    }
    const kept = this.#random.below(this.#nameChanges.length + 1)
    for (const takeBack of this.#nameChanges.splice(kept).reverse()) takeBack()
    this.#nameChanges.length = 0
    this.fault = undefined
  }

  /** Everything in and below `path` is gone, durably: another disk was put in, or an operator moved it away. */
  wipe(path: string): void {
    for (const name of [...this.#names.keys()]) if (isWithin(name, path)) this.#names.delete(name)
  }

  /** Some entries of the database in `location` rot: whoever reads one is told that it is damaged, as by LevelDB's checksums. */
  rot(location: string, count: number): boolean {
    const image = this.#names.get(location)
    if (!image || image.values.size === 0) return false
    const keys = [...image.values.keys()]
    for (let i = 0; i < count; i++) image.rotten.add(this.#random.pick(keys))
    return true
  }

  /** It was a cable: everything can be read again. */
  unrot(location: string): void {
    this.#names.get(location)?.rotten.clear()
  }

  isRotten(location: string): boolean {
    return (this.#names.get(location)?.rotten.size ?? 0) > 0
  }

  /** Puts a database with `entries` in `location`, durably. */
  fill(location: string, entries: Iterable<StoreEntry>): void {
    const values = new Map([...entries].map(([key, value]) => [textOf(key), value.slice()] as const))
    this.#names.set(location, { values, sorted: undefined, unsynced: [], rotten: new Set() })
  }

  /** `look` by whoever stands outside: nothing fails for it. */
  unfailing<T>(look: () => T): T {
    this.#isLookedAt = true
    try {
      return look()
    } finally {
      this.#isLookedAt = false
    }
  }
  #isLookedAt = false

  /** What a read of `keys` meets. Throws AlthingError STORE_READ_FAILED, STORE_CORRUPT. */
  #reading(image: Image, keys: readonly string[]): void {
    if (this.#isLookedAt) return
    if (--this.readsUntilFailure < 0) {
      this.readsUntilFailure = Number.POSITIVE_INFINITY
      this.readsFailed = true
      throw storeError('STORE_READ_FAILED', 'the database could not be read (input/output error)')
    }
    if (image.rotten.size > 0 && keys.some((key) => image.rotten.has(key)))
      throw storeError('STORE_CORRUPT', 'the database is damaged')
  }

  /** The database in `location` as it is now, for looking at it from outside; undefined if there is none. */
  peek(location: string): KeyValueStore | undefined {
    const image = this.#names.get(location)
    return image ? reader(image) : undefined
  }

  /** The disk as the process of `scope` sees it. */
  seenBy(scope: Scope, nowMs: () => number): Disk {
    const soon = <T>(make: () => T): Promise<T> => scope.after(this.#random.next() * this.#speed.readMsMax, make)
    return {
      openStore: (location, { mode }) =>
        soon(() => {
          let image = this.#names.get(location) ?? undefined
          if (this.#open.has(location)) throw storeError('STORE_LOCKED', `another process is using ${location}`)
          if (image === undefined && mode === 'open') throw storeError('STORE_MISSING', `no database in ${location}`)
          if (image !== undefined && mode === 'create') throw storeError('STORE_EXISTS', `${location} holds a database`)
          if (image === undefined) {
            image = { values: new Map(), sorted: undefined, unsynced: [], rotten: new Set() }
            this.#setName(location, image)
          }
          this.#open.add(location)
          return this.#store(image, scope, nowMs, () => this.#open.delete(location))
        }),
      lock: (directory) =>
        soon(() => {
          const name = `${directory}/LOCK`
          if (this.#open.has(name)) throw storeError('STORE_LOCKED', `${directory} is locked`)
          this.#open.add(name)
          return { release: async () => void this.#open.delete(name) }
        }),
      exists: (path) => soon(() => this.#names.has(path)),
      createDirectory: (path) =>
        soon(() => {
          for (let name = path; name !== '/' && !this.#names.has(name); name = dirname(name))
            this.#names.set(name, null)
        }),
      syncDirectory: () =>
        soon(() => {
          this.#nameChanges.length = 0
        }),
      rename: (from, to) =>
        soon(() => {
          for (const [name, image] of [...this.#names])
            if (isWithin(name, from)) {
              this.#setName(to + name.slice(from.length), image)
              this.#dropName(name)
            }
        }),
      remove: (path) =>
        soon(() => {
          for (const name of [...this.#names.keys()]) if (isWithin(name, path)) this.#dropName(name)
        }),
      freeBytes: () => soon(() => this.freeBytes),
    }
  }

  #setName(name: string, image: Image | null): void {
    const before = this.#names.get(name)
    this.#names.set(name, image)
    this.#nameChanges.push(() => (before === undefined ? this.#names.delete(name) : this.#names.set(name, before)))
  }

  #dropName(name: string): void {
    const before = this.#names.get(name)
    this.#names.delete(name)
    if (before !== undefined) this.#nameChanges.push(() => this.#names.set(name, before))
  }

  #store(image: Image, scope: Scope, nowMs: () => number, released: () => void): KeyValueStore {
    const pending = new Set<Promise<void>>()
    let closed = false
    const read = reader(image)
    const reading = (keys: readonly string[]): void => this.#reading(image, keys)
    const assertOpen = (): void => {
      if (closed) throw storeError('STORE_READ_FAILED', 'the database is closed')
    }
    const soon = <T>(make: () => T): Promise<T> => scope.after(this.#random.next() * this.#speed.readMsMax, make)
    return {
      getSync(key) {
        assertOpen()
        reading([textOf(key)])
        return read.getSync(key)
      },
      get: (key) =>
        soon(() => {
          reading([textOf(key)])
          return read.getSync(key)
        }),
      getMany: (keys) =>
        soon(() => {
          reading(keys.map(textOf))
          return keys.map((key) => read.getSync(key))
        }),
      batch: (operations, { sync }) => {
        assertOpen()
        const writing = this.#write({ image, operations: copied(operations), sync }, scope, nowMs)
        const settled = writing.then(
          () => undefined,
          () => undefined,
        )
        pending.add(settled)
        void settled.then(() => pending.delete(settled))
        return writing
      },
      async *iterate(range) {
        assertOpen()
        const entries = await soon(() => entriesOf(image, range))
        reading(image.rotten.size === 0 ? [] : entries.map(([key]) => textOf(key)))
        yield* entries
      },
      compact: () => soon(() => undefined),
      async close() {
        closed = true
        await Promise.all(pending)
        released()
      },
    }
  }

  /** Batches reach the disk in the order in which they were asked for, as they reach LevelDB's log. */
  #write(write: Write, scope: Scope, nowMs: () => number): Promise<void> {
    this.written++
    const fault = this.fault
    if (fault !== undefined && --fault.writes <= 0) {
      this.fault = undefined
      if (fault.made) {
        this.#finish(this.#writes.size)
        this.#apply(write)
      }
      if (fault.kind === 'crash') {
        scope.later(0, fault.crash)
        return new Promise(() => undefined)
      }
      return scope.after(this.#random.next(), () => {
        throw storeError('STORE_WRITE_FAILED', 'the database did not take a write (input/output error)')
      })
    }
    let bytes = 0
    for (const { key, value } of write.operations) bytes += key.length + (value?.length ?? 0)
    if (bytes > this.freeBytes)
      return scope.after(this.#random.next(), () => {
        throw storeError('STORE_WRITE_FAILED', 'the database did not take a write (no space left on device)')
      })
    this.#writes.add(write)
    const ms = (write.sync ? this.#random.next() : 0.1 * this.#random.next()) * this.#speed.writeMsMax
    const at = Math.max(this.#lastWriteAt, nowMs() + ms)
    this.#lastWriteAt = at
    return scope.after(at - nowMs(), () => {
      if (this.#writes.delete(write)) this.#apply(write)
    })
  }

  /** The first `count` writes under way are made, in the order of the log. */
  #finish(count: number): void {
    for (const write of [...this.#writes].slice(0, count)) {
      this.#writes.delete(write)
      this.#apply(write)
    }
  }

  #apply({ image, operations, sync }: Write): void {
    const undo: [string, Uint8Array | undefined][] = []
    for (const { key, value } of operations) {
      const text = textOf(key)
      const before = image.values.get(text)
      undo.push([text, before])
      image.rotten.delete(text)
      if ((value === undefined) !== (before === undefined)) image.sorted = undefined
      if (value === undefined) image.values.delete(text)
      else image.values.set(text, value)
    }
    if (sync && this.#speed.forgetful !== true) image.unsynced = []
    else image.unsynced.push(undo)
  }

  #undo(image: Image, undo: Undo): void {
    for (const [key, before] of [...undo].reverse()) {
      if (before === undefined) image.values.delete(key)
      else image.values.set(key, before)
    }
    image.sorted = undefined
  }
}

const isWithin = (name: string, path: string): boolean => name === path || name.startsWith(`${path}/`)

const copied = (operations: readonly StoreOperation[]): StoreOperation[] =>
  operations.map(({ key, value }) => ({ key: key.slice(), value: value?.slice() }))

function entriesOf(image: Image, { gte, lt, reverse = false, limit = Infinity }: StoreRange): StoreEntry[] {
  image.sorted ??= [...image.values.keys()].sort()
  const [from, to] = [gte && textOf(gte), lt && textOf(lt)]
  const keys = image.sorted.filter((key) => (from === undefined || key >= from) && (to === undefined || key < to))
  if (reverse) keys.reverse()
  return keys.slice(0, limit).map((key) => [bytesOf(key), (image.values.get(key) as Uint8Array).slice()])
}

/** A database that is only read, at once. */
function reader(image: Image): KeyValueStore {
  const getSync = (key: Uint8Array): Uint8Array | undefined => image.values.get(textOf(key))?.slice()
  return {
    getSync,
    get: async (key) => getSync(key),
    getMany: async (keys) => keys.map(getSync),
    async *iterate(range) {
      yield* entriesOf(image, range)
    },
    batch: () => Promise.reject(new Error('only read')),
    compact: async () => undefined,
    close: async () => undefined,
  }
}
