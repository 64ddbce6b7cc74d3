import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DETAIL_CHARACTERS_MAX, detailOf, FINDINGS_MAX, type Monitor } from '../../../node/rtu/monitor.ts'
import { FILES_DEFAULTS, filesMonitor } from '../../../node/rtu/monitors/files.ts'
import { addressText, LISTENERS_DEFAULTS, listenersMonitor } from '../../../node/rtu/monitors/listeners.ts'
import { PROCESSES_DEFAULTS, parseProcessStat, processesMonitor } from '../../../node/rtu/monitors/processes.ts'
import {
  cpuPpmBetween,
  nextWater,
  parseCpuTicks,
  RESOURCES_DEFAULTS,
  resourcesMonitor,
} from '../../../node/rtu/monitors/resources.ts'
import { type FakeMachine, ordinaryMachine, turn } from './fakeMachine.ts'

/** What `monitor` finds after it has learnt `machine` as it is and `change` was made, by way of the disk as after a restart. */
async function afterChange<B>(monitor: Monitor<B>, machine: FakeMachine, change: () => void) {
  const learnt = await monitor.observe(machine, monitor.empty(), turn(true))
  expect(learnt.findings).toEqual([])
  const again = await monitor.observe(machine, learnt.baseline, turn(false))
  expect(again.findings).toEqual([])
  change()
  const kept = monitor.fromDisk(JSON.parse(JSON.stringify(monitor.toDisk(learnt.baseline))))
  return monitor.observe(machine, kept, turn(false))
}

