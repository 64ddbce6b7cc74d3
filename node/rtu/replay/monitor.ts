/**
 * RTU, replay 3: a log that is played, as the monitor of a device: each cycle sees the rows that have become due since the one before.
 * Invariants: rows are judged in order and each once; a cycle gives at most 64 findings, and those beyond wait for the next.
 */
import { FINDINGS_MAX, type Finding, type Monitor } from '../monitor.ts'
import { LogJudge } from './judge.ts'
import type { ReadingLog } from './log.ts'

/** A monitor that plays a log, and how far it is. */
export type ReplayMonitor = Monitor<null> & {
  readonly progress: { readonly rows: number; readonly findings: number; readonly isOver: boolean }
}

/** `speed`: seconds of the log in one second; Infinity: all at once. `learning` as of `LogJudge`. */
export function replayMonitor(log: ReadingLog, speed: number, learning?: number): ReplayMonitor {
  const judge = new LogJudge(log, learning)
  const firstMs = log.rows[0]?.timeMs ?? 0
  let startMs: number | undefined
  let next = 0
  let findings = 0
  const waiting: Finding[] = []
  return {
    name: 'replay',
    categories: ['signal.anomaly', 'position.spoofed'],
    get progress() {
      return { rows: next, findings, isOver: next === log.rows.length && waiting.length === 0 }
    },
    empty: () => null,
    toDisk: () => null,
    fromDisk: () => null,
    async observe(machine, baseline, turn) {
      startMs ??= machine.monotonicMs()
      while (next < log.rows.length && waiting.length < FINDINGS_MAX) {
        const row = log.rows[next] as ReadingLog['rows'][number]
        const nowMs = machine.monotonicMs()
        if (row.timeMs - firstMs > (nowMs - startMs) * speed || nowMs > turn.deadlineMs) break
        waiting.push(...judge.judge(row))
        next++
        if (next % 64 === 0) await turn.pause()
      }
      const found = waiting.splice(0, FINDINGS_MAX)
      findings += found.length
      return { findings: found, baseline, blind: null, counts: {} }
    },
  }
}
