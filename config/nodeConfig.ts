/**
 * Stage: before everything. Text and environment in, one checked and frozen `NodeConfig` out, with the origin of each value.
 * Invariants: flags win over environment, environment over file, file over defaults; every source is checked whole, overridden
 * values too, and all problems are listed at once; unknown keys of a file are errors.
 */
import { parse, TomlError } from 'smol-toml'
import type { Checked } from './kinds.ts'
import { didYouMean, type Parsed, type Problem } from './problems.ts'
import { type NodeConfig, SETTING_ROWS, SETTINGS, type SettingRow } from './settings.ts'

/** Where a value came from. */
export type Origin = {
  readonly source: 'flag' | 'environment' | 'file' | 'default'
  /** `--set api.listen`, `ALTHING_API_LISTEN`, `config.toml line 12`, `default`. */
  readonly detail: string
}

/** A configuration and what is worth knowing about how it came about. */
export type LoadedConfig = {
  readonly config: NodeConfig
  /** Keyed by `section.key`; has every setting. */
  readonly origins: ReadonlyMap<string, Origin>
  /** Things that look like mistakes and are none for sure, such as an environment variable that no setting reads. */
  readonly warnings: readonly Problem[]
}

/** What a configuration is read from. Everything may be absent: the defaults are a whole configuration. */
export type ConfigSources = {
  /** TOML, and the name by which messages call it. */
  readonly file?: { readonly name: string; readonly text: string }
  /** Usually `process.env`; only names that begin with `ALTHING_` are looked at. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** `section.key` → text, as given with `--set section.key=value`. */
  readonly flags?: Readonly<Record<string, string>>
}

/** Characters of a configuration file. */
export const CONFIG_CHARACTERS_MAX = 256 * 1024

const BY_NAME: ReadonlyMap<string, SettingRow> = new Map(SETTING_ROWS.map((row) => [row.name, row]))
const BY_ENVIRONMENT: ReadonlyMap<string, SettingRow> = new Map(SETTING_ROWS.map((row) => [row.environment, row]))
const SECTIONS = Object.keys(SETTINGS)

type Found = { value: unknown; origin: Origin }

/** Reads a configuration from its sources; pure. The problems are complete: mending all of them gives a configuration. */
export function parseNodeConfig({ file, environment = {}, flags = {} }: ConfigSources): Parsed<LoadedConfig> {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const found = new Map<string, Found>()
  const take = (row: SettingRow, checked: Checked<unknown>, origin: Origin, where: string): void => {
    if (checked.ok) found.set(row.name, { value: checked.value, origin })
    else problems.push({ where, what: checked.what })
  }

  for (const row of SETTING_ROWS)
    found.set(row.name, { value: row.default, origin: { source: 'default', detail: 'default' } })
  if (file !== undefined) readFile(file, take, problems)
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('ALTHING_') || value === undefined) continue
    const row = BY_ENVIRONMENT.get(name)
    if (row !== undefined) take(row, row.kind.fromText(value), { source: 'environment', detail: name }, name)
    // Only a warning: Kubernetes puts variables of its own there for a service that is called althing-api.
    else if (SECTIONS.some((section) => name.startsWith(`ALTHING_${section.toUpperCase()}_`)))
      warnings.push({ where: name, what: 'is read by no setting', ...hintFor(name, BY_ENVIRONMENT.keys()) })
  }
  for (const [name, value] of Object.entries(flags)) {
    const row = BY_NAME.get(name)
    if (row === undefined)
      problems.push({ where: `--set ${name}`, what: 'is not a setting', ...hintFor(name, BY_NAME.keys()) })
    else take(row, row.kind.fromText(value), { source: 'flag', detail: `--set ${name}` }, `--set ${name}`)
  }

  const config = assemble(found)
  if (problems.length === 0) problems.push(...contradictions(config))
  if (problems.length > 0) return { ok: false, problems }
  const origins = new Map(SETTING_ROWS.map((row) => [row.name, found.get(row.name)!.origin]))
  return { ok: true, value: Object.freeze({ config, origins, warnings }) }
}

const hintFor = (word: string, candidates: Iterable<string>): { hint?: string } => {
  const hint = didYouMean(word, candidates)
  return hint === undefined ? {} : { hint }
}

type Take = (row: SettingRow, checked: Checked<unknown>, origin: Origin, where: string) => void

