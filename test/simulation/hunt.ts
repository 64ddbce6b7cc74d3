/**
 * `node test/simulation/hunt.ts [--seeds 300] [--only text]`: for each mutant of agreement.md §9, the first seed that catches it, or how many did not.
 */
import { parseArgs } from 'node:util'
import { MUTANTS } from './mutants.ts'
import { scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '300' }, only: { type: 'string', default: '' } },
})
for (const { name, rules } of MUTANTS) {
  if (!name.includes(values.only)) continue
  const began = Date.now()
  let caught: string | null = null
  for (let seed = 1; seed <= Number(values.seeds) && caught === null; seed++) {
    const scenario = scenarioOf(seed)
    if (scenario.n < 3) continue
    const violation = new World({ ...scenario, rules }).run()[0]
    if (violation !== undefined)
      caught = `seed ${seed} n=${scenario.n} ${scenario.synchronous ? 'sync' : 'async'}: ${violation}`
  }
  console.log(
    `${name}: ${caught ?? `not caught by ${values.seeds} seeds`} (${((Date.now() - began) / 1000).toFixed(0)} s)`,
  )
}