describe('processes', () => {
  it('an executable that did not run in the baseline → process.unknown with path and pid', async () => {
    const machine = ordinaryMachine()
    const { findings, counts, blind } = await afterChange(processesMonitor(), machine, () =>
      machine.start({ pid: 99, name: 'miner', executable: '/opt/miner' }),
    )
    expect(findings).toEqual([
      {
        category: 'process.unknown',
        subject: '/opt/miner',
        severityPpm: 600_000,
        confidencePpm: 900_000,
        detail: 'miner (pid 99) runs an executable unknown to the baseline: /opt/miner',
      },
    ])
    expect(counts).toMatchObject({ processCount: 3, processUnknownCount: 1, executableCount: 2 })
    expect(blind).toBeNull()
  })

  it('the same executable under another pid → nothing', async () => {
    const machine = ordinaryMachine()
    const { findings } = await afterChange(processesMonitor(), machine, () => {
      machine.end(30)
      machine.start({ pid: 31, name: 'sshd', executable: '/usr/sbin/sshd' })
    })
    expect(findings).toEqual([])
  })

  it.each(['inode', 'sizeBytes', 'modifiedMs'] as const)(
    'another %s of a known executable → process.changed',
    async (fact) => {
      const machine = ordinaryMachine()
      const { findings } = await afterChange(processesMonitor(), machine, () =>
        machine.start({ pid: 40, name: 'sshd', executable: '/usr/sbin/sshd', facts: { [fact]: 77 } }),
      )
      expect(findings.map(({ category, subject }) => [category, subject])).toEqual([
        ['process.changed', '/usr/sbin/sshd'],
      ])
    },
  )

  it('a known executable whose file was deleted → process.changed with low confidence', async () => {
    const machine = ordinaryMachine()
    const { findings } = await afterChange(processesMonitor(), machine, () =>
      machine.start({ pid: 30, name: 'sshd', executable: '/usr/sbin/sshd (deleted)', facts: { links: 0 } }),
    )
    expect(findings).toMatchObject([{ category: 'process.changed', confidencePpm: 400_000 }])
  })

  it('a file whose name only ends in “ (deleted)” is not taken for a deleted one', async () => {
    const machine = ordinaryMachine()
    const { findings } = await afterChange(processesMonitor(), machine, () =>
      machine.start({ pid: 50, name: 'x', executable: '/usr/sbin/sshd (deleted)' }),
    )
    expect(findings).toMatchObject([{ category: 'process.unknown', subject: '/usr/sbin/sshd (deleted)' }])
  })

  it.each(['/tmp/x', '/dev/shm/x', '/memfd:x'])(
    'an unknown executable at %s is graver than an installed one',
    async (executable) => {
      const machine = ordinaryMachine()
      const { findings } = await afterChange(processesMonitor(), machine, () =>
        machine.start({ pid: 60, name: 'x', executable }),
      )
      expect(findings[0]?.severityPpm).toBe(900_000)
    },
  )

  it('a process that calls itself like a kernel thread is seen, a kernel thread is not', async () => {
    const machine = ordinaryMachine()
    const { findings } = await afterChange(processesMonitor(), machine, () => {
      machine.start({ pid: 70, name: 'kworker/0:1', executable: '/usr/bin/evil' })
      machine.start({ pid: 71, name: 'kworker/0:2', kernelThread: true })
    })
    expect(findings.map(({ subject }) => subject)).toEqual(['/usr/bin/evil'])
  })

  it('an executable that may not be read → known by name, with little confidence, and said', async () => {
    const machine = ordinaryMachine()
    const { findings, blind } = await afterChange(processesMonitor(), machine, () =>
      machine.start({ pid: 80, name: 'hidden', refuses: 'EACCES' }),
    )
    expect(findings).toMatchObject([{ category: 'process.unknown', confidencePpm: 400_000 }])
    expect(blind).toBe('the executables of 1 of 3 processes may not be read')
  })

  it('a system that hides the processes of others → blind in words', async () => {
    const machine = ordinaryMachine()
    machine.end(1)
    const { blind } = await processesMonitor().observe(machine, processesMonitor().empty(), turn(true))
    expect(blind).toBe('processes of other users are hidden')
  })

  it('no /proc → blind in words, no findings, no counts', async () => {
    const machine = ordinaryMachine()
    machine.files.clear()
    const seen = await processesMonitor().observe(machine, processesMonitor().empty(), turn(false))
    expect(seen).toMatchObject({ findings: [], blind: 'cannot see processes: this system has no /proc', counts: {} })
  })

  it('time runs out → says so, keeps no count, and the next cycle begins behind the last process seen', async () => {
    const machine = ordinaryMachine()
    for (let pid = 100; pid < 200; pid++) machine.start({ pid, name: `p${pid}`, executable: `/bin/p${pid}` })
    const monitor = processesMonitor()
    const first = await monitor.observe(machine, monitor.empty(), turn(true, -1))
    expect(first.blind).toBe('time for 32 of 103 processes only')
    expect(first.counts.processCount).toBeUndefined()
    let { baseline } = first
    for (let i = 0; i < 3; i++) baseline = (await monitor.observe(machine, baseline, turn(true, -1))).baseline
    expect(baseline.executables.size).toBe(102)
  })

  it('more executables than may be learnt → bounded and said; more findings than 64 → the worst 64', async () => {
    const machine = ordinaryMachine()
    for (let pid = 100; pid < 300; pid++) machine.start({ pid, name: 'p', executable: `/bin/p${pid}` })
    machine.start({ pid: 300, name: 'p', executable: '/tmp/worst' })
    const monitor = processesMonitor({ ...PROCESSES_DEFAULTS, executablesMax: 10 })
    const learnt = await monitor.observe(machine, monitor.empty(), turn(true))
    expect(learnt.baseline.executables.size).toBe(10)
    expect(learnt.blind).toBe('more than 10 executables to learn')
    const { findings } = await monitor.observe(machine, learnt.baseline, turn(false))
    expect(findings).toHaveLength(FINDINGS_MAX)
    expect(findings[0]?.subject).toBe('/tmp/worst')
  })

  it('never reads a command line or an environment', async () => {
    const machine = ordinaryMachine()
    await afterChange(processesMonitor(), machine, () => machine.start({ pid: 90, name: 'x', executable: '/x' }))
    expect(machine.reads.filter((path) => !/\/(?:stat|exe)$/.test(path))).toEqual([])
  })

  it('a name with parentheses and spaces does not shift the fields', () => {
    const fields = ['R', 1, 1, 1, 0, -1, 4194304, ...Array.from({ length: 12 }, () => 0), 555, 0]
    expect(parseProcessStat(`9 (a) R (b)) ${fields.join(' ')}`)).toEqual({
      name: 'a) R (b)',
      zombie: false,
      kernelThread: false,
      parentPid: 1,
      startTicks: 555,
    })
    expect(parseProcessStat('garbage')).toBeUndefined()
  })
})

