import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../testnet/testnet.ts'
import { refusesClock, WallClock } from '../../testnet/wallClock.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-clock-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const isMissing = (await refusesClock()) !== null

describe('wall clock', () => {
  it.skipIf(isMissing)(
    'wall clock: set while its process runs, there and back; timers and the monotonic clock stay true (skipped where libfaketime is not installed)',
    async () => {
      const clock = await WallClock.at(join(folder, 'clock'))
      const script = `setInterval(() => console.log(JSON.stringify([Date.now(), performance.now()])), 100)`
      const child = spawn(process.execPath, ['-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, ...clock.environment },
      })
      const monotonic: number[] = []
      let offsetMs = Number.NaN
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const [wall, ms] = JSON.parse(text.trim().split('\n').at(-1) as string) as [number, number]
        offsetMs = wall - Date.now()
        monotonic.push(ms)
      })
      const isOff = (ms: number): Promise<boolean> => until(() => Math.abs(offsetMs - ms) < 1000, 8000)
      try {
        expect(await isOff(0)).toBe(true)
        await clock.set(90_000)
        expect(await isOff(90_000)).toBe(true)
        await clock.set(-3_600_000)
        expect(await isOff(-3_600_000)).toBe(true)
        await clock.set(0)
        expect(await isOff(0)).toBe(true)
        const steps = monotonic.slice(1).map((ms, i) => ms - (monotonic[i] as number))
        expect(Math.min(...steps)).toBeGreaterThan(0)
        expect(Math.max(...steps)).toBeLessThan(5000)
      } finally {
        child.kill('SIGKILL')
      }
    },
  )

  it.skipIf(!isMissing)(
    'wall clock: without libfaketime it is refused, with its package (skipped where it is installed)',
    async () => {
      expect(await refusesClock()).toContain('Debian package faketime')
    },
  )
})
