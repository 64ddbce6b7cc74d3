/**
 * RTU, replay 1: a log of readings, CSV or SenML (RFC 8428, JSON), as rows in the order of time.
 * Invariants: everything wrong with a log is said at once, by line, and nothing is guessed: a gap, a value that is no number, a unit that
 * changes, a time that runs back or leaps each is a problem; who wants to go on without such rows says so.
 */

/** One moment: its time, ms since 1970-01-01T00:00Z, and a value per channel. */
export type LogRow = { readonly timeMs: number; readonly values: readonly number[] }
/** A log that can be played: names of the channels, and rows in order. */
export type ReadingLog = { readonly channels: readonly string[]; readonly rows: readonly LogRow[] }
/** Something wrong; `line` from 1 (of SenML: the record). */
export type LogProblem = { readonly line: number; readonly what: string }
/** A log and what was wrong with it; the rows are those without problems. */
export type ParsedLog = { readonly log: ReadingLog; readonly problems: readonly LogProblem[] }

/** Characters of a log that is read. */
export const LOG_CHARACTERS_MAX = 256 * 1024 * 1024
/** Channels of a log. */
export const LOG_CHANNELS_MAX = 64
/** Rows apart more than so many usual intervals leap: a clock, or a gap. */
const LEAP_INTERVALS = 1000
const TIME_NAMES = /^(?:time|timestamp|datetime|date|t)$/i

