/** The study for people: a table in Markdown, and a plot as SVG. Pure: the same cells give the same text. */
import { AGGREGATIONS, type AggregationName } from './aggregations.ts'
import { STRATEGIES } from './segment.ts'
import type { Cell } from './study.ts'

const NAMES = Object.keys(AGGREGATIONS) as AggregationName[]
const percent = (part: number): string => {
  const value = 100 * part
  return value === 0 || value === 100 ? `${value}` : value < 0.1 ? '< 0.1' : value.toFixed(1)
}

/** One row for each strategy and aggregation; by share of liars, what was detected and, after the stroke, who was cut off though honest. */
export function tableOf(cells: readonly Cell[]): string {
  const shares = [...new Set(cells.map(({ sharePercent }) => sharePercent))].sort((a, b) => a - b)
  const lines = [
    `| strategy | aggregation | ${shares.map((share) => `${share} % lie`).join(' | ')} |`,
    `| --- | --- | ${shares.map(() => '---').join(' | ')} |`,
  ]
  for (const strategy of STRATEGIES)
    for (const aggregation of NAMES) {
      const row = shares.map((share) => {
        const cell = cells.find(
          (one) => one.strategy === strategy && one.aggregation === aggregation && one.sharePercent === share,
        )
        return cell === undefined ? '' : `${percent(cell.detected)} / ${percent(cell.falselyCut)}`
      })
      lines.push(`| ${strategy} | ${aggregation} | ${row.join(' | ')} |`)
    }
  return lines.join('\n')
}

const [PANEL, HEIGHT, GAP, LEFT, TOP] = [150, 120, 24, 60, 60] as const
const COLOURS: Record<AggregationName, string> = { median: '#0072b2', mean: '#d55e00', EigenTrust: '#666666' }
const DASHES: Record<AggregationName, string> = { median: '', mean: '6 3', EigenTrust: '2 3' }

/** Two rows of panels, detection above and false blacklisting below, one column for each strategy; against the share of liars. */
export function plotOf(cells: readonly Cell[], caption: string): string {
  const shareMax = Math.max(...cells.map(({ sharePercent }) => sharePercent))
  const width = LEFT + STRATEGIES.length * (PANEL + GAP) + GAP
  const height = TOP + 2 * (HEIGHT + 2 * GAP) + GAP
  const parts: string[] = []
  const measures = [
    ['guilty, cut off', (cell: Cell) => cell.detected],
    ['honest, cut off', (cell: Cell) => cell.falselyCut],
  ] as const
  measures.forEach(([label, measure], row) => {
    const bottom = TOP + row * (HEIGHT + 2 * GAP) + HEIGHT
    parts.push(
      text(14, bottom - HEIGHT / 2, label, `transform="rotate(-90 14 ${bottom - HEIGHT / 2})" text-anchor="middle"`),
    )
    STRATEGIES.forEach((strategy, column) => {
      const left = LEFT + column * (PANEL + GAP)
      const x = (share: number): number => left + (PANEL * share) / shareMax
      const y = (part: number): number => bottom - HEIGHT * part
      parts.push(...frame(left, bottom, shareMax, column === 0))
      if (row === 0) parts.push(text(left + PANEL / 2, bottom - HEIGHT - 8, strategy, 'text-anchor="middle"'))
      for (const name of NAMES) {
        const line = cells
          .filter((cell) => cell.strategy === strategy && cell.aggregation === name)
          .map((cell) => `${x(cell.sharePercent).toFixed(1)},${y(measure(cell)).toFixed(1)}`)
        const stroke = `stroke="${COLOURS[name]}" stroke-width="2" stroke-dasharray="${DASHES[name]}"`
        parts.push(`<polyline fill="none" ${stroke} points="${line.join(' ')}"/>`)
      }
    })
  })
  NAMES.forEach((name, i) => {
    const at = LEFT + i * 110
    const stroke = `stroke="${COLOURS[name]}" stroke-width="2" stroke-dasharray="${DASHES[name]}"`
    parts.push(`<line x1="${at}" y1="16" x2="${at + 24}" y2="16" ${stroke}/>`, text(at + 30, 20, name))
  })
  parts.push(text(LEFT, height - 8, caption))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function frame(left: number, bottom: number, shareMax: number, isFirst: boolean): string[] {
  const parts = [
    `<rect x="${left}" y="${bottom - HEIGHT}" width="${PANEL}" height="${HEIGHT}" fill="none" stroke="#999999"/>`,
  ]
  for (let share = 0; share <= shareMax; share += 20) {
    // Those at the edges would run into the next panel's.
    const anchor = share === 0 ? 'start' : share === shareMax ? 'end' : 'middle'
    parts.push(text(left + (PANEL * share) / shareMax, bottom + 14, `${share} %`, `text-anchor="${anchor}"`))
  }
  if (isFirst)
    for (const part of [0, 0.5, 1])
      parts.push(text(left - 6, bottom - HEIGHT * part + 4, `${100 * part} %`, 'text-anchor="end"'))
  return parts
}

const text = (x: number, y: number, words: string, more = ''): string =>
  `<text x="${x}" y="${y}"${more === '' ? '' : ` ${more}`}>${words}</text>`
