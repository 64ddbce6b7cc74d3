/**
 * `npm run simulate -- --minutes 5 [--from 1]`: a third of the time for the consensus core, every fourth seed of it about the ends of eras, and
 * the rest for whole members (test/wholeSimulation). `--seeds 2000 [--from 1] [--seed 7 --trace]`: the core alone, that many seeds.
 * `--hunt [--only 7a]`: hunts the mutants instead (hunt.ts). Prints each failing seed with the command that replays it, and exits 1 if any failed.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { hunt } from './hunt.ts'
import { CLOSING_FROM, describeScenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean' },
    hunt: { type: 'boolean' },
    only: { type: 'string', default: '' },
  },
})
/** Part of `--minutes` that the core has. */
const CORE_PART = 1 / 3
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
// A run that is bounded by time looks at other seeds each time; it says which.
const fromDefault = minutes === undefined ? 1 : 20_000 + (Math.floor(Date.now() / 1000) % 900_000)
const first = Number(values.seed ?? values.from ?? fromDefault)
const count = values.seed !== undefined ? 1 : minutes === undefined ? Number(values.seeds) : Number.MAX_SAFE_INTEGER
if (
  !Number.isSafeInteger(first) ||
  !Number.isSafeInteger(count) ||
  count < 1 ||
  (minutes !== undefined && !(minutes > 0))
) {
  console.error('simulate: --seeds, --from and --seed take whole numbers, --minutes a number')
  process.exit(64)
}
if (values.hunt) {
  hunt(first, count, values.only)
  process.exit()
}
const began = Date.now()
const coreMs = minutes === undefined ? Number.POSITIVE_INFINITY : minutes * 60_000 * CORE_PART
const sum = { seeds: 0, failed: 0, heights: 0, steps: 0, entries: 0, virtualMs: 0 }
const kinds = new Map<string, number>()
const injected = new Map<string, number>()
const add = (to: Map<string, number>, name: string, by = 1): void => void to.set(name, (to.get(name) ?? 0) + by)
for (let i = 0; i < count && Date.now() - began < coreMs; i++) {
  const seed = minutes !== undefined && i % 4 === 3 ? CLOSING_FROM + first + i : first + i
  const scenario = scenarioOf(seed)
  const world = new World(scenario)
  if (values.trace) world.log = []
  const violations = world.run()
  if (world.log !== null) console.log(world.log.join('\n'))
  sum.seeds++
  sum.heights += world.checker.heightMax
  sum.steps += world.steps
  sum.virtualMs += world.queue.now
  sum.entries = Math.max(sum.entries, world.checker.stateEntriesMax)
  add(kinds, scenario.theme === 'closing' ? 'ends of eras' : scenario.kind)
  for (const [kind, times] of world.injected) add(injected, kind, times)
  if (violations.length === 0) continue
  sum.failed++
  if (sum.failed <= 20)
    console.log(
      `seed ${seed} (${describeScenario(scenario)}): ${violations[0]}\n  replay: npm run simulate -- --seed ${seed} --trace`,
    )
}
const listed = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .sort()
    .map(([name, times]) => `${times} ${name}`)
    .join(', ')
const seconds = (Date.now() - began) / 1000
console.log(
  `core: ${sum.seeds} seeds from ${first} (${listed(kinds)}), ${sum.failed} failed, ${sum.heights} blocks committed, ${sum.steps} steps, ` +
    `at most ${sum.entries} entries in one state, ${seconds.toFixed(1)} s, virtual time ${(sum.virtualMs / 3_600_000).toFixed(2)} h`,
)
console.log(`core faults: ${listed(injected)}`)
process.exitCode = sum.failed > 0 ? 1 : 0
if (minutes !== undefined) {
  const whole = fileURLToPath(new URL('../wholeSimulation/main.ts', import.meta.url))
  const left = (minutes * (1 - CORE_PART)).toFixed(2)
  const { status } = spawnSync(process.execPath, [whole, '--minutes', left, '--from', String(first)], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exitCode = 1
}
