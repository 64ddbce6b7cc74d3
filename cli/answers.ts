/**
 * Stage: the operator. Answers of the API for people: a list becomes a table, an object a record.
 * Invariant: what a node says is shown as it is and judged by nobody here; its text cannot steer the terminal.
 */
import type { Output } from './output.ts'
import { record, show, table } from './output.ts'

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An answer for people. Lists stand under `items` or are the answer itself; `columns` come first, where the entries have them. */
export function answerText(answer: unknown, columns: readonly string[] = []): string {
  const items = isObject(answer) && Array.isArray(answer['items']) ? answer['items'] : answer
  if (Array.isArray(items)) {
    const entries: Record<string, unknown>[] = items.map((item) => (isObject(item) ? item : { value: item }))
    const present = new Set(entries.flatMap((entry) => Object.keys(entry)))
    const shown = columns.filter((column) => present.has(column))
    const all = shown.length > 0 ? shown : entries.length > 0 ? [...present].slice(0, 8) : columns
    return table(
      all,
      entries.map((entry) => all.map((column) => entry[column])),
    )
  }
  return isObject(answer) ? record(answer) : answer === null ? 'done' : record({ value: answer })
}

/** Prints an answer: JSON as it came with `--json`, else as text. */
export const showAnswer = (output: Output, answer: unknown, columns?: readonly string[]): void =>
  show(output, answer, (value) => answerText(value, columns))
