import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderGenesis } from '../../config/genesisFile.ts'
import { directorySpool } from '../../node/rtu/disk.ts'
import { SPOOLED_BYTES_MAX } from '../../node/rtu/outbox.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { boolean, bytes, decodeAs, record } from '../../protocol/codec.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { addressOf } from '../../protocol/signature.ts'
import { decodeTransaction } from '../../protocol/transaction.ts'
import { genesisOf, Member, signed, tidyUp, until } from '../node/rtu/world.ts'
import { althing, type Ended, temporaryFolder } from './process.ts'

const BIN = fileURLToPath(new URL('../../bin/althing.js', import.meta.url))
let folder: ReturnType<typeof temporaryFolder>
let home: string
const children: ChildProcess[] = []

beforeEach(() => {
  folder = temporaryFolder()
  home = join(folder.path, 'device')
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  await tidyUp()
  folder.remove()
})

const cli = (...words: string[]): Promise<Ended> => althing(home, words)

/** A genesis file of a consortium of one, and an address where nobody is. */
function genesisFile(): { file: string; member: string } {
  const file = join(folder.path, 'genesis.json')
  writeFileSync(file, renderGenesis(genesisOf(1)))
  return { file, member: 'Org 0=/ip4/127.0.0.1/tcp/9' }
}

describe('init --rtu', () => {
  it('a genesis, a segment and a member → a home with a key of its own, no API key, no token secret; `config check` takes it', async () => {
    const { file, member } = genesisFile()
    const made = await cli(
      'init',
      '--rtu',
      '--name',
      'pump-7',
      '--genesis',
      file,
      '--segment',
      'plant-1',
      '--member',
      member,
      '--json',
    )
    expect(made.code).toBe(0)
    expect(made.stderr).toMatch(/one member only/)
    const { device, publicKey, command, segment } = JSON.parse(made.stdout)
    expect(device).toBe(toHex(addressOf(fromHex(publicKey))))
    expect(segment).toBe('plant-1')
    expect(command).toContain(`--public-key ${publicKey} --segment plant-1`)
    expect(readdirSync(join(home, 'keys'))).toEqual(['node.key'])
    expect(statSync(join(home, 'keys', 'node.key')).mode & 0o777).toBe(0o600)
    expect(existsSync(join(home, 'data'))).toBe(false)
    const checked = await cli('config', 'check')
    expect(checked).toMatchObject({ code: 0, stderr: '' })
    expect(checked.stdout).toContain(`device ${device} of segment plant-1`)
  })

  it('everything that is wrong at once, each with what to do; nothing is written', async () => {
    const { file } = genesisFile()
    const ended = await cli('init', '--rtu', '--genesis', file, '--member', 'Org 1=/ip4/127.0.0.1/tcp/9')
    expect(ended.code).toBe(64)
    expect(ended.stderr.split('\n').filter((line) => line.startsWith('  - '))).toEqual([
      '  - --segment: is empty. Name the network segment that this device is in',
      '  - --member: "Org 1" is no member of genesis.json. Did you mean Org 0?',
    ])
    expect((await cli('init', '--rtu')).stderr).toMatch(/name its genesis.json with --genesis/)
    expect((await cli('init', '--rtu', '--network', 'x')).code).toBe(64)
    expect((await cli('init', '--segment', 'x')).stderr).toMatch(/add --rtu/)
    expect((await cli('init', '--rtu', '--genesis', file, '--segment', 's', '--member', 'no address')).code).toBe(64)
    expect(() => statSync(home)).toThrow('ENOENT')
  })

  it('a second time → exit 78, the key as it was; interrupted before config.toml → finished with the same key', async () => {
    const { file, member } = genesisFile()
    const words = ['init', '--rtu', '--genesis', file, '--segment', 's', '--member', member, '--json']
    const first = JSON.parse((await cli(...words)).stdout)
    expect((await cli(...words)).code).toBe(78)
    rmSync(join(home, 'config.toml'))
    expect(JSON.parse((await cli(...words)).stdout).publicKey).toBe(first.publicKey)
  })
})

