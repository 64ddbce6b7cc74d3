/**
 * `npm run simulate -- --seeds 2000 [--from 1] [--seed 7 --trace]`: runs seeds of the consensus simulator, prints the first failing ones with the
 * command that replays each, and exits 1 if any failed. `--hunt [--only 7a]`: hunts the mutants instead (hunt.ts).
 */
import { parseArgs } from 'node:util'
import { hunt } from './hunt.ts'
import { describeScenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean' },
    hunt: { type: 'boolean' },
    only: { type: 'string', default: '' },
  },
})
const first = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error('simulate: --seeds, --from and --seed take whole numbers')
  process.exit(64)
}
if (values.hunt) {
  hunt(first, count, values.only)
  process.exit()
}
const began = Date.now()
let failed = 0
let heights = 0
let steps = 0
let entries = 0
const kinds = new Map<string, number>()
for (let seed = first; seed < first + count; seed++) {
  const scenario = scenarioOf(seed)
  const world = new World(scenario)
  if (values.trace) world.log = []
  const violations = world.run()
  if (world.log !== null) console.log(world.log.join('\n'))
  heights += world.checker.heightMax
  steps += world.steps
  entries = Math.max(entries, world.checker.stateEntriesMax)
  kinds.set(scenario.kind, (kinds.get(scenario.kind) ?? 0) + 1)
  if (violations.length === 0) continue
  failed += 1
  if (failed <= 20)
    console.log(
      `seed ${seed} (${describeScenario(scenario)}): ${violations[0]}\n  replay: npm run simulate -- --seed ${seed} --trace`,
    )
}
const of = [...kinds].map(([kind, runs]) => `${runs} ${kind}`).join(', ')
console.log(
  `${count} seeds (${of}), ${failed} failed, ${heights} blocks committed, ${steps} steps, at most ${entries} entries in one state, ${((Date.now() - began) / 1000).toFixed(1)} s`,
)
process.exitCode = failed > 0 ? 1 : 0
