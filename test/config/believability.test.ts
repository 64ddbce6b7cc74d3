import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { believabilityRules } from '../../config/believability.ts'
import { ASPECTS, LEVELS } from '../../protocol/detect/believability.ts'

const text = readFileSync(new URL('../../config/believability.toml', import.meta.url), 'utf8')

describe('config/believability', () => {
  it('the file of the project has a rule for every aspect and every level', () => {
    const rules = believabilityRules(text)
    if (!('aspects' in rules)) throw new Error(rules.join('; '))
    expect(Object.keys(rules.aspects)).toEqual(Object.keys(ASPECTS))
    expect(Object.keys(rules.levels)).toEqual([...LEVELS])
  })

  it('the file says of each aspect what the code says', () => {
    for (const [aspect, unit] of Object.entries(ASPECTS)) expect(text, aspect).toContain(unit)
  })

  it('everything wrong is said at once: what is missing, misspelt, out of range or the wrong way round', () => {
    const broken = text
      .replace('memory = 0.3', 'memory = 7')
      .replace('[aspects.noise]', '[aspects.nose]')
      .replace('full = 3.0\nnone = 12.0\nweight = 1.0', 'full = 3.0\nnone = 2.0\nweight = "much"')
    const problems = believabilityRules(broken) as readonly string[]
    for (const part of [
      'memory',
      'aspects.nose is no rule',
      'aspects.noise is missing',
      'trend.none must be above',
      'trend.weight',
    ])
      expect(problems.join('\n')).toContain(part)
  })

  it('no TOML → that is said', () => {
    expect(believabilityRules('memory =')).toEqual([expect.stringContaining('it is no TOML')])
    expect(believabilityRules('')).toContain('aspects is missing')
  })
})
