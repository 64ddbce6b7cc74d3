import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AnyMonitor, baselineFile } from '../../../node/rtu/baseline.ts'
import { CYCLE_DEFAULTS, type CycleOptions, createCycle } from '../../../node/rtu/cycle.ts'
import { decodeFeatures, FEATURE_NAMES } from '../../../node/rtu/features.ts'
import type { Monitor } from '../../../node/rtu/monitor.ts'
import { listenersMonitor } from '../../../node/rtu/monitors/listeners.ts'
import { processesMonitor } from '../../../node/rtu/monitors/processes.ts'
import { resourcesMonitor } from '../../../node/rtu/monitors/resources.ts'
import type { OutboxStatus } from '../../../node/rtu/outbox.ts'
import { ownFile } from '../../../node/rtu/ownFile.ts'
import type { CborValue } from '../../../protocol/cbor.ts'
import { type FakeMachine, ordinaryMachine } from './fakeMachine.ts'

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'althing-cycle-'))
  path = join(directory, 'baseline.json')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const OWNER = { chainId: new Uint8Array(32), secretKey: new Uint8Array(32).fill(9) }
const fileAt = (at: string) => ownFile(at, 'baseline', 1024 * 1024, OWNER)

const NOTHING_HELD: OutboxStatus = {
  reportsHeld: 0,
  reportsTaken: 0,
  bytesHeld: 0,
  delivered: 0,
  refused: 0,
  droppedHeartbeats: 0,
  droppedEvents: 0,
  damaged: 0,
  renewed: 0,
  perished: 0,
}

function cycleOf(
  machine: FakeMachine,
  options: Partial<CycleOptions> = {},
  monitors: readonly AnyMonitor[] = [processesMonitor(), listenersMonitor(), resourcesMonitor()],
  status: Partial<OutboxStatus> = {},
) {
  const added: { kind: string; payload: CborValue; hasEvents: boolean }[] = []
  const sleeps: number[] = []
  const failure: { next?: Error | undefined } = {}
  const cycle = createCycle(
    { ...CYCLE_DEFAULTS, learningCycles: 2, ...options },
    {
      device: new Uint8Array(20),
      machine,
      monitors,
      baselines: baselineFile(fileAt(path)),
      outbox: {
        add(kind, payload, hasEvents) {
          if (failure.next !== undefined) return Promise.reject(failure.next)
          added.push({ kind, payload, hasEvents })
          return Promise.resolve()
        },
        status: () => ({ ...NOTHING_HELD, ...status }),
      },
      now: () => 1_700_000_000_000,
      pause: () => Promise.resolve(),
      sleep(ms) {
        sleeps.push(ms)
        machine.clockMs += ms
        return Promise.resolve()
      },
    },
  )
  return { cycle, added, sleeps, failure }
}

