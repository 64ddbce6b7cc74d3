/**
 * `npm run simulate -- --hunt [--from 1] [--seeds 2000] [--only 7a]`: for each mutant of agreement.md §9 the first seed, in the search narrowed to
 * it, that leads to the violation it is known by.
 */
import { MUTANTS, type Mutant } from './mutants.ts'
import { describeScenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

/** The first violation in a run of a mutant; undefined: none. */
export const violationOf = ({ focus, faults }: Mutant, seed: number): string | undefined =>
  new World({ ...scenarioOf(seed, focus), ...faults }).run()[0]

/** Hunts the mutants whose name begins with `only`. */
export function hunt(from: number, seeds: number, only: string): void {
  for (const mutant of MUTANTS) {
    if (!mutant.name.startsWith(only)) continue
    const began = Date.now()
    let caught = `not caught by ${seeds} seeds`
    for (let seed = from; seed < from + seeds; seed++) {
      const violation = violationOf(mutant, seed)
      if (violation === undefined || !mutant.leadsTo.test(violation)) continue
      caught = `seed ${seed} (${describeScenario(scenarioOf(seed, mutant.focus))}): ${violation}`
      break
    }
    console.log(`${mutant.name}: ${caught} (${((Date.now() - began) / 1000).toFixed(0)} s)`)
  }
}
