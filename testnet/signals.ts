/**
 * Stage: the operator. Signals that end a testnet: the first one asks for an orderly end, the second one for an end at once.
 */

/** Signal → exit code. */
export const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof SIGNALS

/** Listens until `close`. */
export class Signals {
  /** The signal that came first. */
  signal: Signal | undefined
  isEnding = false
  readonly #end = Promise.withResolvers<void>()
  readonly #off: (() => void)[]

  /** `atOnce` is called at the second signal, with its exit code. */
  constructor(atOnce: (exitCode: number) => void) {
    this.#off = Object.keys(SIGNALS).map((name) => {
      const signal = name as Signal
      const handler = (): void => {
        if (this.signal !== undefined) return atOnce(SIGNALS[signal])
        this.signal = signal
        this.endNow()
      }
      process.on(signal, handler)
      return () => process.off(signal, handler)
    })
  }

  /** Resolves when it is to end, by a signal or otherwise. */
  get ended(): Promise<void> {
    return this.#end.promise
  }

  /** Asks for an orderly end without a signal. */
  endNow(): void {
    this.isEnding = true
    this.#end.resolve()
  }

  close(): void {
    for (const off of this.#off) off()
  }
}