function readFile({ name, text }: { name: string; text: string }, take: Take, problems: Problem[]): void {
  if (text.length > CONFIG_CHARACTERS_MAX) {
    problems.push({ where: name, what: `is longer than ${CONFIG_CHARACTERS_MAX} characters` })
    return
  }
  let table: Record<string, unknown>
  try {
    // A byte order mark is what Windows editors leave; it says nothing.
    table = parse(text.replace(/^\uFEFF/, ''), { integersAsBigInt: true, maxDepth: 8 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [what = 'is not TOML'] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    problems.push({ where: `${name} line ${error.line}, column ${error.column}`, what: `is not TOML: ${what}` })
    return
  }
  const place = (section: string, key?: string): string => {
    const line = lineOf(text, section, key)
    return line === undefined ? name : `${name} line ${line}`
  }
  for (const [section, keys] of Object.entries(table)) {
    if (!SECTIONS.includes(section)) {
      const rows = SETTING_ROWS.filter((row) => row.key === section)
      const hint =
        rows.length > 0 ? `It belongs below ${rows.map((row) => `[${row.section}]`).join(' or ')}` : undefined
      const what = isTable(keys) ? `[${section}] is not a section` : `${section} stands outside of every section`
      problems.push({
        where: place(section),
        what,
        ...(hint === undefined ? hintFor(section, SECTIONS) : { hint }),
      })
      continue
    }
    if (!isTable(keys)) {
      problems.push({ where: place(section), what: `${section} is a section: write [${section}]` })
      continue
    }
    for (const [key, raw] of Object.entries(keys)) {
      const row = BY_NAME.get(`${section}.${key}`)
      const detail = place(section, key)
      if (row !== undefined) take(row, row.kind.check(raw), { source: 'file', detail }, `${detail}, ${row.name}`)
      else
        problems.push({
          where: detail,
          what: `${section}.${key} is not a setting`,
          ...hintForKey(section, key),
        })
    }
  }
}

// A key of the same section that looks alike, else the section where a key of just that name lives.
function hintForKey(section: string, key: string): { hint?: string } {
  const near = hintFor(
    key,
    SETTING_ROWS.filter((row) => row.section === section).map((row) => row.key),
  )
  if (near.hint !== undefined) return near
  const elsewhere = SETTING_ROWS.filter((row) => row.key === key)
  return elsewhere.length === 0 ? {} : { hint: `Did you mean ${elsewhere.map((row) => row.name).join(' or ')}?` }
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)

// The parser keeps no positions. This finds keys in the usual layout; elsewhere (inline tables, dotted keys) no line is named.
function lineOf(text: string, section: string, key?: string): number | undefined {
  let current = ''
  for (const [i, line] of text.split('\n').entries()) {
    const header = /^\s*\[\s*([A-Za-z0-9_-]+)\s*\]/.exec(line)
    if (header !== null) current = header[1]!
    const word = /^\s*([A-Za-z0-9_-]+)\s*=/.exec(line)?.[1]
    if (key === undefined ? (header !== null && current === section) || (current === '' && word === section) : false)
      return i + 1
    if (key !== undefined && current === section && word === key) return i + 1
  }
  return undefined
}

function assemble(found: ReadonlyMap<string, Found>): NodeConfig {
  const config: Record<string, Record<string, unknown>> = {}
  for (const section of SECTIONS) config[section] = {}
  for (const row of SETTING_ROWS) config[row.section]![row.property] = found.get(row.name)!.value
  for (const section of Object.values(config)) Object.freeze(section)
  // The table gives both this object and its type, property by property.
  return Object.freeze(config) as NodeConfig
}

/** What each setting allows and their combination does not. */
function contradictions({ api, metrics }: NodeConfig): Problem[] {
  const problems: Problem[] = []
  if (metrics.enabled && api.listen.port !== 0 && api.listen.port === metrics.listen.port)
    problems.push({
      where: 'metrics.listen',
      what: `has the port of api.listen, ${api.listen.port}`,
      hint: 'Give one of them another port',
    })
  return problems
}

/** The configuration that no file, variable or flag has touched. */
export function defaultNodeConfig(): NodeConfig {
  const parsed = parseNodeConfig({})
  if (!parsed.ok) throw new Error(`defaults contradict the table: ${JSON.stringify(parsed.problems)}`)
  return parsed.value.config
}
