import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { baselineFile } from '../../../node/rtu/baseline.ts'
import { CYCLE_DEFAULTS, type Cycle, createCycle } from '../../../node/rtu/cycle.ts'
import { directorySpool } from '../../../node/rtu/disk.ts'
import { realMachine } from '../../../node/rtu/machine.ts'
import { FILES_DEFAULTS, filesMonitor } from '../../../node/rtu/monitors/files.ts'
import { listenersMonitor } from '../../../node/rtu/monitors/listeners.ts'
import { processesMonitor } from '../../../node/rtu/monitors/processes.ts'
import { resourcesMonitor } from '../../../node/rtu/monitors/resources.ts'
import { OUTBOX_DEFAULTS, type Outbox, openOutbox, SPOOLED_BYTES_MAX } from '../../../node/rtu/outbox.ts'
import { ownFile } from '../../../node/rtu/ownFile.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { deviceReport, type Report } from '../../../protocol/kinds/report/report.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { decodeTransaction, signTransaction } from '../../../protocol/transaction.ts'

const hasProc = existsSync('/proc/self/stat')
const sleepPath = ['/bin/sleep', '/usr/bin/sleep'].find((path) => existsSync(path))
const secretKey = new Uint8Array(32).fill(9)
const chainId = new Uint8Array(32).fill(2)

let directory: string
let outbox: Outbox
let cycle: Cycle
const children: ChildProcess[] = []

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'althing-rtu-'))
  writeFileSync(join(directory, 'watched'), 'as it was')
  let nonces = 0
  outbox = await openOutbox(OUTBOX_DEFAULTS, {
    spool: directorySpool(join(directory, 'outbox'), SPOOLED_BYTES_MAX, OUTBOX_DEFAULTS.reportsMax),
    sign: (draft) => signTransaction(draft, chainId, secretKey),
    nonce: () => new Uint8Array(16).fill(++nonces),
    now: () => Date.now(),
    monotonic: () => performance.now(),
  })
  cycle = createCycle(
    { ...CYCLE_DEFAULTS, learningCycles: 2, budgetMs: 10_000 },
    {
      device: addressOf(publicKeyOf(secretKey)),
      machine: realMachine(),
      monitors: [
        processesMonitor(),
        listenersMonitor(),
        filesMonitor({ ...FILES_DEFAULTS, paths: [join(directory, 'watched')] }),
        resourcesMonitor(),
      ],
      baselines: baselineFile(
        ownFile(join(directory, 'baseline.json'), 'baseline', 1024 * 1024, { chainId: new Uint8Array(32), secretKey }),
      ),
      outbox,
      now: () => Date.now(),
    },
  )
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = once(child, 'exit')
    if (child.kill('SIGKILL')) await ended
  }
  rmSync(directory, { recursive: true, force: true })
})

async function learn(): Promise<void> {
  expect((await cycle.runOnce()).learning).toBe(true)
  expect((await cycle.runOnce()).learning).toBe(true)
}

/** Reports with events that are in the outbox, decoded as a member would. */
async function reported(): Promise<readonly Report[]> {
  const reports: Report[] = []
  await outbox.deliver({
    submit({ bytes }) {
      const report = deviceReport.payload.from(decodeTransaction(bytes).payload, 'report')
      if (report.events.length > 0) reports.push(report)
      return Promise.resolve('taken')
    },
    settlement: () => Promise.resolve('no'),
    chainTime: () => 0,
  })
  return reports
}

describe.skipIf(!hasProc)('the machine that runs this test (skipped where it has no /proc)', () => {
  it.skipIf(sleepPath === undefined)(
    'a program started from an unknown file is in the report of the next cycle',
    async () => {
      await learn()
      const path = join(directory, 'intruder')
      copyFileSync(sleepPath as string, path)
      chmodSync(path, 0o755)
      // Its argument stands for a secret: whatever is reported must not hold it.
      const child = spawn(path, ['61.4321'], { stdio: 'ignore' })
      children.push(child)
      await once(child, 'spawn')
      const { findings } = await cycle.runOnce()
      expect(findings).toContainEqual(
        expect.objectContaining({ category: 'process.unknown', subject: path, severityPpm: 900_000 }),
      )
      const events = (await reported()).flatMap((report) => report.events)
      expect(events.map(({ detail }) => detail)).toContainEqual(
        `intruder (pid ${child.pid}) runs an executable unknown to the baseline: ${path}`,
      )
      expect(JSON.stringify(events)).not.toContain('61.4321')
    },
  )

  it('a new listening socket is found in the next cycle, with this process as its owner', async () => {
    await learn()
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const { findings } = await cycle.runOnce()
      const found = findings.find(({ subject }) => subject === `tcp 127.0.0.1 ${port}`)
      expect(found?.category).toBe('network.listener')
      expect(found?.detail).toContain(`(pid ${process.pid})`)
    } finally {
      server.close()
    }
  })

  it('another content and another mode of a watched file are found in the next cycle', async () => {
    await learn()
    writeFileSync(join(directory, 'watched'), 'as it is')
    chmodSync(join(directory, 'watched'), 0o666)
    const { findings } = await cycle.runOnce()
    const about = findings.filter(({ subject }) => subject === join(directory, 'watched'))
    expect(about.map(({ category }) => category)).toEqual(['file.content', 'file.mode'])
  })

  it('a FIFO in the place of a watched file is a file that is gone, and does not stop the cycle', async () => {
    await learn()
    rmSync(join(directory, 'watched'))
    execFileSync('mkfifo', [join(directory, 'watched')])
    const { findings } = await cycle.runOnce()
    expect(findings).toContainEqual(
      expect.objectContaining({ category: 'file.content', detail: expect.stringContaining('is gone') }),
    )
    expect(() => realMachine().readFile(join(directory, 'watched'), 10)).toThrow(/not a regular file/)
  })

  it('reads are bounded and say when they were cut', () => {
    const machine = realMachine()
    writeFileSync(join(directory, 'long'), 'x'.repeat(50_000))
    expect(machine.readFile(join(directory, 'long'), 49_999)).toMatchObject({
      truncated: true,
      bytes: { length: 49_999 },
    })
    expect(machine.readFile(join(directory, 'long'), 50_000)).toMatchObject({
      truncated: false,
      bytes: { length: 50_000 },
    })
    expect(machine.readdir(directory, 1)).toMatchObject({ truncated: true, names: { length: 1 } })
    expect(() => machine.readFile(join(directory, 'none'), 10)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
  })

  it('a quiet machine is seen in all its features', async () => {
    await learn()
    const { counts, wallMs } = await cycle.runOnce()
    expect(counts.processCount).toBeGreaterThan(0)
    expect(counts.memoryPpm).toBeGreaterThan(0)
    expect(counts.diskPpm).toBeGreaterThan(0)
    expect(wallMs).toBeGreaterThan(0)
  })

  it('a cycle costs less than 1 % of one processor at five seconds apart (50 ms), in the median of twenty', async () => {
    const costsMs: number[] = []
    for (let i = 0; i < 20; i++) costsMs.push((await cycle.runOnce()).cpuMs)
    expect(costsMs.sort((a, b) => a - b)[10]).toBeLessThan(50)
  })
})
