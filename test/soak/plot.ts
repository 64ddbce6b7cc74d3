/** Series as an SVG file: one small chart below the other, one line for each member. Pure. */
import type { Sample } from './fit.ts'

/** One chart. */
export type Chart = {
  readonly title: string
  readonly unit: string
  readonly lines: ReadonlyMap<string, readonly Sample[]>
}

const WIDTH = 720
const HEIGHT = 130
const LEFT = 70
/** Points of a line: more are not seen. */
const POINTS_MAX = 240
const COLOURS = ['#1b6ca8', '#c0392b', '#2e8b57', '#8e5ea2', '#b8860b', '#444444']

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const short = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2)

/** The file. */
export function svgOf(charts: readonly Chart[]): string {
  const body = charts.map((chart, i) => chartOf(chart, i * (HEIGHT + 50) + 30)).join('\n')
  const height = charts.length * (HEIGHT + 50) + 20
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH + LEFT + 20}" height="${height}" font-family="sans-serif" font-size="11">\n` +
    `<rect width="100%" height="100%" fill="#ffffff"/>\n${body}\n</svg>\n`
  )
}

function chartOf({ title, unit, lines }: Chart, top: number): string {
  const all = [...lines.values()].flat().filter(([, y]) => Number.isFinite(y))
  const endX = Math.max(1, ...all.map(([x]) => x))
  const endY = Math.max(1e-9, ...all.map(([, y]) => y)) * 1.05
  const at = ([x, y]: Sample): string =>
    `${(LEFT + (x / endX) * WIDTH).toFixed(1)},${(top + HEIGHT - (y / endY) * HEIGHT).toFixed(1)}`
  const drawn = [...lines].map(
    ([, samples], i) =>
      `<polyline fill="none" stroke="${COLOURS[i % COLOURS.length]}" points="${thinned(samples)
        .filter(([, y]) => Number.isFinite(y))
        .map(at)
        .join(' ')}"/>`,
  )
  const names = [...lines.keys()].map(
    (name, i) =>
      `<text x="${LEFT + 260 + i * 80}" y="${top - 8}" fill="${COLOURS[i % COLOURS.length]}">${escaped(name)}</text>`,
  )
  return [
    `<text x="${LEFT}" y="${top - 8}" font-weight="bold">${escaped(title)} (${escaped(unit)})</text>`,
    ...names,
    `<rect x="${LEFT}" y="${top}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#bbbbbb"/>`,
    `<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${short(endY)}</text>`,
    `<text x="${LEFT - 6}" y="${top + HEIGHT}" text-anchor="end">0</text>`,
    `<text x="${LEFT + WIDTH}" y="${top + HEIGHT + 14}" text-anchor="end">${Math.round(endX)} s</text>`,
    ...drawn,
  ].join('\n')
}

/** Every so many-th of `samples`, and the last. */
function thinned(samples: readonly Sample[]): readonly Sample[] {
  const step = Math.ceil(samples.length / POINTS_MAX)
  return samples.filter((_, i) => i % step === 0 || i === samples.length - 1)
}
