/**
 * RTU: what the monitors have learnt, between two runs.
 * Invariants: the file is signed (ownFile.ts); one that is missing means that nothing was learnt yet, which the reports then say; one that
 * is damaged is an error and
 * never a reason to learn anew, since whoever can spoil it could otherwise have himself learnt. To learn again, an operator deletes it.
 */
import { CborError } from '../../protocol/cbor.ts'
import { AlthingError } from '../errors.ts'
import type { Monitor } from './monitor.ts'
import type { OwnFile } from './ownFile.ts'

/** A monitor of any baseline: the cycle carries baselines and never looks into them. */
// biome-ignore lint/suspicious/noExplicitAny: each baseline goes only to the monitor of the same name, which made it
export type AnyMonitor = Monitor<any>
/** Baselines of all monitors. `cyclesLearnt`: completed cycles of learning. */
export type Baselines = { readonly cyclesLearnt: number; readonly byMonitor: ReadonlyMap<string, unknown> }
/** Where baselines are kept. `load` rejects with RTU_BASELINE_DAMAGED or as `OwnFile.read`, `save` with RTU_WRITE_FAILED. */
export type BaselineStore = {
  load(monitors: readonly AnyMonitor[]): Promise<Baselines>
  save(monitors: readonly AnyMonitor[], baselines: Baselines): Promise<void>
}

const FORMAT = 'althing/rtu-baseline/2'
/** Bytes of the file. */
export const BASELINE_BYTES_MAX = 16 * 1024 * 1024

/** Baselines before anything was learnt. */
export const emptyBaselines = (monitors: readonly AnyMonitor[]): Baselines => ({
  cyclesLearnt: 0,
  byMonitor: new Map(monitors.map((monitor) => [monitor.name, monitor.empty()])),
})

/** Baselines as JSON in `file`. */
export const baselineFile = (file: OwnFile): BaselineStore => ({
  async load(monitors) {
    const bytes = await file.read()
    if (bytes === undefined) return emptyBaselines(monitors)
    try {
      return parseBaselines(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), monitors)
    } catch (cause) {
      if (cause instanceof SyntaxError || cause instanceof TypeError || cause instanceof CborError)
        throw new AlthingError(
          'RTU_BASELINE_DAMAGED',
          'what was learnt cannot be read; delete baseline.json to learn again',
          { cause },
        )
      throw cause
    }
  },
  async save(monitors, { cyclesLearnt, byMonitor }) {
    const learnt: Record<string, unknown> = {}
    for (const monitor of monitors) learnt[monitor.name] = monitor.toDisk(byMonitor.get(monitor.name))
    const text = JSON.stringify({ format: FORMAT, cyclesLearnt, monitors: learnt })
    await file.write(new TextEncoder().encode(text))
  },
})

function parseBaselines(json: unknown, monitors: readonly AnyMonitor[]): Baselines {
  const { format, cyclesLearnt, monitors: learnt } = (json ?? {}) as Record<string, unknown>
  if (format !== FORMAT || typeof learnt !== 'object' || learnt === null) throw new TypeError('not a baseline')
  if (!Number.isSafeInteger(cyclesLearnt) || (cyclesLearnt as number) < 0) throw new TypeError('cyclesLearnt')
  const byMonitor = new Map<string, unknown>()
  for (const monitor of monitors) {
    // A monitor that is new in this version has nothing to compare with: all of them learn again, and say so.
    if (!Object.hasOwn(learnt, monitor.name)) return emptyBaselines(monitors)
    byMonitor.set(monitor.name, monitor.fromDisk((learnt as Record<string, unknown>)[monitor.name]))
  }
  return { cyclesLearnt: cyclesLearnt as number, byMonitor }
}
