/** The table of the bench: figures in, lines out; pure. */

/** One figure. `good` undefined: it has no aim that can be failed. */
export type Figure = {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly aim?: string
  readonly good?: boolean
}

/** A number with as many digits as are worth reading. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return 'unknown'
  if (Number.isInteger(value) || value >= 1000) return String(Math.round(value))
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** The table: name, value, unit, aim, and in words whether it is met. */
export function figureLines(figures: readonly Figure[]): string[] {
  const rows = figures.map(({ name, value, unit, aim = '', good }) => [
    name,
    numberText(value),
    unit,
    aim,
    good === undefined ? '' : good ? 'met' : 'MISSED',
  ])
  const all = [['FIGURE', 'VALUE', 'UNIT', 'AIM', ''], ...rows]
  const widths = [0, 1, 2, 3].map((i) => Math.max(...all.map((row) => (row[i] as string).length)))
  return all.map((row) =>
    row
      .map((text, i) => (i === 1 ? text.padStart(widths[i] as number) : text.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}
