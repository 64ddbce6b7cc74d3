/**
 * The process of an RTU: logger, RTU, signals. Writes to standard error only.
 * Invariants: what it returns or throws is the end of the process; a graceful stop takes `STOP_MS_MAX` at most, and what is held is on
 * disk before it begins, so that a hard end loses nothing either.
 */
import type { Readable } from 'node:stream'
import { setTimeout as later } from 'node:timers/promises'
import type { NodeConfig } from '../../config/settings.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import type { NodeKey } from '../crypto/keys.ts'
import { createLogger, endOnBugs, listenForTheEnd, stopWithin } from '../process.ts'
import { RtuNode } from './main.ts'
import type { RtuOptions } from './options.ts'
import type { ReplayMonitor } from './replay/monitor.ts'

/** Everything that an RTU's process is started with. */
export type RtuDaemonOptions = Pick<
  RtuOptions,
  'dataDirectory' | 'members' | 'watch' | 'logs' | 'advice' | 'replay'
> & {
  readonly config: NodeConfig
  readonly genesis: Genesis
  readonly key: NodeKey
  /** The RTU stops when this stream ends. */
  readonly aliveWhile?: Readable
}

const STOP_MS_MAX = 5000

/** Runs an RTU until a signal or the end of the log that it plays (0), or throws why it could not start or go on. The caller ends the process. */
export async function runRtu({ config, key, aliveWhile, ...options }: RtuDaemonOptions): Promise<number> {
  const log = await createLogger(config.log, config.node.name)
  endOnBugs(log)
  const end = Promise.withResolvers<void>()
  listenForTheEnd(log, end, aliveWhile)
  const rtu = await RtuNode.start({
    ...options,
    secretKey: key.secretKey(),
    segment: config.rtu.segment,
    intervalMs: config.rtu.intervalMs,
    learningCycles: config.rtu.learningCycles,
    listen: config.rtu.listen,
    announce: config.rtu.announce,
    neighbours: [...new Set(config.rtu.neighbours.map(({ member }) => member))].map((publicKey) => ({
      publicKey,
      addresses: config.rtu.neighbours.filter(({ member }) => member === publicKey).map(({ address }) => address),
    })),
    logWords: config.rtu.logWords,
    log,
    ...(config.rtu.readingsListen === null
      ? {}
      : {
          gateway: {
            listen: config.rtu.readingsListen,
            sensors: new Set(config.rtu.sensors),
            bytesMax: config.rtu.readingsBytesMax,
          },
        }),
    fatal: (error) => end.reject(error),
  })
  try {
    await (options.replay === undefined ? end.promise : Promise.race([end.promise, untilPlayed(rtu, options.replay)]))
  } finally {
    await stopWithin(log, STOP_MS_MAX, () => rtu.stop())
  }
  log.info(rtu.status.outbox, 'stopped')
  return 0
}

/** Between two looks at how far a log is, ms. */
const LOOK_MS = 250

/** Until the whole log was played and the chain proved every report of it. */
async function untilPlayed(rtu: RtuNode, replay: ReplayMonitor): Promise<void> {
  while (!replay.progress.isOver || rtu.status.outbox.reportsHeld > 0) await later(LOOK_MS)
}
