/**
 * Stage: the operator. What commands print: tables and records for people, JSON for programs.
 * Invariants: nothing but data goes to standard output, remarks and errors go to standard error; text that came from outside cannot
 * move the cursor or colour the terminal.
 */

/** Where a command writes. */
export type Output = {
  /** Whether `--json` was given. */
  readonly json: boolean
  /** Data as text, a line break is added. */
  data(text: string): void
  /** A remark for people; never data. */
  remark(text: string): void
}

/** Text without control characters and direction marks: they are shown as `\u{…}`. */
export const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`)

/** One value as text for people. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (typeof value === 'string') return printable(value)
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value))
}

/** A table with a heading line; columns are as wide as their widest cell. No rows: only the heading. */
export function table(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [
    columns.map((column) => column.toUpperCase()),
    ...rows.map((row) => columns.map((_, i) => cell(row[i]))),
  ]
  const widths = columns.map((_, i) => cells.reduce((widest, row) => Math.max(widest, row[i]!.length), 0))
  return cells
    .map((row) =>
      row
        .map((text, i) => text.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Names and values, one to a line, values aligned. */
export function record(fields: Readonly<Record<string, unknown>>): string {
  const width = Object.keys(fields).reduce((widest, name) => Math.max(widest, name.length), 0)
  return Object.entries(fields)
    .map(([name, value]) => `${printable(name).padEnd(width)}  ${cell(value)}`)
    .join('\n')
}

/** Prints `value` as JSON with `--json`, else what `forPeople` makes of it. */
export function show<T>(output: Output, value: T, forPeople: (value: T) => string): void {
  output.data(output.json ? JSON.stringify(value, null, 2) : forPeople(value))
}
