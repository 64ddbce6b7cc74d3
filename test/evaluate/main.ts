/**
 * `npm run evaluate`: runs the detectors and the believability over the public data sets and prints one table. One fixed configuration
 * (protocol/detect/configuration.ts, config/believability.toml) for everything; exit 1 if anything fell short, 69 without data.
 */
import { beliefOfBuses, beliefOfSensors } from './belief.ts'
import { DATA } from './data.ts'
import { buses } from './fleet.ts'
import { receivers } from './receivers.ts'
import { feederFaults, nab, pasad, type Row, sensorFaults, skab } from './sets.ts'

const SETS: readonly (() => Row[])[] = [
  pasad,
  nab,
  skab,
  sensorFaults,
  feederFaults,
  receivers,
  buses,
  beliefOfBuses,
  beliefOfSensors,
]

const started = performance.now()
const rows = SETS.flatMap((set) => {
  const found = set()
  for (const { set: name } of found)
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s: ${name}\n`)
  return found
})
if (rows.length === 0) {
  process.stderr.write(`no data in ${DATA}: set ALTHING_DATA to the folder with the data sets\n`)
  process.exit(69)
}
const cells = [
  ['data set', 'method', 'score', 'to beat', '', 'false alarms'],
  ...rows.map((row) => [row.set, row.method, row.score, row.toBeat, row.reached ? 'yes' : 'NO', row.falseAlarms]),
]
const widths = (cells[0] as string[]).map((_, column) =>
  Math.max(...cells.map((row) => (row[column] as string).length)),
)
const lineOf = (row: readonly string[]): string =>
  `| ${row.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`
const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
process.stdout.write(`${[lineOf(cells[0] as string[]), rule, ...cells.slice(1).map(lineOf)].join('\n')}\n`)
process.stdout.write(`${((performance.now() - started) / 1000).toFixed(0)} s\n`)
process.exitCode = rows.every(({ reached }) => reached) ? 0 : 1
