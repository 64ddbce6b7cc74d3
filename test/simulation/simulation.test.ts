import { describe, expect, it } from 'vitest'
import { CLOSING_FROM, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

describe('simulation', () => {
  it('28 seeds, n = 1 … 7, synchronous with liars and asynchronous without: agreement, no double signing, progress after healing', () => {
    for (let seed = 1; seed <= 28; seed++) {
      const violations = new World(scenarioOf(seed)).run()
      expect(violations, `npm run simulate -- --seed ${seed} --trace`).toEqual([])
    }
  }, 240_000)

  it('20 seeds about the ends of eras: closing blocks are struck, members sleep, eras are passed over; whoever left learns of it', () => {
    const struck = new Map<string, number>()
    for (let seed = CLOSING_FROM; seed < CLOSING_FROM + 20; seed++) {
      const world = new World(scenarioOf(seed))
      expect(world.run(), `npm run simulate -- --seed ${seed} --trace`).toEqual([])
      for (const [kind, times] of world.injected) struck.set(kind, (struck.get(kind) ?? 0) + times)
    }
    for (const kind of ['struck at the closing block', 'sleeps through eras', 'eras passed over'])
      expect(struck.get(kind), kind).toBeGreaterThan(0)
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
