/**
 * Stage: the operator. The live table of a testnet: what is known in, lines of text out; pure.
 * Invariants: no line is wider than the terminal; nothing is said by colour (there is none), only by words; text that came from a member
 * cannot steer the terminal.
 */
import { printable } from '../cli/output.ts'
import { clockText } from './plan.ts'
import type { ProcessState } from './processes.ts'
import type { MemberStatus } from './status.ts'

/** `starting`: the process runs and its API does not answer yet. */
export type ShownState = ProcessState | 'starting'

/** A member as shown. */
export type MemberView = {
  readonly name: string
  readonly state: ShownState
  readonly api: string
  /** undefined: it does not answer. */
  readonly status: MemberStatus | undefined
}
/** An RTU as shown. `lastAgeMs`: since the block of its last report. */
export type RtuView = {
  readonly name: string
  readonly state: ShownState
  readonly owner: string
  readonly reports: number
  readonly lastHeight: number | undefined
  readonly lastAgeMs: number | undefined
  /** How far it trusts the others, as it says itself; none while it does not answer. */
  readonly trusts: readonly { readonly name: string; readonly trustPpm: number }[]
}
/** Everything the table shows. */
export type TestnetView = {
  readonly elapsedMs: number
  /** Until it ends by itself; undefined if it does not. */
  readonly remainingMs: number | undefined
  readonly members: readonly MemberView[]
  readonly rtus: readonly RtuView[]
  /** Who signed the newest block whose certificate is known. */
  readonly signed: { readonly height: number; readonly names: readonly string[] } | undefined
  /** What was done to participants, the newest last. */
  readonly notices: readonly string[]
}

/** The member that is furthest, which the head lines are about. */
const foremost = (members: readonly MemberView[]): MemberStatus | undefined =>
  members.reduce<MemberStatus | undefined>(
    (best, { status }) => (status !== undefined && status.height >= (best?.height ?? 0) ? status : best),
    undefined,
  )

const msText = (ms: number | undefined): string =>
  ms === undefined ? '-' : ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`
const agoText = (ms: number | undefined): string =>
  ms === undefined ? '-' : ms < 60_000 ? `${Math.max(0, Math.round(ms / 1000))} s ago` : `${clockText(ms)} ago`
const countText = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`
const rateText = (perSecond: number): string => (perSecond < 100 ? perSecond.toFixed(1) : String(Math.round(perSecond)))

/** `text` in at most `width` columns. Marks that are cut off are shown as …; wide characters do not occur in our names. */
export const cut = (text: string, width: number): string =>
  text.length <= width ? text : width < 2 ? text.slice(0, Math.max(0, width)) : `${text.slice(0, width - 1)}…`

/** `text` in lines of at most `width` columns, broken at spaces; the second and later ones are indented. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = `  ${word}`
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

type Column<T> = { readonly title: string; readonly of: (row: T) => string; readonly right?: true }

function columnsOf<T>(columns: readonly Column<T>[], rows: readonly T[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => of(row)))]
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => (line[i] as string).length)))
  return cells.map((line) =>
    line
      .map((text, i) =>
        columns[i]?.right === true ? text.padStart(widths[i] as number) : text.padEnd(widths[i] as number),
      )
      .join('  ')
      .trimEnd(),
  )
}

/**
 * The table in at most `width` columns and `height` rows. What does not cut is left out from below and said so; the lines about the chain and
 * the members always stand.
 */
export function tableLines(view: TestnetView, width: number, height: number): string[] {
  const head = foremost(view.members)
  const lines = [
    `althing testnet  ${clockText(view.elapsedMs)}` +
      `${view.remainingMs === undefined ? '' : ` (ends in ${clockText(view.remainingMs)})`}` +
      `   ${countText(view.members.length, 'member')}, ${countText(view.rtus.length, 'RTU')}`,
    ...headLines(view, head, width),
    '',
    ...memberLines(view, head),
  ]
  const notices = view.notices.slice(-3).map((notice) => `> ${notice}`)
  if (view.rtus.length > 0) {
    const rtus = rtuLines(view.rtus)
    const room = height - lines.length - notices.length - 2
    const shown = rtus.length <= room ? rtus : [...rtus.slice(0, Math.max(1, room - 1)), `(more RTUs than lines)`]
    lines.push('', ...shown)
  }
  lines.push(...notices)
  return lines.slice(0, Math.max(1, height)).map((line) => cut(printable(line), width))
}

