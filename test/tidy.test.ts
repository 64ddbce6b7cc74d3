/** The rules of the house as tests: each holds for the repository, and each finds the breach in its example. */
import { describe, expect, it } from 'vitest'
import { EXCEPTIONS } from './tidy/exceptions.ts'
import { IMPORT_RULES } from './tidy/imports.ts'
import type { Breach } from './tidy/rule.ts'
import { projectOf, readProject } from './tidy/source.ts'
import { TEXT_RULES } from './tidy/text.ts'
import { USE_RULES } from './tidy/use.ts'

const repository = readProject(new URL('..', import.meta.url).pathname)
const rules = [...IMPORT_RULES, ...TEXT_RULES, ...USE_RULES]

describe('tidy', () => {
  for (const { name, sentence, check, example } of rules) {
    const tolerated = EXCEPTIONS[name] ?? {}
    const isTolerated = ({ key, size = 0 }: Breach): boolean =>
      tolerated[key] !== undefined && size <= (tolerated[key].sizeMax ?? size)

    it(`${name}: ${sentence}`, () => {
      const found = check(repository)
      expect(found.filter((one) => !isTolerated(one)).map(({ text }) => text)).toEqual([])
      const stale = Object.keys(tolerated).filter((key) => !found.some((one) => one.key === key))
      expect(stale, `take these rows of “${name}” out of test/tidy/exceptions.ts`).toEqual([])
    })

    it(`${name}: a breach is found`, () => {
      expect(check(projectOf(example)).length).toBeGreaterThan(0)
    })
  }

  it('exceptions: each is of a rule that there is', () => {
    expect(Object.keys(EXCEPTIONS).filter((name) => !rules.some((rule) => rule.name === name))).toEqual([])
  })
})
