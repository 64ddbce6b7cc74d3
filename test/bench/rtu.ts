/**
 * Memory and processor time of an idle RTU, as a user runs it: `node test/bench/rtu.ts [seconds, default 75]`. Two members and the RTU are
 * processes of the command line in a folder of their own; the chain runs with the default parameters, the RTU reports every 5 s and hears
 * headers from both members. Linux only: the figures come from /proc.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/althing.js', import.meta.url))
const seconds = Number(process.argv[2] ?? 75)
const folder = mkdtempSync(join(tmpdir(), 'althing-bench-'))
const children: ChildProcess[] = []

function althing(home: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, '--home', join(folder, home), ...words])
  if (status !== 0) throw new Error(`althing ${words.join(' ')}: ${stderr}`)
  return String(stdout)
}

function start(home: string, ...words: string[]): ChildProcess {
  const child = spawn(process.execPath, [BIN, '--home', join(folder, home), ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    logs[home] = (logs[home] ?? '') + text
  })
  children.push(child)
  return child
}
const logs: Record<string, string> = {}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i > 600) throw new Error(`waited in vain until ${what}\n${JSON.stringify(logs, null, 1)}`)
    await pause(100)
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

/** One figure of /proc/<pid>/status in MB (10^6 bytes). */
function memory(pid: number, name: string): string {
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return ((Number(kibibytes) * 1024) / 1e6).toFixed(1)
}

/** Processor time used, ms: utime and stime of /proc/<pid>/stat in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

try {
  const members: { name: string; publicKey: string; apiKeys: string[] }[] = []
  const ports = [await freePort(), await freePort()]
  for (const home of ['a', 'b']) {
    const [node, api] = ['node', 'admin'].map(
      (key) => JSON.parse(althing(home, 'keys', 'new', key, '--json')).publicKey,
    )
    members.push({ name: `Org ${home}`, publicKey: node, apiKeys: [api] })
  }
  const list = join(folder, 'members.json')
  writeFileSync(list, JSON.stringify(members))
  const apiPorts = [await freePort(), await freePort()]
  const settings = (i: number): string[] => [
    ...['--set', `network.listen=/ip4/127.0.0.1/tcp/${ports[i]}`, '--set', `api.listen=127.0.0.1:${apiPorts[i]}`],
    ...['--set', `network.peers=Org ${'ba'[i]}=/ip4/127.0.0.1/tcp/${ports[1 - i]}`, '--set', 'metrics.enabled=false'],
  ]
  althing('a', 'init', '--name', 'Org a', '--network', 'bench', '--members', list, ...settings(0))
  const genesis = join(folder, 'a', 'genesis.json')
  althing('b', 'init', '--name', 'Org b', '--genesis', genesis, ...settings(1))
  const both = ports.flatMap((port, i) => ['--member', `Org ${'ab'[i]}=/ip4/127.0.0.1/tcp/${port}`])
  althing('r', 'init', '--rtu', '--genesis', genesis, '--segment', 'bench', ...both)
  start('a', 'start')
  start('b', 'start')
  await until('both serve', () => ['a', 'b'].every((home) => logs[home]?.includes('"serving"') === true))
  const { registration } = JSON.parse(althing('r', 'rtu', 'id', '--json'))
  const file = join(folder, 'registration.json')
  writeFileSync(file, JSON.stringify(registration))
  althing('a', 'device', 'register', file)
  await until('it is in the chain', () => althing('a', 'device', 'list').includes('registered'))

  const rtu = start('r', 'rtu', '--set', 'log.level=debug')
  const pid = rtu.pid as number
  const bothUp = /a member lets this device in/g
  await until('both members let it in', () => (logs['r']?.match(bothUp) ?? []).length >= 2)
  const cpuBefore = cpuMs(pid)
  await pause(seconds * 1000)
  const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1).join(' ')
  const delivered = (logs['r']?.match(/"reports are in the chain"/g) ?? []).length
  const [cpu] = cpus()
  console.log(`${command}`)
  console.log(
    `Node ${process.version}, ${cpu?.model ?? 'processor'} × ${cpus().length}, ${Math.round(totalmem() / 1e9)} GB`,
  )
  console.log(`after ${seconds} s with two members, ${delivered} deliveries:`)
  for (const name of ['VmRSS', 'VmHWM', 'RssAnon', 'RssFile']) console.log(`  ${name} ${memory(pid, name)} MB`)
  console.log(`  processor ${(((cpuMs(pid) - cpuBefore) / seconds / 1000) * 100).toFixed(2)} % of one`)
} finally {
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(
    children.map((child) => (child.exitCode === null ? new Promise((done) => child.on('exit', done)) : undefined)),
  )
  rmSync(folder, { recursive: true, force: true })
}
