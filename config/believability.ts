/**
 * Stage: before everything. The rules of believability, from the file that a domain expert writes (config/believability.toml) to values.
 * Invariants: a file is checked whole and everything wrong with it is said at once; what is not in the file is not invented.
 */
import { parse, TomlError } from 'smol-toml'
import { ASPECTS, type BelievabilityRules, LEVELS } from '../protocol/detect/believability.ts'

type Table = Readonly<Record<string, unknown>>

const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Rules of `text`, or what is wrong with it, a sentence each. */
export function believabilityRules(text: string): BelievabilityRules | readonly string[] {
  let file: Table
  try {
    file = parse(text)
  } catch (error) {
    if (error instanceof TomlError) return [`it is no TOML: ${error.message.split('\n')[0]}`]
    throw error
  }
  const problems: string[] = []
  const tableAt = (path: string, value: unknown, names: readonly string[]): Table => {
    if (!isTable(value)) {
      problems.push(`${path} is missing`)
      return {}
    }
    for (const name of Object.keys(value)) if (!names.includes(name)) problems.push(`${path}.${name} is no rule`)
    return value
  }
  const numberAt = (path: string, value: unknown, least: number, greatest: number): number => {
    if (typeof value === 'number' && value >= least && value <= greatest) return value
    problems.push(`${path} must be a number from ${least} to ${greatest}`)
    return least
  }
  const top = tableAt('the file', file, ['memory', 'patience', 'aspects', 'levels'])
  const aspects = tableAt('aspects', top['aspects'], Object.keys(ASPECTS))
  const levels = tableAt('levels', top['levels'], LEVELS)
  const rules = {
    memory: numberAt('memory', top['memory'], 0.001, 1),
    patience: Math.trunc(numberAt('patience', top['patience'], 1, 1000)),
    aspects: Object.fromEntries(
      Object.keys(ASPECTS).map((aspect) => {
        const path = `aspects.${aspect}`
        const rule = tableAt(path, aspects[aspect], ['full', 'none', 'weight', 'alarm'])
        const full = numberAt(`${path}.full`, rule['full'], 0, 1e9)
        const none = numberAt(`${path}.none`, rule['none'], 0, 1e9)
        if (none <= full) problems.push(`${path}.none must be above ${path}.full`)
        const weight = numberAt(`${path}.weight`, rule['weight'], 0, 1000)
        return [aspect, { full, none, weight, alarm: numberAt(`${path}.alarm`, rule['alarm'], 0, 1) }]
      }),
    ),
    levels: Object.fromEntries(
      LEVELS.map((level) => {
        const path = `levels.${level}`
        return [level, { alarm: numberAt(`${path}.alarm`, tableAt(path, levels[level], ['alarm'])['alarm'], 0, 1) }]
      }),
    ),
  }
  return problems.length > 0 ? problems : (rules as unknown as BelievabilityRules)
}
