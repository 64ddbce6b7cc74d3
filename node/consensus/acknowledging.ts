/**
 * Acknowledgements wait a moment for each other and for what else goes to the same member; far less than the sender waits to repeat
 * (agreement.md §3).
 * Stage: **consensus**.
 */
import type { MemberIndex } from '../../protocol/consensus/types.ts'
import { acknowledgements } from '../../protocol/consensus/wire.ts'
import type { Clock, TimerHandle } from '../clock.ts'

/** How long an acknowledgement waits for others at most, ms; a fiftieth of Δ where that is less. */
const ACKNOWLEDGE_MS_MAX = 5

/** The era that a core is of, and its Δ. */
type EraOfIt = { readonly era: number; readonly deltaMs: number }

/** What one core owes the others. */
export class Acknowledging {
  readonly #clock: Clock
  readonly #era: EraOfIt
  readonly #send: (to: MemberIndex, frame: Uint8Array) => void
  /** Names of messages that have not been acknowledged yet. */
  readonly #owed = new Map<MemberIndex, string[]>()
  #timer: TimerHandle | undefined

  constructor(clock: Clock, era: EraOfIt, send: (to: MemberIndex, frame: Uint8Array) => void) {
    this.#clock = clock
    this.#era = era
    this.#send = send
  }

  /** `to` is told soon that `keys` are safe here. */
  soon(to: MemberIndex, keys: readonly string[]): void {
    const waiting = this.#owed.get(to)
    if (waiting !== undefined) waiting.push(...keys)
    else this.#owed.set(to, [...keys])
    this.#timer ??= this.#clock.after(Math.min(ACKNOWLEDGE_MS_MAX, this.#era.deltaMs / 50), () => {
      this.#timer = undefined
      for (const member of [...this.#owed.keys()]) this.now(member)
    })
  }

  /** `to` is told at once what it is owed, if anything. */
  now(to: MemberIndex): void {
    const keys = this.#owed.get(to)
    if (keys === undefined) return
    this.#owed.delete(to)
    for (const frame of acknowledgements(this.#era.era, keys)) this.#send(to, frame)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#owed.clear()
  }
}
