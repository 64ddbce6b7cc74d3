import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManagedProcess } from '../../testnet/processes.ts'
import { until } from '../../testnet/testnet.ts'
import { Warden } from '../../testnet/warden.ts'
import { isAlive, stateOf } from './helper.ts'

const cleanUp: (() => Promise<unknown>)[] = []
let folder = ''
let warden: Warden

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-processes-'))
  warden = await Warden.start(() => undefined)
  cleanUp.push(
    () => rm(folder, { recursive: true, force: true }),
    () => warden.close(),
  )
})
afterEach(async () => {
  for (const task of cleanUp.splice(0).reverse()) await task()
})

async function processOf(script: string, stopTimeoutMs = 5000): Promise<ManagedProcess> {
  const file = join(folder, 'child.mjs')
  await writeFile(file, script)
  return new ManagedProcess({ name: 'child', words: [file], logFile: join(folder, 'child.log'), stopTimeoutMs }, warden)
}

const OBEDIENT = `process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000); console.log('up', process.env.ALTHING_HOME)`
const log = (): Promise<string> => readFile(join(folder, 'child.log'), 'utf8')
const isUp = (): Promise<boolean> => until(async () => (await log()).includes('up'), 10_000)

describe('processes', () => {
  it('process: it starts, stops when asked, and starts again; its words are in its log', async () => {
    const child = await processOf(OBEDIENT)
    expect([child.state, child.pid]).toEqual(['stopped', undefined])
    await child.start()
    const { pid } = child
    expect([child.state, child.isAlive, isAlive(pid)]).toEqual(['running', true, true])
    await isUp()
    expect(await child.stop()).toBe(true)
    expect([child.state, isAlive(pid), child.ending]).toEqual(['stopped', false, 'exit code 0'])
    await child.restart()
    expect([child.state, child.restarts, child.pid === pid]).toEqual(['running', 1, false])
    await child.kill()
    expect([child.state, child.ending]).toEqual(['killed', 'signal SIGKILL'])
  })

  it('process: variables of this shell that begin with ALTHING_ do not reach it', async () => {
    process.env['ALTHING_HOME'] = '/elsewhere'
    const child = await processOf(OBEDIENT)
    await child.start()
    await isUp()
    delete process.env['ALTHING_HOME']
    expect(await log()).toBe('up undefined\n')
    await child.kill()
  })

  it('process: one that does not stop in time is killed, and that is told', async () => {
    const child = await processOf(
      `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')`,
      300,
    )
    await child.start()
    await isUp()
    expect(await child.stop()).toBe(false)
    expect([child.state, child.ending]).toEqual(['stopped', 'signal SIGKILL'])
  })

  it('process: one that ends by itself is `ended`, with its exit code', async () => {
    const child = await processOf('process.exit(78)')
    await child.start()
    await until(() => !child.isAlive, 10_000)
    expect([child.state, child.ending]).toEqual(['ended', 'exit code 78'])
  })

  it('process: a paused one stands still, goes on, and stops even while it is paused', async () => {
    const child = await processOf(OBEDIENT)
    await child.start()
    await isUp()
    child.pause()
    expect(await until(() => stateOf(child.pid) === 'T', 2000)).toBe(true)
    child.resume()
    expect(await until(() => stateOf(child.pid) !== 'T', 2000)).toBe(true)
    child.pause()
    expect(await child.stop()).toBe(true)
  })

  it('process: what cannot be done is refused with a code', async () => {
    const child = await processOf(OBEDIENT)
    await expect(child.kill()).rejects.toMatchObject({ code: 'TESTNET_NOT_RUNNING' })
    expect(() => child.pause()).toThrow(/not running/)
    await child.start()
    await expect(child.start()).rejects.toMatchObject({ code: 'TESTNET_ALREADY_RUNNING' })
    expect(() => child.resume()).toThrow(/not paused/)
    await child.kill()
  })
})

describe('warden', () => {
  it('warden: when the testnet is killed, its processes end, the paused one too', async () => {
    const file = join(folder, 'child.mjs')
    await writeFile(file, OBEDIENT)
    // A testnet in small: a warden, two children, one paused; then it prints their ids and is killed.
    const source = (name: string): string => fileURLToPath(new URL(`../../testnet/${name}`, import.meta.url))
    const parentFile = join(folder, 'parent.mjs')
    await writeFile(
      parentFile,
      `import { ManagedProcess } from ${JSON.stringify(source('processes.ts'))}
       import { Warden } from ${JSON.stringify(source('warden.ts'))}
       const warden = await Warden.start(() => undefined)
       const make = (name) => new ManagedProcess({ name, words: [${JSON.stringify(file)}],
         logFile: ${JSON.stringify(folder)} + '/' + name + '.log', stopTimeoutMs: 1000 }, warden)
       const [a, b] = [make('a'), make('b')]
       await a.start(); await b.start(); b.pause()
       console.log(JSON.stringify([warden.pid, a.pid, b.pid]))
       setInterval(() => {}, 1000)`,
    )
    const parent = spawn(process.execPath, [parentFile], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    cleanUp.push(async () => parent.kill('SIGKILL'))
    const text = await new Promise<string>((done) => parent.stdout.once('data', (data) => done(String(data))))
    const pids = JSON.parse(text) as number[]
    expect(pids.map(isAlive)).toEqual([true, true, true])
    expect(await until(() => stateOf(pids[2]) === 'T', 2000)).toBe(true)
    parent.kill('SIGKILL')
    expect(await until(() => !pids.some(isAlive), 10_000)).toBe(true)
  })

  it('warden: what has ended is not guarded any more, and then it ends at once', async () => {
    const own = await Warden.start(() => undefined)
    own.keep(process.pid)
    own.drop(process.pid)
    await own.close()
    expect(isAlive(own.pid)).toBe(false)
  })

  it('warden: its own death is heard', async () => {
    let lost = false
    const own = await Warden.start(() => (lost = true))
    process.kill(own.pid, 'SIGKILL')
    expect(await until(() => lost, 5000)).toBe(true)
    await own.close()
  })
})