describe('listeners', () => {
  it('a socket that did not listen in the baseline → network.listener with its owner', async () => {
    const machine = ordinaryMachine()
    const { findings, counts } = await afterChange(listenersMonitor(), machine, () => {
      machine.start({ pid: 99, name: 'backdoor', executable: '/x', sockets: [900] })
      machine.putSockets('tcp', '0A', ['00000000:0016', 500], ['00000000:115C', 900])
    })
    expect(findings).toMatchObject([
      {
        category: 'network.listener',
        severityPpm: 650_000,
        confidencePpm: 950_000,
        detail: 'tcp 0.0.0.0 port 4444 listens and did not in the baseline; held by backdoor (pid 99)',
      },
    ])
    expect(counts).toEqual({ listenerCount: 2, listenerUnknownCount: 1, connectionCount: 0 })
  })

  it('a socket of the loopback is less grave; an owner that may not be read is said', async () => {
    const machine = ordinaryMachine()
    const { findings } = await afterChange(listenersMonitor(), machine, () =>
      machine.putSockets('tcp', '0A', ['0100007F:115C', 901]),
    )
    expect(findings[0]).toMatchObject({
      severityPpm: 300_000,
      detail: 'tcp 127.0.0.1 port 4444 listens and did not in the baseline; its owner may not be read',
    })
  })

  it('a UDP client on an ephemeral port counts only once it has lasted a cycle', async () => {
    const machine = ordinaryMachine()
    const monitor = listenersMonitor()
    const learnt = await monitor.observe(machine, monitor.empty(), turn(true))
    machine.putSockets('udp', '07', ['00000000:C000', 700], ['00000000:0035', 701])
    const first = await monitor.observe(machine, learnt.baseline, turn(false))
    expect(first.findings.map(({ subject }) => subject)).toEqual(['udp 0.0.0.0 53'])
    const second = await monitor.observe(machine, first.baseline, turn(false))
    expect(second.findings.map(({ subject }) => subject)).toEqual(['udp 0.0.0.0 49152', 'udp 0.0.0.0 53'])
  })

  it('connections are counted and are no listeners', async () => {
    const machine = ordinaryMachine()
    const { findings, counts } = await afterChange(listenersMonitor(), machine, () =>
      machine.putSockets('tcp', '01', ['00000000:0016', 500]),
    )
    expect(findings).toEqual([])
    expect(counts).toMatchObject({ connectionCount: 1, listenerCount: 0 })
  })

  it('the owner is searched once, not in every cycle', async () => {
    const machine = ordinaryMachine()
    const monitor = listenersMonitor()
    const learnt = await monitor.observe(machine, monitor.empty(), turn(true))
    machine.start({ pid: 99, name: 'backdoor', executable: '/x', sockets: [900] })
    machine.putSockets('tcp', '0A', ['00000000:115C', 900])
    const first = await monitor.observe(machine, learnt.baseline, turn(false))
    machine.reads.length = 0
    const second = await monitor.observe(machine, first.baseline, turn(false))
    expect(second.findings).toEqual(first.findings)
    expect(machine.reads.filter((path) => path.endsWith('/comm'))).toEqual([])
  })

  it('no /proc/net → blind; no IPv6 → not blind; a table cut at its bound → said', async () => {
    const machine = ordinaryMachine()
    const monitor = listenersMonitor({ ...LISTENERS_DEFAULTS, tableBytesMax: 60 })
    const cut = await monitor.observe(machine, monitor.empty(), turn(false))
    expect(cut.blind).toBe('more sockets than are looked at')
    const whole = await listenersMonitor().observe(machine, monitor.empty(), turn(true))
    expect(whole.blind).toBeNull()
    machine.files.clear()
    const none = await monitor.observe(machine, monitor.empty(), turn(false))
    expect(none.blind).toContain('cannot see tcp: this system has no /proc/net/tcp')
    expect(none.counts).toEqual({})
  })

  it.each([
    ['0100007F', '127.0.0.1'],
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000001000000', '::1'],
    ['0000000000000000FFFF00000100007F', '::ffff:127.0.0.1'],
    ['B80D01200000000000000000EFBEADDE', '2001:db8:0:0:0:0:dead:beef'],
  ])('the kernel’s %s is %s', (hex, address) => expect(addressText(hex)).toBe(address))
})