function headLines(view: TestnetView, head: MemberStatus | undefined, width: number): string[] {
  if (head === undefined) return ['no member answers']
  const { signed } = view
  const lines = [`height ${head.height}   view ${head.view}   leader ${head.leader || '-'}`]
  if (signed !== undefined)
    lines.push(
      `signed ${signed.height}: ${signed.names.join(' ')} (${signed.names.length} of ${view.members.length}` +
        `${head.votesNeeded > 0 ? `, ${head.votesNeeded} needed` : ''})`,
    )
  if (head.assurance !== undefined) lines.push(...wrap(`assurance: ${head.assurance.sentence}`, width))
  lines.push(
    `${rateText(head.perSecond)} tx/s   commit latency p50 ${msText(head.p50Ms)}, p99 ${msText(head.p99Ms)}   ` +
      `${countText(head.committed, 'transaction')}`,
  )
  if (head.standstill !== undefined) lines.push(...wrap(`STANDS STILL: ${head.standstill.sentence}`, width))
  return lines
}

function memberLines(view: TestnetView, head: MemberStatus | undefined): string[] {
  const columns: Column<MemberView>[] = [
    { title: 'MEMBER', of: ({ name }) => name },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'ROLE', of: ({ name }) => (head?.leader === name ? 'leader' : '') },
    { title: 'HEIGHT', of: ({ status }) => String(status?.height ?? '-'), right: true },
    { title: 'VIEW', of: ({ status }) => String(status?.view ?? '-'), right: true },
    {
      title: 'SIGNED',
      of: ({ name }) => (view.signed === undefined ? '-' : view.signed.names.includes(name) ? 'yes' : 'no'),
    },
    { title: 'POOL', of: ({ status }) => String(status?.pool ?? '-'), right: true },
    { title: 'P50', of: ({ status }) => msText(status?.p50Ms), right: true },
    { title: 'API', of: ({ api }) => api.replace('http://', '') },
  ]
  return columnsOf(columns, view.members)
}

function rtuLines(rtus: readonly RtuView[]): string[] {
  const columns: Column<RtuView>[] = [
    { title: 'RTU', of: ({ name }) => name },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'OWNER', of: ({ owner }) => owner },
    { title: 'REPORTS', of: ({ reports }) => String(reports), right: true },
    {
      title: 'LAST REPORT',
      of: ({ lastAgeMs, lastHeight }) =>
        lastHeight === undefined ? 'none yet' : `${agoText(lastAgeMs)}, height ${lastHeight}`,
    },
    {
      title: 'TRUSTS',
      of: ({ trusts }) =>
        trusts.map(({ name, trustPpm }) => `${name} ${Math.round(trustPpm / 10_000)} %`).join('  ') || '-',
    },
  ]
  return columnsOf(columns, rtus)
}

/** One line for logs and pipes, where a table cannot be redrawn. */
export function compactLine(view: TestnetView): string {
  const head = foremost(view.members)
  const parts = [clockText(view.elapsedMs)]
  if (head === undefined) parts.push('no member answers')
  else {
    parts.push(`height ${head.height}`, `view ${head.view}`, `leader ${head.leader || '-'}`)
    if (view.signed !== undefined) parts.push(`signed by ${view.signed.names.length} of ${view.members.length}`)
    parts.push(`${rateText(head.perSecond)} tx/s`, `p50 ${msText(head.p50Ms)}`)
  }
  if (view.rtus.length > 0) {
    const silent = view.rtus.filter(({ lastHeight }) => lastHeight === undefined).map(({ name }) => name)
    parts.push(`reports ${view.rtus.reduce((sum, { reports }) => sum + reports, 0)}`)
    if (silent.length > 0) parts.push(`none yet from ${silent.join(' ')}`)
  }
  for (const { name, state } of [...view.members, ...view.rtus]) if (state !== 'running') parts.push(`${name} ${state}`)
  if (head?.standstill !== undefined) parts.push(`STANDS STILL: ${head.standstill.sentence}`)
  return printable(parts.join(', '))
}

const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'

/** Redraws lines in place on a terminal: each drawing is one write that erases only what is left over, so that nothing flickers. */
export class LiveArea {
  readonly #write: (text: string) => void
  #lines = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Puts `lines` in the place of those drawn before. They must be narrower than the terminal and fewer than its rows. */
  draw(lines: readonly string[]): void {
    const up = this.#lines > 0 ? `\u001b[${this.#lines}A\r` : HIDE_CURSOR
    this.#lines = lines.length
    this.#write(`${up}${lines.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`)
  }

  /** Leaves what is drawn as it is; what is written next stands below. */
  leave(): void {
    if (this.#lines > 0) this.#write(SHOW_CURSOR)
    this.#lines = 0
  }
}
