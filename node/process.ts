/**
 * What all daemons have in common as processes: the logger, the end by signals, the end by a bug.
 * Invariants: logs go to standard error; a second signal ends the process at once; after a bug nothing goes on.
 */
import type { Readable } from 'node:stream'
import { destination, type Logger, pino, stdSerializers } from 'pino'
import type { NodeConfig } from '../config/settings.ts'
import { AlthingError } from './errors.ts'

const EXIT_BUG = 70

/** Lines of JSON on standard error; for people where that is a terminal. Errors with their causes, no secrets: nothing is given any. */
export async function createLogger({ level, format }: NodeConfig['log'], name: string): Promise<Logger> {
  const readable = format === 'pretty' || (format === 'auto' && process.stderr.isTTY === true)
  const options = {
    level,
    base: { name },
    serializers: { error: stdSerializers.errWithCause, err: stdSerializers.errWithCause },
  }
  if (!readable) return pino(options, destination({ dest: 2, sync: true }))
  // Loaded for terminals only: it is as large as the rest of the logger.
  const { default: pretty } = await import('pino-pretty')
  return pino(
    options,
    pretty({ destination: 2, sync: true, ignore: 'pid,hostname,name', translateTime: 'SYS:HH:MM:ss.l' }),
  )
}

/**
 * An exception that nobody caught is a bug: it is logged, and the process ends with 70. Only a failure of the world that ends the process anyway
 * (a durable write that failed) may reach this place first, by whoever meets it next; then the exit code is its own.
 */
export function endOnBugs(log: Logger): void {
  process.on('uncaughtException', (error) => {
    if (error instanceof AlthingError && error.exitCode !== undefined) {
      log.fatal({ error }, error.message)
      process.exit(error.exitCode)
    }
    log.fatal({ error }, 'a bug in althing itself')
    process.exit(EXIT_BUG)
  })
}

/** Signals and the end of `aliveWhile` resolve `end`; a second signal ends the process. */
export function listenForTheEnd(log: Logger, end: PromiseWithResolvers<void>, aliveWhile: Readable | undefined): void {
  // Rejected before anyone waits for it: the failure shows where it is awaited.
  end.promise.catch(() => undefined)
  let asked = false
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
  for (const [signal, exitCode] of Object.entries(signals))
    process.on(signal, () => {
      if (asked) process.exit(exitCode)
      asked = true
      log.info({ signal }, 'stopping; a second signal ends at once')
      end.resolve()
    })
  if (aliveWhile === undefined) return
  aliveWhile.on('end', () => end.resolve()).on('error', () => end.resolve())
  aliveWhile.resume()
}

/** Waits for `stop`, but no longer than `msMax`: then the process ends as it is. */
export async function stopWithin(log: Logger, msMax: number, stop: () => Promise<void>): Promise<void> {
  const late = setTimeout(() => {
    log.warn({ afterMs: msMax }, 'the stop took too long: ending as it is')
    process.exit(0)
  }, msMax)
  await stop()
  clearTimeout(late)
}
