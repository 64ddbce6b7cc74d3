/** What a rule of the house is, and what rules share: which files count, and how a breach is named. */
import type { Import, Project, Source } from './source.ts'

/** One place that breaks a rule. */
export type Breach = {
  /** Name that outlives changes of lines: `path`, `path#name` or a package. exceptions.ts tolerates by it. */
  readonly key: string
  /** For people: where and what. */
  readonly text: string
  /** How much it breaks the rule, where that can be counted. */
  readonly size?: number
}

/** One rule. A rule that finds nothing in its `example` (files by path that break it) has rotted. */
export type Rule = {
  /** By which exceptions.ts names it. */
  readonly name: string
  readonly sentence: string
  readonly check: (project: Project) => Breach[]
  readonly example: Readonly<Record<string, string>>
}

/** A breach that is tolerated: why, and up to what size. */
export type Tolerance = { readonly reason: string; readonly sizeMax?: number }

/** Folders whose code is part of the program. */
const SHIPPED = ['bin', 'cli', 'config', 'node', 'protocol', 'testnet']

/** The first folder of `path`. */
export const folderOf = (path: string): string => path.split('/', 1)[0] as string
/** Whether `path` is `folder` or below it. */
export const within = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)
/** Every source file. */
export const everyFile = (project: Project): Source[] => [...project.sources.values()]
/** The source files of the program. */
export const programFiles = (project: Project): Source[] =>
  everyFile(project).filter(({ path }) => SHIPPED.includes(folderOf(path)))
/** The source files that are not part of the program. */
export const testFiles = (project: Project): Source[] =>
  everyFile(project).filter(({ path }) => !SHIPPED.includes(folderOf(path)))
/** Name of the package of a module, such as `@noble/hashes`. */
export const packageOf = (module: string): string => module.split('/', module.startsWith('@') ? 2 : 1).join('/')
/** Whether something is imported from a package, not from a file or from Node.js. */
export const isPackage = ({ module }: Import): boolean => !module.startsWith('.') && !module.startsWith('node:')
/** Line of `offset` in `text`, from 1. */
export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length

/** The breach of `path` at `line`. */
export const breach = (path: string, line: number, what: string): Breach => ({
  key: path,
  text: `${path}:${line}: ${what}`,
})

/** A breach for each place where `pattern` (with the flag g) stands in `text`. */
export const places = (path: string, text: string, pattern: RegExp, advice = ''): Breach[] =>
  [...text.matchAll(pattern)].map(({ 0: match, index }) => breach(path, lineOf(text, index), match.trim() + advice))

/** A breach for each import of the files that `isWrong`. */
export const wrongImports = (
  files: readonly Source[],
  isWrong: (one: Import, source: Source) => boolean,
  what: (one: Import) => string = ({ file, module }) => `imports ${file ?? module}`,
): Breach[] =>
  files.flatMap((source) =>
    source.imports
      .filter((one) => isWrong(one, source))
      .map((one) => ({
        key: `${source.path}#${one.file ?? packageOf(one.module)}`,
        text: `${source.path}:${one.line}: ${what(one)}`,
      })),
  )
