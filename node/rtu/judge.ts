/**
 * RTU: what it thinks of the other devices of its segment (ledger.md §3): a peer's report against a fresh snapshot of this machine, by the rule of
 * protocol/judgement.ts; and which of its opinions are due to be told.
 * Invariants: only devices that the roster knows are judged; a finding that a peer reported once holds until it says that it has none or an hour
 * has passed, since devices report what lasts only when it begins; nobody is blamed for silence while nobody is heard; tables are bounded.
 */
import { fromHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import {
  afterSilence,
  consistencyOf,
  firstTrust,
  JUDGEMENT_RULE,
  type JudgementRule,
  judged,
  type LocalTrust,
  type Weights,
} from '../../protocol/judgement.ts'
import type { CategoryName } from '../../protocol/kinds/report/categories.ts'
import type { Report } from '../../protocol/kinds/report/report.ts'
import type { Opinion } from '../../protocol/kinds/trust/opinionPayload.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { Alarm } from './alarm.ts'
import { decodeFeatures, FEATURE_NAMES } from './features.ts'

/** Devices in the table of trust; beyond, the one judged longest ago is forgotten. */
export const TRUST_TABLE_MAX = 256

/** What this machine sees of itself at one moment. `observable`: categories that its monitors could have seen. */
export type Snapshot = { readonly own: Weights; readonly observable: ReadonlySet<CategoryName> }

/** Times in ms. */
export type JudgeOptions = {
  readonly intervalMs: number
  readonly rule: JudgementRule
  /** An opinion that has moved so far is told. */
  readonly stepPpm: number
  /** One that has fallen so far, or is below `lowPpm`, is told at once. */
  readonly fallPpm: number
  readonly lowPpm: number
  /** How often a low opinion is told again where it no longer moves: members count rounds of voices. */
  readonly lowRepeats: number
  /** Between two messages that tell of what is not urgent, and of what is. */
  readonly tellMs: number
  readonly urgentMs: number
  /** An opinion is told again after so long: members let opinions go stale. */
  readonly refreshMs: number
  /** A finding holds for so long after it was reported. */
  readonly holdMs: number
  /** Silence begins after so many of the peer's usual gaps. */
  readonly gapsMax: number
}
/** As reports come every 5 s. */
export const JUDGE_DEFAULTS: JudgeOptions = {
  intervalMs: 5000,
  rule: JUDGEMENT_RULE,
  stepPpm: 20_000,
  fallPpm: 100_000,
  lowPpm: 400_000,
  lowRepeats: 8,
  tellMs: 60_000,
  urgentMs: 1000,
  refreshMs: 240_000,
  holdMs: 3_900_000,
  gapsMax: 4,
}

/** One row of the table, for status pages and the disk. */
export type TrustRow = LocalTrust & {
  /** Id, hexadecimal. */
  readonly device: string
  readonly judgements: number
  /** φ of the last judgement, null before the first. */
  readonly phiPpm: number | null
}
type Row = LocalTrust & {
  judgements: number
  phiPpm: number | null
  /** Monotonic times of its last sign of life, and its usual gap. */
  heardAt: number
  gapMs: number
  /** What it reported and has not taken back: category → weight, and when. */
  readonly open: Map<CategoryName, { weightPpm: number; at: number }>
  /** What was told last, when, and how often it was told again unmoved. */
  told: { trustPpm: number; observedAt: number; at: number; repeats: number } | undefined
  /** Judged since it was told last. */
  isNew: boolean
}

/** What judging uses. */
export type JudgeNeeds = {
  /** A snapshot not older than `maxAgeMs`. */
  snapshot(maxAgeMs: number): Promise<Snapshot>
  isKnown(device: string): boolean
  /** All devices that are known, ids in hexadecimal. */
  known(): readonly string[]
  /** Whether any member is heard. */
  isConnected(): boolean
  monotonic(): number
  /** Block time as well as it is known, ms. */
  now(): number
  /** Tells opinions to the segment and the members. */
  tell(opinions: readonly Opinion[]): Promise<void>
}

/** Judges peers. */
export class Judge {
  readonly #options: JudgeOptions
  readonly #needs: JudgeNeeds
  readonly #rows = new Map<string, Row>()
  readonly #queue = new Set<string>()
  readonly #alarm = new Alarm()
  #toldAt = Number.NEGATIVE_INFINITY
  #urgentAt = Number.NEGATIVE_INFINITY
  #turnAt: number

  constructor(options: JudgeOptions, needs: JudgeNeeds, restored: readonly TrustRow[] = []) {
    this.#options = options
    this.#needs = needs
    this.#turnAt = needs.monotonic()
    for (const { device, trustPpm, memoryPpm, judgements, phiPpm } of restored)
      Object.assign(this.#rowOf(device), { trustPpm, memoryPpm, judgements, phiPpm })
  }

  /** The table, the one judged longest ago first. */
  get table(): readonly TrustRow[] {
    return [...this.#rows].map(([device, { trustPpm, memoryPpm, judgements, phiPpm }]) => ({
      ...{ device, trustPpm, memoryPpm, judgements, phiPpm },
    }))
  }

  /** A report of the present came; it is judged soon. Its findings are remembered also while the device is not known yet. */
  hear(device: string, report: Report): void {
    const row = this.#rowOf(device)
    const nowMs = this.#needs.monotonic()
    const gapMs = Math.min(this.#options.holdMs, nowMs - row.heardAt)
    row.gapMs = Math.max(this.#options.intervalMs, (3 * row.gapMs + gapMs) / 4)
    row.heardAt = nowMs
    remember(row, report, nowMs)
    this.#queue.add(device)
    this.#alarm.ring()
  }

  /** Judges what was heard and counts silence, until `signal` aborts. Rejects as `tell`, or with a bug. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.turn()
      await this.#alarm.wait(Math.min(this.#options.intervalMs, this.#options.urgentMs), signal)
    }
  }

  /** One turn: all that waits is judged, silence is counted once in `intervalMs`, and what is due is told. */
  async turn(): Promise<void> {
    for (const device of [...this.#queue]) {
      this.#queue.delete(device)
      if (this.#needs.isKnown(device)) await this.#judge(device, this.#rowOf(device))
    }
    const nowMs = this.#needs.monotonic()
    if (nowMs - this.#turnAt >= this.#options.intervalMs) {
      this.#turnAt = nowMs
      this.#countSilence(nowMs)
    }
    const opinions = this.#due(nowMs)
    if (opinions.length > 0) await this.#needs.tell(opinions)
  }

  async #judge(device: string, row: Row): Promise<void> {
    const nowMs = this.#needs.monotonic()
    const peer = new Map<CategoryName, number>()
    for (const [category, { weightPpm, at }] of row.open)
      if (nowMs - at > this.#options.holdMs) row.open.delete(category)
      else peer.set(category, weightPpm)
    // Where there is nothing to compare, what the last cycle saw is fresh enough.
    const { intervalMs, urgentMs, rule } = this.#options
    const { own, observable } = await this.#needs.snapshot(
      peer.size === 0 ? 2 * intervalMs : Math.min(intervalMs, urgentMs),
    )
    const phiPpm = consistencyOf({ peer, own, observable })
    row.phiPpm = phiPpm
    if (phiPpm === null) return
    Object.assign(row, judged(row, phiPpm, rule))
    row.judgements++
    row.isNew = true
    // The last judged stands last: the order in which rows are forgotten.
    this.#rows.delete(device)
    this.#rows.set(device, row)
  }

  #countSilence(nowMs: number): void {
    const isSilent = (row: Row): boolean => nowMs - row.heardAt > this.#options.gapsMax * row.gapMs
    const known = this.#needs.known().map((device) => this.#rowOf(device))
    // If nobody is heard it is this device that is cut off.
    if (!this.#needs.isConnected() && known.every(isSilent)) return
    for (const row of known) {
      if (!isSilent(row)) continue
      const after = afterSilence(row, this.#options.rule)
      row.isNew ||= after.trustPpm < row.trustPpm
      Object.assign(row, after)
    }
  }

  /** Opinions to be told now: all that have moved, if any of them is urgent or it has been long enough. */
  #due(nowMs: number): Opinion[] {
    const { tellMs, urgentMs, refreshMs, stepPpm } = this.#options
    const moved: string[] = []
    let isUrgent = false
    for (const device of this.#needs.known()) {
      const row = this.#rows.get(device)
      if (row === undefined || row.judgements === 0) continue
      const { told } = row
      const step = told === undefined ? 0 : Math.abs(row.trustPpm - told.trustPpm)
      const urgent = this.#isUrgent(row)
      isUrgent ||= urgent
      if (urgent || told === undefined || step >= stepPpm || nowMs - told.at >= refreshMs) moved.push(device)
    }
    const isTime = isUrgent ? nowMs - this.#urgentAt >= urgentMs : nowMs - this.#toldAt >= tellMs
    if (moved.length === 0 || !isTime) return []
    this.#urgentAt = nowMs
    if (!isUrgent) this.#toldAt = nowMs
    return moved
      .sort()
      .slice(0, LIMITS.opinionsMax)
      .map((device) => this.#told(device, nowMs))
  }

  /** A first opinion, a fall, or a low one that was looked at again. */
  #isUrgent({ told, trustPpm, isNew }: Row): boolean {
    const { fallPpm, lowPpm, lowRepeats } = this.#options
    if (told === undefined) return true
    return told.trustPpm - trustPpm >= fallPpm || (isNew && trustPpm < lowPpm && told.repeats < lowRepeats)
  }

  #told(device: string, nowMs: number): Opinion {
    const row = this.#rowOf(device)
    const { told, trustPpm } = row
    // Of two opinions members take the later one.
    const observedAt = Math.max(Math.round(this.#needs.now()), (told?.observedAt ?? 0) + 1)
    const isMoved = told === undefined || Math.abs(told.trustPpm - trustPpm) >= this.#options.stepPpm
    row.told = { trustPpm, observedAt, at: nowMs, repeats: isMoved ? 0 : told.repeats + 1 }
    row.isNew = false
    return { device: fromHex(device), trustPpm, observedAt }
  }

  #rowOf(device: string): Row {
    const known = this.#rows.get(device)
    if (known !== undefined) return known
    const row: Row = {
      ...firstTrust(this.#options.rule),
      judgements: 0,
      phiPpm: null,
      heardAt: this.#needs.monotonic(),
      gapMs: this.#options.intervalMs,
      open: new Map(),
      told: undefined,
      isNew: false,
    }
    this.#rows.set(device, row)
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= TRUST_TABLE_MAX) break
      this.#rows.delete(oldest)
    }
    return row
  }
}

const FINDING_COUNT = FEATURE_NAMES.indexOf('findingCount')

/** What the report says lasts; nothing does where it says that the device has no finding. */
function remember({ open }: Row, { events, features }: Report, nowMs: number): void {
  if (events.length === 0 && findingCountOf(features) === 0) open.clear()
  for (const { category, scorePpm } of events) {
    const before = open.get(category)
    open.set(category, { weightPpm: Math.max(scorePpm, before?.weightPpm ?? 0), at: nowMs })
  }
}

/** undefined where the features are of another version or none at all. */
function findingCountOf(features: Uint8Array): number | null | undefined {
  try {
    return decodeFeatures(features).values[FINDING_COUNT]
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
