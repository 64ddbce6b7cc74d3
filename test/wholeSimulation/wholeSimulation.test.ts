/** The simulator of whole members itself: a bounded number of seeds, that a seed is one run, and that it catches what it must. */
import { describe, expect, it } from 'vitest'
import { smallest } from './minimise.ts'
import { ADDITIONS_FROM, reduced, type Scenario, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const run = (scenario: Scenario) => new World(scenario).run()

describe('whole members under a simulated clock, network and disk', () => {
  it('12 seeds, 1 … 7 members, lies, crashes, full and failing disks: nothing that must not be seen, and progress once healed', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const { violations } = await run(scenarioOf(seed))
      expect(violations, `npm run simulate:whole -- --seed ${seed} --trace`).toEqual([])
    }
  }, 300_000)

  /**
   * Loss of power with bodies in memory; lying answers; a wait beyond the stop; a proposal let go; a failed write; ids no header names; the end of an
   * era that one member saw, which left.
   */
  it.each([2, 29, 56, 35, 3085, 6031, 5200, 10260, 200_007])(
    'seed %i, which has found something, passes',
    async (seed) => {
      expect((await run(scenarioOf(seed))).violations).toEqual([])
    },
    120_000,
  )

  it('7 seeds while members, keys and parameters change: eras begin, leaders of closing blocks are struck, nothing is wrong', async () => {
    const struck = new Map<string, number>()
    for (let seed = 40_000; seed < 40_007; seed++) {
      const { violations, injected } = await run(scenarioOf(seed))
      expect(violations, `npm run simulate:whole -- --seed ${seed} --trace`).toEqual([])
      for (const [kind, times] of injected) struck.set(kind, (struck.get(kind) ?? 0) + times)
    }
    const eras = [...struck].filter(([kind]) => kind.startsWith('era by')).reduce((sum, [, times]) => sum + times, 0)
    expect(eras).toBeGreaterThan(0)
    expect(struck.get('struck at the closing block')).toBeGreaterThan(0)
  }, 300_000)

  it('an hour with little in it passes in a moment: the members sleep while nothing is to be done', async () => {
    const still = { ...scenarioOf(ADDITIONS_FROM), n: 4, lights: 0, clients: 0, liars: new Map(), faults: [] }
    const parameters = { ...still.parameters, heartbeatMs: 60_000, inclusionTimeoutMs: 120_000 }
    const { violations, events } = await run({
      ...still,
      parameters,
      isQuiet: true,
      candidates: 0,
      faultyMs: 3_600_000,
    })
    expect(violations).toEqual([])
    // Questions for the others' heights, echoes, 60 blocks. Looks at the own lateness alone were 600 a second.
    expect(events).toBeLessThan(60 * 3600)
  }, 120_000)

  it('one seed is one run: the same hash of everything that happened, another for another seed', async () => {
    const [first, again, other] = [await run(scenarioOf(7)), await run(scenarioOf(7)), await run(scenarioOf(8))]
    expect(again).toEqual(first)
    expect(other.trace).not.toBe(first.trace)
  }, 120_000)

  it('disks that acknowledge writes and forget them are found out', async () => {
    const found: string[] = []
    for (let seed = 1; seed <= 12 && found.length === 0; seed++)
      found.push(...(await run({ ...scenarioOf(seed), forgetful: true })).violations)
    expect(found.length).toBeGreaterThan(0)
  }, 120_000)
})

describe('making a failing run smaller', () => {
  const scenario = { ...scenarioOf(3), liars: new Map([[0, 'flood' as const]]) }

  it('leaves out every fault, liar and client that the failure does not need', async () => {
    const needed = [scenario.faults[2], scenario.faults[5]]
    const attempt = async ({ faults, liars }: Scenario) =>
      needed.every((one) => one !== undefined && faults.includes(one)) && liars.has(0) ? 'failed' : undefined
    const reduction = await smallest(scenario, attempt)
    if (reduction === undefined) throw new Error('it fails as it is')
    const left = reduced(scenario, reduction)
    expect(left.faults).toEqual(needed)
    expect([...left.liars.keys()]).toEqual([0])
    expect([left.lights, left.clients]).toEqual([0, 0])
  })

  it('a run that does not fail is not made smaller', async () => {
    expect(await smallest(scenario, async () => undefined)).toBeUndefined()
  })
})
