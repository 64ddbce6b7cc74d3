/**
 * RTU, replay 2: the detectors of a log, row after row → findings.
 * Invariants: each channel has a detector of its own, learnt from the first rows alone; columns of positions are judged as positions; what a
 * finding says is the channel, the value and the time of the log.
 */
import { ALARM_PPM } from '../../../protocol/detect/configuration.ts'
import { PositionWatch } from '../../../protocol/detect/position.ts'
import { Univariate } from '../../../protocol/detect/univariate.ts'
import { detailOf, type Finding } from '../monitor.ts'
import type { LogRow, ReadingLog } from './log.ts'

/** Part of a log that its detectors learn from where nothing else is said, and rows that it is at most. */
const LEARNING = { part: 0.15, rowsMax: 750 } as const
/** Harm of a signal that departs from its past, and of a position that cannot be: what the category says, no more. */
const SEVERITY = { signal: 500_000, position: 800_000 } as const
/** A position finding at twice what is allowed is as sure as can be. */
const PPM = 1_000_000

const columnOf = (channels: readonly string[], names: RegExp): number => channels.findIndex((name) => names.test(name))

/** Judges the rows of `log`, in order. `learning`: rows to learn from; undefined: the usual part of the log. */
export class LogJudge {
  readonly #channels: readonly string[]
  readonly #detectors: readonly Univariate[]
  readonly #watch: PositionWatch | null
  readonly #at: {
    readonly latitude: number
    readonly longitude: number
    readonly speed: number
    readonly track: number
  }

  constructor({ channels, rows }: ReadingLog, learning?: number) {
    const rowsToLearn = learning ?? Math.min(Math.floor(LEARNING.part * rows.length), LEARNING.rowsMax)
    this.#channels = channels
    this.#detectors = channels.map(() => new Univariate(rowsToLearn))
    this.#at = {
      latitude: columnOf(channels, /^lat(?:itude)?$/i),
      longitude: columnOf(channels, /^(?:lon|lng|longitude)$/i),
      speed: columnOf(channels, /^speed$/i),
      track: columnOf(channels, /^(?:track|heading|bearing|course)$/i),
    }
    this.#watch = this.#at.latitude >= 0 && this.#at.longitude >= 0 ? new PositionWatch('', null) : null
  }

  /** What is new with `row`. */
  judge(row: LogRow): Finding[] {
    const when = new Date(row.timeMs).toISOString()
    return [...this.#positions(row, when), ...this.#signals(row, when)]
  }

  #signals(row: LogRow, when: string): Finding[] {
    return this.#detectors.flatMap((detector, channel): Finding[] => {
      if (this.#watch !== null && (channel === this.#at.latitude || channel === this.#at.longitude)) return []
      const value = row.values[channel] as number
      const { scorePpm, alarm } = detector.step(value)
      if (!alarm) return []
      const name = this.#channels[channel] as string
      return [
        {
          category: 'signal.anomaly',
          subject: `${name} ${when}`,
          severityPpm: SEVERITY.signal,
          confidencePpm: scorePpm,
          detail: detailOf(`${name} = ${value} at ${when}: unlike everything before (${scorePpm} of ${ALARM_PPM} ppm)`),
        },
      ]
    })
  }

  #positions({ timeMs, values }: LogRow, when: string): Finding[] {
    if (this.#watch === null) return []
    const { latitude, longitude, speed, track } = this.#at
    const valueAt = (column: number): number => (column < 0 ? Number.NaN : (values[column] as number))
    const fix = {
      ...{ time: timeMs / 1000, heardAt: timeMs / 1000 },
      ...{ latitude: valueAt(latitude), longitude: valueAt(longitude), speed: valueAt(speed), track: valueAt(track) },
      ...{ satellites: Number.NaN, hdop: Number.NaN },
    }
    return this.#watch.step(fix).map(({ check, excess }) => ({
      category: 'position.spoofed',
      subject: `${check} ${when}`,
      severityPpm: SEVERITY.position,
      confidencePpm: Math.min(PPM, Math.floor((excess / 2) * PPM)),
      detail: detailOf(
        `${check} at ${when}: ${fix.latitude}, ${fix.longitude} cannot be (${excess.toFixed(1)} times what can)`,
      ),
    }))
  }
}