/** Reads `text` as SenML if it begins as JSON, else as CSV. */
export const parseLog = (text: string): ParsedLog => (/^\s*\[/.test(text) ? parseSenml(text) : parseCsv(text))

/** ms of a time: ISO 8601 (without a zone: UTC), or seconds or ms since 1970; NaN if it is none. */
function timeOf(cell: string): number {
  const text = cell.replace(/^['"]|['"]$/g, '')
  if (/^\d{9,11}(?:\.\d+)?$/.test(text)) return Number(text) * 1000
  if (/^\d{12,14}$/.test(text)) return Number(text)
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?(Z|[+-]\d\d:?\d\d)?$/.exec(text)
  if (iso === null) return Number.NaN
  return Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}${iso[3] ?? 'Z'}`)
}

const quoted = (text: string): string => `“${text.length > 24 ? `${text.slice(0, 24)}…` : text}”`

function parseCsv(text: string): ParsedLog {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  while (lines.at(-1)?.trim() === '') lines.pop()
  const first = lines[0] ?? ''
  const separator = [';', '\t', ','].find((one) => first.includes(one)) ?? ','
  const cellsOf = (line: string): string[] => line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  const head = cellsOf(first)
  const timeAt = head.findIndex((name) => TIME_NAMES.test(name))
  const nothing = (what: string): ParsedLog => ({ log: { channels: [], rows: [] }, problems: [{ line: 1, what }] })
  if (timeAt < 0) return nothing('the first line names no column time, timestamp, datetime or date')
  // A column is a channel if its first value is a number, or nothing.
  const second = cellsOf(lines[1] ?? '')
  const columns = head.flatMap((_, i) => (i !== timeAt && startsAsNumber(second[i]) ? [i] : []))
  if (columns.length === 0) return nothing('no column holds numbers')
  if (columns.length > LOG_CHANNELS_MAX) return nothing(`it has more than ${LOG_CHANNELS_MAX} columns with numbers`)
  const problems: LogProblem[] = []
  const rows: (LogRow & { line: number })[] = []
  for (const [i, text] of lines.entries()) {
    if (i === 0) continue
    const line = i + 1
    const cells = cellsOf(text)
    const wrong: string[] = []
    if (cells.length !== head.length) wrong.push(`has ${cells.length} cells, the first line has ${head.length}`)
    const timeMs = timeOf(cells[timeAt] ?? '')
    if (Number.isNaN(timeMs)) wrong.push(`${quoted(cells[timeAt] ?? '')} is no time`)
    const values = columns.map((column) => {
      const cell = cells[column] ?? ''
      const said = valueProblem(cell)
      if (said !== null && cells.length === head.length) wrong.push(`${head[column]}: ${said}`)
      return Number(cell)
    })
    if (wrong.length === 0) rows.push({ line, timeMs, values })
    else problems.push(...wrong.map((what) => ({ line, what })))
  }
  return inOrder(
    columns.map((column) => head[column] as string),
    rows,
    problems,
  )
}

const startsAsNumber = (cell: string | undefined): boolean =>
  cell !== undefined && /^(?:[-+]?[\d.].*|nan|null|)$/i.test(cell)

/** What is wrong with the value of a cell; null if it is a number. */
function valueProblem(cell: string): string | null {
  if (cell === '') return 'is empty: a gap'
  if (/^(?:[-+]?(?:nan|inf|infinity)|null|n\/a)$/i.test(cell)) return `${quoted(cell)} is no number`
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(cell)) return null
  return /^[-+]?[\d.]+\s*[^\d\s.]/.test(cell)
    ? `${quoted(cell)}: a number with a unit; units belong into the first line`
    : `${quoted(cell)} is no number`
}

/** The rows whose times run forward, without leaps. */
function inOrder(
  channels: readonly string[],
  rows: readonly (LogRow & { line: number })[],
  before: LogProblem[],
): ParsedLog {
  const problems = [...before]
  const gaps = rows.slice(1).map(({ timeMs }, i) => timeMs - (rows[i] as LogRow).timeMs)
  const usual = gaps.filter((gap) => gap > 0).sort((a, b) => a - b)
  const leap = LEAP_INTERVALS * (usual[usual.length >> 1] ?? Number.POSITIVE_INFINITY)
  const kept: LogRow[] = []
  for (const { line, timeMs, values } of rows) {
    const gap = timeMs - (kept.at(-1)?.timeMs ?? timeMs)
    if (gap < 0) problems.push({ line, what: `the clock runs back by ${-gap / 1000} s` })
    else if (gap > leap) problems.push({ line, what: `the clock leaps by ${gap / 1000} s` })
    if (gap < 0) continue
    kept.push({ timeMs, values })
  }
  if (rows.length === 0 && problems.length === 0) problems.push({ line: 1, what: 'there is no row' })
  problems.sort((a, b) => a.line - b.line)
  return { log: { channels, rows: kept }, problems }
}

type SenmlRecord = Readonly<Record<string, unknown>>

function parseSenml(text: string): ParsedLog {
  let records: unknown
  try {
    records = JSON.parse(text)
  } catch {
    return { log: { channels: [], rows: [] }, problems: [{ line: 1, what: 'it begins as JSON and is none' }] }
  }
  const problems: LogProblem[] = []
  const channels: string[] = []
  const units = new Map<string, string>()
  const rows: { line: number; timeMs: number; channel: number; value: number }[] = []
  let base: SenmlRecord = {}
  for (const [i, one] of (records as unknown[]).entries()) {
    const line = i + 1
    if (typeof one !== 'object' || one === null) {
      problems.push({ line, what: 'is no record' })
      continue
    }
    const record = one as SenmlRecord
    base = { ...base, ...Object.fromEntries(Object.entries(record).filter(([key]) => /^b/.test(key))) }
    if (record['v'] === undefined && record['n'] === undefined) continue
    const name = `${base['bn'] ?? ''}${record['n'] ?? ''}`
    const unit = `${record['u'] ?? base['bu'] ?? ''}`
    const value = Number(record['v'] ?? Number.NaN) + Number(base['bv'] ?? 0)
    const seconds = Number(base['bt'] ?? 0) + Number(record['t'] ?? 0)
    const wrong: string[] = []
    if (name === '') wrong.push('has no name')
    if (typeof record['v'] !== 'number' || !Number.isFinite(value)) wrong.push(`${name}: has no number as v`)
    // RFC 8428 §4.5.3: what is less than 2²⁸ is relative to now, which a log has not.
    if (!(seconds >= 2 ** 28)) wrong.push(`${name}: has no time of its own`)
    if (units.has(name) && units.get(name) !== unit)
      wrong.push(`${name}: is in ${quoted(unit)} here, and in ${quoted(units.get(name) as string)} before`)
    if (wrong.length > 0) {
      problems.push(...wrong.map((what) => ({ line, what })))
      continue
    }
    if (!units.has(name)) {
      units.set(name, unit)
      channels.push(name)
    }
    rows.push({ line, timeMs: seconds * 1000, channel: channels.indexOf(name), value })
  }
  if (channels.length > LOG_CHANNELS_MAX) problems.push({ line: 1, what: `it has more than ${LOG_CHANNELS_MAX} names` })
  // Records of one moment are one row; what a moment does not say is not known.
  const moments = new Map<number, LogRow & { line: number; values: number[] }>()
  for (const { line, timeMs, channel, value } of rows) {
    const row = moments.get(timeMs) ?? { line, timeMs, values: new Array<number>(channels.length).fill(Number.NaN) }
    row.values[channel] = value
    moments.set(timeMs, row)
  }
  return inOrder(channels, [...moments.values()], problems)
}
