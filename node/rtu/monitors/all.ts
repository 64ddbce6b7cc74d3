/**
 * RTU: all monitors of one unit, as it is configured.
 */
import type { AnyMonitor } from '../baseline.ts'
import { CLOCK_DEFAULTS, clockMonitor } from './clock.ts'
import { FILES_DEFAULTS, filesMonitor } from './files.ts'
import { listenersMonitor } from './listeners.ts'
import { LOGS_DEFAULTS, logsMonitor } from './logs.ts'
import { processesMonitor } from './processes.ts'
import { resourcesMonitor } from './resources.ts'

/** What is watched besides the usual, and which logs are followed for which texts. Absolute paths. */
export type WatchOptions = {
  readonly watch: readonly string[]
  readonly logs?: readonly string[]
  readonly logWords?: readonly string[]
}

/** The monitors, in the order in which they look. `chainNow`: block time now, undefined where no header was heard in this run. */
export const allMonitors = (
  { watch, logs, logWords }: WatchOptions,
  chainNow: () => number | undefined,
): readonly AnyMonitor[] => [
  processesMonitor(),
  listenersMonitor(),
  filesMonitor({ ...FILES_DEFAULTS, paths: [...FILES_DEFAULTS.paths, ...watch] }),
  resourcesMonitor(),
  logsMonitor({ ...LOGS_DEFAULTS, paths: logs ?? [], words: logWords ?? [] }),
  clockMonitor({ ...CLOCK_DEFAULTS, chainNow }),
]
