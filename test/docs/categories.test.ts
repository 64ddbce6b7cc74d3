import { describe, expect, it } from 'vitest'
import { CATEGORIES } from '../../protocol/kinds/report/categories.ts'
import { PAGES, textOf } from './pages.ts'

describe('docs/categories.md', () => {
  it('categories: the page is what `npm run docs` makes of the list', () => {
    expect(textOf('docs/categories.md')).toBe(PAGES['docs/categories.md']?.())
  })

  it('categories: each points to a technique of ATT&CK for ICS, and no technique has two names', () => {
    const names = new Map<string, string>()
    for (const { technique, techniqueName } of Object.values(CATEGORIES)) {
      expect(technique).toMatch(/^T08[0-9]{2}$/)
      expect(names.get(technique) ?? techniqueName).toBe(techniqueName)
      names.set(technique, techniqueName)
    }
  })
})
