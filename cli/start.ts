/** Stage: the operator. `althing start`: runs a member in the foreground until a signal. */
import type { Command } from 'commander'
import { apiKeyFile, inHome } from '../config/home.ts'
import { isPeerKey } from '../config/kinds.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { apiKeyNames } from './keys.ts'
import { memorySettings } from './memory.ts'
import { replaceProcess } from './replace.ts'
import { tokenSecret } from './token.ts'

type StartOptions = { recover?: boolean; untilStdinCloses?: boolean }

/** `althing start`. */
export function registerStart(program: Command, context: CommandContext): void {
  program
    .command('start')
    .description('run this member until SIGTERM or Ctrl-C')
    .option(
      '--recover',
      'start though the signing record is lost: listens first, and signs in later views only (agreement.md §6)',
    )
    .option('--until-stdin-closes', 'stop when standard input closes: for programs that start a member and may die')
    .action((options: StartOptions) => start(context, options))
}

async function start(context: CommandContext, options: StartOptions): Promise<void> {
  const { home } = context
  const { config } = await context.config()
  const genesis = await context.genesis()
  const secret = await tokenSecret(context, config)
  // What is wrong above is said before anything is replaced.
  const settings = memorySettings(process.execArgv, process.env)
  if (settings !== undefined)
    replaceProcess(settings.flags, process.argv[1] as string, process.argv.slice(2), settings.environment)
  // The daemon's code is loaded here and not above, so that every other command starts fast.
  const { runDaemon } = await import('../node/daemon.ts')
  const { readKeyFile } = await import('../node/crypto/keys.ts')
  const apiKeys = new Map<string, Awaited<ReturnType<typeof readKeyFile>>>()
  for (const name of await apiKeyNames(home)) {
    const file = apiKeyFile(home, name)
    if (file !== undefined) apiKeys.set(name, await readKeyFile(file))
  }
  const problems = peersUnknown(config.network.peers, genesis.memberSet.members)
  if (problems.length > 0)
    throw new CommandError('CONFIG_INVALID', EXIT.configuration, 'network.peers names who is no member', { problems })
  context.exitCode = await runDaemon({
    home: home.folder,
    dataDirectory: inHome(home, config.node.dataDir),
    config,
    genesis,
    key: await readKeyFile(home.nodeKeyFile),
    apiKeys,
    tokenSecret: secret,
    recover: options.recover === true,
    ...(options.untilStdinCloses === true ? { aliveWhile: context.surroundings.stdin } : {}),
  })
}

function peersUnknown(
  peers: readonly { readonly member: string }[],
  members: readonly { readonly name: string }[],
): { where: string; what: string; hint?: string }[] {
  const names = members.map(({ name }) => name)
  return peers
    .filter(({ member }) => !names.includes(member) && !isPeerKey(member))
    .map(({ member }) => ({
      where: `network.peers "${member}"`,
      what: 'is no member of genesis.json',
      hint: `Its members are ${names.join(', ')}; one that joined later is named by its public key`,
    }))
}
