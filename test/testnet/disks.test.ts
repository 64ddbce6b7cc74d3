import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { refusesSlowDisk, refusesSmallDisk, SmallDisk, slowDisk } from '../../testnet/disks.ts'
import { isRoot } from '../../testnet/tools.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-disks-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const smallRefused = await refusesSmallDisk()
const slowRefused = await refusesSlowDisk(tmpdir())

describe('disks', () => {
  it.skipIf(isRoot())('disks: without root both are refused, and say so (skipped where there is root)', () => {
    expect([smallRefused, slowRefused]).toEqual([expect.stringContaining('root'), expect.stringContaining('root')])
  })

  it.skipIf(smallRefused !== null)(
    'small disk: filled, nothing more goes in; freed, it does; unmounted, it is gone (skipped where there is no root)',
    async () => {
      await writeFile(join(folder, 'made-earlier'), 'b')
      const disk = await SmallDisk.mount(folder, 'north')
      try {
        expect(await readFile(join(folder, 'made-earlier'), 'utf8')).toBe('b')
        await writeFile(join(folder, 'before'), 'a')
        await disk.fill()
        await expect(writeFile(join(folder, 'more'), Buffer.alloc(64 * 1024))).rejects.toMatchObject({ code: 'ENOSPC' })
        await disk.free()
        await writeFile(join(folder, 'more'), Buffer.alloc(64 * 1024))
        expect(await readFile(join(folder, 'before'), 'utf8')).toBe('a')
      } finally {
        await disk.unmount()
      }
      expect(await readFile('/proc/mounts', 'utf8')).not.toContain(folder)
    },
  )

  it.skipIf(slowRefused !== null)(
    'slow disk: a process makes as many writes a second as it may, and more when it is let go (skipped where the kernel cannot)',
    async () => {
      // Writes and flushes until it is killed, and says how often it did.
      const script = `const fs = require('node:fs'); const file = fs.openSync(process.argv[1], 'w'); let count = 0
      const write = () => { fs.writeSync(file, 'x'.repeat(4096), 0); fs.fdatasyncSync(file) }
      setInterval(() => { for (const end = Date.now() + 50; Date.now() < end; count++) write(); console.log(count) }, 1)`
      const child = spawn(process.execPath, ['-e', script, join(folder, 'written')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let count = 0
      child.stdout.setEncoding('utf8').on('data', (text: string) => (count = Number(text.trim().split('\n').at(-1))))
      const during = async (ms: number): Promise<number> => {
        const before = count
        await new Promise((done) => setTimeout(done, ms))
        return count - before
      }
      try {
        await during(500)
        const letGo = await slowDisk('north', child.pid as number, folder, 10)
        await during(500)
        const slow = await during(1500)
        await letGo()
        await during(500)
        const fast = await during(1500)
        expect(slow).toBeLessThan(40)
        expect(fast).toBeGreaterThan(2 * slow)
      } finally {
        child.kill('SIGKILL')
      }
    },
  )
})
