import { describe, expect, it } from 'vitest'
import { within } from '../tidy/rule.ts'
import { readProject } from '../tidy/source.ts'
import { ROOT, textOf } from './pages.ts'

/** Exported constants that are bounds, or tables of them. */
const BOUND = /^[A-Z_]*(?:LIMITS|_MAX|_MIN|_RESERVED|_DEFAULTS)$/

/** Bounds of the program by name, `TABLE.key` for those of a table. Of a table of defaults, those that end in `Max`. */
async function boundsOfProgram(): Promise<Map<string, number>> {
  const bounds = new Map<string, number>()
  const add = (name: string, value: unknown): void => {
    expect(typeof value, name).toBe('number')
    expect(bounds.has(name), `${name} stands twice`).toBe(false)
    bounds.set(name, value as number)
  }
  for (const { path, exports } of readProject(ROOT.pathname).sources.values()) {
    const names = exports.map(({ name }) => name).filter((name) => BOUND.test(name))
    if (names.length === 0 || within(path, 'test')) continue
    const module = (await import(new URL(path, ROOT).href)) as Record<string, unknown>
    for (const name of names) {
      const value = module[name]
      if (typeof value !== 'object') add(name, value)
      else
        for (const [key, one] of Object.entries(value as object))
          if (!name.endsWith('_DEFAULTS') || (/Max$/.test(key) && typeof one === 'number')) add(`${name}.${key}`, one)
    }
  }
  return bounds
}

const grouped = (value: number): string => (value < 10_000 ? `${value}` : `${value}`.replace(/\B(?=(?:\d{3})+$)/g, ' '))

/** `value` as the page writes it; its unit follows from its name. */
function written(name: string, value: number): string {
  if (/bytes/i.test(name)) {
    const unit = value % 2 ** 20 === 0 ? 'MiB' : value % 2 ** 10 === 0 && value < 2 ** 20 ? 'KiB' : 'bytes'
    const amount = { MiB: value / 2 ** 20, KiB: value / 2 ** 10, bytes: value }[unit]
    return `${grouped(amount)} ${unit}${/PerSecond$/.test(name) ? '/s' : ''}`
  }
  if (/Ms(?:Max)?$/.test(name)) {
    if (value % 3_600_000 === 0) return `${value / 3_600_000} h`
    if (value % 60_000 === 0) return `${value / 60_000} min`
    return value < 1000 ? `${value} ms` : `${value / 1000} s`
  }
  return `${grouped(value)}${/PerSecond$/.test(name) ? ' /s' : ''}`
}

describe('docs/limits.md', () => {
  it('limits: the page lists each exported bound of the program with its value, and no other', async () => {
    const rows = [...textOf('docs/limits.md').matchAll(/^\| `([\w.]+)` \| ([^|]+) \|/gm)]
    const listed = rows.map(([, name, value]) => [name, value])
    const bounds = await boundsOfProgram()
    expect(Object.fromEntries(listed)).toEqual(
      Object.fromEntries([...bounds].map(([name, value]) => [name, written(name, value)])),
    )
    expect(listed.length).toBe(bounds.size)
  })

  it('limits: each row says what happens at the bound and what it answers', () => {
    const rows = textOf('docs/limits.md').match(/^\| `.*$/gm) ?? []
    expect(rows.filter((row) => !/^\| `[\w.]+` \| [^|]+ \| [^|]{3,} \| [^|]{3,} \|$/.test(row))).toEqual([])
  })
})