describe('cycle', () => {
  it('learns for so many cycles and says so, then finds what is new in the very next one', async () => {
    const machine = ordinaryMachine()
    const { cycle, added } = cycleOf(machine)
    const first = await cycle.runOnce()
    expect(first).toMatchObject({ learning: true, findings: [] })
    expect(first.blind[0]).toBe('baseline: learning, cycle 1 of 2')
    machine.start({ pid: 40, name: 'late', executable: '/bin/late' })
    expect((await cycle.runOnce()).learning).toBe(true)
    machine.start({ pid: 50, name: 'evil', executable: '/bin/evil' })
    const third = await cycle.runOnce()
    expect(third).toMatchObject({ learning: false, blind: [] })
    expect(third.findings.map(({ subject }) => subject)).toEqual(['/bin/evil'])
    expect(added.map(({ kind, hasEvents }) => [kind, hasEvents])).toEqual([
      ['device.report', false],
      ['device.report', true],
    ])
  })

  it('an intruder does not become the baseline by staying, nor by a restart of the RTU', async () => {
    const machine = ordinaryMachine()
    const { cycle } = cycleOf(machine, { learningCycles: 1 })
    await cycle.runOnce()
    machine.start({ pid: 50, name: 'evil', executable: '/bin/evil' })
    for (let i = 0; i < 5; i++) expect((await cycle.runOnce()).findings).toHaveLength(1)
    const restarted = cycleOf(machine, { learningCycles: 1 }).cycle
    expect(await restarted.runOnce()).toMatchObject({ learning: false, findings: [{ subject: '/bin/evil' }] })
  })

  it('the baseline on disk belongs to its owner only', async () => {
    await cycleOf(ordinaryMachine()).cycle.runOnce()
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('a baseline that cannot be read or written → an error with a code of its own', async () => {
    writeFileSync(join(directory, 'file'), '')
    path = join(directory, 'file', 'baseline.json')
    await expect(cycleOf(ordinaryMachine()).cycle.runOnce()).rejects.toMatchObject({ code: 'RTU_READ_FAILED' })
    const store = baselineFile(fileAt(join(directory, 'file', 'baseline.json')))
    await expect(store.save([], { cyclesLearnt: 1, byMonitor: new Map() })).rejects.toMatchObject({
      code: 'RTU_WRITE_FAILED',
    })
  })

  it('a baseline that was changed on the disk → RTU_FILE_ALTERED, and nothing is learnt anew', async () => {
    const machine = ordinaryMachine()
    await cycleOf(machine).cycle.runOnce()
    writeFileSync(path, readFileSync(path, 'utf8').replace('/sbin/init', '/sbin/evil'))
    await expect(cycleOf(machine).cycle.runOnce()).rejects.toMatchObject({ code: 'RTU_FILE_ALTERED' })
  })

  it.each(['', '{', '[]', 'null', '{"format":"althing/rtu-baseline/1","cyclesLearnt":-1,"monitors":{}}', '\xff'])(
    'a signed baseline of %j → RTU_BASELINE_DAMAGED, and nothing is learnt anew',
    async (content) => {
      await fileAt(path).write(Buffer.from(content, 'latin1'))
      await expect(cycleOf(ordinaryMachine()).cycle.runOnce()).rejects.toMatchObject({ code: 'RTU_BASELINE_DAMAGED' })
    },
  )

  it('a baseline without one of the monitors is learnt anew by all', async () => {
    const machine = ordinaryMachine()
    await cycleOf(machine, { learningCycles: 1 }, [processesMonitor()]).cycle.runOnce()
    expect(await cycleOf(machine, { learningCycles: 1 }).cycle.runOnce()).toMatchObject({ learning: true })
  })

  it('the features carry what was seen, what was dropped, and what nobody could see', async () => {
    const machine = ordinaryMachine()
    machine.files.delete('/proc/meminfo')
    const { cycle } = cycleOf(machine, { learningCycles: 0 }, undefined, { droppedEvents: 2, droppedHeartbeats: 3 })
    const { report } = await cycle.runOnce()
    const { values, blind } = decodeFeatures(report!.features)
    const value = (name: (typeof FEATURE_NAMES)[number]) => values[FEATURE_NAMES.indexOf(name)]
    expect([value('processCount'), value('listenerCount'), value('memoryPpm')]).toEqual([2, 1, null])
    expect([value('reportsDroppedCount'), value('blindMonitorCount')]).toEqual([5, 1])
    expect(blind).toEqual(['resources: cannot see memory: this system has no /proc/meminfo'])
  })

  it('a report that the outbox did not take is made again in the next cycle', async () => {
    const machine = ordinaryMachine()
    const { cycle, added, failure } = cycleOf(machine, { learningCycles: 1 })
    await cycle.runOnce()
    machine.start({ pid: 50, name: 'evil', executable: '/bin/evil' })
    failure.next = new Error('disk full')
    await expect(cycle.runOnce()).rejects.toThrow('disk full')
    failure.next = undefined
    await cycle.runOnce()
    expect(added.at(-1)?.hasEvents).toBe(true)
  })

  it('a monitor that the system stops is blind, one with a bug stops the cycle', async () => {
    const failing = (error: Error): Monitor<null> => ({
      name: 'failing',
      categories: [],
      empty: () => null,
      observe: () => Promise.reject(error),
      toDisk: () => null,
      fromDisk: () => null,
    })
    const refused = Object.assign(new Error('no descriptors'), { code: 'EMFILE' })
    const { cycle } = cycleOf(ordinaryMachine(), { learningCycles: 0 }, [failing(refused), processesMonitor()])
    const { blind, counts } = await cycle.runOnce()
    expect(blind).toEqual(['failing: stopped by EMFILE'])
    expect(counts.processCount).toBe(2)
    const bug = cycleOf(ordinaryMachine(), { learningCycles: 0 }, [failing(new TypeError('bug'))])
    await expect(bug.cycle.runOnce()).rejects.toThrow('bug')
  })

  it('a monitor that takes all its time leaves a share to each that follows', async () => {
    const deadlines: number[] = []
    const greedy = (name: string): Monitor<null> => ({
      name,
      categories: [],
      empty: () => null,
      observe(machine, baseline, { deadlineMs }) {
        deadlines.push(deadlineMs - machine.monotonicMs())
        ;(machine as FakeMachine).clockMs = deadlineMs
        return Promise.resolve({ findings: [], baseline, blind: null, counts: {} })
      },
      toDisk: () => null,
      fromDisk: () => null,
    })
    const { cycle } = cycleOf(ordinaryMachine(), { learningCycles: 0, budgetMs: 400 }, ['a', 'b', 'c', 'd'].map(greedy))
    await cycle.runOnce()
    expect(deadlines).toEqual([100, 100, 100, 100])
  })

  it('a failure that may pass → the next cycle after the time that was said, and the run goes on', async () => {
    const { cycle, sleeps, failure, added } = cycleOf(ordinaryMachine(), { learningCycles: 0, intervalMs: 1000 })
    const abort = new AbortController()
    failure.next = new Error('disk full')
    await cycle.run(
      abort.signal,
      () => abort.abort(),
      () => {
        failure.next = undefined
        return 60_000
      },
    )
    expect(sleeps).toEqual([60_000, 1000])
    expect(added).toHaveLength(1)
    failure.next = new Error('for good')
    await expect(cycle.run(new AbortController().signal, undefined, () => undefined)).rejects.toThrow('for good')
  })

  it('cycles begin an interval apart; one that took too long is not made up for', async () => {
    const machine = ordinaryMachine()
    const abort = new AbortController()
    const { cycle, sleeps } = cycleOf(machine, { learningCycles: 0, intervalMs: 1000 })
    const takes = [100, 2500, 100, 0]
    let cycles = 0
    await cycle.run(abort.signal, () => {
      machine.clockMs += takes[cycles++] ?? 0
      if (cycles === takes.length) abort.abort()
    })
    expect(sleeps).toEqual([900, 0, 900, 1000])
  })
})
