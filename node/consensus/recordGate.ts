/** The signing record, as the cores of one era after the other write it. Stage: consensus → disk. */
import type { SigningRecord } from '../store/signingRecord.ts'

/** The signing record as eras write it: one after the other, and none after a later one (agreement.md §5.5). */
export class RecordGate {
  readonly #record: SigningRecord
  #era = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(record: SigningRecord) {
    this.#record = record
  }

  /** As `SigningRecord.write`; never settles for an era that is over, whose core may sign nothing more. */
  write(era: number, bytes: Uint8Array): Promise<void> {
    if (era < this.#era) return new Promise(() => undefined)
    this.#era = era
    const run = this.#last.then(() => this.#record.write(bytes))
    this.#last = run.catch(() => undefined)
    return run
  }
}
