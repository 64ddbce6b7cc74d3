import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

const at = (path: string): string => JSON.stringify(new URL(`../../node/${path}`, import.meta.url).href)

/** How a process ends in which nobody catches `thrown`, and what it logged. */
function endOf(thrown: string): { status: number | null; logged: string } {
  const script = `
    const { createLogger, endOnBugs } = await import(${at('process.ts')})
    const { AlthingError } = await import(${at('errors.ts')})
    endOnBugs(await createLogger({ level: 'info', format: 'json' }, 'north'))
    void Promise.reject(${thrown})
    setInterval(() => {}, 1000)`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  return { status, logged: stderr }
}

describe('process', () => {
  it('process: an exception that nobody caught is a bug, 70', () => {
    const { status, logged } = endOf("new TypeError('x')")
    expect([status, logged]).toEqual([70, expect.stringContaining('a bug in althing itself')])
  })

  it('process: a failed durable write that nobody caught ends it with its own code, and is called no bug', () => {
    const { status, logged } = endOf("new AlthingError('STORE_WRITE_FAILED', 'out of use')")
    expect([status, logged]).toEqual([74, expect.stringContaining('out of use')])
    expect(logged).not.toContain('a bug')
  })
})
