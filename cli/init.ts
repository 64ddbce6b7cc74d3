/**
 * Stage: the operator. `althing init`: a home with keys, token secret, genesis and config.toml.
 * Invariants: everything is checked before anything is written; nothing is overwritten, what is there already is kept and used;
 * config.toml is written last, so a home that has one is complete, and an interrupted init is finished by running it again.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import type { Command } from 'commander'
import { DEFAULT_PARAMETERS, GENESIS_CHARACTERS_MAX, parseGenesis, renderGenesis } from '../config/genesisFile.ts'
import { inHome } from '../config/home.ts'
import { parseNodeConfig } from '../config/nodeConfig.ts'
import { renderToml } from '../config/render.ts'
import type { NodeConfig } from '../config/settings.ts'
import { readTokenSecret } from '../config/tokenSecret.ts'
import { readOrCreateKeyFile } from '../node/crypto/keys.ts'
import { isAlthingError } from '../node/errors.ts'
import type { Genesis } from '../protocol/genesis.ts'
import { type CommandContext, chainIdText } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { exists, readText, readTextIfThere, writeNewFile } from './files.ts'
import { initRtu } from './initRtu.ts'
import { apiKeyNames, keyFileOf } from './keys.ts'
import { record, show } from './output.ts'

/** Name of the API key that `init` makes. */
const FIRST_API_KEY = 'admin'

type InitOptions = {
  name: string
  network?: string
  members?: string
  genesis?: string
  rtu?: boolean
  segment?: string
  member?: string[]
}

/** `althing init`. */
export function registerInit(program: Command, context: CommandContext): void {
  program
    .command('init')
    .description('make a home: keys, genesis.json and config.toml')
    .option('--name <name>', 'name of this member, or of the device', 'althing')
    .option('--network <name>', 'name of a new network (default: local)')
    .option('--members <file>', 'JSON list of {name, publicKey, apiKeys} for the genesis of a new network')
    .option('--genesis <file>', 'genesis.json of the network to join')
    .option('--rtu', 'the home of a device (`althing rtu`); needs --genesis, --segment and --member')
    .option('--segment <name>', 'with --rtu: network segment that the device is in')
    .option('--member <name=multiaddr>', 'with --rtu: a member to speak to; two or more', collect)
    .action((options: InitOptions) => init(context, options))
}

const collect = (text: string, before: string[] = []): string[] => [...before, text]

async function init(context: CommandContext, options: InitOptions): Promise<void> {
  const { home, output } = context
  if (options.rtu === true && (options.members !== undefined || options.network !== undefined))
    throw new CommandError('INIT_OPTIONS', EXIT.usage, '--rtu joins a network; --members and --network make a new one')
  if (options.rtu !== true && (options.segment !== undefined || options.member !== undefined))
    throw new CommandError('INIT_OPTIONS', EXIT.usage, '--segment and --member are for the home of a device: add --rtu')
  if (options.genesis !== undefined && (options.members !== undefined || options.network !== undefined))
    throw new CommandError(
      'INIT_OPTIONS',
      EXIT.usage,
      '--genesis joins a network; --members and --network make a new one',
    )
  if (await exists(home.configFile))
    throw new CommandError('HOME_EXISTS', EXIT.configuration, `${home.folder} is a home already and is left as it is`)
  if (options.rtu === true) return initRtu(context, options)
  const config = initialConfig(context, options)
  const given = await genesisGiven(context, options)
  const members = options.members === undefined ? undefined : await membersGiven(options.members, options)

  // A home that is a folder of its own is closed to others; keys/ is in any case.
  if (!(await exists(home.folder))) await mkdir(home.folder, { recursive: true, mode: 0o700 })
  await mkdir(home.keysFolder, { recursive: true, mode: 0o700 })
  await chmod(home.keysFolder, 0o700)
  const key = await readOrCreateKeyFile(home.nodeKeyFile)
  const names = await apiKeyNames(home)
  const apiKeyName = names.length === 0 || names.includes(FIRST_API_KEY) ? FIRST_API_KEY : names[0]!
  const apiKey = await readOrCreateKeyFile(keyFileOf(home, apiKeyName))
  await ensureTokenSecret(inHome(home, config.api.tokenSecretFile))

  const genesis =
    given ??
    makeGenesis(
      options,
      members ?? [{ name: options.name, publicKey: key.publicKeyHex }],
      key.publicKeyHex,
      apiKey.publicKeyHex,
    )
  if (!(await exists(home.genesisFile))) await writeNewFile(home.genesisFile, renderGenesis(genesis), 0o644)
  await ensureData(inHome(home, config.node.dataDir), genesis)
  const member = genesis.memberSet.members.find(
    (one) => Buffer.from(one.publicKey).toString('hex') === key.publicKeyHex,
  )
  await writeNewFile(home.configFile, renderToml(config), 0o644)

  if (member === undefined)
    output.remark(
      `althing: note: this node's key is no member of ${genesis.network}; send its public key to the members to be proposed`,
    )
  const view = {
    home: home.folder,
    network: genesis.network,
    chainId: chainIdText(genesis),
    member: member?.name ?? null,
    publicKey: key.publicKeyHex,
    apiKey: apiKeyName,
    apiPublicKey: apiKey.publicKeyHex,
  }
  show(output, view, record)
}

