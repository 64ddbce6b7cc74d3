/**
 * Reads the public data sets that the project does not hold: `ALTHING_DATA`, else ../shared/data beside the root of the project.
 * Invariant: files are found by walking the folders, so that more files of the same kinds are used as they are.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** The folder with the data sets. */
export const DATA = process.env['ALTHING_DATA'] ?? '../shared/data'

/** Whether the data set `name` is here. */
export const hasData = (name: string): boolean => existsSync(join(DATA, name))

/** Paths of all files below `folder` of the data, from there, in alphabetical order, that `pattern` matches. */
export function filesOf(folder: string, pattern: RegExp): string[] {
  const root = join(DATA, folder)
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => pattern.test(path))
    .sort()
}

/** Text of a file, unpacked where its name ends in .gz. */
export function textOf(...path: readonly string[]): string {
  const file = join(DATA, ...path)
  const bytes = readFileSync(file)
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
}

/** Lines of a file without the empty ones. */
export const linesOf = (...path: readonly string[]): string[] =>
  textOf(...path)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')

/** Cells of a file, one list for each line; `separator` is a comma unless said otherwise. */
export const rowsOf = (path: readonly string[], separator = ','): string[][] =>
  linesOf(...path).map((line) => line.split(separator).map((cell) => cell.trim()))
