import { describe, expect, it } from 'vitest'
import { SETTING_ROWS } from '../../config/settings.ts'
import { althing, temporaryFolder } from '../cli/process.ts'
import { within } from '../tidy/rule.ts'
import { readProject } from '../tidy/source.ts'
import { PAGES, ROOT, textOf } from './pages.ts'

/** Settings that nothing reads: they are promised and not kept. A row that is read again is an error: take it out. */
const UNREAD: readonly string[] = []

describe('docs/configuration.md', () => {
  it('configuration: the page, `althing config docs` and the table of settings say the same (`npm run docs` writes it)', async () => {
    const page = textOf('docs/configuration.md')
    expect(page).toBe(PAGES['docs/configuration.md']?.())
    const folder = temporaryFolder()
    try {
      expect(await althing(folder.path, ['config', 'docs'])).toEqual({ code: 0, stdout: page, stderr: '' })
    } finally {
      folder.remove()
    }
  })

  it('configuration: each setting is read by the program', () => {
    const code = [...readProject(ROOT.pathname).sources.values()]
      .filter(({ path }) => ['node', 'cli', 'testnet'].some((folder) => within(path, folder)))
      .map((source) => source.code)
      .join('\n')
    // section.property, or property taken out of a section at once.
    const isRead = ({ section, property }: (typeof SETTING_ROWS)[number]): boolean =>
      new RegExp(
        `\\b${section}\\.${property}\\b|\\{[^{}]*\\b${property}\\b[^{}]*\\}(?:[^\\n]*\\bNodeConfig\\[| = (?:\\w+\\.)*${section}\\b)`,
      ).test(code)
    expect(SETTING_ROWS.filter((row) => !isRead(row)).map(({ name }) => name)).toEqual(UNREAD)
  })
})
