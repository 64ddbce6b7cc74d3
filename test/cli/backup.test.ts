/** backup, inspect, debug and db repair as the operator meets them: one member, which runs, is stopped, and is restored. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { althing, type Ended, temporaryFolder } from './process.ts'

const BIN = fileURLToPath(new URL('../../bin/althing.js', import.meta.url))
let folder: ReturnType<typeof temporaryFolder>
let home: string
let ports: readonly number[]
const running: ChildProcess[] = []
beforeEach(async () => {
  folder = temporaryFolder()
  home = join(folder.path, 'home')
  ports = await Promise.all([freePort(), freePort(), freePort()])
})
afterEach(async () => {
  for (const child of running.splice(0)) await end(child)
  folder.remove()
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Settings by which no two tests meet. */
const environment = (): Record<string, string> => ({
  ALTHING_API_LISTEN: `127.0.0.1:${ports[0]}`,
  ALTHING_METRICS_LISTEN: `127.0.0.1:${ports[1]}`,
  ALTHING_NETWORK_LISTEN: `/ip4/127.0.0.1/tcp/${ports[2]}`,
  ALTHING_LOG_FORMAT: 'json',
})
const cli = (...words: string[]): Promise<Ended> => althing(home, words, '', environment())
const json = async (...words: string[]) => {
  const ended = await cli(...words, '--json')
  expect(ended.code, ended.stderr).toBe(0)
  return JSON.parse(ended.stdout)
}

/** Starts `althing …words` and waits until the API answers; what it wrote to standard error is gathered in the file `log`. */
async function begin(words: readonly string[], log: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [BIN, ...words, '--until-stdin-closes'], {
    env: { ...process.env, ...environment(), ALTHING_HOME: home, NO_COLOR: '1' },
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  running.push(child)
  child.stderr?.on('data', (text: Buffer) => writeFileSync(log, text, { flag: 'a' }))
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${ports[0]}/livez`).catch(() => undefined)
    if (answer?.ok === true) return child
    if (child.exitCode !== null) throw new Error(readFileSync(log, 'utf8'))
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.stdin?.end()
  await gone
}

describe('a member through its life', () => {
  it('backup, debug, inspect, restore: of a running member, of a stopped one, and what is refused in between', async () => {
    await json('init', '--name', 'Org A', '--network', 'north')
    const log = join(folder.path, 'log')
    const daemon = await begin(['start'], log)
    const value = join(folder.path, 'value')
    writeFileSync(value, '42')
    await json('kv', 'put', 'line/setpoint', value, '--wait')

    // While it runs.
    const file = join(folder.path, 'running.backup')
    const made = await json('backup', 'create', file)
    expect(made).toMatchObject({ from: 'the running node', file })
    expect(await json('backup', 'verify', file)).toMatchObject({ whole: true, problems: [] })
    const locked = await cli('inspect')
    expect([locked.code, locked.stderr]).toEqual([75, expect.stringContaining('STORE_LOCKED')])
    expect((await cli('db', 'repair')).code).toBe(75)
    const refused = await cli('backup', 'restore', file)
    expect([refused.code, refused.stderr]).toEqual([75, expect.stringContaining('STORE_LOCKED')])

    // The bundle, with a log into which every secret of the home was written by mistake.
    const secrets = readdirSync(join(home, 'keys'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').trim())
    expect(secrets).toHaveLength(3)
    const token = (await json('token', 'issue', 'admin')).token as string
    writeFileSync(log, `\noh no ${secrets.join(' and ')} and Bearer ${token}\n`, { flag: 'a' })
    const bundle = join(folder.path, 'bundle.tar.gz')
    const { files, missing } = await json('debug', 'bundle', '--out', bundle, '--log', log)
    expect(missing).toEqual([])
    expect(files).toHaveLength(10)
    mkdirSync(join(folder.path, 'unpacked'))
    execFileSync('tar', ['-xzf', bundle, '-C', join(folder.path, 'unpacked')])
    const texts = new Map(
      (files as string[]).map((name) => [name, readFileSync(join(folder.path, 'unpacked', name), 'utf8')]),
    )
    for (const [name, text] of texts)
      for (const secret of [...secrets, token, Buffer.from(secrets[0] as string, 'hex').toString('base64')])
        expect(text.includes(secret), `${name} holds a secret`).toBe(false)
    expect(texts.get('althing-debug/log.txt')).toContain('oh no [removed]')
    expect(JSON.parse(texts.get('althing-debug/status.json') ?? '').height).toBeGreaterThan(0)
    expect(texts.get('althing-debug/metrics.txt')).toContain('althing_consensus_height')
    expect(texts.get('althing-debug/log.json')).toContain('block committed')
    expect(texts.get('althing-debug/database.json')).toContain('signing')
    await end(daemon)

    // While it is stopped: the same questions, the same answers, and nothing else.
    const inspection = await begin(['inspect'], log)
    expect((await json('kv', 'get', 'line/setpoint')) as object).toMatchObject({ value: expect.anything() })
    expect((await json('status')).inspected).toBe(true)
    expect((await cli('kv', 'put', 'line/setpoint', value)).code).not.toBe(0)
    expect((await cli('start')).code).toBe(75)
    await end(inspection)
    expect(await json('db', 'repair')).toMatchObject({ done: [], remarks: ['The signing record was not touched.'] })
    expect(await json('backup', 'create', join(folder.path, 'stopped.backup'))).toMatchObject({
      from: 'the stopped node',
    })

    // What was restored cannot sign as if it never had.
    const again = await cli('backup', 'restore', file)
    expect([again.code, again.stderr]).toEqual([78, expect.stringContaining('SIGNING_RECORD_EXISTS')])
    const other = join(folder.path, 'other')
    for (const name of ['keys', 'config.toml', 'genesis.json'])
      cpSync(join(home, name), join(other, name), { recursive: true })
    home = other
    expect(await json('backup', 'restore', file)).toMatchObject({ restored: true })
    expect(existsSync(join(home, 'data', 'signing'))).toBe(false)
    const start = await cli('start')
    expect([start.code, start.stderr]).toEqual([78, expect.stringContaining('SIGNING_RECORD_MISSING')])
    const recovered = await begin(['start', '--recover'], log)
    expect((await json('status')).height).toBeGreaterThan(0)
    await end(recovered)
  }, 120_000)
})
