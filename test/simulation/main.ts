/**
 * `npm run simulate -- --seeds 2000 [--from 1] [--seed 7 --trace]`: runs seeds of the consensus simulator, prints the first failing one with the
 * command that replays it, and exits 1 if any failed.
 */
import { parseArgs } from 'node:util'
import { quorumSizes } from '../../protocol/members.ts'
import { type Scenario, World } from './world.ts'

/** The scenario that a seed stands for. */
export function scenarioOf(seed: number): Scenario {
  const n = 1 + (seed % 7)
  const synchronous = (seed >> 3) % 2 === 0
  const { f } = quorumSizes(n, 51)
  return {
    seed,
    n,
    synchronous,
    liars: synchronous ? f : 0,
    faultyMs: 8_000,
    healedMs: 60_000,
    termBlocks: [3, 5, 8, 100][seed % 4] as number,
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '2000' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean' },
    },
  })
  const first = Number(values.seed ?? values.from)
  const count = values.seed === undefined ? Number(values.seeds) : 1
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
    console.error('simulate: --seeds, --from and --seed take whole numbers')
    process.exit(64)
  }
  const began = Date.now()
  let failed = 0
  let heights = 0
  let steps = 0
  for (let seed = first; seed < first + count; seed++) {
    const scenario = scenarioOf(seed)
    const world = new World(scenario)
    world.tracing = values.trace ?? false
    const violations = world.run()
    if (values.trace) console.log(world.log.join('\n'))
    heights += world.checker.heightMax
    steps += world.steps
    if (violations.length > 0) {
      failed += 1
      if (failed <= 10)
        console.log(
          `seed ${seed} (n=${scenario.n}, ${scenario.synchronous ? `synchronous, ${scenario.liars} lying` : 'asynchronous'}): ${violations[0]}\n  replay: npm run simulate -- --seed ${seed} --trace`,
        )
    }
  }
  console.log(
    `${count} seeds, ${failed} failed, ${heights} blocks committed, ${steps} steps, ${((Date.now() - began) / 1000).toFixed(1)} s`,
  )
  process.exit(failed > 0 ? 1 : 0)
}
