/**
 * Stage: the operator. `althing init --rtu`: the home of a device: its key, genesis.json and config.toml. No API key and no token secret:
 * a device signs reports and answers nobody.
 * Invariants: as in init.ts: everything is checked before anything is written, nothing is overwritten, config.toml is written last.
 */
import { chmod, mkdir } from 'node:fs/promises'
import { renderGenesis } from '../config/genesisFile.ts'
import { parseNodeConfig } from '../config/nodeConfig.ts'
import { renderToml } from '../config/render.ts'
import { generateKey, readKeyFile, writeKeyFile } from '../node/crypto/keys.ts'
import { toHex } from '../protocol/bytes.ts'
import { addressOf } from '../protocol/signature.ts'
import { type CommandContext, chainIdText } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { exists, writeNewFile } from './files.ts'
import { record, show } from './output.ts'
import { registerCommand, registrationOf, rtuProblems } from './rtuHome.ts'

/** Options of `althing init --rtu`. */
export type InitRtuOptions = {
  readonly name: string
  readonly genesis?: string
  readonly segment?: string
  readonly member?: readonly string[]
}

/** Makes the home of an RTU. The caller has made sure that there is no config.toml. */
export async function initRtu(context: CommandContext, options: InitRtuOptions): Promise<void> {
  const { home, output } = context
  const isInterrupted = await exists(home.genesisFile)
  if (options.genesis === undefined && !isInterrupted)
    throw new CommandError(
      'INIT_OPTIONS',
      EXIT.usage,
      'a device joins a network: name its genesis.json with --genesis',
      {
        advice: 'Get the file from a member, with the address of the member’s node for --member.',
      },
    )
  const genesis = await context.genesis(options.genesis ?? home.genesisFile, EXIT.badData)
  if (isInterrupted && chainIdText(await context.genesis()) !== chainIdText(genesis))
    throw new CommandError(
      'GENESIS_EXISTS',
      EXIT.configuration,
      `${home.genesisFile} is the genesis of another network`,
    )
  const parsed = parseNodeConfig({
    flags: {
      'node.name': options.name,
      ...(options.segment === undefined ? {} : { 'rtu.segment': options.segment }),
      ...(options.member === undefined ? {} : { 'rtu.members': options.member.join(',') }),
      ...context.flags,
    },
  })
  if (!parsed.ok) throw invalid(parsed.problems)
  const { config } = parsed.value
  const isKeyThere = await exists(home.nodeKeyFile)
  const key = isKeyThere ? await readKeyFile(home.nodeKeyFile) : generateKey()
  const problems = rtuProblems(config, genesis, key.publicKeyHex)
  if (problems.length > 0) throw invalid(problems.map((problem) => ({ ...problem, where: optionOf(problem.where) })))

  if (!(await exists(home.folder))) await mkdir(home.folder, { recursive: true, mode: 0o700 })
  await mkdir(home.keysFolder, { recursive: true, mode: 0o700 })
  await chmod(home.keysFolder, 0o700)
  if (!isKeyThere) await writeKeyFile(home.nodeKeyFile, key)
  if (!isInterrupted) await writeNewFile(home.genesisFile, renderGenesis(genesis), 0o644)
  await writeNewFile(home.configFile, renderToml(config), 0o644)

  if (new Set(config.rtu.members.map(({ member }) => member)).size === 1)
    output.remark(
      'althing: note: one member only; while it is away, reports are held here. Name two or more with --member',
    )
  const registration = await registrationOf({ key, config })
  const view = {
    home: home.folder,
    network: genesis.network,
    chainId: chainIdText(genesis),
    device: toHex(addressOf(key.publicKey)),
    publicKey: key.publicKeyHex,
    segment: config.rtu.segment,
  }
  const command = registerCommand(registration)
  show(output, { ...view, registration, command }, () =>
    [
      record(view),
      '',
      'Next: a member registers the device (look over what the machine says of itself):',
      command,
      '',
      'Then, here: althing rtu',
    ].join('\n'),
  )
}

const invalid = (problems: readonly { where: string; what: string; hint?: string }[]): CommandError =>
  new CommandError('CONFIG_INVALID', EXIT.usage, 'no home of an RTU can be made of this', { problems })

/** Problems are named as the operator gave the value. */
const optionOf = (where: string): string => ({ 'rtu.segment': '--segment', 'rtu.members': '--member' })[where] ?? where
