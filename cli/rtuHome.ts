/**
 * Stage: the operator. The home of an RTU: what it must hold, and how its device is registered.
 * Invariant: everything that is wrong with it is listed at once, before anything starts.
 */
import { inHome } from '../config/home.ts'
import { isPeerKey } from '../config/kinds.ts'
import { didYouMean, type Problem } from '../config/problems.ts'
import type { NodeConfig } from '../config/settings.ts'
import { type NodeKey, readKeyFile } from '../node/crypto/keys.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Genesis } from '../protocol/genesis.ts'
import { addressOf } from '../protocol/signature.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'

/** A home that an RTU can run in. */
export type RtuHome = {
  readonly config: NodeConfig
  readonly genesis: Genesis
  readonly key: NodeKey
  /** Own id, hexadecimal. */
  readonly device: string
  readonly dataDirectory: string
  readonly watch: readonly string[]
  readonly logs: readonly string[]
  /** The configured members, each with all its addresses. */
  readonly members: readonly {
    readonly name: string
    readonly publicKey: string
    readonly addresses: readonly string[]
  }[]
}

/** Reads the home of an RTU. CommandError NOT_INITIALISED, CONFIG_INVALID, GENESIS_INVALID; AlthingError of the key file. */
export async function readRtuHome(context: CommandContext): Promise<RtuHome> {
  const { home } = context
  const { config } = await context.config()
  const genesis = await context.genesis()
  const key = await readKeyFile(home.nodeKeyFile)
  const problems = rtuProblems(config, genesis, key.publicKeyHex)
  if (problems.length > 0)
    throw new CommandError('CONFIG_INVALID', EXIT.configuration, `${home.folder} is no home of an RTU that can start`, {
      problems,
      advice: '`althing init --rtu` makes one; `althing config docs` describes every setting.',
    })
  return {
    config,
    genesis,
    key,
    device: toHex(addressOf(key.publicKey)),
    dataDirectory: inHome(home, config.node.dataDir),
    watch: config.rtu.watch.map((path) => inHome(home, path)),
    logs: config.rtu.logs.map((path) => inHome(home, path)),
    members: [
      ...genesis.memberSet.members.map(({ name, publicKey }) => ({ name, publicKey: toHex(publicKey) })),
      // Members that joined later are named by their keys.
      ...[...new Set(config.rtu.members.map(({ member }) => member).filter(isPeerKey))].map((key) => ({
        name: key,
        publicKey: key,
      })),
    ].flatMap((member) => {
      const entries = config.rtu.members.filter((entry) => entry.member === member.name)
      return entries.length === 0 ? [] : [{ ...member, addresses: entries.map(({ address }) => address) }]
    }),
  }
}

/** What keeps an RTU with this configuration, genesis and key from starting. */
export function rtuProblems({ rtu }: NodeConfig, genesis: Genesis, publicKey: string): Problem[] {
  const problems: Problem[] = []
  const { members } = genesis.memberSet
  const names = members.map(({ name }) => name)
  if (rtu.segment === '')
    problems.push({ where: 'rtu.segment', what: 'is empty', hint: 'Name the network segment that this device is in' })
  if (rtu.members.length === 0)
    problems.push({
      where: 'rtu.members',
      what: 'is empty',
      hint: `Name two or more of ${names.join(', ')} with an address of each: "${names[0]}=/dns4/…/tcp/7379"`,
    })
  for (const name of new Set(rtu.members.map(({ member }) => member)))
    if (!names.includes(name) && !isPeerKey(name))
      problems.push({
        where: 'rtu.members',
        what: `"${name}" is no member of genesis.json`,
        hint: didYouMean(name, names) ?? `Its members are ${names.join(', ')}`,
      })
  for (const { member } of rtu.neighbours)
    if (!isPeerKey(member))
      problems.push({
        where: 'rtu.neighbours',
        what: `"${member}" is no public key of a device`,
        hint: 'Devices are named by their public keys: `althing rtu id` on the device prints it',
      })
  const own = members.find((member) => toHex(member.publicKey) === publicKey)
  if (own !== undefined)
    problems.push({
      where: 'keys/node.key',
      what: `is the key of the member ${own.name}`,
      hint: 'A device needs a key of its own, in a home of its own',
    })
  return problems
}

/** What a member submits to register the device: the body of POST /v1/devices. */
export type Registration = {
  readonly publicKey: string
  readonly segment: string
  readonly hardwareId: string
  readonly manufacturer: string
  readonly model: string
  readonly firmware: string
  readonly capabilities: readonly string[]
  readonly mode: 'enforce' | 'observe'
}

/** The registration of this device, with what this machine says of itself: a proposal, to be looked over. */
export async function registrationOf({ key, config }: Pick<RtuHome, 'key' | 'config'>): Promise<Registration> {
  const { hardwareOf } = await import('../node/rtu/hardware.ts')
  const { realMachine } = await import('../node/rtu/machine.ts')
  return {
    publicKey: key.publicKeyHex,
    segment: config.rtu.segment,
    ...hardwareOf(realMachine()),
    capabilities: [],
    mode: 'enforce',
  }
}

/** The command that registers it, for a shell. */
export const registerCommand = (registration: Registration): string =>
  [
    'althing device register',
    `--public-key ${registration.publicKey}`,
    `--segment ${quoted(registration.segment)}`,
    `--hardware-id ${quoted(registration.hardwareId)}`,
    `--manufacturer ${quoted(registration.manufacturer)}`,
    `--model ${quoted(registration.model)}`,
    `--firmware ${quoted(registration.firmware)}`,
    ...registration.capabilities.map((capability) => `--capability ${quoted(capability)}`),
    ...(registration.mode === 'enforce' ? [] : [`--mode ${registration.mode}`]),
  ].join(' ')

const quoted = (text: string): string =>
  /^[A-Za-z0-9._/:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
