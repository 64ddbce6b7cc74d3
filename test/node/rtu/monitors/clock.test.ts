import { describe, expect, it } from 'vitest'
import { CLOCK_DEFAULTS, type ClockBaseline, clockMonitor } from '../../../../node/rtu/monitors/clock.ts'
import { ordinaryMachine, turn } from '../fakeMachine.ts'

function watching(chainNow: () => number | undefined = () => undefined) {
  const machine = ordinaryMachine()
  const monitor = clockMonitor({ ...CLOCK_DEFAULTS, chainNow })
  let baseline: ClockBaseline | null = monitor.empty()
  const cycle = async (passesMs = 5000, jumpsMs = 0) => {
    machine.clockMs += passesMs
    machine.wall += passesMs + jumpsMs
    const seen = await monitor.observe(machine, baseline, turn(false))
    baseline = seen.baseline
    return seen.findings.map(({ category, subject }) => `${category} ${subject}`)
  }
  return { machine, cycle }
}

describe('clock', () => {
  it('a jump against the monotonic clock, back or forward → clock.skew for a minute; being slewed → nothing', async () => {
    for (const byMs of [-3000, 86_400_000]) {
      const { cycle } = watching()
      expect(await cycle()).toEqual([])
      expect(await cycle(5000, 400)).toEqual([])
      for (let i = 0; i < 12; i++) expect(await cycle(5000, i === 0 ? byMs : 0)).toEqual(['clock.skew jump'])
      expect(await cycle()).toEqual([])
    }
  })

  it('far from the time of the chain → clock.skew while it lasts; no chain heard → blind, and nothing is said', async () => {
    let offsetMs = 0
    const { machine, cycle } = watching(() => machine.wall - offsetMs)
    expect(await cycle()).toEqual([])
    offsetMs = 60_000
    expect(await cycle()).toEqual(['clock.skew offset'])
    offsetMs = -20_000
    expect(await cycle()).toEqual([])
    expect(await watching().cycle()).toEqual([])
  })
})
