/** A log that is played: what is found in it, when, and that the chain gets it (node/rtu/replay/judge.ts, monitor.ts, main.ts). */
import { afterEach, describe, expect, it } from 'vitest'
import { LogJudge } from '../../../../node/rtu/replay/judge.ts'
import type { ReadingLog } from '../../../../node/rtu/replay/log.ts'
import { replayMonitor } from '../../../../node/rtu/replay/monitor.ts'
import { ordinaryMachine } from '../fakeMachine.ts'
import { genesisOf, Member, startRtu, tidyUp, until } from '../world.ts'

afterEach(tidyUp)

const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000
const START = Date.UTC(2026, 0, 1)
/** A reading a second, with a spike at 700 s. */
const spiked: ReadingLog = {
  channels: ['pressure'],
  rows: Array.from({ length: 1000 }, (_, i) => ({
    timeMs: START + 1000 * i,
    values: [noise(i) + (i === 700 ? 50 : 0)],
  })),
}
const turn = (deadlineMs = Number.POSITIVE_INFINITY) => ({ learning: false, deadlineMs, pause: async () => {} })

describe('rtu/replay', () => {
  it('a spike of a signal and a jump of a position are findings of their categories', () => {
    const judge = new LogJudge(spiked)
    const findings = spiked.rows.flatMap((row) => judge.judge(row))
    expect(findings).toContainEqual(
      expect.objectContaining({
        category: 'signal.anomaly',
        subject: 'pressure 2026-01-01T00:11:40.000Z',
        detail: expect.stringContaining('pressure = 50.'),
      }),
    )
    const drive: ReadingLog = {
      channels: ['lat', 'lon'],
      rows: Array.from({ length: 100 }, (_, i) => ({
        timeMs: START + 10_000 * i,
        values: [48 + i * 1e-4 + (i >= 50 ? 1 : 0), 11],
      })),
    }
    const watch = new LogJudge(drive)
    const seen = drive.rows.flatMap((row) => watch.judge(row))
    expect(seen.map(({ category }) => category)).toEqual(['position.spoofed'])
  })

  it('rows become due in the time of the log, divided by the speed', async () => {
    const machine = ordinaryMachine()
    const monitor = replayMonitor(spiked, 10)
    await monitor.observe(machine, null, turn())
    expect(monitor.progress).toEqual({ rows: 1, findings: 0, isOver: false })
    machine.clockMs += 5000
    await monitor.observe(machine, null, turn())
    expect(monitor.progress.rows).toBe(51)
    machine.clockMs += 200_000
    const { findings } = await monitor.observe(machine, null, turn())
    expect(findings.map(({ category }) => category)).toContain('signal.anomaly')
    expect(monitor.progress.isOver).toBe(true)
  })

  it('a cycle without time left plays nothing, and nothing is lost by it', async () => {
    const machine = ordinaryMachine()
    const monitor = replayMonitor(spiked, Number.POSITIVE_INFINITY)
    await monitor.observe(machine, null, turn(-1))
    expect(monitor.progress.rows).toBe(0)
    await monitor.observe(machine, null, turn())
    expect(monitor.progress.isOver).toBe(true)
  })

  it('what is found is reported as any finding of a device, and is in the chain', async () => {
    const member = await Member.start(genesisOf(1))
    await member.register(1)
    const replay = replayMonitor(spiked, Number.POSITIVE_INFINITY)
    const rtu = await startRtu(1, [member], { replay })
    await until(() => replay.progress.isOver && rtu.outbox.status().delivered >= 1, 'played and delivered')
    const events = (await member.reports(1)).flatMap((report) => report.events)
    expect(events).toContainEqual(
      expect.objectContaining({ category: 'signal.anomaly', detail: expect.stringContaining('pressure = 50.') }),
    )
  }, 120_000)
})
