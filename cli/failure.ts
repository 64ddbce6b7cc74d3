/**
 * Stage: the operator. Exit codes (sysexits.h and our own), and the error by which a command ends.
 * Invariant: a code has one meaning everywhere; scripts and systemd (`RestartPreventExitStatus=64 65 77 78`) rely on them.
 */
import { type Problem, problemLine } from '../config/problems.ts'
import { AlthingError } from '../node/errors.ts'
import { failureOf } from '../node/failures.ts'

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
  /** The disk is full, or nearly. */
  diskFull: 73,
  /** The disk could not be read or written. */
  disk: 74,
  /** Not now; the same may succeed later. */
  retry: 75,
  /** Not allowed: file rights, token, scope. */
  permission: 77,
  /** The configuration, the genesis or the home has to be mended. */
  configuration: 78,
} as const
/** One of `EXIT`. */
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

/** One row of the table of commands' failures. */
export type CommandFailure = {
  /** Exit codes, the usual one first. */
  readonly exits: readonly ExitCode[]
  readonly meaning: string
  readonly advice: string
}

const failure = (exits: ExitCode | readonly ExitCode[], meaning: string, advice: string): CommandFailure => ({
  exits: [exits].flat() as ExitCode[],
  meaning,
  advice,
})

/** Code of a `CommandError` → what it means and what to do, unless the command knows better. docs/errors.md is compared with it. */
export const COMMAND_FAILURES: Readonly<Record<string, CommandFailure>> = {
  API_ANSWER: failure(
    EXIT.badData,
    'What answers is no althing node, or says too much.',
    'Check --url or ALTHING_URL; is there a proxy in between?',
  ),
  API_TIMEOUT: failure(EXIT.retry, 'The node gave no answer in time.', 'Try again; `althing status` tells how it is.'),
  API_UNREACHABLE: failure(
    EXIT.unavailable,
    'No node answers at that address.',
    'Is the node running? --url or ALTHING_URL names another address.',
  ),
  CONFIG_INVALID: failure(
    [EXIT.configuration, EXIT.usage],
    'The configuration, or a setting of the command line (64), is not valid; each problem is listed.',
    '`althing config docs` describes every setting.',
  ),
  EXPORT_TARGET: failure(
    EXIT.usage,
    'A secret key is to be exported, but not to where.',
    'Give --out <file>, or --stdout if you are sure that nobody reads along.',
  ),
  FILE_EXISTS: failure(
    EXIT.failure,
    'There is a file of that name; it is not overwritten.',
    'Choose another name, or move the old file away yourself.',
  ),
  FILE_MISSING: failure(EXIT.badData, 'There is no such file.', 'Check the name.'),
  GENESIS_EXISTS: failure(
    EXIT.configuration,
    'The home holds the genesis of another network.',
    'Choose another folder with --home, or move that file away yourself.',
  ),
  GENESIS_INVALID: failure(
    [EXIT.configuration, EXIT.badData, EXIT.usage],
    'The genesis of the home (78), of a file that was named (65) or made of options (64) is not valid.',
    'Get the file again from the members who agreed on it; it must be the same for all.',
  ),
  HOME_EXISTS: failure(
    EXIT.configuration,
    'The folder is a home already.',
    'Edit its config.toml, or choose another folder with --home.',
  ),
  INIT_OPTIONS: failure(
    EXIT.usage,
    'These options of `althing init` exclude each other.',
    'Give --genesis to join a network, or --members and --network to make a new one.',
  ),
  INPUT_MALFORMED: failure(EXIT.badData, 'The file is not JSON.', 'Mend it; --help after the command tells its form.'),
  INPUT_TOO_LARGE: failure(EXIT.badData, 'The file or standard input is too long.', 'It is not what it should be.'),
  KEY_MALFORMED: failure(
    EXIT.badData,
    'That is no secret key of secp256k1.',
    'It must be 64 hexadecimal digits and nothing else.',
  ),
  KEY_NAME_INVALID: failure(
    EXIT.usage,
    'No key can have that name.',
    'A name is `node`, or up to 32 lower-case letters, digits and hyphens for an API key.',
  ),
  MODULE_HEIGHTS: failure(
    EXIT.usage,
    'Members ask for the module from several heights on, or none does.',
    'Say which: `althing module activate <hash> --at-height <height>`.',
  ),
  MODULE_UNUSABLE: failure(
    EXIT.badData,
    'The binary may not run as a security module; the message has the code of why.',
    'docs/modules.md says what a module may do, and how to build one.',
  ),
  MEMBERS_INVALID: failure(
    EXIT.badData,
    'The file is not a list of members.',
    'It is a JSON list of {"name": …, "publicKey": …, "apiKeys": […]}; each member finds its keys with `althing keys list`.',
  ),
  MEMBER_NAME: failure(
    EXIT.usage,
    'No member of the present era has that name or key.',
    '`althing member list` shows them; a name with spaces needs quotes.',
  ),
  NOT_INITIALISED: failure(
    EXIT.configuration,
    'There is no althing home there.',
    'Run `althing init`, or name the right folder with --home or ALTHING_HOME.',
  ),
  PROOF_MALFORMED: failure(
    EXIT.badData,
    'The file is not a proof in its one form.',
    'Fetch it anew; an editor or a formatter may have changed it, or it is no proof file.',
  ),
  PAYLOAD_INVALID: failure(
    EXIT.usage,
    'A change that is to be proposed breaks a bound of its own.',
    'docs/governance.md lists names, parameters and bounds.',
  ),
  READINGS_MALFORMED: failure(
    EXIT.badData,
    'A file of readings holds what is no signed reading, no SenML pack, or one that was altered.',
    'Look at the line that is named: a pack is one JSON list in one line, with absolute times; a signed reading is as `reading sign` wrote it.',
  ),
  READINGS_OTHER: failure(
    EXIT.badData,
    'The readings and the proof of a batch do not belong together.',
    'Take the file whose name has the root of the batch, and the proof of the transaction that anchored it.',
  ),
  REGISTRATION_INCOMPLETE: failure(
    EXIT.usage,
    'A device is to be registered, and not all of it was said.',
    'On the device, `althing rtu id` prints the whole command.',
  ),
  TESTNET_ALREADY_RUNNING: failure(EXIT.failure, 'That member or RTU runs already.', 'Nothing is to be done.'),
  TESTNET_AMBIGUOUS: failure(EXIT.usage, 'More than one testnet of this user runs.', 'Say which with --dir.'),
  TESTNET_FOLDER: failure(
    [EXIT.badData, EXIT.usage],
    'The folder holds something else than this testnet, or one of another size (64).',
    'Choose another --dir, or delete that folder.',
  ),
  TESTNET_HOME: failure(EXIT.configuration, 'A home of the testnet is damaged.', 'Delete its folder and start anew.'),
  TESTNET_NAME: failure(EXIT.usage, 'The testnet has no member or RTU of that name.', 'Use one of the names it lists.'),
  TESTNET_NETWORK: failure(
    EXIT.unavailable,
    'The network that a scenario asks for cannot be made on this machine.',
    'Use --network relay, or do what is said to be missing.',
  ),
  RTU_NOT_RUNNING: failure(
    EXIT.unavailable,
    'No RTU runs in this home, or none that can be asked.',
    'Start it: `althing rtu`.',
  ),
  TESTNET_NOT_FOUND: failure(
    EXIT.unavailable,
    'No testnet of this user runs, or none in that folder.',
    'Start one in another terminal: `npm start`, or `althing testnet`.',
  ),
  TESTNET_NOT_PAUSED: failure(EXIT.failure, 'That member or RTU is not paused.', 'Look at `althing testnet --status`.'),
  TESTNET_NOT_RUNNING: failure(
    EXIT.failure,
    'That member or RTU does not run.',
    'Start it again: `althing testnet --restart <name>`.',
  ),
  TESTNET_NO_PORTS: failure(EXIT.retry, 'Too few free ports between 20000 and 32000.', 'Stop what holds them.'),
  TESTNET_OPTIONS: failure(EXIT.usage, 'A testnet is told to do things that do not go together.', 'Give one of them.'),
  TESTNET_RUN_FOLDER: failure(
    EXIT.permission,
    'The folder of the control sockets is not this user’s alone.',
    'Remove it, or set TMPDIR to a folder of your own.',
  ),
  TESTNET_SCENARIO: failure(
    EXIT.usage,
    'A scenario has lines that cannot be read, or that cannot be done on this machine; all are listed.',
    'Mend the lines; testnet/README.md says what may stand there.',
  ),
  TESTNET_START: failure(
    EXIT.unavailable,
    'A member or RTU of the testnet did not start; the end of its log is shown.',
    'Mend what the log says.',
  ),
  TESTNET_TOOL: failure(
    EXIT.unavailable,
    'A program of the system that a scenario needs (ip, tc, nft, mount) failed.',
    'See what it complained of; --network relay needs none of them.',
  ),
  TESTNET_WARDEN: failure(EXIT.unavailable, 'A testnet needs a POSIX shell (sh).', 'Install one.'),
  TOKEN_LIFETIME: failure(
    EXIT.usage,
    'A token may not live that long.',
    'Give a shorter --lifetime, or raise api.token_lifetime_max_s.',
  ),
  TOKEN_MALFORMED: failure(
    EXIT.badData,
    'The file does not hold a token.',
    '`althing token issue <key> --out <file>` writes one.',
  ),
  TOKEN_SECRET_UNUSABLE: failure(
    EXIT.configuration,
    'The secret that signs tokens cannot be used; each problem is listed.',
    'Make one with: openssl rand -hex 32; keep it readable by its owner only.',
  ),
  URL_INVALID: failure(
    EXIT.usage,
    'ALTHING_URL is no address of an API.',
    'It must be http://… or https://…, without a password.',
  ),
}

/** The world's refusals by system error code: exit code and what it means. */
const SYSTEM: Readonly<Record<string, readonly [ExitCode, string]>> = {
  EACCES: [EXIT.permission, 'not permitted'],
  EPERM: [EXIT.permission, 'not permitted'],
  EROFS: [EXIT.permission, 'the file system is read-only'],
  ENOENT: [EXIT.failure, 'no such file or folder'],
  ENOSPC: [EXIT.diskFull, 'the disk is full'],
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
    const todo =
      advice ??
      (error instanceof CommandError ? COMMAND_FAILURES : undefined)?.[error.code]?.advice ??
      failureOf(error.code)?.advice
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
