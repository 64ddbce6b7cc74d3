/** Parts of a node that were opened one after the other, while it is being built. */

/** What has been opened, to be closed in the opposite order if a later part cannot start. */
export class Opened {
  readonly #closers: (() => Promise<unknown>)[] = []

  /** Takes a part in, with the way to close it. */
  add<T>(part: T, close: (part: T) => Promise<unknown>): T {
    this.#closers.unshift(() => close(part))
    return part
  }

  /** Closes all, the last first; what fails then says nothing more. */
  async close(): Promise<void> {
    for (const close of this.#closers) await close().catch(() => undefined)
  }
}
