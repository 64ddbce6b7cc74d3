/**
 * Stage: the operator. Exit codes (sysexits.h and our own), and the error by which a command ends.
 * Invariant: a code has one meaning everywhere; scripts and systemd (`RestartPreventExitStatus=64 65 77 78`) rely on them.
 */
import { type Problem, problemLine } from '../config/problems.ts'
import { AlthingError } from '../node/errors.ts'

/** What the exit status of a command means. A command ended by a signal exits with 128 + its number: 130, 143. */
export const EXIT = {
  ok: 0,
  /** It failed for a reason that has no code of its own. */
  failure: 1,
  /** A check ran and said no: a proof is false, a token is not valid, a node is not ready. */
  no: 2,
  /** The command line is wrong. */
  usage: 64,
  /** A file or answer is not what it should be. */
  badData: 65,
  /** The node does not answer, or this Node.js is too old. */
  unavailable: 69,
  /** A bug in althing. */
  internal: 70,
  /** Not now; the same may succeed later. */
  retry: 75,
  /** Not allowed: file rights, token, scope. */
  permission: 77,
  /** The configuration, the genesis or the home has to be mended. */
  configuration: 78,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** How a command ends when it cannot do what was asked: what happened (`message`), why (`cause`, `problems`), what to do (`advice`). */
export class CommandError extends AlthingError {
  readonly problems: readonly Problem[]
  readonly advice: string | undefined

  constructor(
    code: string,
    exitCode: ExitCode,
    message: string,
    more: { cause?: unknown; problems?: readonly Problem[]; advice?: string | undefined } = {},
  ) {
    super(code, message, { cause: more.cause, exitCode })
    this.problems = more.problems ?? []
    this.advice = more.advice
  }
}

/** What to do about failures of other layers, by code. */
const ADVICE: Readonly<Record<string, string>> = {
  KEY_FILE_MISSING:
    'Run `althing init` for a new home, or `althing keys new <name>` for one key; or name the right home with --home.',
  KEY_FILE_EXPOSED: 'If others may have read it, make a new key instead: whoever has the key can sign in its name.',
  KEY_FILE_MALFORMED: 'Restore the file from a backup, or move it away and make a new key.',
  KEY_FILE_EXISTS: 'Keys are never overwritten. Choose another name, or move the old file away yourself.',
}

/** The world's refusals by system error code: exit code and what it means. */
const SYSTEM: Readonly<Record<string, readonly [ExitCode, string]>> = {
  EACCES: [EXIT.permission, 'not permitted'],
  EPERM: [EXIT.permission, 'not permitted'],
  EROFS: [EXIT.permission, 'the file system is read-only'],
  ENOENT: [EXIT.failure, 'no such file or folder'],
  ENOSPC: [EXIT.failure, 'the disk is full'],
  EADDRINUSE: [EXIT.unavailable, 'another process listens there'],
  EADDRNOTAVAIL: [EXIT.configuration, 'this machine does not have that address'],
}

/** An error as text for standard error, and the exit code that goes with it. Never ends in a line break. */
export function describeError(error: unknown): { text: string; exitCode: number } {
  if (error instanceof AlthingError) {
    const lines = [`althing: ${error.message}`]
    for (let cause = error.cause, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++)
      lines.push(`  because: ${cause.message}`)
    const { problems, advice } = error instanceof CommandError ? error : { problems: [], advice: undefined }
    for (const problem of problems) lines.push(`  - ${problemLine(problem)}`)
    const todo = advice ?? ADVICE[error.code]
    if (todo !== undefined) lines.push(`  what to do: ${todo}`)
    lines.push(`  code: ${error.code}`)
    return { text: lines.join('\n'), exitCode: error.exitCode ?? EXIT.failure }
  }
  const system = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (error instanceof Error && system.syscall !== undefined && system.code !== undefined) {
    const [exitCode, meaning] = SYSTEM[system.code] ?? [EXIT.failure, system.code]
    const endpoint = system.address === undefined ? undefined : `${system.address} port ${system.port}`
    return {
      text: `althing: ${meaning}: ${system.path ?? endpoint ?? system.syscall}\n  code: ${system.code}`,
      exitCode,
    }
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return {
    text: `althing: a bug in althing itself; please report it with these lines\n${stack}`,
    exitCode: EXIT.internal,
  }
}
