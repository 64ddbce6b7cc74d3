/**
 * Pages of docs/ that are made from tables in the code, whole or between two marks. `npm run docs` writes them; tests hold them equal.
 */
import { readFileSync } from 'node:fs'
import { exitCodeOf } from '../../cli/client.ts'
import { COMMAND_FAILURES } from '../../cli/failure.ts'
import { renderMarkdown } from '../../config/render.ts'
import { API_PROBLEMS } from '../../node/api/problem.ts'
import { FAILURES } from '../../node/failures.ts'
import { CATEGORIES } from '../../protocol/kinds/report/categories.ts'
import { VERDICTS } from '../../protocol/verdict.ts'

/** The root of the repository. */
export const ROOT = new URL('../../', import.meta.url)

/** A page or other file by its path from the root. */
export const textOf = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8')

/** A table in Markdown. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

const MARKS = ['<!-- Made by `npm run docs`. -->', '<!-- End of what is made. -->'] as const

/** `page` with `made` between its marks. */
function between(page: string, made: string): string {
  const [start, end] = MARKS.map((mark) => page.indexOf(mark)) as [number, number]
  if (start < 0 || end < start) throw new Error('the page has no marks')
  return `${page.slice(0, start + MARKS[0].length)}\n\n${made}\n\n${page.slice(end)}`
}

/** One code, wherever it comes from. */
export type CodeRow = {
  readonly code: string
  readonly kind: string
  readonly meaning: string
  readonly advice: string
  readonly httpStatus: number | null
  readonly exits: readonly number[]
  readonly penalty: number | null
}

/** Every stable code, in alphabetical order. */
export function codeRows(): CodeRow[] {
  const rows: CodeRow[] = []
  for (const [code, { verdict, penalty, httpStatus, text }] of Object.entries(VERDICTS)) {
    // The first sentence says what happened.
    const [meaning] = /^.*?[.](?= |$)/.exec(text) ?? [text]
    const exits = [code === 'OK' ? 0 : exitCodeOf(httpStatus)]
    rows.push({ code, kind: verdict, meaning, advice: text.slice(meaning.length).trim(), httpStatus, exits, penalty })
  }
  for (const [code, { status, title, advice }] of Object.entries(API_PROBLEMS))
    rows.push({
      code,
      kind: 'API',
      meaning: title,
      advice,
      httpStatus: status,
      exits: [exitCodeOf(status)],
      penalty: null,
    })
  for (const [code, { exitCode, meaning, advice }] of Object.entries(FAILURES))
    rows.push({
      code,
      kind: 'world',
      meaning,
      advice,
      httpStatus: null,
      exits: exitCode === null ? [] : [exitCode],
      penalty: null,
    })
  for (const [code, { exits, meaning, advice }] of Object.entries(COMMAND_FAILURES))
    rows.push({ code, kind: 'command', meaning, advice, httpStatus: null, exits, penalty: null })
  return rows.sort((a, b) => (a.code < b.code ? -1 : 1))
}

function errorTable(): string {
  const cell = (text: string | number | null): string =>
    text === null || text === '' ? '–' : `${text}`.replaceAll('|', '\\|')
  return table(
    ['code', 'kind', 'meaning', 'what to do', 'HTTP', 'exit', 'penalty'],
    codeRows().map(({ code, kind, meaning, advice, httpStatus, exits, penalty }) =>
      [`\`${code}\``, kind, meaning, advice, httpStatus, exits.join(', '), penalty].map(cell),
    ),
  )
}

function categoryTable(): string {
  return table(
    ['category', 'ATT&CK for ICS', 'scope', 'meaning'],
    Object.entries(CATEGORIES).map(([name, { technique, techniqueName, scope, description }]) => [
      `\`${name}\``,
      `[${technique}](https://attack.mitre.org/techniques/${technique}/) ${techniqueName}`,
      scope,
      description,
    ]),
  )
}

/** Pages by path → what they are to hold. */
export const PAGES: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': renderMarkdown,
  'docs/categories.md': () => between(textOf('docs/categories.md'), categoryTable()),
  'docs/errors.md': () => between(textOf('docs/errors.md'), errorTable()),
}
