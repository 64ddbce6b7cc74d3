/**
 * Rates: token buckets and paces per peer, and the list of peers that are shut out for a while.
 * Invariant: both maps are bounded; the entry that was used longest ago goes first.
 */
import { setTimeout } from 'node:timers/promises'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { systemPace } from '../steps.ts'

const ENTRIES_MAX = 4096

/** Allows `ratePerSecond` units over time and `burst` at once. `now`: ms of a monotonic clock. */
export class TokenBucket {
  readonly #ratePerSecond: number
  readonly #burst: number
  readonly #now: () => number
  #tokens: number
  #atMs: number

  constructor(ratePerSecond: number, burst: number, now: () => number = () => performance.now()) {
    this.#ratePerSecond = ratePerSecond
    this.#burst = burst
    this.#tokens = burst
    this.#now = now
    this.#atMs = now()
  }

  /** Takes one unit if there is a whole one. */
  take(): boolean {
    this.#refill()
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Takes `amount` in any case, into debt if need be; returns after how many ms the balance is positive again (0: it is). */
  charge(amount: number): number {
    this.#refill()
    this.#tokens -= amount
    return this.#tokens > 0 ? 0 : Math.ceil((-this.#tokens / this.#ratePerSecond) * 1000) + 1
  }

  #refill(): void {
    const nowMs = this.#now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#ratePerSecond)
    this.#atMs = nowMs
  }
}

/** Frames and bytes that one peer may send over time, and at once after a rest. */
export type Rates = {
  readonly framesPerSecond: number
  readonly framesBurst: number
  readonly bytesPerSecond: number
  readonly bytesBurst: number
}

/** Time in a row that frames of one peer may take, ms, before the process reads other sockets and runs its timers. */
const SLICE_MS = 5

/** The pace at which frames of one peer are taken. A peer that sends more is read more slowly, and waits itself. */
export class FramePace {
  readonly #frames: TokenBucket
  readonly #bytes: TokenBucket
  #sliceEndMs = performance.now() + SLICE_MS

  constructor({ framesPerSecond, framesBurst, bytesPerSecond, bytesBurst }: Rates) {
    this.#frames = new TokenBucket(framesPerSecond, framesBurst)
    this.#bytes = new TokenBucket(bytesPerSecond, bytesBurst)
  }

  /**
   * Resolves when the next frame may be read after one of `bytes`. What has arrived already resolves in microtasks, between which nothing else
   * runs: without a break, a peer that sends small frames would have the process for itself.
   */
  async taken(bytes: number): Promise<void> {
    const waitMs = Math.max(this.#frames.charge(1), this.#bytes.charge(bytes))
    if (waitMs > 0) await setTimeout(waitMs, undefined, { ref: false })
    else if (performance.now() > this.#sliceEndMs) await systemPace.breathe()
    else return
    this.#sliceEndMs = performance.now() + SLICE_MS
  }
}

/** A value per peer, made on first use; at most 4096 peers are remembered. */
export class PerPeer<T> {
  readonly #entries = new Map<PublicKeyHex, T>()
  readonly #make: () => T

  constructor(make: () => T) {
    this.#make = make
  }

  get(peer: PublicKeyHex): T {
    const value = this.#entries.get(peer) ?? this.#make()
    this.#entries.delete(peer)
    this.#entries.set(peer, value)
    if (this.#entries.size > ENTRIES_MAX) for (const oldest of this.#entries.keys()) return this.#drop(oldest, value)
    return value
  }

  #drop(oldest: PublicKeyHex, value: T): T {
    this.#entries.delete(oldest)
    return value
  }
}

/** Peers that broke a rule and get no connection until their pause is over. */
export class Offenders {
  readonly #until = new Map<PublicKeyHex, number>()
  readonly #pauseMs: number

  constructor(pauseMs: number) {
    this.#pauseMs = pauseMs
  }

  add(peer: PublicKeyHex): void {
    this.#until.delete(peer)
    this.#until.set(peer, performance.now() + this.#pauseMs)
    if (this.#until.size <= ENTRIES_MAX) return
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest)
      return
    }
  }

  has(peer: PublicKeyHex): boolean {
    const until = this.#until.get(peer)
    if (until === undefined) return false
    if (performance.now() < until) return true
    this.#until.delete(peer)
    return false
  }
}
