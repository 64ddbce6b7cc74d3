/**
 * RTU: the cycle that drives its stages: monitors → findings → report → outbox, every `intervalMs`.
 * Invariants: one cycle at a time, none made up for one that was missed; monitors share `budgetMs` of wall clock and let the process run
 * between batches; a report counts as made only once the outbox has it. What a monitor is refused by the system makes it blind and is said
 * in the report; a bug is thrown on.
 */
import { setImmediate as immediately, setTimeout as later } from 'node:timers/promises'
import type { CborValue } from '../../protocol/cbor.ts'
import type { CategoryName } from '../../protocol/kinds/report/categories.ts'
import { deviceReport, type Report, scoreOf } from '../../protocol/kinds/report/report.ts'
import type { AnyMonitor, BaselineStore, Baselines } from './baseline.ts'
import { BLIND_CHARACTERS_MAX, type FeatureCounts, featuresOf } from './features.ts'
import type { Snapshot } from './judge.ts'
import { type Machine, refusalOf } from './machine.ts'
import { type Finding, type Observation, printable } from './monitor.ts'
import type { Outbox } from './outbox.ts'
import {
  EMPTY_REPORT_MEMORY,
  payloadOf,
  REPORT_DEFAULTS,
  type ReportMemory,
  type ReportOptions,
  reportOf,
  selectReport,
} from './report.ts'

/** Times in ms. `learningCycles`: cycles whose sights become the baseline, 0 for none. */
export type CycleOptions = {
  readonly intervalMs: number
  readonly budgetMs: number
  readonly learningCycles: number
  readonly report: ReportOptions
}
/** Five seconds apart; five minutes of learning. */
export const CYCLE_DEFAULTS: CycleOptions = {
  intervalMs: 5000,
  budgetMs: 500,
  learningCycles: 60,
  report: REPORT_DEFAULTS,
}

/** `device`: its 20-byte id. `now`: wall clock. `pause` and `sleep` are the event loop's where they are not given. */
export type CycleNeeds = {
  readonly device: Uint8Array
  readonly machine: Machine
  readonly monitors: readonly AnyMonitor[]
  readonly baselines: BaselineStore
  readonly outbox: Pick<Outbox, 'status'> & {
    /** As `Outbox.add`. */
    add(kind: string, payload: CborValue, hasEvents: boolean): Promise<unknown>
  }
  now(): number
  pause?(): Promise<void>
  sleep?(ms: number, signal: AbortSignal): Promise<void>
}

/** What one cycle gave and cost. */
export type CycleResult = {
  /** Whether this cycle still belonged to the baseline. */
  readonly learning: boolean
  readonly findings: readonly Finding[]
  /** `<monitor>: <what it cannot see>`. */
  readonly blind: readonly string[]
  readonly counts: FeatureCounts
  /** What went to the outbox, null if nothing was due. */
  readonly report: Report | null
  /** Processor time of this process during the cycle, ms; includes what else ran in its pauses. */
  readonly cpuMs: number
  readonly wallMs: number
}
export type Cycle = {
  /**
   * What this machine sees of itself, not longer ago than `maxAgeMs`: of the last cycle, or by looking anew between two cycles. While it learns
   * nothing can be compared, so nothing is observable. Rejects with a bug, or as the baseline store where nothing was loaded yet.
   */
  snapshot(maxAgeMs: number): Promise<Snapshot>
  /** One cycle. Rejects with AlthingError of the baseline store or the outbox, or with a bug. */
  runOnce(): Promise<CycleResult>
  /**
   * Cycles until `signal` aborts; then resolves. `onResult` hears of each. Rejects as `runOnce`, unless `onFailure` says after how many ms the
   * next cycle may begin; undefined: it shall reject.
   */
  run(
    signal: AbortSignal,
    onResult?: (result: CycleResult) => void,
    onFailure?: (error: unknown) => number | undefined,
  ): Promise<void>
}

