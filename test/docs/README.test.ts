import { existsSync, readdirSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readProject } from '../tidy/source.ts'
import { ROOT, textOf } from './pages.ts'

const { pages } = readProject(ROOT.pathname)
/** Targets of the links in the page at `path`, from the root, without anchors and the web. */
const linksOf = (path: string): string[] =>
  [...(pages.get(path) ?? '').matchAll(/\]\((?!https?:|#)([^)\s]+)\)/g)].map((match) =>
    posix.join(dirname(path), (match[1] as string).replace(/#.*$/, '')),
  )

describe('docs/README.md', () => {
  it('docs: the map leads to every page of docs/ and to every README of the program', () => {
    const inDocs = readdirSync(new URL('docs/', ROOT)).filter((name) => name.endsWith('.md') && name !== 'README.md')
    const others = [...pages.keys()].filter((path) => path.endsWith('README.md') && !/^(?:docs|test)\//.test(path))
    expect(linksOf('docs/README.md').sort()).toEqual([...inDocs.map((name) => `docs/${name}`), ...others].sort())
  })

  it('docs: no link between pages leads nowhere', () => {
    const broken = [...pages.keys()].flatMap((path) =>
      linksOf(path)
        .filter((target) => !existsSync(new URL(target, ROOT)))
        .map((target) => `${path}: ${target}`),
    )
    expect(broken).toEqual([])
  })

  it('docs: every command of npm run that a page names is in package.json', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
    const named = [...pages].flatMap(([path, text]) =>
      [...text.matchAll(/npm run (?:-s )?([\w:]+)/g)].map((match) => ({ path, name: match[1] as string })),
    )
    expect(named.filter(({ name }) => !Object.hasOwn(scripts, name))).toEqual([])
  })
})
