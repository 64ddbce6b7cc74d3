import { describe, expect, it } from 'vitest'
import type { Monitor } from '../../../../node/rtu/monitor.ts'
import {
  PROCESSES_DEFAULTS,
  type ProcessesBaseline,
  processesMonitor,
} from '../../../../node/rtu/monitors/processes.ts'
import { type FakeMachine, ordinaryMachine, turn } from '../fakeMachine.ts'

/** What is learnt of `machine`, as it comes back from the disk. */
async function learnt(machine: FakeMachine, monitor: Monitor<ProcessesBaseline> = processesMonitor()) {
  const { baseline } = await monitor.observe(machine, monitor.empty(), turn(true))
  return monitor.fromDisk(JSON.parse(JSON.stringify(monitor.toDisk(baseline))))
}
const withContent = (machine: FakeMachine, content: string): void =>
  machine.put('/proc/30/exe', { target: '/usr/sbin/sshd', kind: 'file', inode: 1000, sizeBytes: 10, content })

describe('hashes of executables', () => {
  it('other content under the same marks → process.changed, for as long as it lasts', async () => {
    const machine = ordinaryMachine()
    withContent(machine, 'good')
    const monitor = processesMonitor()
    let baseline = await learnt(machine)
    expect((await monitor.observe(machine, baseline, turn(false))).findings).toEqual([])
    withContent(machine, 'evil')
    for (let i = 0; i < 3; i++) {
      const seen = await monitor.observe(machine, baseline, turn(false))
      expect(seen.findings.map(({ category, subject }) => [category, subject])).toEqual([
        ['process.changed', '/usr/sbin/sshd (content)'],
      ])
      baseline = seen.baseline
    }
    withContent(machine, 'good')
    expect((await monitor.observe(machine, baseline, turn(false))).findings).toEqual([])
  })

  it('each has its turn: so many bytes a cycle are read, and no more', async () => {
    const machine = ordinaryMachine()
    for (let i = 0; i < 20; i++) {
      machine.start({ pid: 100 + i, name: `p${i}`, executable: `/bin/p${i}` })
      machine.put(`/proc/${100 + i}/exe`, { target: `/bin/p${i}`, inode: i, content: 'x'.repeat(8192) })
    }
    const monitor = processesMonitor({ ...PROCESSES_DEFAULTS, hashBytesMax: 16_384 })
    let { baseline } = await monitor.observe(machine, monitor.empty(), turn(true))
    for (let i = 0; i < 4; i++) ({ baseline } = await monitor.observe(machine, baseline, turn(true)))
    machine.reads.length = 0
    const hashed = new Set<string>()
    for (let i = 0; i < 10; i++) {
      ;({ baseline } = await monitor.observe(machine, baseline, turn(false)))
      const now = machine.reads.splice(0).filter((path) => path.endsWith('/exe') && !/\/(?:1|30)\//.test(path))
      expect(now.length).toBeLessThanOrEqual(4)
      for (const path of now) hashed.add(path)
    }
    expect(hashed.size).toBe(20)
  })
})

describe('parents', () => {
  it('a shell under a service that never had one → process.parent; under one that had → nothing', async () => {
    const machine = ordinaryMachine()
    machine.start({ pid: 40, name: 'cron', executable: '/usr/sbin/cron' })
    machine.start({ pid: 41, name: 'sh', executable: '/bin/sh', parent: 40 })
    const baseline = await learnt(machine)
    const monitor = processesMonitor()
    machine.start({ pid: 42, name: 'sh', executable: '/bin/sh', parent: 40 })
    expect((await monitor.observe(machine, baseline, turn(false))).findings).toEqual([])
    machine.start({ pid: 43, name: 'sh', executable: '/bin/sh', parent: 30 })
    expect((await monitor.observe(machine, baseline, turn(false))).findings).toMatchObject([
      { category: 'process.parent', subject: '/bin/sh < /usr/sbin/sshd', severityPpm: 600_000 },
    ])
  })

  it('whose parent has died, or is not seen → nothing', async () => {
    const machine = ordinaryMachine()
    const baseline = await learnt(machine)
    machine.start({ pid: 50, name: 'sshd', executable: '/usr/sbin/sshd', parent: 1 })
    machine.start({ pid: 51, name: 'sshd', executable: '/usr/sbin/sshd', parent: 777 })
    expect((await processesMonitor().observe(machine, baseline, turn(false))).findings).toEqual([])
  })
})

describe('an intruder that is there while the baseline is learnt', () => {
  it('a program from where anyone may drop one is reported, is not learnt, and is reported afterwards too', async () => {
    const machine = ordinaryMachine()
    machine.start({ pid: 66, name: 'rogue', executable: '/dev/shm/rogue' })
    const monitor = processesMonitor()
    const first = await monitor.observe(machine, monitor.empty(), turn(true))
    expect(first.findings).toMatchObject([
      { category: 'process.unknown', subject: '/dev/shm/rogue', severityPpm: 900_000 },
    ])
    expect([...first.baseline.executables.keys()]).toEqual(['/sbin/init', '/usr/sbin/sshd'])
    expect((await monitor.observe(machine, first.baseline, turn(false))).findings).toHaveLength(1)
  })
})
