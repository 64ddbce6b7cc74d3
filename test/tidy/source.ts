/**
 * Source files as the rules of the house see them: what is code, what is comment, what is imported and exported. A small scanner and a few
 * expressions; the house is formatted by biome, so top-level statements begin in the first column.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'

/** One import, static or not. */
export type Import = {
  /** The module as written. */
  readonly module: string
  /** Path from the root where the module is one of ours, else undefined. */
  readonly file: string | undefined
  /** Imported names, as exported there; `*` for all of them. */
  readonly names: readonly string[]
  readonly typeOnly: boolean
  readonly dynamic: boolean
  readonly line: number
}

/** One exported thing. */
export type Export = { readonly name: string; readonly line: number; readonly documented: boolean }

/** A file. Paths count from the root and have forward slashes. */
export type Source = {
  readonly path: string
  readonly text: string
  /** The text with comments and what stands in strings and regular expressions made blank; every character in its place. */
  readonly code: string
  /** Contents of strings without substitutions. */
  readonly strings: readonly { readonly value: string; readonly line: number }[]
  readonly imports: readonly Import[]
  readonly exports: readonly Export[]
}

/** The repository: TypeScript files, and pages of text beside them. */
export type Project = {
  readonly sources: ReadonlyMap<string, Source>
  /** Markdown, by path. */
  readonly pages: ReadonlyMap<string, string>
  readonly package: {
    readonly dependencies: Readonly<Record<string, string>>
    readonly devDependencies: Readonly<Record<string, string>>
    readonly scripts: Readonly<Record<string, string>>
  }
}

/** Folders that are read. */
const FOLDERS = ['bin', 'build', 'cli', 'config', 'docs', 'node', 'protocol', 'test', 'testnet']

/** Not TypeScript, though it looks like it: AssemblyScript with a compiler of its own. */
const LEFT_OUT = 'protocol/modules/assembly/'

/** A project made of texts by path. */
export function projectOf(files: Readonly<Record<string, string>>): Project {
  const sources = new Map<string, Source>()
  const pages = new Map<string, string>()
  for (const [path, text] of Object.entries(files))
    if (path.endsWith('.ts')) sources.set(path, sourceOf(path, text))
    else if (path.endsWith('.md')) pages.set(path, text)
  const empty = { dependencies: {}, devDependencies: {}, scripts: {} }
  return { sources, pages, package: { ...empty, ...JSON.parse(files['package.json'] ?? '{}') } }
}

/** The project in the folder `root`, as it is on disk. */
export function readProject(root: string): Project {
  const files: Record<string, string> = {}
  const read = (path: string): void => {
    files[path] = readFileSync(join(root, path), 'utf8')
  }
  for (const entry of readdirSync(root, { withFileTypes: true }))
    if (entry.isFile() && /\.(?:ts|md)$|^package\.json$/.test(entry.name)) read(entry.name)
    else if (entry.isDirectory() && FOLDERS.includes(entry.name))
      for (const path of readdirSync(join(root, entry.name), { recursive: true, encoding: 'utf8' }))
        if (/\.(?:ts|md)$/.test(path) && !`${entry.name}/${path}`.startsWith(LEFT_OUT))
          read(`${entry.name}/${path.replaceAll('\\', '/')}`)
  return projectOf(files)
}

/** What `text` at `path` holds. */
export function sourceOf(path: string, text: string): Source {
  const { code, strings } = scan(text)
  const lineAt = (offset: number): number => text.slice(0, offset).split('\n').length
  return {
    path,
    text,
    code,
    strings: strings.map(({ start, end }) => ({ value: text.slice(start, end), line: lineAt(start) })),
    imports: importsOf(path, text, code, lineAt),
    exports: exportsOf(text, code, lineAt),
  }
}

type Span = { readonly start: number; readonly end: number }

