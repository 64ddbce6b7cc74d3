/**
 * Failures of the world: disk, network, files, other processes (house.md, Errors). A peer's fault is a verdict, not an error;
 * a bug is an assertion. The code is stable and stands in failures.ts; the message says this layer's own part only, the rest is `cause`.
 */
import { failureOf } from './failures.ts'

/** A failure that a caller may retry or pass on. `code` is stable upper-case; `exitCode` is for those that end the process. */
export class AlthingError extends Error {
  override readonly name = 'AlthingError'
  readonly code: string
  readonly exitCode: number | undefined

  constructor(code: string, message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.exitCode = options.exitCode ?? failureOf(code)?.exitCode ?? undefined
  }
}

/** Whether `error` is an `AlthingError`, of the given code if one is given. */
export function isAlthingError(error: unknown, code?: string): error is AlthingError {
  return error instanceof AlthingError && (code === undefined || error.code === code)
}