describe('files', () => {
  const options = { ...FILES_DEFAULTS, paths: ['/etc/passwd', '/etc/cron.d', '/etc/ld.so.preload'] }
  const watched = (): FakeMachine => {
    const machine = ordinaryMachine()
    machine.put('/etc/passwd', { content: 'root' })
    machine.put('/etc/cron.d/job', { content: '* * *' })
    return machine
  }
  const about = (findings: readonly { category: string; subject: string }[]) =>
    findings.map(({ category, subject }) => `${category} ${subject}`)

  it('other content → file.content, even if size and times are as they were', async () => {
    const machine = watched()
    const { findings } = await afterChange(filesMonitor(options), machine, () =>
      machine.put('/etc/passwd', { content: 'toor' }),
    )
    expect(about(findings)).toEqual(['file.content /etc/passwd'])
    expect(findings[0]?.detail).not.toContain('toor')
  })

  it('forged times and size do not hide a change from the rotation, without a restart', async () => {
    const machine = watched()
    const monitor = filesMonitor({ ...options, recheckBytesMax: 1 })
    let { baseline } = await monitor.observe(machine, monitor.empty(), turn(true))
    machine.put('/etc/passwd', { content: 'toor' })
    const found = new Set<string>()
    for (let i = 0; i < 3; i++) {
      const seen = await monitor.observe(machine, baseline, turn(false))
      baseline = seen.baseline
      for (const line of about(seen.findings)) found.add(line)
    }
    expect([...found]).toEqual(['file.content /etc/passwd'])
  })

  it('another mode or owner → file.mode; becoming writable for all is graver', async () => {
    const machine = watched()
    const { findings } = await afterChange(filesMonitor(options), machine, () => {
      machine.put('/etc/passwd', { content: 'root', mode: 0o666 })
      machine.put('/etc/cron.d/job', { content: '* * *', userId: 1000 })
    })
    expect(about(findings)).toEqual(['file.mode /etc/passwd', 'file.mode /etc/cron.d/job'])
    expect(findings.map(({ severityPpm }) => severityPpm)).toEqual([900_000, 600_000])
    expect(findings[0]?.detail).toBe('mode or owner changed (0644 0:0 → 0666 0:0): /etc/passwd')
  })

  it('a file that goes, one that comes where none was, and a new one in a watched directory → file.content each', async () => {
    const machine = watched()
    const { findings, counts } = await afterChange(filesMonitor(options), machine, () => {
      machine.files.delete('/etc/passwd')
      machine.put('/etc/ld.so.preload', { content: '/x.so' })
      machine.put('/etc/cron.d/evil', { content: 'x' })
    })
    expect(findings.map(({ detail }) => detail).sort()).toEqual([
      'a new file is watched: /etc/cron.d/evil',
      'a new file is watched: /etc/ld.so.preload',
      'a watched file is gone: /etc/passwd',
    ])
    expect(counts).toEqual({ watchedFileCount: 3, watchedFileChangedCount: 3 })
  })

  it('a flood of files in a watched directory cannot push the learnt ones out of sight', async () => {
    const machine = watched()
    const monitor = filesMonitor({ ...options, filesMax: 5 })
    const { findings, blind } = await afterChange(monitor, machine, () => {
      for (let i = 0; i < 50; i++) machine.put(`/etc/cron.d/a${i}`, { content: 'x' })
      machine.put('/etc/cron.d/job', { content: '! ! !' })
    })
    expect(about(findings)).toContain('file.content /etc/cron.d/job')
    expect(blind).toBe('more than 5 watched files')
  })

  it('a file larger than the bound is hashed in its beginning, compared in size, and that is said', async () => {
    const machine = watched()
    const monitor = filesMonitor({ ...options, fileBytesMax: 2 })
    const { findings, blind } = await afterChange(monitor, machine, () =>
      machine.put('/etc/passwd', { content: 'root!' }),
    )
    expect(about(findings)).toEqual(['file.content /etc/passwd'])
    expect(blind).toBe('2 watched files are hashed in their first 2 bytes only')
  })

  it('a file that may not be read → blind, not changed', async () => {
    const machine = watched()
    const { findings, blind } = await afterChange(filesMonitor(options), machine, () =>
      machine.put('/etc/passwd', { refuses: 'EACCES' }),
    )
    expect(findings).toEqual([])
    expect(blind).toBe('1 watched files may not be read')
  })
})

