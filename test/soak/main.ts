/**
 * `npm run soak -- --minutes 60`: four members under a steady load for as long as is asked, and what grows meanwhile: memory, heap, disk by
 * folder, lag of the event loop. Prints growth per hour with the fit of the line, and writes a table (CSV) and a plot (SVG).
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { createHomes, homeIn } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'
import { Testnet } from '../../testnet/testnet.ts'
import { machineFacts, memoryOf } from '../bench/machine.ts'
import { growthOf, type Sample } from './fit.ts'
import { svgOf } from './plot.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    load: { type: 'string', default: '800' },
    keys: { type: 'string', default: '10000' },
    'keep-blocks': { type: 'string', default: '0' },
    'snapshot-blocks': { type: 'string', default: '500' },
    out: { type: 'string', default: 'test/output/soak' },
  },
})
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new RangeError('--minutes must be a number above 0')
const out = resolve(values.out)
const SAMPLE_MS = 5000
/** The beginning, in which caches and pools fill, says nothing about growth: a fifth of the time. */
const WARM_UP_SHARE = 0.2

const MIB = 2 ** 20
type Row = Readonly<Record<string, number>>
const rows = new Map<string, Row[]>()

async function bytesOf(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0
  }
  return bytes
}

const metric = (text: string, name: string): number =>
  Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)

async function sample(net: Testnet, member: Testnet['members'][number], seconds: number): Promise<Row> {
  const { place, process } = member
  const answer = await fetch(`http://127.0.0.1:${place.metricsPort}/metrics`).catch(() => undefined)
  const text = (await answer?.text()) ?? ''
  const data = join(homeIn(net.places.folder, place.name).folder, 'data')
  const disk: Record<string, number> = {}
  for (const name of ['ledger', 'signing', 'snapshots']) disk[`${name} MiB`] = (await bytesOf(join(data, name))) / MIB
  const memory = process.pid === undefined ? undefined : memoryOf(process.pid)
  return {
    seconds,
    'RSS MiB': (memory?.resident ?? Number.NaN) / MIB,
    'anonymous MiB': (memory?.anonymous ?? Number.NaN) / MIB,
    'file MiB': (memory?.file ?? Number.NaN) / MIB,
    'heap MiB': metric(text, 'nodejs_heap_size_used_bytes') / MIB,
    'external MiB': metric(text, 'nodejs_external_memory_bytes') / MIB,
    'lag p99 ms': metric(text, 'althing_event_loop_lag_seconds{quantile="0.99"}') * 1000,
    'lag max ms': metric(text, 'althing_event_loop_lag_seconds{quantile="1"}') * 1000,
    ...disk,
    height: metric(text, 'althing_consensus_height'),
    transactions: metric(text, 'althing_transactions_committed_total'),
    entries: metric(text, 'althing_state_entries'),
  }
}

const columnsNow = (): string[] => Object.keys([...rows.values()][0]?.[0] ?? {}).filter((name) => name !== 'seconds')
const seriesOf = (name: string, column: string): Sample[] =>
  (rows.get(name) ?? []).map((row) => [row['seconds'] as number, row[column] as number])

async function writeTable(): Promise<void> {
  const columns = columnsNow()
  const csv = [
    ['member', 'seconds', ...columns].join(','),
    ...[...rows].flatMap(([name, list]) =>
      list.map((row) => [name, row['seconds'], ...columns.map((column) => row[column]?.toFixed(3))].join(',')),
    ),
  ]
  await writeFile(join(out, 'soak.csv'), `${csv.join('\n')}\n`)
}

await mkdir(out, { recursive: true })
const folder = await mkdtemp(join(tmpdir(), 'althing-soak-'))
const places = await createHomes(folder, { ...DEFAULT_PLAN, rtus: 0 })
for (const { name } of places.members) {
  const { configFile } = homeIn(folder, name)
  const text = await readFile(configFile, 'utf8')
  await writeFile(
    configFile,
    text
      .replace(/^keep_blocks = .*$/m, `keep_blocks = ${values['keep-blocks']}`)
      .replace(/^snapshot_blocks = .*$/m, `snapshot_blocks = ${values['snapshot-blocks']}`),
  )
}
const net = await Testnet.prepare(places, Number(values.load), () => undefined, { loadKeysMax: Number(values.keys) })
let asked = false
process.on('SIGINT', () => {
  asked = true
})
try {
  for (const line of machineFacts()) console.error(line)
  await net.start((text) => console.error(`soak: ${text}`))
  console.error(
    `soak: ${values.load} transactions a second on ${values.keys} keys, for ${minutes} min; Ctrl-C ends it sooner`,
  )
  const beganAt = performance.now()
  const end = beganAt + minutes * 60_000
  let toldAt = Number.NEGATIVE_INFINITY
  while (performance.now() < end && !asked) {
    const seconds = (performance.now() - beganAt) / 1000
    for (const member of net.members) {
      const row = await sample(net, member, Math.round(seconds * 10) / 10)
      rows.set(member.place.name, [...(rows.get(member.place.name) ?? []), row])
    }
    const [first] = [...rows.values()]
    const last = first?.at(-1)
    if (performance.now() - toldAt > 30_000 && last !== undefined) {
      toldAt = performance.now()
      // What is known so far: a run that is cut off is not lost.
      await writeTable()
      console.error(
        `soak: ${Math.round(seconds)} s, height ${last['height']}, ${last['transactions']} transactions, ${last['RSS MiB']?.toFixed(0)} MiB`,
      )
    }
    await new Promise((done) => setTimeout(done, Math.min(SAMPLE_MS, Math.max(0, end - performance.now()))))
  }
} finally {
  await net.stop()
  await rm(folder, { recursive: true, force: true })
}

const columns = columnsNow()
await writeTable()
const charts = columns.map((column) => ({
  title: column.replace(/ (?:MiB|ms)$/, ''),
  unit: / (MiB|ms)$/.exec(column)?.[1] ?? 'count',
  lines: new Map([...rows.keys()].map((name) => [name, seriesOf(name, column)])),
}))
await writeFile(join(out, 'soak.svg'), svgOf(charts))

console.log('growth per hour after the warm-up, by member (R²: share of the changes that a line explains)')
for (const column of columns) {
  const cells = [...rows.keys()].map((name) => {
    const samples = seriesOf(name, column).filter(([seconds]) => seconds >= minutes * 60 * WARM_UP_SHARE)
    const { perHour, fit } = growthOf(samples)
    const last = samples.at(-1)?.[1] ?? Number.NaN
    return `${name} ${last.toFixed(1)} (${perHour >= 0 ? '+' : ''}${perHour.toFixed(1)}/h, R² ${fit.toFixed(2)})`
  })
  console.log(`  ${column.padEnd(14)} ${cells.join('  ')}`)
}
console.log(
  `load: ${net.load.counts.accepted} accepted, ${net.load.counts.refused} refused; wrote ${join(out, 'soak.csv')} and soak.svg`,
)
process.exit(0)
