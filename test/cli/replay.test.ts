import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { althing, type Ended, temporaryFolder } from './process.ts'

let folder: ReturnType<typeof temporaryFolder>
beforeEach(() => {
  folder = temporaryFolder()
})
afterEach(() => folder.remove())

const play = (text: string, ...words: string[]): Promise<Ended> => {
  const file = join(folder.path, 'log.csv')
  writeFileSync(file, text)
  return althing(join(folder.path, 'home'), ['replay', file, ...words])
}
const rowsOf = (count: number, change: (i: number) => string): string =>
  ['time,flow', ...Array.from({ length: count }, (_, i) => `${1_767_225_600 + i},${change(i)}`)].join('\n')
const noise = (i: number): string => `${((i * 7919) % 100) / 100}`

describe('althing replay', () => {
  it('--check says what would be reported, as a table or as JSON, without a home', async () => {
    const log = rowsOf(600, (i) => (i === 500 ? '90' : noise(i)))
    const { code, stdout } = await play(log, '--check', '--json')
    expect(code).toBe(0)
    const { rows, channels, events } = JSON.parse(stdout)
    expect({ rows, channels }).toEqual({ rows: 600, channels: ['flow'] })
    expect(events).toContainEqual(expect.objectContaining({ category: 'signal.anomaly' }))
    expect((await play(log, '--check')).stdout).toContain('600 rows, 1 channels')
  })

  it('gaps, NaN, units and clocks → LOG_MALFORMED, exit 65, each by its line; --pass-over goes on without them', async () => {
    const log = rowsOf(600, (i) => ({ 100: '', 101: 'NaN', 102: '3 bar' })[i] ?? noise(i))
    const { code, stderr } = await play(log, '--check')
    expect(code).toBe(65)
    for (const part of ['LOG_MALFORMED', 'line 102', 'a gap', 'line 103', '“NaN”', 'line 104', 'units', '--pass-over'])
      expect(stderr).toContain(part)
    const passed = await play(log, '--check', '--pass-over')
    expect(passed.code).toBe(0)
    expect(passed.stderr).toContain('3 problems')
    expect(passed.stdout).toContain('597 rows')
  })

  it('nothing that can be played → 65 also with --pass-over; a wrong speed → 64; no home → 78', async () => {
    expect((await play('hello', '--check', '--pass-over')).code).toBe(65)
    expect((await play(rowsOf(20, noise), '--speed', '-1')).code).toBe(64)
    expect((await play(rowsOf(20, noise))).code).toBe(78)
  })
})