describe('resources', () => {
  const cpu = (busy: number, idle: number) => ({ content: `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\n` })

  it('processor share needs two readings and comes from their difference', async () => {
    const machine = ordinaryMachine()
    const monitor = resourcesMonitor()
    const first = await monitor.observe(machine, monitor.empty(), turn(false))
    expect(first.counts).toEqual({ memoryPpm: 400_000, loadMilli: 100, diskPpm: 100_000 })
    machine.put('/proc/stat', cpu(45, 1075))
    const second = await monitor.observe(machine, first.baseline, turn(false))
    expect(second.counts.cpuPpm).toBe(250_000)
    expect(second.findings).toEqual([])
  })

  it('full processors → resource.cpu after the sixth cycle, until clearly less', async () => {
    const machine = ordinaryMachine()
    const monitor = resourcesMonitor()
    let { baseline } = await monitor.observe(machine, monitor.empty(), turn(false))
    const shares = [99, 99, 99, 99, 99, 99, 90, 80]
    const raised: boolean[] = []
    let [busy, idle] = [20, 1000]
    for (const share of shares) {
      busy += share
      idle += 100 - share
      machine.put('/proc/stat', cpu(busy, idle))
      const seen = await monitor.observe(machine, baseline, turn(false))
      baseline = seen.baseline
      raised.push(seen.findings.length > 0)
      if (seen.findings[0] !== undefined)
        expect(seen.findings[0]).toMatchObject({ category: 'resource.cpu', subject: 'cpu' })
    }
    expect(raised).toEqual([false, false, false, false, false, true, true, false])
  })

  it('memory and disk nearly gone → one finding each', async () => {
    const machine = ordinaryMachine()
    machine.put('/proc/meminfo', { content: 'MemTotal: 1000 kB\nMemAvailable: 10 kB\n' })
    machine.disk = { bytesTotal: 1000, bytesFree: 20 }
    const monitor = resourcesMonitor()
    let { baseline } = await monitor.observe(machine, monitor.empty(), turn(true))
    for (let i = 0; i < 2; i++) baseline = (await monitor.observe(machine, baseline, turn(false))).baseline
    const { findings } = await monitor.observe(machine, baseline, turn(false))
    expect(findings.map(({ category, detail }) => `${category}: ${detail}`)).toEqual([
      'resource.memory: 99 % of memory is in use',
      'resource.disk: 98 % of the disk at / is in use',
    ])
  })

  it('a value between leaving and entering changes nothing, either way', () => {
    const { cpu: threshold } = RESOURCES_DEFAULTS
    expect(nextWater({ cyclesHigh: 0, raised: false }, 900_000, threshold).raised).toBe(false)
    expect(nextWater({ cyclesHigh: 6, raised: true }, 900_000, threshold).raised).toBe(true)
  })

  it('counters that stand still or go back give no share', () => {
    expect(cpuPpmBetween({ busy: 5, total: 10 }, { busy: 5, total: 10 })).toBeUndefined()
    expect(cpuPpmBetween({ busy: 5, total: 10 }, { busy: 4, total: 20 })).toBeUndefined()
    expect(parseCpuTicks('nothing')).toBeUndefined()
  })

  it('files that are missing or strange → blind in words, values unknown and not 0', async () => {
    const machine = ordinaryMachine()
    machine.files.delete('/proc/stat')
    machine.put('/proc/meminfo', { content: 'strange' })
    const { blind, counts } = await resourcesMonitor().observe(machine, resourcesMonitor().empty(), turn(false))
    expect(blind).toBe(
      'cannot see processor time: this system has no /proc/stat; cannot see memory: /proc/meminfo is not as expected',
    )
    expect(counts).toEqual({ loadMilli: 100, diskPpm: 100_000 })
  })
})

describe('details and baselines', () => {
  it('a detail of any text is printable, well-formed and of at most 200 characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => {
        const detail = detailOf(text)
        expect(detail.length).toBeLessThanOrEqual(DETAIL_CHARACTERS_MAX)
        expect(detail).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
      }),
    )
  })

  it('a baseline of any JSON is refused or accepted, and what was accepted is written alike', () => {
    for (const monitor of [
      processesMonitor(),
      listenersMonitor(),
      filesMonitor(),
      resourcesMonitor(),
    ] as Monitor<unknown>[]) {
      fc.assert(
        fc.property(fc.jsonValue(), (json) => {
          let baseline: unknown
          try {
            baseline = monitor.fromDisk(json)
          } catch (error) {
            expect((error as Error).name).toBe('CborError')
            return
          }
          expect(() => monitor.toDisk(baseline)).not.toThrow()
        }),
        { numRuns: 50 },
      )
    }
  })
})
