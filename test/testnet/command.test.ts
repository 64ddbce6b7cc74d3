/** `althing testnet` as a process: what people see, what a second terminal does, and what is left at the end. */
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Summary } from '../../testnet/summary.ts'
import { until } from '../../testnet/testnet.ts'
import { isAlive, RunningTestnet } from './helper.ts'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const task of cleanUp.splice(0).reverse()) await task()
})

/** A fresh testnet as a process, and a temporary folder of its own for its sockets and homes. */
async function start(...words: string[]): Promise<RunningTestnet> {
  const running = await RunningTestnet.start(words)
  cleanUp.push(() => running.destroy())
  return running
}

describe('althing testnet as people run it', () => {
  it('a fresh clone: with --for it ends by itself, 0, with equal members, blocks each half second and reports of all RTUs', async () => {
    const running = await start('--rtus', '3', '--for', '12s', '--json')
    const { code } = await running.ended()
    const summary = JSON.parse(running.stdout) as Summary
    expect([code, summary.reasons]).toEqual([0, []])
    expect(summary.blocks).toBeGreaterThanOrEqual(10)
    expect(summary.common?.hash).toMatch(/^[0-9a-f]{64}$/)
    expect(summary.members.map(({ name, state, compared }) => [name, state, compared])).toEqual(
      ['north', 'south', 'east', 'west'].map((name) => [name, 'running', true]),
    )
    expect(summary.rtus.map(({ reports }) => reports > 0)).toEqual([true, true, true])
    expect(running.stderr).toContain('/docs')
    expect(await running.survivors()).toEqual([])
    expect(existsSync(running.folder)).toBe(false)
  }, 60_000)

  it('Ctrl-C: everything stops within 15 s, with a summary, exit 130, and nothing is left', async () => {
    const running = await start('--members', '2', '--rtus', '1')
    await running.isUp()
    const pids = await running.processes()
    // Members, the RTU and the warden.
    expect(pids.length).toBeGreaterThanOrEqual(4)
    const at = performance.now()
    running.signal('SIGINT')
    expect((await running.ended()).code).toBe(130)
    expect(performance.now() - at).toBeLessThan(15_000)
    expect(running.stdout).toMatch(/^(good|NOT good): /m)
    expect(pids.filter(isAlive)).toEqual([])
    expect(existsSync(running.folder)).toBe(false)
  }, 60_000)

  it('Ctrl-C while it is still starting: it ends as well, and nothing is left', async () => {
    const running = await start('--rtus', '0')
    expect(await until(() => running.stderr.includes('starting 4 members'), 20_000)).toBe(true)
    const at = performance.now()
    running.signal('SIGINT')
    expect((await running.ended()).code).toBe(130)
    expect(performance.now() - at).toBeLessThan(15_000)
    expect(await running.survivors()).toEqual([])
  }, 40_000)

  it('from a second terminal: kill, restart, status and stop by name; an unknown name gets a suggestion', async () => {
    const running = await start('--rtus', '0')
    await running.isUp()
    expect(await running.ask('--kill', 'west')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('west was killed'),
    })
    const wrong = await running.ask('--kill', 'norht')
    expect([wrong.code, wrong.stdout]).toEqual([64, ''])
    expect(wrong.stderr).toContain('Did you mean north?')
    expect((await running.ask('--pause', 'west')).stderr).toContain('west is not running')
    expect(await running.ask('--restart', 'west')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('west was started again'),
    })
    expect((await running.ask('--status')).stdout).toMatch(/^MEMBER +STATE/m)
    expect((await running.ask('--kill', 'north', '--pause', 'south')).code).toBe(64)
    expect((await running.ask('--stop')).code).toBe(0)
    expect((await running.ended()).code).toBe(0)
    expect(running.stdout).toContain('west: running')
    const nobody = await running.ask('--kill', 'north')
    expect([nobody.code, nobody.stderr.includes('no testnet of yours is running')]).toEqual([69, true])
  }, 90_000)

  it('kill -9 of the testnet itself: no process is left, and the next one removes its folder', async () => {
    const running = await start('--members', '2', '--rtus', '0')
    await running.isUp()
    const pids = await running.processes()
    expect(pids.length).toBeGreaterThanOrEqual(3)
    running.signal('SIGKILL')
    await running.ended()
    expect(await until(() => !pids.some(isAlive), 15_000)).toBe(true)
    expect(existsSync(running.folder)).toBe(true)
    const next = await running.ask('--members', '1', '--rtus', '0', '--for', '1s')
    expect(next.stderr).toContain(`removed ${running.folder}`)
    expect(existsSync(running.folder)).toBe(false)
  }, 60_000)

  it('a closed terminal (SIGHUP) ends it like Ctrl-C; a second signal kills at once', async () => {
    const running = await start('--members', '1', '--rtus', '0')
    await running.isUp()
    const pids = await running.processes()
    running.signal('SIGHUP')
    running.signal('SIGHUP')
    expect((await running.ended()).code).toBe(129)
    expect(await until(() => !pids.some(isAlive), 10_000)).toBe(true)
  }, 60_000)

  it('--dir is kept, and the next run goes on with the same chain; another shape is refused', async () => {
    const folder = join(tmpdir(), `althing-kept-${process.pid}`)
    cleanUp.push(() => rm(folder, { recursive: true, force: true }))
    // A member that restarts signs nothing at first, so that the second run takes one change of view more.
    const words = ['--members', '1', '--rtus', '0', '--for', '9s', '--json', '--dir', folder]
    const first = await start(...words, '--for', '3s')
    expect((await first.ended()).code).toBe(0)
    const before = JSON.parse(first.stdout) as Summary
    expect((await readFile(join(folder, 'token'), 'utf8')).split('.')).toHaveLength(3)
    const second = await start(...words)
    expect((await second.ended()).code).toBe(0)
    const after = JSON.parse(second.stdout) as Summary
    expect(after.common?.height).toBeGreaterThan(before.common?.height ?? 0)
    const third = await start(...words, '--members', '2')
    expect((await third.ended()).code).toBe(64)
    expect(third.stderr).toContain('has 1 members')
  }, 60_000)

  it('wrong words are usage errors', async () => {
    for (const words of [
      ['--for', '30'],
      ['--members', '0'],
      ['--members', '17'],
      ['--rtus', '51'],
      ['--load', 'many'],
    ]) {
      const running = await start(...words)
      expect([words, (await running.ended()).code]).toEqual([words, 64])
    }
  }, 30_000)
})
