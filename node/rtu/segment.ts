/**
 * RTU: hearing the segment: reports and opinions of the other devices, as members push them and as the devices gossip them. Judgement rests on it.
 * Invariants: a report counts only with the signature of the very device that it is about, and with scores that follow from severity and
 * confidence; the newest of each device is kept, of at most `SEGMENT_DEVICES_MAX`; a report of another moment than now, or one that is not newer
 * than the last, is no evidence of the present; what one device says is bounded in rate, whoever passes it on.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { readTransaction } from '../../protocol/execution.ts'
import { deviceReport, type Report, scoreOf } from '../../protocol/kinds/report/report.ts'
import { trustOpinion } from '../../protocol/kinds/trust/opinion.ts'
import type { Opinion } from '../../protocol/kinds/trust/opinionPayload.ts'
import { addressOf } from '../../protocol/signature.ts'
import type { Transaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import { PerPeer, TokenBucket } from '../network/limiter.ts'

/** Devices that are remembered; beyond, the one that was silent longest is forgotten. */
export const SEGMENT_DEVICES_MAX = 256
/** How far `observedAt` may be from now, ms: clocks differ, and what was held while nobody could be reached comes late. */
export const PRESENT_MS_MAX = 60_000
/** Reports and opinions that one device has to say over time, and at once after a rest. */
export const SEGMENT_SAYS_LIMITS = { perSecond: 4, burst: 40 } as const

/** The newest report of a device. */
export type Heard = {
  /** The device's claim, ms since 1970-01-01T00:00Z. */
  readonly observedAt: number
  /** By this machine's monotonic clock. */
  readonly heardAt: number
  readonly events: Report['events']
}

/** What hearing uses. */
export type SegmentNeeds = {
  readonly chainId: Uint8Array
  /** Own id, hexadecimal. */
  readonly self: string
  monotonic(): number
  /** Block time as well as it is known, ms. */
  now(): number
  /** Whether the device (hexadecimal) is in service in this segment. */
  isKnown(device: string): boolean
  /** The holder of a key was heard that is not known. */
  met(publicKey: Uint8Array): void
  /** A report of the present. By a member's word only, where the device is not known yet. */
  report(device: string, report: Report): void
  opinions(rater: string, opinions: readonly Opinion[]): void
}

/** The other devices of the segment. */
export class Segment {
  readonly #needs: SegmentNeeds
  readonly #heard = new Map<string, Heard>()
  readonly #rates: PerPeer<TokenBucket>

  constructor(needs: SegmentNeeds) {
    this.#needs = needs
    const { perSecond, burst } = SEGMENT_SAYS_LIMITS
    this.#rates = new PerPeer(() => new TokenBucket(perSecond, burst, () => needs.monotonic()))
  }

  /** Device (id in hexadecimal) → its newest report, the one silent longest first. */
  get heard(): ReadonlyMap<string, Heard> {
    return this.#heard
  }

  /**
   * Takes in what a member pushed: reports of this segment, by its word. Rejections are the fault of the member: it checks them before.
   * A device that is not known yet is looked up.
   */
  hear(data: Uint8Array): Code {
    return this.#hear(data, true)
  }

  /** Takes in what came by gossip: reports and opinions. SEGMENT_STRANGER for those of devices that are not known; SEGMENT_KIND for other kinds. */
  hearGossip(data: Uint8Array): Code {
    return this.#hear(data, false)
  }

  #hear(data: Uint8Array, isPushed: boolean): Code {
    const { chainId, self, isKnown, met } = this.#needs
    const read = readTransaction(data, chainId)
    if (typeof read === 'string') return read
    const isReport = read.transaction.kind === deviceReport.name
    if (!isReport && (isPushed || read.transaction.kind !== trustOpinion.name))
      return isPushed ? 'LIGHT_NOT_A_REPORT' : 'SEGMENT_KIND'
    const device = toHex(addressOf(read.signer))
    const known = isKnown(device)
    if (device !== self && !known) met(read.signer)
    try {
      if (isReport) {
        const report = deviceReport.payload.from(read.transaction.payload, deviceReport.name)
        const code = this.#checkReport(report, device)
        if (code !== 'OK' || device === self) return code
        return known || isPushed ? this.#takeReport(device, report) : 'SEGMENT_STRANGER'
      }
      if (device === self) return 'OK'
      return known ? this.#takeOpinions(device, read.transaction) : 'SEGMENT_STRANGER'
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'TX_PAYLOAD'
    }
  }

  #checkReport({ device, events }: Report, signer: string): Code {
    if (toHex(device) !== signer) return 'LIGHT_FOREIGN_REPORT'
    for (const { severityPpm, confidencePpm, scorePpm } of events)
      if (scorePpm !== scoreOf(severityPpm, confidencePpm)) return 'REPORT_SCORE'
    return 'OK'
  }

  #takeReport(device: string, report: Report): Code {
    const { monotonic, now } = this.#needs
    const { observedAt, events } = report
    const before = this.#heard.get(device)
    // Several pass on the same report.
    if (before?.observedAt === observedAt) return 'OK'
    // What is not of now neither is evidence nor moves the last one: a clock that was ahead once must not silence its device.
    if (Math.abs(observedAt - now()) > PRESENT_MS_MAX || observedAt < (before?.observedAt ?? 0)) return 'SEGMENT_STALE'
    if (!this.#rates.get(device).take()) return 'SEGMENT_RATE'
    this.#heard.delete(device)
    this.#heard.set(device, { observedAt, heardAt: monotonic(), events })
    for (const oldest of this.#heard.keys()) {
      if (this.#heard.size <= SEGMENT_DEVICES_MAX) break
      this.#heard.delete(oldest)
    }
    this.#needs.report(device, report)
    return 'OK'
  }

  #takeOpinions(rater: string, { payload }: Transaction): Code {
    const { opinions } = trustOpinion.payload.from(payload, trustOpinion.name)
    if (opinions.some(({ device }) => toHex(device) === rater)) return 'OPINION_SELF'
    if (!this.#rates.get(rater).take()) return 'SEGMENT_RATE'
    this.#needs.opinions(rater, opinions)
    return 'OK'
  }
}
