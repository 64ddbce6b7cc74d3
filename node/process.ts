/**
 * What all daemons have in common as processes: the logger, the end by signals, the end by a bug.
 * Invariants: logs go to standard error; a second signal ends the process at once; after a bug nothing goes on.
 */
import type { Readable } from 'node:stream'
import { type DestinationStream, destination, type Logger, multistream, pino, stdSerializers } from 'pino'
import type { NodeConfig } from '../config/settings.ts'
import { AlthingError } from './errors.ts'

const EXIT_BUG = 70
/** Bytes of the newest lines of the log that a process remembers. */
const RECENT_BYTES_MAX = 256 * 1024

/** The newest lines of a log, for who looks for the cause of a fault. */
export class RecentLog {
  readonly #lines: string[] = []
  #bytes = 0

  /** As a stream of pino takes lines: each with its line break. */
  write(line: string): void {
    this.#lines.push(line.trimEnd())
    this.#bytes += line.length
    let drop = 0
    while (this.#bytes > RECENT_BYTES_MAX) this.#bytes -= (this.#lines[drop++] as string).length + 1
    this.#lines.splice(0, drop)
  }

  /** The oldest first. */
  get lines(): readonly string[] {
    return this.#lines
  }
}

/** Lines of JSON on standard error; for people where that is a terminal. Errors with their causes, no secrets: nothing is given any. */
export async function createLogger(
  { level, format }: NodeConfig['log'],
  name: string,
  recent?: RecentLog,
): Promise<Logger> {
  const readable = format === 'pretty' || (format === 'auto' && process.stderr.isTTY === true)
  const options = {
    level,
    base: { name },
    serializers: { error: stdSerializers.errWithCause, err: stdSerializers.errWithCause },
  }
  const also = (stream: DestinationStream): DestinationStream =>
    recent === undefined
      ? stream
      : multistream([
          { level, stream },
          { level, stream: recent },
        ])
  if (!readable) return pino(options, also(destination({ dest: 2, sync: true })))
  // Loaded for terminals only: it is as large as the rest of the logger.
  const { default: pretty } = await import('pino-pretty')
  return pino(
    options,
    also(pretty({ destination: 2, sync: true, ignore: 'pid,hostname,name', translateTime: 'SYS:HH:MM:ss.l' })),
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

/** Waits for `stop`, but no longer than `msMax`: then the process ends as it is, with `exitCode`. */
export async function stopWithin(log: Logger, msMax: number, stop: () => Promise<void>, exitCode = 0): Promise<void> {
  const late = setTimeout(() => {
    log.warn({ afterMs: msMax }, 'the stop took too long: ending as it is')
    process.exit(exitCode)
  }, msMax)
  await stop()
  clearTimeout(late)
}

/** Resolves at a signal that asks this process to end, or when `aliveWhile` ends; a second signal ends it at once. */
export function untilSignal(aliveWhile: Readable | undefined): Promise<void> {
  const end = Promise.withResolvers<void>()
  listenForTheEnd(pino({ level: 'silent' }), end, aliveWhile)
  return end.promise
}
