/**
 * Signature pool: recovers the signers of batches of transactions in worker threads, so that the main thread goes on reading its
 * sockets meanwhile (agreement.md §4.3 counts its stalls).
 * One or two signatures that come alone are recovered here.
 * Invariants: answers keep the order of the items; at most `queueItemsMax` items wait; a dead worker fails its own jobs and is replaced.
 */
import { Worker } from 'node:worker_threads'
import { AlthingError } from '../errors.ts'
import {
  isWellFormed,
  type PoolAnswer,
  type PoolQuestion,
  packItems,
  recoverItem,
  type SignatureItem,
  unpackKeys,
} from './packing.ts'

/** Settings of a pool. */
export type SignaturePoolOptions = {
  /** Threads, 1 … 64; default 1. */
  size?: number
  /** Items accepted and not yet answered, at most; default 65 536 (about eight full blocks). */
  queueItemsMax?: number
}

/** Items per question: a few milliseconds of work, so that several threads share one block. */
const CHUNK_ITEMS = 128

/**
 * Items that are recovered on the spot while no thread is busy: 60 µs each, where the way to a thread and back costs 35 µs of processor time
 * beside the work, and two waits for a free core.
 */
const HERE_ITEMS_MAX = 2

/**
 * Memory of a thread, MiB: what it makes lives for one question. By the bounds of the main thread its dead objects alone would take 32. A thread
 * that needs more ends and is replaced.
 */
const RESOURCES = { maxYoungGenerationSizeMb: 3, maxOldGenerationSizeMb: 64 } as const

type Job = {
  items: readonly SignatureItem[]
  resolve(keys: (Uint8Array | undefined)[]): void
  reject(error: Error): void
}
type Seat = { worker: Worker; job: Job | undefined }

/** Recovers signers in `size` worker threads. Start with `new`, end with `close`. */
export class SignaturePool {
  readonly #queueItemsMax: number
  readonly #seats: Seat[] = []
  #queue: Job[] = []
  #pendingItems = 0
  #closed = false

  constructor(options: SignaturePoolOptions = {}) {
    const size = options.size ?? 1
    if (!Number.isInteger(size) || size < 1 || size > 64) throw new RangeError('size of a signature pool: 1 … 64')
    this.#queueItemsMax = options.queueItemsMax ?? 65_536
    for (let i = 0; i < size; i++) this.#seats.push(this.#spawn())
  }

  /** Items accepted and not yet answered. */
  get pendingItems(): number {
    return this.#pendingItems
  }

  /**
   * The compressed key (33 bytes) that made each signature, or undefined where there is none, in the order of `items`.
   * Rejects with AlthingError SIGNATURE_POOL_FULL, SIGNATURE_POOL_CLOSED or SIGNATURE_POOL_WORKER (a thread died; ask again).
   */
  async recover(items: readonly SignatureItem[]): Promise<(Uint8Array | undefined)[]> {
    if (this.#closed) throw new AlthingError('SIGNATURE_POOL_CLOSED', 'the signature pool is closed')
    if (this.#pendingItems === 0 && items.length <= HERE_ITEMS_MAX) return items.map(recoverItem)
    const places: number[] = []
    items.forEach((item, i) => {
      if (isWellFormed(item)) places.push(i)
    })
    if (this.#pendingItems + places.length > this.#queueItemsMax)
      throw new AlthingError('SIGNATURE_POOL_FULL', `more than ${this.#queueItemsMax} signatures waiting`)
    this.#pendingItems += places.length
    try {
      const chunks: Promise<(Uint8Array | undefined)[]>[] = []
      for (let at = 0; at < places.length; at += CHUNK_ITEMS) {
        const chunk = places.slice(at, at + CHUNK_ITEMS).map((i) => items[i] as SignatureItem)
        chunks.push(new Promise((resolve, reject) => this.#queue.push({ items: chunk, resolve, reject })))
      }
      this.#assign()
      const keys = (await Promise.all(chunks)).flat()
      const answers = new Array<Uint8Array | undefined>(items.length).fill(undefined)
      places.forEach((place, i) => {
        answers[place] = keys[i]
      })
      return answers
    } finally {
      this.#pendingItems -= places.length
    }
  }

  /** Ends all threads; what waits rejects with SIGNATURE_POOL_CLOSED. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    const error = new AlthingError('SIGNATURE_POOL_CLOSED', 'the signature pool was closed')
    for (const job of this.#queue) job.reject(error)
    this.#queue = []
    for (const seat of this.#seats) seat.job?.reject(error)
    await Promise.all(this.#seats.map((seat) => seat.worker.terminate()))
  }

  #assign(): void {
    for (const seat of this.#seats) {
      if (seat.job !== undefined) continue
      const job = this.#queue.shift()
      if (job === undefined) return
      seat.job = job
      const question: PoolQuestion = { packed: packItems(job.items) }
      seat.worker.postMessage(question, [question.packed])
    }
  }

  #spawn(): Seat {
    // The same extension as this file: .ts in the source tree, .js in dist.
    const extension = new URL(import.meta.url).pathname.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./pool-worker.${extension}`, import.meta.url), {
      name: 'althing-signatures',
      resourceLimits: RESOURCES,
    })
    const seat: Seat = { worker, job: undefined }
    // The pool alone keeps no process alive.
    worker.unref()
    worker.on('message', ({ packed }: PoolAnswer) => {
      const job = seat.job
      seat.job = undefined
      job?.resolve(unpackKeys(packed))
      this.#assign()
    })
    worker.on('error', (cause) => this.#replace(seat, cause))
    worker.on('exit', () => this.#replace(seat, undefined))
    return seat
  }

  #replace(seat: Seat, cause: unknown): void {
    const place = this.#seats.indexOf(seat)
    if (this.#closed || place < 0) return
    seat.job?.reject(new AlthingError('SIGNATURE_POOL_WORKER', 'a signature thread ended', { cause }))
    seat.job = undefined
    this.#seats[place] = this.#spawn()
    this.#assign()
  }
}
