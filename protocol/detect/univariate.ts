/**
 * Stage: detectors. A series of which nothing is known beforehand: conformal anomaly detection on its level and on its shape.
 * Sources: Laxhammar and Falkman, Conformal prediction for distribution-independent anomaly detection in streaming vessel data, 2010; the
 * measure of strangeness is that of `neighbours.ts`. A score is judged by the earlier scores of the same series, and by nothing else.
 * Invariants: nothing is alarmed before the learning stretch is over; an incident is one alarm; a value that is not finite is passed over.
 */
import { ALARM_PPM, UNIVARIATE } from './configuration.ts'
import { Neighbours } from './neighbours.ts'
import { History } from './statistics.ts'

/** Scores held for comparison. */
export const SCORES_MAX = 4096
const PPM = 1_000_000
/** Earlier scores without which nothing can be judged. */
const SCORES_MIN = 20

/** What one value gave. */
export type UnivariateStep = {
  /** `ALARM_PPM` at the threshold. */
  readonly scorePpm: number
  readonly alarm: boolean
}

/** One measure of strangeness with the scores that it gave before. */
class Judge {
  private readonly neighbours: Neighbours
  private readonly history = new History(SCORES_MAX)
  private seen = 0

  constructor(neighbours: Neighbours) {
    this.neighbours = neighbours
  }

  /** How many times the distance of the high quantile from the median the score of `value` is. */
  step(value: number, floor: number): number {
    const score = this.neighbours.step(value)
    let ratio = 0
    if (this.history.count > SCORES_MIN) {
      const middle = this.history.quantile(0.5)
      ratio = (score - middle) / Math.max(this.history.quantile(UNIVARIATE.quantile) - middle, floor)
    }
    if (this.seen >= UNIVARIATE.settling) this.history.add(score)
    this.seen++
    return ratio
  }
}

/** The detector of one series. `learning`: how many values it sees before it may alarm, at least 10. */
export class Univariate {
  private readonly learning: number
  private readonly level = new Judge(new Neighbours(UNIVARIATE.level))
  private readonly shape = new Judge(new Neighbours(UNIVARIATE.shape))
  private seen = 0
  private greatest = 0
  private quietUntil = 0

  constructor(learning: number) {
    this.learning = Math.max(10, learning)
  }

  /** Takes the next value of the series. */
  step(value: number): UnivariateStep {
    if (!Number.isFinite(value)) return { scorePpm: 0, alarm: false }
    this.greatest = Math.max(this.greatest, Math.abs(value))
    // A constant series has no spread: what is smaller than its rounding is no change.
    const floor = Math.max(1e-9 * this.greatest, Number.MIN_VALUE)
    const ratio = Math.max(this.level.step(value, floor), this.shape.step(value, floor))
    const at = this.seen++
    if (at < this.learning) return { scorePpm: 0, alarm: false }
    const scorePpm = Math.min(PPM, Math.max(0, Math.floor((ratio / UNIVARIATE.margin) * ALARM_PPM)))
    const alarm = scorePpm >= ALARM_PPM && at >= this.quietUntil
    if (alarm) this.quietUntil = at + Math.ceil(UNIVARIATE.refractory * this.learning)
    return { scorePpm, alarm }
  }
}
