/**
 * RTU: hearing the segment: reports of the other devices, as members push them. What a device thinks of its peers will rest on them.
 * Invariants: a report counts only with the signature of the very device that it is about; the newest of each device is kept, of at most
 * `SEGMENT_DEVICES_MAX`; whether a device belongs to the segment is the member's word, since reports carry no proof of it.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { readTransaction } from '../../protocol/execution.ts'
import { deviceReport, type Report } from '../../protocol/kinds/report/report.ts'
import { addressOf } from '../../protocol/signature.ts'
import type { Code } from '../../protocol/verdict.ts'

/** Devices that are remembered; beyond, the one that was silent longest is forgotten. */
export const SEGMENT_DEVICES_MAX = 256

/** The newest report of a device. */
export type Heard = {
  /** The device's claim, ms since 1970-01-01T00:00Z. */
  readonly observedAt: number
  /** By this machine's monotonic clock. */
  readonly heardAt: number
  readonly events: Report['events']
}

/** The other devices of the segment. */
export class Segment {
  readonly #chainId: Uint8Array
  readonly #self: string
  readonly #monotonic: () => number
  readonly #heard = new Map<string, Heard>()

  /** `self`: own id in hexadecimal. */
  constructor(chainId: Uint8Array, self: string, monotonic: () => number) {
    this.#chainId = chainId
    this.#self = self
    this.#monotonic = monotonic
  }

  /** Device (id in hexadecimal) → its newest report, the one silent longest first. */
  get heard(): ReadonlyMap<string, Heard> {
    return this.#heard
  }

  /** Takes in a pushed report. Refusals are the fault of the member that pushed it: it checks them before. */
  hear(data: Uint8Array): Code {
    const read = readTransaction(data, this.#chainId)
    if (typeof read === 'string') return read
    if (read.transaction.kind !== deviceReport.name) return 'LIGHT_NOT_A_REPORT'
    let report: Report
    try {
      report = deviceReport.payload.from(read.transaction.payload, deviceReport.name)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'TX_PAYLOAD'
    }
    const device = toHex(report.device)
    if (device !== toHex(addressOf(read.signer))) return 'LIGHT_FOREIGN_REPORT'
    const before = this.#heard.get(device)
    // Two members push the same report. Times are not compared: a clock that was ahead once must not silence its device.
    if (device === this.#self || before?.observedAt === report.observedAt) return 'OK'
    this.#heard.delete(device)
    this.#heard.set(device, { observedAt: report.observedAt, heardAt: this.#monotonic(), events: report.events })
    for (const oldest of this.#heard.keys()) {
      if (this.#heard.size <= SEGMENT_DEVICES_MAX) break
      this.#heard.delete(oldest)
    }
    return 'OK'
  }
}
