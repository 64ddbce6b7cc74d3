/**
 * `npm run simulate:trust -- [--segments 1000] [--write]`: the study of liars in segments; prints its table, and with `--write` puts it and
 * its plot into docs/trust.md. The same number of segments gives the same numbers on every machine.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { plotOf, tableOf } from './report.ts'
import { STRATEGIES } from './segment.ts'
import { study } from './study.ts'

const { values } = parseArgs({ options: { segments: { type: 'string', default: '1000' }, write: { type: 'boolean' } } })
const segments = Number(values.segments)
if (!Number.isSafeInteger(segments) || segments < 1) {
  console.error('simulate:trust: --segments takes a whole number')
  process.exit(64)
}
const began = Date.now()
const cells = study(segments)
const table = tableOf(cells)
console.log(table)
console.log(
  `${segments} segments, each in ${cells.length / STRATEGIES.length} runs, ${((Date.now() - began) / 1000).toFixed(0)} s`,
)
if (values.write === true) {
  const [from, to] = ['<!-- simulate:trust -->', '<!-- /simulate:trust -->']
  const page = new URL('../../docs/trust.md', import.meta.url)
  const before = readFileSync(page, 'utf8')
  const [start, end] = [before.indexOf(from), before.indexOf(to)]
  if (start < 0 || end < start) throw new Error(`docs/trust.md has no place ${from} … ${to}`)
  writeFileSync(page, `${before.slice(0, start + from.length)}\n\n${table}\n\n${before.slice(end)}`)
  const caption = `share of those that rate a device who lie; ${segments} segments, each with one of the strategies`
  writeFileSync(new URL('../../docs/trust.svg', import.meta.url), plotOf(cells, caption))
}
