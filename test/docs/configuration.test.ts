import { expect, it } from 'vitest'
import { althing, temporaryFolder } from '../cli/process.ts'
import { PAGES, textOf } from './pages.ts'

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