describe('device register', () => {
  it('the command that `rtu id` prints, run in a shell, posts the registration as it is', async () => {
    const { file, member } = genesisFile()
    await cli('init', '--rtu', '--genesis', file, '--segment', 'plant-1', '--member', member)
    const { registration, command, device } = JSON.parse((await cli('rtu', 'id', '--json')).stdout)
    expect((await cli('rtu', 'id')).stdout).toContain(command)
    const bodies: unknown[] = []
    const server = createServer((request, response) => {
      let text = ''
      request
        .on('data', (chunk) => (text += chunk))
        .on('end', () => {
          bodies.push([request.method, request.url, JSON.parse(text)])
          response.setHeader('content-type', 'application/json').end(JSON.stringify({ device }))
        })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const shell = spawn('sh', ['-c', String(command).replace(/^althing/, `"${process.execPath}" "${BIN}"`)], {
      env: { ...process.env, ALTHING_HOME: join(folder.path, 'nowhere'), ALTHING_URL: url },
      stdio: 'ignore',
    })
    expect(await once(shell, 'exit')).toEqual([0, null])
    server.close()
    expect(bodies).toEqual([['POST', '/v1/devices', registration]])
  })

  it('options that are missing, or given beside a file → exit 64, all of them named', async () => {
    const ended = await cli('device', 'register', '--public-key', 'ab', '--hardware-id', 'x')
    expect(ended.code).toBe(64)
    for (const option of ['--segment', '--manufacturer', '--model', '--firmware'])
      expect(ended.stderr).toContain(`${option}: is missing`)
    expect(ended.stderr).toContain('althing rtu id')
    expect((await cli('device', 'register', 'device.json', '--model', 'x')).stderr).toContain(
      '--model: is given beside',
    )
  })
})

/** A running `althing rtu`. */
type Running = { child: ChildProcess; lines(): Record<string, unknown>[]; ended: Promise<unknown[]>; stdout(): string }

function run(...words: string[]): Running {
  const child = spawn(process.execPath, [BIN, 'rtu', ...words], {
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ALTHING_'))),
      ALTHING_HOME: home,
    },
  })
  children.push(child)
  let stderr = ''
  let stdout = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  return {
    child,
    ended: once(child, 'exit'),
    stdout: () => stdout,
    lines: () =>
      stderr
        .split('\n')
        .slice(0, -1)
        .map((line) => (line.startsWith('{') ? JSON.parse(line) : { msg: line })),
  }
}

/** A member with this home's device registered there. */
async function memberAndHome(): Promise<Member> {
  const genesis = genesisOf(1)
  const member = await Member.start(genesis)
  const file = join(folder.path, 'genesis.json')
  writeFileSync(file, renderGenesis(genesis))
  const address = `Org 0=${member.address.replace(/\/p2p\/.*/, '')}`
  const settings = ['--set', 'rtu.interval_ms=300']
  const made = JSON.parse(
    (await cli('init', '--rtu', '--genesis', file, '--segment', 'plant-1', '--member', address, ...settings, '--json'))
      .stdout,
  )
  const registration = { ...made.registration, publicKey: fromHex(made.publicKey) }
  await member.commit(signed(genesis, 'device.register', registration))
  return member
}

const says = (running: Running, message: string) => (): boolean => running.lines().some(({ msg }) => msg === message)

/** `observedAt` of the reports that lie on disk. */
async function held(): Promise<number[]> {
  const codec = record({ hasEvents: boolean, transaction: bytes(1, 65_536) })
  const values = await directorySpool(join(home, 'data', 'outbox'), SPOOLED_BYTES_MAX, 10_000).load()
  return values.map(({ value }) => {
    const { payload, kind } = decodeTransaction(decodeAs(codec, value).transaction)
    return deviceReport.payload.from(payload, kind).observedAt
  })
}

describe('rtu', () => {
  it('a home that is none of a device → exit 78 with everything that is missing', async () => {
    expect(await cli('rtu')).toMatchObject({ code: 78, stdout: '', stderr: expect.stringContaining('NOT_INITIALISED') })
    await cli('init')
    const ended = await cli('rtu')
    expect(ended.code).toBe(78)
    for (const place of ['rtu.segment', 'rtu.members', 'keys/node.key'])
      expect(ended.stderr).toContain(`- ${place}: is`)
    expect(ended.stderr).toContain('althing init --rtu')
  })

  it('runs as one process, logs JSON to standard error, ends with 0 at SIGTERM; a second one on its home → exit 75', async () => {
    const member = await memberAndHome()
    const running = run()
    await until(says(running, 'a member lets this device in'), 'up')
    if (existsSync('/proc/self/cmdline')) {
      const words = readFileSync(`/proc/${running.child.pid}/cmdline`, 'utf8').split('\0')
      expect(words).toContain('--optimize-for-size')
      expect(words.some((word) => word.endsWith('rtu.mjs'))).toBe(true)
    }
    const second = run()
    expect(await second.ended).toEqual([75, null])
    running.child.kill('SIGTERM')
    const begin = performance.now()
    expect(await running.ended).toEqual([0, null])
    expect(performance.now() - begin).toBeLessThan(6000)
    expect(running.lines().at(-1)).toMatchObject({ msg: 'stopped' })
    expect(running.lines().every((line) => typeof line['level'] === 'number')).toBe(true)
    expect(running.stdout()).toBe('')
    expect(readdirSync(join(home, 'data'))).not.toContain('LOCK')
    expect(member.node.network.peers().length).toBeLessThanOrEqual(1)
  }, 120_000)

  it('killed with -9 while its members are away → what it held is in the chain after a restart, in order, each report once', async () => {
    const member = await memberAndHome()
    const first = run()
    await until(says(first, 'a member lets this device in'), 'up')
    await member.stop()
    await until(
      () => existsSync(join(home, 'data', 'outbox')) && readdirSync(join(home, 'data', 'outbox')).length >= 5,
      'held',
    )
    first.child.kill('SIGKILL')
    expect(await first.ended).toEqual([null, 'SIGKILL'])
    const before = await held()
    expect(before.length).toBeGreaterThanOrEqual(4)
    await member.start()
    const second = run('--set', 'rtu.interval_ms=100000')
    await until(() => readdirSync(join(home, 'data', 'outbox')).length === 0, 'all delivered')
    const device = fromHex(JSON.parse((await cli('rtu', 'id', '--json')).stdout).device)
    const inChain = (await member.reportsOf(device)).map(({ observedAt }) => observedAt)
    expect(inChain).toEqual(inChain.toSorted((a, b) => a - b))
    expect(new Set(inChain).size).toBe(inChain.length)
    for (const observedAt of before) expect(inChain).toContain(observedAt)
    second.child.kill('SIGTERM')
    expect(await second.ended).toEqual([0, null])
  }, 120_000)

  it('a baseline that somebody changed → exit 65 with what to do', async () => {
    await memberAndHome()
    mkdirSync(join(home, 'data'), { recursive: true })
    writeFileSync(join(home, 'data', 'baseline.json'), 'changed')
    const running = run()
    expect(await running.ended).toEqual([65, null])
    expect(
      running
        .lines()
        .map(({ msg }) => msg)
        .join('\n'),
    ).toMatch(/RTU_FILE_ALTERED/)
  }, 60_000)

  it('standard input closes, where that was asked for → it stops', async () => {
    await memberAndHome()
    const running = run('--until-stdin-closes')
    await until(says(running, 'a member lets this device in'), 'up')
    running.child.stdin?.end()
    expect(await running.ended).toEqual([0, null])
  }, 60_000)
})
