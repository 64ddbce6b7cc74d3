import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { althing, temporaryFolder } from './process.ts'

const ANOMALY = new URL('../../protocol/modules/built/anomaly.wasm', import.meta.url).pathname
let folder: ReturnType<typeof temporaryFolder>
beforeEach(() => {
  folder = temporaryFolder()
})
afterEach(() => folder.remove())

describe('module check', () => {
  it('says kind, size and hash of what may run, without a node or a home', async () => {
    const { code, stdout } = await althing(folder.path, ['module', 'check', ANOMALY, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'anomaly', hash: expect.stringMatching(/^[0-9a-f]{64}$/) })
  })

  it('what may not run → MODULE_UNUSABLE with the code of why, exit 65', async () => {
    const file = join(folder.path, 'short.wasm')
    writeFileSync(file, Uint8Array.of(0, 0x61, 0x73, 0x6d))
    const { code, stderr } = await althing(folder.path, ['module', 'check', file])
    expect(code).toBe(65)
    expect(stderr).toContain('MODULE_UNUSABLE')
    expect(stderr).toContain('MODULE_MALFORMED')
  })
})

describe('module activate', () => {
  it.each([
    [['module', 'activate', 'abc'], '64 lower-case'],
    [['module', 'activate', 'a'.repeat(64), '--at-height', '0'], '--at-height'],
    [['module', 'publish', ANOMALY, '--version', 'no spaces'], '--version'],
  ])('%j → a complaint, exit 64', async (words, said) => {
    const { code, stderr } = await althing(folder.path, words)
    expect(code).toBe(64)
    expect(stderr).toContain(said)
  })
})
