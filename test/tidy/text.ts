/** Rules about what stands in a file: comments, leftovers, lengths, names. */
import { type Breach, breach, everyFile, folderOf, places, programFiles, type Rule } from './rule.ts'
import type { Project } from './source.ts'

const LINE_CHARACTERS_MAX = 150
const FILE_LINES_MAX = 500

const barrels = (project: Project): Breach[] =>
  everyFile(project).flatMap(({ path, code }) => [
    ...(/(?:^|\/)index\.ts$/.test(path) ? [breach(path, 1, 'a barrel')] : []),
    ...places(path, code, /^export \*/gm),
  ])

const undocumented = (project: Project): Breach[] =>
  programFiles(project).flatMap(({ path, exports }) =>
    exports
      .filter(({ documented }) => !documented)
      .map(({ name, line }) => ({ key: `${path}#${name}`, text: `${path}:${line}: ${name}` })),
  )

const headless = (project: Project): Breach[] =>
  programFiles(project).flatMap(({ path, text }) => (text.startsWith('/**') ? [] : [breach(path, 1, 'no comment')]))

// Put together, so that this file does not hold what it looks for.
const anyOf = (...words: [string, string][]): RegExp => new RegExp(words.map((parts) => parts.join('')).join('|'), 'g')
const LEFTOVER = anyOf(['\\bTO', 'DO\\b'], ['\\bFIX', 'ME\\b'], ['\\bX', 'XX\\b'], ['\\bfor', ' now\\b'])
const MACHINE_PATH = anyOf(
  ['(?<![\\w.>)])/wo', 'rk/'],
  ['(?<![\\w.>)])/ro', 'ot/(?!\\.ssh)'],
  ['(?<![\\w.>)])/ho', 'me/(?!althing)'],
  ['(?<![\\w.>)])/Us', 'ers/'],
)

const leftovers = (project: Project): Breach[] => {
  const texts = [...everyFile(project).map(({ path, text }) => [path, text] as const), ...project.pages]
  return [
    ...texts.flatMap(([path, text]) => [...places(path, text, LEFTOVER), ...places(path, text, MACHINE_PATH)]),
    ...everyFile(project).flatMap(({ path, code }) =>
      places(path, code, /\.(?:only|skip|todo)\(/g, ': say with skipIf, and in the name, where it does not run'),
    ),
  ]
}

const skipped = (project: Project): Breach[] =>
  everyFile(project).flatMap(({ path, text, code }) =>
    [...code.matchAll(/\.(?:skipIf|runIf)\(/g)].flatMap(({ index }) =>
      // The name is the first string after the condition.
      /\(skipped (?:where|without|unless|if) /.test(text.slice(index, index + 400))
        ? []
        : places(path, code.slice(0, index + 1), /\.$/g, 'skipIf without “(skipped where …)” in the name'),
    ),
  )

const longLines = (project: Project): Breach[] =>
  everyFile(project).flatMap(({ path, text }) => {
    const long = text.split('\n').flatMap((line, i) => (line.length > LINE_CHARACTERS_MAX ? [i + 1] : []))
    return long.length === 0 ? [] : [{ key: path, text: `${path}: lines ${long.join(', ')}`, size: long.length }]
  })

const longFiles = (project: Project): Breach[] =>
  everyFile(project).flatMap(({ path, text }) => {
    const lines = text.trimEnd().split('\n').length
    return lines <= FILE_LINES_MAX ? [] : [{ key: path, text: `${path}: ${lines} lines`, size: lines }]
  })

/** Folders whose tests stand in a folder of the same name below test/. */
const MIRRORED = ['cli', 'config', 'docs', 'node', 'protocol', 'testnet']

function mirrors(project: Project): Breach[] {
  const present = [...project.sources.keys(), ...project.pages.keys()]
  return everyFile(project).flatMap(({ path, text }) => {
    const subject = /^test\/(.*)\.test\.ts$/.exec(path)?.[1]
    if (subject === undefined || !MIRRORED.includes(folderOf(subject)) || text.startsWith('/**')) return []
    return present.some((one) => one === `${subject}.ts` || one === `${subject}.md` || one.startsWith(`${subject}/`))
      ? []
      : [breach(path, 1, `there is no ${subject}.ts, and no comment says what it tests`)]
  })
}

/** The rules about what stands in a file. */
export const TEXT_RULES: readonly Rule[] = [
  {
    name: 'barrels',
    sentence: 'there is no index.ts and no export *',
    check: barrels,
    example: { 'node/index.ts': "export * from './a.ts'\n" },
  },
  {
    name: 'documented',
    sentence: 'every exported thing has a doc comment',
    check: undocumented,
    example: { 'node/a.ts': '/** Documented. */\nexport const a = 1\nexport const b = 2\n' },
  },
  {
    name: 'headers',
    sentence: 'every file of the program begins with a comment: its stage and its invariants',
    check: headless,
    example: { 'node/a.ts': "import { b } from './b.ts'\n" },
  },
  {
    name: 'leftovers',
    sentence: 'nothing is left over: no markers, no lone or muted tests, no paths of one machine',
    check: leftovers,
    example: { 'docs/a.md': `${['FIX', 'ME'].join('')}\n` },
  },
  {
    name: 'skipped',
    sentence: 'a test that is skipped somewhere says where in its name',
    check: skipped,
    example: { 'test/a.test.ts': "it.skipIf(true)('something', () => {})\n" },
  },
  {
    name: 'lines',
    sentence: `no line has more than ${LINE_CHARACTERS_MAX} characters`,
    check: longLines,
    example: { 'node/a.ts': `// ${'x'.repeat(LINE_CHARACTERS_MAX)}\n` },
  },
  {
    name: 'files',
    sentence: `no file has more than ${FILE_LINES_MAX} lines`,
    check: longFiles,
    example: { 'node/a.ts': 'a\n'.repeat(FILE_LINES_MAX + 1) },
  },
  {
    name: 'mirrors',
    sentence: 'a test stands where its source does, or begins by saying what it tests',
    check: mirrors,
    example: { 'test/node/a.test.ts': "import { it } from 'vitest'\n" },
  },
]
