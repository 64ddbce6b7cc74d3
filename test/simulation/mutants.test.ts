/**
 * The simulator sees what it must see: each faulty copy of the rules leads, on its seed, to the violation that it is known by, and the true rules
 * pass that very scenario.
 */
import { describe, expect, it } from 'vitest'
import { violationOf } from './hunt.ts'
import { MUTANTS } from './mutants.ts'
import { scenarioOf } from './scenario.ts'
import { World } from './world.ts'

describe('mutants of agreement.md §9', () => {
  it('each number is there', () => {
    const numbers = MUTANTS.map(({ name }) => Number.parseInt(name, 10))
    expect([...new Set(numbers)]).toEqual(Array.from({ length: 17 }, (_, i) => i + 1))
  })

  for (const mutant of MUTANTS)
    it(mutant.name, () => {
      expect(violationOf(mutant, mutant.seed)).toMatch(mutant.leadsTo)
      expect(new World(scenarioOf(mutant.seed, mutant.focus)).run()).toEqual([])
    }, 60_000)
})
