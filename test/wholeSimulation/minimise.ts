/**
 * Making a failing run smaller: leaves out faults, liars, light peers, clients and weather while it still fails, and prints the command that replays
 * what is left.
 */
import { describeScenario, type Reduction, reduced, type Scenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

/** Whether a run fails, and how. */
export type Try = (scenario: Scenario) => Promise<string | undefined>

const failureOf: Try = async (scenario) => (await new World(scenario).run()).violations[0]

/** The smallest reduction found under which `scenario` still fails; undefined if it does not fail at all. */
export async function smallest(scenario: Scenario, attempt: Try = failureOf): Promise<Reduction | undefined> {
  if ((await attempt(scenario)) === undefined) return undefined
  let best: Reduction = { without: [] }
  const keepIfFails = async (next: Reduction): Promise<boolean> => {
    if ((await attempt(reduced(scenario, next))) === undefined) return false
    best = next
    return true
  }
  await keepIfFails({ ...best, lights: 0 })
  await keepIfFails({ ...best, clients: 0 })
  await keepIfFails({ ...best, calm: true })
  for (const member of scenario.liars.keys()) await keepIfFails({ ...best, honest: [...(best.honest ?? []), member] })
  // Halves, quarters …, then one by one.
  for (let size = Math.ceil(scenario.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < scenario.faults.length; from += size) {
      const more = Array.from({ length: size }, (_, i) => from + i).filter(
        (i) => i < scenario.faults.length && !best.without.includes(i),
      )
      if (more.length > 0) await keepIfFails({ ...best, without: [...best.without, ...more] })
    }
  }
  return best
}

/** Makes the run of `seed` smaller and says what is left. */
export async function minimise(seed: number, say: (line: string) => void): Promise<void> {
  const scenario = scenarioOf(seed)
  const reduction = await smallest(scenario)
  if (reduction === undefined) return say(`seed ${seed} does not fail`)
  const left = reduced(scenario, reduction)
  say(`seed ${seed}: ${describeScenario(left)}`)
  for (const fault of left.faults) say(`  ${JSON.stringify(fault)}`)
  say(`  ${await failureOf(left)}`)
  say(`  replay: npm run simulate:whole -- --seed ${seed} --trace --without '${JSON.stringify(reduction)}'`)
}
