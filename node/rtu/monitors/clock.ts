/**
 * RTU, monitor `clock`: the clock on the wall against the monotonic one, and against the time of the chain.
 * Invariants: nothing is learnt and nothing kept on disk; a jump is a finding for a minute, so that the peers see it too; without a verified header
 * of this run there is no time of the chain to compare with.
 */
import { detailOf, type Finding, type Monitor } from '../monitor.ts'

/** Times in ms. */
export type ClockOptions = {
  /** A step of the wall clock of so much more or less than has passed is a jump. Clocks are slewed by less. */
  readonly jumpMs: number
  /** How far the clock may be from the chain's. Headers come late by the time of a block. */
  readonly offsetMs: number
  /** Block time now, as headers tell; undefined where none was heard in this run. */
  chainNow(): number | undefined
}
/** Two seconds; half a minute. */
export const CLOCK_DEFAULTS = { jumpMs: 2000, offsetMs: 30_000 } as const

/** Cycles for which a jump is said. */
const SAID_CYCLES = 12

/** Last readings, and what is being said. */
export type ClockBaseline = {
  readonly wallMs: number
  readonly monotonicMs: number
  readonly jump: { readonly byMs: number; readonly cyclesLeft: number } | null
}

/** Monitor of the clock. */
export const clockMonitor = (options: ClockOptions): Monitor<ClockBaseline | null> => ({
  name: 'clock',
  categories: ['clock.skew'],
  empty: () => null,
  async observe(machine, before) {
    const wallMs = machine.wallMs()
    const monotonicMs = machine.monotonicMs()
    const byMs = before === null ? 0 : Math.round(wallMs - before.wallMs - (monotonicMs - before.monotonicMs))
    const jump =
      Math.abs(byMs) > options.jumpMs
        ? { byMs, cyclesLeft: SAID_CYCLES }
        : before?.jump != null && before.jump.cyclesLeft > 1
          ? { byMs: before.jump.byMs, cyclesLeft: before.jump.cyclesLeft - 1 }
          : null
    const findings: Finding[] = []
    // Forward it also goes when the machine slept; back, somebody has set it.
    if (jump !== null)
      findings.push(skew('jump', jump.byMs < 0 ? 600_000 : 300_000, `the clock jumped by ${jump.byMs} ms`))
    const chainMs = options.chainNow()
    const offsetMs = chainMs === undefined ? 0 : Math.round(wallMs - chainMs)
    if (Math.abs(offsetMs) > options.offsetMs)
      findings.push(skew('offset', 600_000, `the clock is ${offsetMs} ms away from the time of the chain`))
    return {
      findings,
      baseline: { wallMs, monotonicMs, jump },
      blind: chainMs === undefined ? 'no time of the chain to compare with' : null,
      counts: { clockOffsetMs: Math.abs(offsetMs) },
    }
  },
  toDisk: () => null,
  fromDisk: () => null,
})

const skew = (subject: string, confidencePpm: number, text: string): Finding => ({
  category: 'clock.skew',
  subject,
  severityPpm: 400_000,
  confidencePpm,
  detail: detailOf(text),
})
