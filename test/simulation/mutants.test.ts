/**
 * The simulator sees what it must see: each faulty copy of the rules fails on the seed that a search (`npm run simulate -- --hunt`) found for it,
 * and the true rules pass that very scenario. NOT_CAUGHT says openly which mutants no search has caught.
 */
import { describe, expect, it } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { type Focus, scenarioOf } from './scenario.ts'
import { World } from './world.ts'

const DIRECTED: Focus = { kinds: ['synchronous'], themes: ['director', 'flaps'], sizes: [[3], [5], [7]] }
const SLOW: Focus = { kinds: ['synchronous'], themes: ['stalls', 'disks'], sizes: [[3], [5], [7]] }
/** Number of the mutant, seed, and what the search was narrowed to. */
const CAUGHT: readonly (readonly [string, number, Focus?])[] = [
  ['1', 68],
  ['3', 1],
  ['4', 341],
  ['5a', 369],
  ['5b', 278],
  ['6', 16],
  ['7a', 369],
  ['7b', 7, DIRECTED],
  ['7c', 452, DIRECTED],
  ['8a', 1],
  ['8b', 2],
  ['8c', 1],
  ['9', 455],
  ['10', 4],
  ['13a', 114, SLOW],
  ['13b', 178],
  ['14', 8],
  ['15', 323],
  ['17', 353],
]
const NOT_CAUGHT = ['2', '11', '12', '16']
const numberOf = (name: string): string => name.slice(0, name.indexOf(' '))

describe('mutants', () => {
  it('each is listed, as caught or as not caught', () => {
    expect([...CAUGHT.map(([number]) => number), ...NOT_CAUGHT].sort()).toEqual(
      MUTANTS.map(({ name }) => numberOf(name)).sort(),
    )
  })

  for (const { name, ...faults } of MUTANTS) {
    const found = CAUGHT.find(([number]) => number === numberOf(name))
    if (found === undefined) continue
    it(name, () => {
      const scenario = scenarioOf(found[1], found[2])
      expect(new World({ ...scenario, ...faults }).run()).not.toEqual([])
      expect(new World(scenario).run()).toEqual([])
    }, 60_000)
  }
})
