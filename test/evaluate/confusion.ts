/** Judgements counted: a confusion matrix, and what follows from it. */

/** Rows: what it was; columns: what was said. */
export class Confusion {
  readonly counts: number[][]

  constructor(classes: number) {
    this.counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  }

  /** One judgement. */
  add(was: number, said: number): void {
    const row = this.counts[was] as number[]
    row[said] = (row[said] as number) + 1
  }

  /** F1 of class `c`; NaN where there was none of it and none was said. */
  f1(c: number): number {
    const hit = this.counts[c]?.[c] as number
    const was = (this.counts[c] as number[]).reduce((sum, count) => sum + count, 0)
    const said = this.counts.reduce((sum, row) => sum + (row[c] as number), 0)
    return was + said === 0 ? Number.NaN : (2 * hit) / (was + said)
  }

  /** Mean F1 of `classes` that occur. */
  macroF1(classes: readonly number[]): number {
    const scores = classes.filter((c) => (this.counts[c] as number[]).some((count) => count > 0)).map((c) => this.f1(c))
    return scores.reduce((sum, score) => sum + score, 0) / scores.length
  }

  /** Part of class `c` that was taken for another. */
  missed(c: number): number {
    const row = this.counts[c] as number[]
    const was = row.reduce((sum, count) => sum + count, 0)
    return was === 0 ? 0 : 1 - (row[c] as number) / was
  }
}
