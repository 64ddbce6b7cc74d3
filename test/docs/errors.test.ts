import { describe, expect, it } from 'vitest'
import { exitCodeOf } from '../../cli/client.ts'
import { COMMAND_FAILURES, EXIT } from '../../cli/failure.ts'
import { FAILURES } from '../../node/failures.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { within } from '../tidy/rule.ts'
import { readProject } from '../tidy/source.ts'
import { codeRows, PAGES, ROOT, textOf } from './pages.ts'

const files = [...readProject(ROOT.pathname).sources.values()].filter(({ path }) => !within(path, 'test'))
const strings = files.flatMap(({ path, strings }) => strings.map(({ value, line }) => ({ path, value, line })))
const codes = codeRows().map(({ code }) => code)

/** Words of others that look like codes: environment variables, codes of Node.js, its HTTP parser, LevelDB and fastify, settings of glibc. */
const FOREIGN = /^(?:ALTHING|ERR|HPE|LEVEL|FST_ERR|MALLOC)_/

describe('docs/errors.md', () => {
  it('errors: the page is what the tables in the code say (`npm run docs` writes it)', () => {
    expect(textOf('docs/errors.md')).toBe(PAGES['docs/errors.md']?.())
  })

  it('errors: a code stands in one table only', () => {
    expect(codes.filter((code, i) => codes.indexOf(code) !== i)).toEqual([])
  })

  it('errors: whatever the program says that looks like a code is in a table', () => {
    const unknown = strings.filter(
      ({ value }) => /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/.test(value) && !FOREIGN.test(value) && !codes.includes(value),
    )
    expect(unknown).toEqual([])
  })

  it('errors: each code of a table is said somewhere', () => {
    const said = new Set(strings.map(({ value }) => value))
    expect(codes.filter((code) => !said.has(code) && code !== 'OK')).toEqual([])
  })

  it('errors: each code that a doc comment of the program names is in a table', () => {
    const families = new Set(codes.map((code) => code.split('_')[0]))
    const named = files.flatMap(({ path, text }) =>
      [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap(({ 0: comment }) =>
        [...comment.matchAll(/\b([A-Z]{2,})_[A-Z_]+\b(?!\.)/g)].map(([name, family]) => ({ path, name, family })),
      ),
    )
    const constants = new Set(
      files.flatMap(({ code }) => [...code.matchAll(/\bconst ([A-Z_]+)\b/g)].map((match) => match[1])),
    )
    expect(
      named.filter(
        ({ name, family }) =>
          families.has(family as string) && !codes.includes(name) && !constants.has(name) && !FOREIGN.test(name),
      ),
    ).toEqual([])
  })

  it('errors: a command fails with an exit code that its row has, and each row has no other', () => {
    const used = new Map<string, Set<number>>()
    for (const { path, text } of files.filter(({ path }) => within(path, 'cli') || within(path, 'testnet')))
      for (const [, code, exit] of text.matchAll(/new CommandError\(\s*'([A-Z_]+)',\s*(?:EXIT\.(\w+)|\w+)/g)) {
        // An exit code that is passed in is one of the row's by its type.
        const exits = exit === undefined ? [] : [EXIT[exit as keyof typeof EXIT]]
        used.set(code as string, new Set([...(used.get(code as string) ?? []), ...exits]))
        expect(typeof code === 'string' && codes.includes(code), `${path}: ${code}`).toBe(true)
      }
    for (const [code, exits] of used) {
      const verdict = VERDICTS[code as Code] as { httpStatus: number } | undefined
      const world = (FAILURES as Record<string, { exitCode: number | null }>)[code]
      const row = COMMAND_FAILURES[code]?.exits ?? [
        verdict === undefined ? world?.exitCode : exitCodeOf(verdict.httpStatus),
      ]
      expect(
        [...exits].filter((exit) => !(row as number[]).includes(exit)),
        code,
      ).toEqual([])
    }
    expect(Object.keys(COMMAND_FAILURES).filter((code) => !used.has(code))).toEqual([])
  })

  it('errors: the list of exit codes is that of the program', () => {
    const listed = [...textOf('docs/errors.md').matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]))
    expect(listed).toEqual(Object.values(EXIT))
    const exits = Object.values(FAILURES).flatMap(({ exitCode }) => (exitCode === null ? [] : [exitCode as number]))
    expect(exits.filter((exit) => !listed.includes(exit))).toEqual([])
  })
})