function initialConfig(context: CommandContext, { name }: InitOptions): NodeConfig {
  // The environment is left out on purpose: what holds for this shell only does not belong into the file.
  const parsed = parseNodeConfig({ flags: { 'node.name': name, ...context.flags } })
  if (parsed.ok) return parsed.value.config
  throw new CommandError('CONFIG_INVALID', EXIT.usage, 'these settings are not valid', { problems: parsed.problems })
}

// The genesis that lies in the home (of an interrupted init) or was named; both must be the same.
async function genesisGiven(context: CommandContext, options: InitOptions): Promise<Genesis | undefined> {
  const named = options.genesis === undefined ? undefined : await context.genesis(options.genesis, EXIT.badData)
  const { genesisFile } = context.home
  const text = await readTextIfThere(genesisFile, GENESIS_CHARACTERS_MAX)
  if (text === undefined) return named
  const there = await context.genesis()
  const foreign =
    options.members !== undefined ||
    (options.network ?? there.network) !== there.network ||
    (named !== undefined && chainIdText(named) !== chainIdText(there))
  if (foreign)
    throw new CommandError('GENESIS_EXISTS', EXIT.configuration, `${genesisFile} is the genesis of another network`)
  return there
}

type MemberEntry = { name: string; publicKey: string; apiKeys?: string[] }

async function membersGiven(file: string, options: InitOptions): Promise<MemberEntry[]> {
  const text = await readText(file, GENESIS_CHARACTERS_MAX)
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch (cause) {
    throw new CommandError('MEMBERS_INVALID', EXIT.badData, `${file} is not JSON`, { cause })
  }
  // The checks of a genesis file are the checks of its list of members.
  const parsed = parseGenesis(genesisText(options, list))
  if (parsed.ok) return list as MemberEntry[]
  throw new CommandError('MEMBERS_INVALID', EXIT.badData, `${file} is not a list of members`, {
    problems: parsed.problems,
  })
}

const genesisText = ({ network = 'local' }: InitOptions, members: unknown): string =>
  JSON.stringify({
    format: 1,
    network,
    createdAt: new Date().toISOString(),
    members,
    parameters: DEFAULT_PARAMETERS,
  })

function makeGenesis(options: InitOptions, members: MemberEntry[], ownKey: string, apiKey: string): Genesis {
  // The list may name our API keys; where it does not, the first one is ours to give.
  const complete = members.map((member) =>
    member.publicKey.toLowerCase() === ownKey && (member.apiKeys ?? []).length === 0
      ? { ...member, apiKeys: [apiKey] }
      : member,
  )
  const parsed = parseGenesis(genesisText(options, complete))
  if (parsed.ok) return parsed.value
  throw new CommandError('GENESIS_INVALID', EXIT.usage, 'no genesis can be made of this', { problems: parsed.problems })
}

async function ensureTokenSecret(file: string): Promise<void> {
  if (!(await exists(file))) await writeNewFile(file, `${randomBytes(32).toString('hex')}\n`, 0o600)
  const secret = await readTokenSecret(file)
  if (!secret.ok)
    throw new CommandError('TOKEN_SECRET_UNUSABLE', EXIT.configuration, 'the secret that signs tokens cannot be used', {
      problems: secret.problems,
    })
}

/** The ledger at height 0 and an empty signing record: made once, here, and never silently again (agreement.md §6). */
async function ensureData(folder: string, genesis: Genesis): Promise<void> {
  const { createDataDirectory } = await import('../node/dataDirectory.ts')
  await createDataDirectory(folder, genesis).catch((error: unknown) => {
    // An init that was interrupted after this step is being finished.
    if (!isAlthingError(error, 'SIGNING_RECORD_EXISTS')) throw error
  })
}
