import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isLeftover, isRoot, missingTools, NAMESPACES, ownName, runTool, sweepMachine } from '../../testnet/tools.ts'

const isPossible = isRoot() && (await missingTools(['ip', 'tc', 'nft', 'nsenter', 'mount'])).length === 0
const at = (path: string): string => JSON.stringify(new URL(`../../testnet/${path}`, import.meta.url).href)

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

  it.skipIf(!isPossible)(
    'tools: namespaces and mounts of a run that was killed are swept (skipped where there is no root, iproute2, nftables)',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'althing-tools-'))
      const script = `
      const { Netns } = await import(${at('netns.ts')})
      const { SmallDisk } = await import(${at('disks.ts')})
      const network = await Netns.prepare([{ name: 'north', p2pPort: 1, apiPort: 2, metricsPort: 3 }])
      await network.open()
      await SmallDisk.mount(${JSON.stringify(folder)}, 'north')
      console.log('made')
      setInterval(() => {}, 1000)`
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      try {
        await new Promise((done) => child.stdout.once('data', done))
        const mine = `althing-${child.pid}-`
        const there = async (): Promise<string[]> => [
          ...(await readdir(NAMESPACES)).filter((name) => name.startsWith(mine)),
          ...(await readdir('/sys/class/net')).filter((name) => name.startsWith(`al${child.pid}c`)),
          ...(await readFile('/proc/mounts', 'utf8')).split('\n').filter((line) => line.startsWith(mine)),
        ]
        expect(await there()).toHaveLength(4)
        // While it runs, nobody touches what is its.
        await sweepMachine()
        expect(await there()).toHaveLength(4)
        const ended = new Promise((done) => child.once('exit', done))
        child.kill('SIGKILL')
        await ended
        expect(await sweepMachine()).toContain(`mount ${folder}`)
        expect(await there()).toEqual([])
      } finally {
        child.kill('SIGKILL')
        await rm(folder, { recursive: true, force: true })
      }
    },
  )
})
