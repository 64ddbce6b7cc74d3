import { describe, expect, it } from 'vitest'
import { scenarioOf } from './scenario.ts'
import { World } from './world.ts'

describe('simulation', () => {
  it('28 seeds, n = 1 … 7, synchronous with liars and asynchronous without: agreement, no double signing, progress after healing', () => {
    for (let seed = 1; seed <= 28; seed++) {
      const violations = new World(scenarioOf(seed)).run()
      expect(violations, `npm run simulate -- --seed ${seed} --trace`).toEqual([])
    }
  }, 240_000)

  it('one seed gives one run', () => {
    const runs = [1, 2].map(() => {
      const world = new World(scenarioOf(11))
      world.run()
      return [world.steps, world.queue.now, world.checker.heightMax]
    })
    expect(runs[0]).toEqual(runs[1])
  }, 60_000)
})
