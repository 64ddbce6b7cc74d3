/**
 * Stage: the operator. `althing config check | show | docs`: is it right, what is in force and why, what is there.
 * Invariant: nothing is written and no secret is read into output; `check` looks at what `start` will look at.
 */
import { stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { type Home, inHome } from '../config/home.ts'
import { isPeerKey } from '../config/kinds.ts'
import type { Problem } from '../config/problems.ts'
import { renderMarkdown, settingValue, tomlValue } from '../config/render.ts'
import { type NodeConfig, SETTING_ROWS } from '../config/settings.ts'
import { readTokenSecret } from '../config/tokenSecret.ts'
import { readKeyFile } from '../node/crypto/keys.ts'
import { AlthingError } from '../node/errors.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Genesis } from '../protocol/genesis.ts'
import { memberIndex } from '../protocol/members.ts'
import { addressOf } from '../protocol/signature.ts'
import { type CommandContext, chainIdText } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { show } from './output.ts'
import { rtuProblems } from './rtuHome.ts'

/** `althing config`. */
export function registerConfig(program: Command, context: CommandContext): void {
  const config = program.command('config').description('check, show and document the settings')
  config
    .command('check')
    .description('check config.toml, genesis.json and the keys; list everything that is wrong')
    .action(() => check(context))
  config
    .command('show')
    .description('print the settings in force')
    .option('--origin', 'say where each value comes from')
    .action((options: { origin?: boolean }) => showConfig(context, options.origin === true))
  config
    .command('docs')
    .description('print the reference of all settings, in Markdown')
    .action(() => context.output.data(renderMarkdown().trimEnd()))
}

async function check(context: CommandContext): Promise<void> {
  const { home, output } = context
  const problems: Problem[] = []
  const loaded = await attempt(problems, 'config.toml', () => context.config())
  const genesis = await attempt(problems, 'genesis.json', () => context.genesis())
  const key = await attempt(problems, 'keys/node.key', () => readKeyFile(home.nodeKeyFile))
  if (loaded !== undefined) {
    problems.push(...(await filesOf(home, loaded.config)))
    if (genesis !== undefined && key !== undefined && isRtu(loaded.config))
      problems.push(...rtuProblems(loaded.config, genesis, key.publicKeyHex))
    if (genesis !== undefined) problems.push(...peersOf(loaded.config, genesis))
  }
  if (problems.length > 0) {
    if (output.json) output.data(JSON.stringify({ ok: false, problems }, null, 2))
    throw new CommandError('CONFIG_INVALID', EXIT.configuration, `${home.folder} is not ready to start`, { problems })
  }
  const index = memberIndex(genesis!.memberSet).get(key!.publicKeyHex)
  const member = index === undefined ? null : genesis!.memberSet.members[index]!.name
  const result = { ok: true, home: home.folder, chainId: chainIdText(genesis!), publicKey: key!.publicKeyHex, member }
  show(output, result, () =>
    [
      `ok: ${home.folder}`,
      `chain ${result.chainId}`,
      isRtu(loaded!.config)
        ? `device ${toHex(addressOf(key!.publicKey))} of segment ${loaded!.config.rtu.segment}`
        : member === null
          ? 'this key is no member of the genesis'
          : `member ${member}, one of ${genesis!.memberSet.members.length}`,
    ].join('\n'),
  )
}

// Runs one check; what it complains of joins the list, so that one fault does not hide the others.
async function attempt<T>(problems: Problem[], where: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof AlthingError)) throw error
    const inner = error instanceof CommandError ? error.problems : []
    if (inner.length === 0) problems.push({ where, what: error.message })
    for (const problem of inner)
      problems.push(where === 'genesis.json' ? { ...problem, where: `genesis.json, ${problem.where}` } : problem)
    return undefined
  }
}

/** Whether this is the home of a device, which has no API and no tokens: it names members that it speaks to. */
const isRtu = ({ rtu }: NodeConfig): boolean => rtu.members.length > 0

async function filesOf(home: Home, config: NodeConfig): Promise<Problem[]> {
  const problems: Problem[] = []
  const secret = isRtu(config) ? undefined : await readTokenSecret(inHome(home, config.api.tokenSecretFile))
  if (secret?.ok === false) problems.push(...secret.problems)
  const folder = await stat(home.keysFolder).catch(() => undefined)
  if (folder !== undefined && process.platform !== 'win32' && (folder.mode & 0o077) !== 0)
    problems.push({ where: home.keysFolder, what: 'is open to other users', hint: `Run: chmod 700 ${home.keysFolder}` })
  return problems
}

function peersOf({ network }: NodeConfig, genesis: Genesis): Problem[] {
  const names = genesis.memberSet.members.map((member) => member.name)
  return network.peers
    .filter((peer) => !names.includes(peer.member) && !isPeerKey(peer.member))
    .map((peer) => ({
      where: 'network.peers',
      what: `"${peer.member}" is no member of genesis.json`,
      hint: `Its members are ${names.join(', ')}; one that joined later is named by its public key`,
    }))
}

async function showConfig(context: CommandContext, origin: boolean): Promise<void> {
  const { config, origins } = await context.config()
  const rows = SETTING_ROWS.map((row) => ({
    name: row.name,
    value: row.kind.toRaw(settingValue(config, row)),
    text: tomlValue(row, settingValue(config, row)),
    origin: origins.get(row.name)!,
  }))
  const forPrograms = Object.fromEntries(
    rows.map((row) => [row.name, origin ? { value: row.value, origin: row.origin } : row.value]),
  )
  show(context.output, forPrograms, () =>
    rows.map((row) => `${row.name} = ${row.text}${origin ? `  # ${row.origin.detail}` : ''}`).join('\n'),
  )
}
