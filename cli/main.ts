/**
 * Stage: the operator. The command line: one row here, one file beside this one, for each command.
 * Invariants: standard output carries data only; the exit code is always one of `EXIT`; no option takes a secret, because others on the
 * machine can read command lines: secrets come from files and standard input.
 */
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { registerBackup } from './backup.ts'
import { registerBlock } from './block.ts'
import { registerCompletion } from './completion.ts'
import { registerConfig } from './config.ts'
import { CommandContext, type Surroundings } from './context.ts'
import { registerDb } from './db.ts'
import { registerDebug } from './debug.ts'
import { registerDevice } from './device.ts'
import { describeError, EXIT } from './failure.ts'
import { registerMember, registerParam, registerProposal } from './governance.ts'
import { registerInit } from './init.ts'
import { registerInspect } from './inspect.ts'
import { registerKeys } from './keys.ts'
import { registerKv } from './kv.ts'
import { registerModule } from './module.ts'
import { registerProof } from './proof.ts'
import { registerReading } from './reading.ts'
import { registerRotation } from './rotation.ts'
import { registerRtu } from './rtu.ts'
import { registerStart } from './start.ts'
import { registerStatus } from './status.ts'
import { registerStix } from './stix.ts'
import { registerTestnet } from './testnet.ts'
import { registerToken } from './token.ts'
import { registerTx } from './tx.ts'
import { registerVersion } from './version.ts'

/** Adds one command, with its subcommands, to `program`. */
type RegisterCommand = (program: Command, context: CommandContext) => void

/** Commands that run until they are stopped. */
const DAEMONS: readonly string[] = ['start', 'inspect']

/** Every command, in the order of the help page. A new command is one file and one row. */
const COMMANDS: readonly RegisterCommand[] = [
  registerInit,
  registerStart,
  registerRtu,
  registerStatus,
  registerKeys,
  registerRotation,
  registerToken,
  registerConfig,
  registerDevice,
  registerTx,
  registerBlock,
  registerKv,
  registerProof,
  registerReading,
  registerStix,
  registerMember,
  registerParam,
  registerProposal,
  registerModule,
  registerDb,
  registerBackup,
  registerInspect,
  registerDebug,
  registerTestnet,
  registerCompletion,
  registerVersion,
]

const collectSetting = (text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> => {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be section.key=value.')
  return { ...before, [text.slice(0, at).trim()]: text.slice(at + 1) }
}

/** The whole command line, with its context. */
function buildProgram(surroundings: Surroundings): { program: Command; context: CommandContext } {
  const program = new Command('althing')
  program
    .description('A peer-to-peer daemon by which organisations guard their IoT and OT devices together.')
    .option('--home <folder>', 'home folder of the node (default: $ALTHING_HOME, else ~/.althing)')
    .option('--json', 'print JSON instead of tables')
    .option('--set <section.key=value>', 'override a setting of config.toml; may be repeated', collectSetting)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: surroundings.stdout,
      writeErr: surroundings.stderr,
      outputError: (text, write) =>
        write(
          `althing: ${text
            .replace(/^error: /, '')
            .trimEnd()
            .replace('\n', ' ')}\n  what to do: \`althing help\` lists the commands, --help after one describes it.\n`,
        ),
    })
    .exitOverride()
  const context = new CommandContext(surroundings, () => program.opts())
  for (const register of COMMANDS) register(program, context)
  return { program, context }
}

/** Runs one command and gives its exit code; errors have been printed. `words` are the arguments after `althing`. */
async function run(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const { program, context } = buildProgram(surroundings)
  try {
    await program.parseAsync([...words], { from: 'user' })
    return context.exitCode
  } catch (error) {
    // Commander has printed the help or the complaint already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const { text, exitCode } = describeError(error)
    surroundings.stderr(`${text}\n`)
    return exitCode
  }
}

/** Runs the command of this process's command line and sets its exit code. Called by bin/althing.js. */
export async function runProcess(): Promise<void> {
  // The reader of a pipe may leave early (`| head`); that is no failure of the command.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(EXIT.ok)
  })
  const words = process.argv.slice(2)
  process.exitCode = await run(words, {
    environment: process.env,
    stdin: process.stdin,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
  })
  // A daemon that has stopped is over, whatever libp2p still holds open; its output goes out synchronously.
  if (words.some((word) => DAEMONS.includes(word))) process.exit()
}
