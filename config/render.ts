/**
 * Stage: before everything. The table of settings as people read it: config.toml with every key and comment, and the reference page.
 * Invariant: `parseNodeConfig` of what `renderToml` writes gives the same configuration.
 */
import { type NodeConfig, SECTION_COMMENTS, SETTING_ROWS, SETTINGS, type SettingRow } from './settings.ts'

const LINE_CHARACTERS = 118

/** The value of `row` in `config`. */
export const settingValue = (config: NodeConfig, row: SettingRow): unknown =>
  (config as Readonly<Record<string, Readonly<Record<string, unknown>>>>)[row.section]![row.property]

/** A value as TOML, on one line: what `config show` prints and config.toml holds. */
export function tomlValue(row: SettingRow, value: unknown): string {
  const raw = row.kind.toRaw(value)
  if (typeof raw === 'string') return quoted(raw)
  if (typeof raw !== 'object') return String(raw)
  return `[${raw.map(quoted).join(', ')}]`
}

// Settings hold no control characters, so JSON's escapes and TOML's are the same here.
const quoted = (text: string): string => JSON.stringify(text)

function wrapped(text: string, prefix: string): string[] {
  const lines: string[] = []
  let line = prefix
  for (const word of text.split(' ')) {
    if (line.length > prefix.length && line.length + 1 + word.length > LINE_CHARACTERS) {
      lines.push(line)
      line = prefix
    }
    line += line === prefix ? word : ` ${word}`
  }
  return [...lines, line]
}

const withUnit = (row: SettingRow): string =>
  row.unit === undefined ? row.kind.description : `${row.kind.description} (${row.unit})`

/** The whole config.toml for `config`: every section and key, each with what it does, its range, default and variable. */
export function renderToml(config: NodeConfig): string {
  const lines = [
    '# Configuration of an althing node. Written by `althing init`; yours to edit.',
    '# Flags (--set section.key=value) win over environment variables, those over this file, this file over the defaults.',
    '# `althing config check` lists everything that is wrong; `althing config show --origin` says where each value came from.',
    '# Relative paths count from the folder of this file. No secret belongs in here: settings that end in _file name files.',
  ]
  for (const section of Object.keys(SETTINGS) as (keyof typeof SETTINGS)[]) {
    lines.push('', ...wrapped(SECTION_COMMENTS[section], '# '), `[${section}]`)
    for (const row of SETTING_ROWS.filter((one) => one.section === section))
      lines.push(
        '',
        ...wrapped(row.comment, '# '),
        ...wrapped(`${withUnit(row)}; default ${tomlValue(row, row.default)}; ${row.environment}`, '# '),
        `${row.key} = ${tomlValue(row, settingValue(config, row))}`,
      )
  }
  return `${lines.join('\n')}\n`
}

/** The reference page of all settings, in Markdown (`althing config docs`). */
export function renderMarkdown(): string {
  const lines = [
    '# Settings',
    '',
    'Written by `althing config docs` from the table in `config/settings.ts`. Flags (`--set section.key=value`) win over',
    'environment variables, those over `config.toml`, the file over the defaults. In variables and flags, lists are separated by',
    'commas. Unknown keys of the file are errors. Relative paths count from the home folder.',
  ]
  for (const section of Object.keys(SETTINGS) as (keyof typeof SETTINGS)[]) {
    lines.push('', `## [${section}]`, '', SECTION_COMMENTS[section], '')
    lines.push('| key | value | default | environment | what it does |', '| --- | --- | --- | --- | --- |')
    for (const row of SETTING_ROWS.filter((one) => one.section === section)) {
      const secret = row.secretFile === true ? ' The file must be readable by its owner only.' : ''
      const cells = [
        `\`${row.key}\``,
        withUnit(row),
        `\`${tomlValue(row, row.default)}\``,
        `\`${row.environment}\``,
        row.comment + secret,
      ]
      lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    }
  }
  return `${lines.join('\n')}\n`
}
