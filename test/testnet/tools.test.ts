import { describe, expect, it } from 'vitest'
import { isLeftover, missingTools, ownName, runTool } from '../../testnet/tools.ts'

describe('tools', () => {
  it('tools: what a dead run made is a leftover; what a living one made, and what is not ours, is not', () => {
    const nobody = (): boolean => false
    expect(isLeftover(ownName('north'), nobody)).toBe(true)
    expect(isLeftover(ownName('north'), (pid) => pid === process.pid)).toBe(false)
    for (const name of ['althing', 'althing-north', 'other-1-north', 'tmpfs', 'my-althing-1-x'])
      expect([name, isLeftover(name, nobody)]).toEqual([name, false])
  })

  it('tools: one that fails says what it was asked and what it complained of', async () => {
    await expect(runTool('mount', ['--no-such-flag'])).rejects.toMatchObject({
      code: 'TESTNET_TOOL',
      message: expect.stringContaining('mount --no-such-flag'),
    })
  })

  it('tools: one that is missing is named with its package', async () => {
    const before = process.env['PATH']
    try {
      process.env['PATH'] = '/nowhere'
      for (const line of await missingTools(['mount'])) expect(line).toBe('mount (Debian package mount)')
    } finally {
      process.env['PATH'] = before
    }
  })
})
