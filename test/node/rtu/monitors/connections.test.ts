import { describe, expect, it } from 'vitest'
import {
  type Connection,
  NO_CONNECTIONS,
  observeConnections,
  REMOTES_MAX,
} from '../../../../node/rtu/monitors/connections.ts'
import { listenersMonitor } from '../../../../node/rtu/monitors/listeners.ts'
import { type FakeMachine, ordinaryMachine, turn } from '../fakeMachine.ts'

const to = (remote: string, port = 40_000, remotePort = 443): Connection => ({ remote, remotePort, port })
const observe = (
  machine: FakeMachine,
  open: readonly Connection[],
  before = NO_CONNECTIONS,
  learning = false,
): ReturnType<typeof observeConnections> => observeConnections(machine, open, new Set([22]), before, learning)
const flowing = (machine: FakeMachine, bytes: number): void =>
  machine.put('/proc/net/dev', {
    content: `Inter-|\n face |\n    lo: 999999999 0 0 0 0 0 0 0 9 0\n  eth0: ${bytes} 0 0 0 0 0 0 0 0 0\n`,
  })

describe('peers', () => {
  it('an address that was none in the baseline → network.peer; loopback is nobody; who calls counts less than who is called', () => {
    const machine = ordinaryMachine()
    const { baseline } = observe(machine, [to('10.0.0.1')], NO_CONNECTIONS, true)
    const { findings } = observe(
      machine,
      [to('10.0.0.1'), to('127.0.0.1'), to('10.0.0.2'), to('10.0.0.3', 22, 50_000)],
      baseline,
    )
    expect(findings.map(({ category, subject, severityPpm }) => [category, subject, severityPpm])).toEqual([
      ['network.peer', '10.0.0.2', 450_000],
      ['network.peer', '10.0.0.3', 250_000],
    ])
  })

  it('a flood of new addresses → a few are named, and the fan-out is one finding', () => {
    const machine = ordinaryMachine()
    const { baseline } = observe(machine, [to('10.0.0.1')], NO_CONNECTIONS, true)
    const { findings } = observe(
      machine,
      Array.from({ length: 500 }, (_, i) => to(`10.1.${i >> 8}.${i & 255}`)),
      baseline,
    )
    expect(findings.filter(({ category }) => category === 'network.peer')).toHaveLength(8)
    expect(findings.at(-1)).toMatchObject({ category: 'network.flow', subject: 'fan-out' })
  })

  it('a server with more peers than can be learnt → silent about new ones, and says so', () => {
    const machine = ordinaryMachine()
    const many = Array.from({ length: REMOTES_MAX + 9 }, (_, i) => to(`10.1.${i >> 8}.${i & 255}`))
    const { baseline } = observe(machine, many, NO_CONNECTIONS, true)
    const seen = observe(machine, [to('10.9.9.9')], baseline)
    expect(seen.findings).toEqual([])
    expect(seen.blind).toContain('addresses to learn')
  })
})

describe('flow', () => {
  it('far more than ever in the baseline, for three cycles → network.flow; a short burst → nothing', () => {
    const machine = ordinaryMachine()
    let bytes = 0
    let { baseline } = observe(machine, [], NO_CONNECTIONS, true)
    const cycle = (perSecond: number, learning = false) => {
      machine.clockMs += 5000
      bytes += 5 * perSecond
      flowing(machine, bytes)
      const seen = observe(machine, [], baseline, learning)
      baseline = seen.baseline
      return seen.findings.map(({ category }) => category)
    }
    flowing(machine, bytes)
    for (let i = 0; i < 3; i++) cycle(300_000, true)
    expect([cycle(9_000_000), cycle(300_000), cycle(9_000_000), cycle(9_000_000)].flat()).toEqual([])
    expect(cycle(9_000_000)).toEqual(['network.flow'])
    expect(cycle(300_000)).toEqual([])
  })

  it('counters that go back → no finding', () => {
    const machine = ordinaryMachine()
    flowing(machine, 1_000_000_000)
    const { baseline } = observe(machine, [])
    flowing(machine, 5)
    machine.clockMs += 5000
    expect(observe(machine, [], baseline).findings).toEqual([])
  })
})

describe('in the monitor', () => {
  it('what was learnt outlives the process; the tables are read once', async () => {
    const machine = ordinaryMachine()
    const monitor = listenersMonitor()
    machine.reads.length = 0
    const { baseline } = await monitor.observe(machine, monitor.empty(), turn(true))
    expect(machine.reads.filter((path) => path === '/proc/net/tcp')).toHaveLength(1)
    const kept = monitor.fromDisk(JSON.parse(JSON.stringify(monitor.toDisk(baseline))))
    machine.put('/proc/net/tcp', {
      content: [
        'sl',
        '   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0 100 0 0 10 0',
        '   1: 0200000A:9C40 0900000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 501 1 0 100 0 0 10 0',
        '',
      ].join('\n'),
    })
    expect((await monitor.observe(machine, kept, turn(false))).findings).toMatchObject([
      {
        category: 'network.peer',
        subject: '10.0.0.9',
        detail: 'this machine is connected to 10.0.0.9 port 443, which was no peer in the baseline',
      },
    ])
  })
})
