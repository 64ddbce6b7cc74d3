/**
 * `npm run simulate:whole -- --minutes 5 | --seeds 200 [--from 1] | --seed 7 --trace | --minimise 7`: whole members under a simulated clock,
 * network and disk. Prints each failing seed with the command that replays it, and exits 1 if any failed.
 */
import { parseArgs } from 'node:util'
import { minimise } from './minimise.ts'
import { ADDITIONS_FROM, describeScenario, type Reduction, reduced, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: `${ADDITIONS_FROM}` },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean' },
    minimise: { type: 'string' },
    /** A reduction, as `--minimise` prints it. */
    without: { type: 'string' },
  },
})
const first = Number(values.seed ?? values.minimise ?? values.from)
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
const count = values.seed !== undefined ? 1 : minutes === undefined ? Number(values.seeds) : Number.MAX_SAFE_INTEGER
if (!Number.isSafeInteger(first) || !(count >= 1) || (minutes !== undefined && !(minutes > 0))) {
  console.error('simulate:whole: --seeds, --from, --seed and --minimise take whole numbers, --minutes a number')
  process.exit(64)
}
if (values.minimise !== undefined) {
  await minimise(first, console.log)
  process.exit()
}
const reduction: Reduction = values.without === undefined ? { without: [] } : JSON.parse(values.without)
const began = Date.now()
const injected = new Map<string, number>()
const answers = new Map<string, number>()
const kinds = new Map<string, number>()
const lies = new Map<string, number>()
const sum = {
  seeds: 0,
  failed: 0,
  givenUp: 0,
  virtualMs: 0,
  events: 0,
  heights: 0,
  transactions: 0,
  proofs: 0,
  certificates: 0,
  statements: 0,
}
const quietly = new Map<string, number>()
let [fastest, slowest] = [0, Number.POSITIVE_INFINITY]
const wires = { frames: 0, lost: 0, duplicated: 0, held: 0, linksLost: 0 }
const highest: Record<string, number> = {}
const add = (to: Map<string, number>, name: string, by = 1): void => void to.set(name, (to.get(name) ?? 0) + by)
for (let seed = first; seed < first + count; seed++) {
  if (minutes !== undefined && Date.now() - began > minutes * 60_000) break
  const scenario = reduced(scenarioOf(seed), reduction)
  const world = new World(scenario)
  if (values.trace) world.log = []
  if (minutes !== undefined) world.giveUpAt = began + minutes * 60_000
  const cpu = process.cpuUsage()
  const outcome = await world.run()
  const spent = process.cpuUsage(cpu)
  const factor = (outcome.virtualMs * 1000) / (spent.user + spent.system)
  fastest = Math.max(fastest, factor)
  slowest = Math.min(slowest, factor)
  add(quietly, scenario.isQuiet ? 'quiet ms' : 'busy ms', outcome.virtualMs)
  add(quietly, scenario.isQuiet ? 'quiet µs' : 'busy µs', spent.user + spent.system)
  if (world.log !== null) console.log(world.log.join('\n'))
  if (world.isGivenUp) sum.givenUp++
  sum.seeds++
  sum.virtualMs += outcome.virtualMs
  sum.events += outcome.events
  sum.heights += outcome.heights
  sum.transactions += outcome.transactions
  sum.proofs += world.checker.proofsChecked
  sum.certificates += world.checker.certificatesChecked
  sum.statements += world.checker.statementsWatched
  add(kinds, scenario.kind)
  for (const lie of scenario.liars.values()) add(lies, lie)
  for (const [kind, times] of outcome.injected) add(injected, kind, times)
  for (const [answer, times] of world.clients.answers) add(answers, answer, times)
  for (const name of Object.keys(wires) as (keyof typeof wires)[]) wires[name] += world.wires.figures[name]
  for (const [name, value] of Object.entries(world.checker.highest)) highest[name] = Math.max(highest[name] ?? 0, value)
  if (values.seed !== undefined) console.log(`seed ${seed} (${describeScenario(scenario)}): trace ${outcome.trace}`)
  if (outcome.violations.length === 0) continue
  sum.failed++
  if (sum.failed <= 20)
    console.log(
      `seed ${seed} (${describeScenario(scenario)}): ${outcome.violations[0]}\n  replay: npm run simulate:whole -- --seed ${seed} --trace\n` +
        `  make smaller: npm run simulate:whole -- --minimise ${seed}`,
    )
}
const seconds = (Date.now() - began) / 1000
const listed = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .sort()
    .map(([name, times]) => `${times} ${name}`)
    .join(', ')
const { user, system } = process.cpuUsage()
const busySeconds = (user + system) / 1e6
console.log(
  `whole members: ${sum.seeds} seeds from ${first} (${listed(kinds)}), ${sum.failed} failed, ${sum.givenUp} not over in time, ` +
    `${seconds.toFixed(1)} s, ${busySeconds.toFixed(1)} s of processor time`,
)
console.log(
  `virtual time ${(sum.virtualMs / 3_600_000).toFixed(2)} h, ${(sum.virtualMs / 1000 / seconds).toFixed(0)} times as fast, ` +
    `${(sum.virtualMs / 1000 / busySeconds).toFixed(0)} times by processor time; ` +
    `fastest seed ${fastest.toFixed(0)}, slowest ${slowest.toFixed(0)} times; ${sum.events} events, ` +
    `${sum.heights} heights, ${sum.transactions} transactions`,
)
for (const kind of ['quiet', 'busy']) {
  const [ms, us] = [quietly.get(`${kind} ms`) ?? 0, quietly.get(`${kind} µs`) ?? 1]
  console.log(
    `${kind} seeds: ${(ms / 3_600_000).toFixed(2)} h, ${((ms * 1000) / us).toFixed(0)} times by processor time`,
  )
}
console.log(`faults: ${listed(injected)}`)
console.log(`lies: ${listed(lies)}`)
console.log(`network: ${listed(new Map(Object.entries(wires)))}`)
console.log(`clients: ${listed(answers)}`)
console.log(
  `checked: ${sum.statements} statements that left honest members, ${sum.certificates} certificates, ${sum.proofs} headers and proofs at light peers`,
)
console.log(`highest: ${listed(new Map(Object.entries(highest)))}`)
process.exitCode = sum.failed > 0 ? 1 : 0