/** Before these a slash begins a regular expression, after anything else it divides. */
const BEFORE_EXPRESSION = /(?:^|[([{,;=:!&|?+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|yield|await|void))$/

function scan(text: string): { code: string; strings: Span[] } {
  const code = text.split('')
  const strings: Span[] = []
  const blank = (start: number, end: number): void => {
    for (let i = start; i < end; i++) if (code[i] !== '\n') code[i] = ' '
  }
  // For each template literal that is open around the place: how many braces are open in its substitution.
  const braces: number[] = []
  let at = 0
  const template = (start: number): void => {
    let end = start
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1
    blank(start, end)
    if (text[end] === '$') braces.push(0)
    at = end + (text[end] === '$' ? 2 : 1)
  }
  while (at < text.length) {
    const char = text[at] as string
    if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at)
      blank(at, end < 0 ? text.length : end)
      at = end < 0 ? text.length : end
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at) + 2
      blank(at, end)
      at = end
    } else if (char === "'" || char === '"') {
      let end = at + 1
      while (end < text.length && text[end] !== char) end += text[end] === '\\' ? 2 : 1
      strings.push({ start: at + 1, end })
      blank(at + 1, end)
      at = end + 1
    } else if (char === '`') template(at + 1)
    else if (
      char === '/' &&
      BEFORE_EXPRESSION.test(
        code
          .slice(Math.max(0, at - 60), at)
          .join('')
          .trimEnd(),
      )
    ) {
      let end = at + 1
      for (let inClass = false; end < text.length && (text[end] !== '/' || inClass); end++) {
        if (text[end] === '\\') end++
        else if (text[end] === '[') inClass = true
        else if (text[end] === ']') inClass = false
      }
      blank(at + 1, end)
      at = end + 1
    } else {
      const open = braces.length - 1
      if (open >= 0 && char === '{') braces[open] = (braces[open] as number) + 1
      if (open >= 0 && char === '}') {
        if (braces[open] === 0) {
          braces.pop()
          template(at + 1)
          continue
        }
        braces[open] = (braces[open] as number) - 1
      }
      at++
    }
  }
  return { code: code.join(''), strings }
}

type LineAt = (offset: number) => number

function importsOf(path: string, text: string, code: string, lineAt: LineAt): Import[] {
  const found: Import[] = []
  const add = (offset: number, length: number, names: readonly string[], typeOnly: boolean, dynamic: boolean): void => {
    const module = text.slice(offset, offset + length)
    const file = module.startsWith('.') ? posix.join(dirname(path), module) : undefined
    found.push({ module, file, names, typeOnly, dynamic, line: lineAt(offset) })
  }
  // import … from '…', export … from '…'
  for (const match of code.matchAll(/^(?:import|export)\b([^'";=]*?)\bfrom (['"])( *)\2/gm)) {
    const clause = match[1] as string
    const offset = match.index + match[0].length - 1 - (match[3] as string).length
    const braced = /\{([^}]*)\}/.exec(clause)?.[1] ?? ''
    const listed = braced.split(',').map((part) => part.trim().replace(/^type /, ''))
    const names = listed.filter((part) => part !== '').map((part) => part.split(/ as /)[0] as string)
    const outside = clause.replace(/\{[^}]*\}/, '')
    if (outside.includes('*')) names.push('*')
    else if (/^\s*(?:type )?\w/.test(outside.replace(/^\s*type\s*$/, ''))) names.push('default')
    const inline = braced.trim() !== '' && braced.split(',').every((part) => /^\s*(?:type |$)/.test(part))
    add(offset, (match[3] as string).length, names, /^\s*type\b/.test(clause) || inline, false)
  }
  // import '…'
  for (const match of code.matchAll(/^import (['"])( *)\1/gm))
    add(match.index + 8, (match[2] as string).length, [], false, false)
  // import('…') and createRequire(…)('…'); the names, where they are taken apart at once.
  for (const match of code.matchAll(
    /(?:const \{([^}]*)\} = await )?(?:\bimport|\bcreateRequire\([^)]*\))\(\s*(['"])( *)\2/g,
  )) {
    const names = match[1]?.split(',').map((part) => (part.trim().split(':')[0] as string).trim())
    const length = (match[3] as string).length
    add(match.index + match[0].length - 1 - length, length, names ?? ['*'], false, true)
  }
  return found
}

function exportsOf(text: string, code: string, lineAt: LineAt): Export[] {
  const found: Export[] = []
  const declared =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|type|interface|enum) (\w+|\{[^}]*\})/gm
  for (const match of code.matchAll(declared)) {
    const documented = isDocumented(text.slice(0, match.index))
    const name = match[1] as string
    const names = name.startsWith('{')
      ? [...name.matchAll(/(\w+)\s*(?:,|\})/g)].map((part) => part[1] as string)
      : [name]
    for (const one of names) found.push({ name: one, line: lineAt(match.index), documented })
  }
  // export { a, b as c }: documented where it is declared.
  for (const match of code.matchAll(/^export (?:type )?\{([^}]*)\}/gm))
    for (const part of (match[1] as string).split(',').map((one) => one.trim().replace(/^type /, '')))
      if (part !== '')
        found.push({ name: part.split(' as ').at(-1) as string, line: lineAt(match.index), documented: true })
  return found
}

/** Whether what stands before a declaration ends with a doc comment; lines for the linter may stand in between. */
function isDocumented(before: string): boolean {
  const comment = before.replace(/(?:^\/\/ .*\n)+$/m, '').trimEnd()
  return comment.endsWith('*/') && comment.slice(comment.lastIndexOf('/*')).startsWith('/**')
}
