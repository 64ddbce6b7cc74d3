// biome-ignore-all lint/suspicious/noTemplateCurlyInString: source code as text
import { describe, expect, it } from 'vitest'
import { sourceOf } from './source.ts'

const codeOf = (text: string): string => sourceOf('a.ts', text).code

describe('tidy, source', () => {
  it('source: comments and contents of strings and expressions are blank, everything stays in its place', () => {
    for (const [text, code] of [
      ['a // b\nc', 'a     \nc'],
      ['a /* b\n */ c', 'a     \n    c'],
      ["f('//', b)", "f('  ', b)"],
      ["f('\\'', b)", "f('  ', b)"],
      ['`a ${b + `c ${d}`} e` + f', '`  ${b + `  ${d}`}  ` + f'],
      ['`${{ a: 1 }.a}` + b', '`${{ a: 1 }.a}` + b'],
      ['a = /["/]\\//.test(b)', 'a = /      /.test(b)'],
      ['a = b / c / d // e', 'a = b / c / d     '],
    ] as const) {
      expect(codeOf(text)).toBe(code)
      expect(codeOf(text).length).toBe(text.length)
    }
  })

  it('source: what does not end, ends with the file', () => {
    for (const text of ["'a", '`a ${b', 'a = /b', '/* a']) expect(codeOf(text).length).toBe(text.length)
  })

  it('source: imports, each with its names and how it is made', () => {
    const { imports } = sourceOf(
      'node/a/b.ts',
      [
        "import type { A, B as C } from '../c.ts'",
        "import { type D, e } from './d.ts'",
        "import f, { g } from 'pkg/sub'",
        "import * as h from '@scope/pkg'",
        "import './i.ts'",
        "export { j } from './j.ts'",
        "  const { k, l: m } = await import('./k.ts')",
        "  createRequire(import.meta.url)('native')",
        "// import { n } from './n.ts'",
      ].join('\n'),
    )
    expect(
      imports.map(({ module, file, names, typeOnly, dynamic }) => [file ?? module, names, typeOnly, dynamic]),
    ).toEqual([
      ['node/c.ts', ['A', 'B'], true, false],
      ['node/a/d.ts', ['D', 'e'], false, false],
      ['pkg/sub', ['g', 'default'], false, false],
      ['@scope/pkg', ['*'], false, false],
      ['node/a/j.ts', ['j'], false, false],
      ['node/a/i.ts', [], false, false],
      ['node/a/k.ts', ['k', 'l'], false, true],
      ['native', ['*'], false, true],
    ])
  })

  it('source: exports, and whether a doc comment stands before each', () => {
    const { exports } = sourceOf(
      'a.ts',
      [
        '/** A. */\nexport const a = 1',
        'export type B = string',
        '/** C. */\n// biome-ignore lint/x: y\nexport async function* c() {}',
        '/* not a doc comment */\nexport class D {}',
        'export { e, f as g }',
      ].join('\n'),
    )
    expect(exports.map(({ name, documented, line }) => [name, documented, line])).toEqual([
      ['a', true, 2],
      ['B', false, 3],
      ['c', true, 6],
      ['D', false, 8],
      ['e', true, 9],
      ['g', true, 9],
    ])
  })
})
