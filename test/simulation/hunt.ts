/**
 * `npm run simulate -- --hunt [--seeds 300] [--from 1] [--only text]`: for each mutant of agreement.md §9, the first seed that catches it, or how many did not.
 */
import { MUTANTS } from './mutants.ts'
import { describeScenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

/** Hunts every mutant whose name contains `only`. */
export function hunt(from: number, seeds: number, only: string): void {
  for (const { name, ...faults } of MUTANTS) {
    if (!name.includes(only)) continue
    const began = Date.now()
    let caught: string | null = null
    let seed = from
    for (; seed < from + seeds && caught === null; seed++) {
      const scenario = scenarioOf(seed)
      const violation = new World({ ...scenario, ...faults }).run()[0]
      if (violation !== undefined) caught = `seed ${seed} (${describeScenario(scenario)}): ${violation}`
    }
    const seconds = ((Date.now() - began) / 1000).toFixed(0)
    console.log(`${name}: ${caught ?? `not caught by ${seeds} seeds`} (${seconds} s)`)
  }
}