/** A cycle over `needs`. The baselines are loaded by the first one. */
export function createCycle(options: CycleOptions, needs: CycleNeeds): Cycle {
  const { machine, monitors, baselines: store, outbox } = needs
  const pause = needs.pause ?? (() => immediately())
  const sleep = needs.sleep ?? ((ms, signal) => later(ms, undefined, { signal }))
  let baselines: Baselines | undefined
  let memory: ReportMemory = EMPTY_REPORT_MEMORY
  let latest: { readonly at: number; readonly snapshot: Snapshot } | undefined
  // Monitors look one after another, also where a snapshot is asked for during a cycle.
  let lastLook: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(look: () => Promise<T>): Promise<T> => {
    const mine = lastLook.then(look)
    lastLook = mine.catch(() => undefined)
    return mine
  }

  async function observeAll(learning: boolean, before: Baselines) {
    const endMs = machine.monotonicMs() + options.budgetMs
    const byMonitor = new Map(before.byMonitor)
    const findings: Finding[] = []
    const blind: string[] = []
    const observable = new Set<CategoryName>()
    let counts: FeatureCounts = {}
    for (const [i, monitor] of monitors.entries()) {
      // What is left is shared by those still to come, so that a slow one cannot blind the others.
      const nowMs = machine.monotonicMs()
      const deadlineMs = nowMs + Math.max(0, endMs - nowMs) / (monitors.length - i)
      const observed = await observe(monitor, byMonitor.get(monitor.name), { learning, deadlineMs, pause })
      byMonitor.set(monitor.name, observed.baseline)
      findings.push(...observed.findings)
      if (observed.blind !== null) blind.push(printable(`${monitor.name}: ${observed.blind}`, BLIND_CHARACTERS_MAX))
      counts = { ...counts, ...observed.counts }
      // A monitor that could count nothing has seen nothing.
      if (Object.keys(observed.counts).length > 0) for (const category of monitor.categories) observable.add(category)
      await pause()
    }
    const own = new Map<CategoryName, number>()
    for (const { category, severityPpm, confidencePpm } of findings)
      own.set(category, Math.max(own.get(category) ?? 0, scoreOf(severityPpm, confidencePpm)))
    latest = { at: machine.monotonicMs(), snapshot: { own, observable: learning ? new Set() : observable } }
    return { byMonitor, findings, blind, counts }
  }

  async function observe(
    monitor: AnyMonitor,
    baseline: unknown,
    turn: Parameters<AnyMonitor['observe']>[2],
  ): Promise<Observation<unknown>> {
    try {
      return await monitor.observe(machine, baseline, turn)
    } catch (error) {
      const refusal = refusalOf(error)
      if (refusal === undefined) throw error
      return { findings: [], baseline, blind: `stopped by ${refusal}`, counts: {} }
    }
  }

  function snapshot(maxAgeMs: number): Promise<Snapshot> {
    return inTurn(async () => {
      if (latest !== undefined && machine.monotonicMs() - latest.at <= maxAgeMs) return latest.snapshot
      const before = baselines ?? (await store.load(monitors))
      if (before.cyclesLearnt < options.learningCycles) return { own: new Map(), observable: new Set() }
      // What it changes is forgotten: thresholds that count cycles count those of the cycle only.
      await observeAll(false, before)
      return (latest as NonNullable<typeof latest>).snapshot
    })
  }

  async function runOnce(): Promise<CycleResult> {
    const startMs = machine.monotonicMs()
    const cpuBefore = process.cpuUsage()
    const before = baselines ?? (await store.load(monitors))
    const learning = before.cyclesLearnt < options.learningCycles
    const seen = await observeAll(learning, before)
    const cyclesLearnt = before.cyclesLearnt + (learning ? 1 : 0)
    const next: Baselines = { cyclesLearnt, byMonitor: seen.byMonitor }
    // Frozen afterwards: an intruder must not become the baseline by staying.
    if (learning) await store.save(monitors, next)
    baselines = next
    const blind = learning
      ? [`baseline: learning, cycle ${cyclesLearnt} of ${options.learningCycles}`, ...seen.blind]
      : seen.blind
    const { droppedEvents, droppedHeartbeats } = outbox.status()
    const counts: FeatureCounts = {
      ...seen.counts,
      findingCount: seen.findings.length,
      blindMonitorCount: seen.blind.length,
      reportsDroppedCount: droppedEvents + droppedHeartbeats,
    }
    const report = await reportDue(seen.findings, counts, blind)
    const { user, system } = process.cpuUsage(cpuBefore)
    return {
      learning,
      findings: seen.findings,
      blind,
      counts,
      report,
      cpuMs: (user + system) / 1000,
      wallMs: machine.monotonicMs() - startMs,
    }
  }

  async function reportDue(
    findings: readonly Finding[],
    counts: FeatureCounts,
    blind: readonly string[],
  ): Promise<Report | null> {
    const selected = selectReport(findings, memory, machine.monotonicMs(), options.report)
    if (selected === null) return null
    const report = reportOf({
      device: needs.device,
      observedAt: needs.now(),
      findings: selected.findings,
      features: featuresOf(counts, blind),
      model: null,
    })
    await outbox.add(deviceReport.name, payloadOf(report), report.events.length > 0)
    memory = selected.memory
    return report
  }

  return {
    snapshot,
    runOnce: () => inTurn(runOnce),
    async run(signal, onResult, onFailure) {
      let dueMs = machine.monotonicMs()
      while (!signal.aborted) {
        let pauseMs = options.intervalMs
        try {
          const result = await inTurn(runOnce)
          onResult?.(result)
        } catch (error) {
          const afterMs = onFailure?.(error)
          if (afterMs === undefined) throw error
          pauseMs = Math.max(pauseMs, afterMs)
        }
        const nowMs = machine.monotonicMs()
        // A cycle that took too long, or a machine that slept, is not made up for by a burst.
        dueMs = Math.max(dueMs + pauseMs, nowMs)
        try {
          await sleep(dueMs - nowMs, signal)
        } catch (error) {
          if (!signal.aborted) throw error
        }
      }
    },
  }
}
