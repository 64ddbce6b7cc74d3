/**
 * Stage: the operator. The homes of a testnet on disk, made with the pieces of `althing init`, so that nothing here knows a file format.
 *
 *     <dir>/                0700
 *     ├── testnet.json      what it consists of: names, ports (this file's own format)
 *     ├── genesis.json      the genesis that all members hold
 *     ├── token             a token for the API of the first member, 0600
 *     ├── homes/<name>/     a home each, as `althing --home` takes it
 *     └── logs/<name>.log   what each process printed
 *
 * Invariants: everything listens on loopback; testnet.json is written last, so a folder that has one is complete; a complete folder is used
 * as it is, chain and keys and all.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { CommandContext } from '../cli/context.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readTextIfThere } from '../cli/files.ts'
import { registerInit } from '../cli/init.ts'
import { DEFAULT_PARAMETERS, renderGenesis } from '../config/genesisFile.ts'
import { apiKeyFile, type Home, homeOf } from '../config/home.ts'
import { readOrCreateKeyFile } from '../node/crypto/keys.ts'
import { replaceFile } from '../node/wholeFile.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Genesis } from '../protocol/genesis.ts'
import { addressOf } from '../protocol/signature.ts'
import { memberNames, rtuNames, type TestnetPlan } from './plan.ts'
import { freePorts } from './ports.ts'

/** Name of the API key that each member's home has. */
export const API_KEY = 'admin'
const SEGMENT = 'testnet'
const FORMAT = 1

/** A member on disk. Ports are on 127.0.0.1 and stay its own over restarts. */
export type MemberPlace = {
  readonly name: string
  readonly p2pPort: number
  readonly apiPort: number
  readonly metricsPort: number
}
/** An RTU on disk. `device`: its id (address, hexadecimal); `owner`: the member that registers it. */
export type RtuPlace = {
  readonly name: string
  readonly device: string
  readonly publicKey: string
  readonly owner: string
}

/** A testnet on disk. */
export type TestnetPlaces = {
  readonly folder: string
  readonly members: readonly MemberPlace[]
  readonly rtus: readonly RtuPlace[]
}

/** Home of the participant `name`. */
export const homeIn = (folder: string, name: string): Home => homeOf(join(folder, 'homes', name), {})
/** Log file of the participant `name`. */
export const logFileIn = (folder: string, name: string): string => join(folder, 'logs', `${name}.log`)
/** File with the ready-made token. */
export const tokenFileIn = (folder: string): string => join(folder, 'token')
const placesFileIn = (folder: string): string => join(folder, 'testnet.json')

/**
 * The testnet that lies in `folder`, or undefined if there is none. CommandError TESTNET_FOLDER (exit 65) if testnet.json is not ours.
 */
export async function readPlaces(folder: string): Promise<TestnetPlaces | undefined> {
  const text = await readTextIfThere(placesFileIn(folder), 1024 * 1024)
  if (text === undefined) return undefined
  try {
    const { format, members, rtus } = JSON.parse(text) as { format: unknown } & TestnetPlaces
    if (format === FORMAT && Array.isArray(members) && members.length > 0 && Array.isArray(rtus))
      return { folder, members, rtus }
  } catch {
    // Said below: whatever it is, it is not what we wrote.
  }
  throw new CommandError('TESTNET_FOLDER', EXIT.badData, `${placesFileIn(folder)} was not written by this version`, {
    advice: 'Choose another --dir, or delete that folder.',
  })
}

/** Makes the homes of a new testnet in `folder`, which need not exist. Errors of `althing init` pass through. */
export async function createHomes(folder: string, plan: TestnetPlan): Promise<TestnetPlaces> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await mkdir(join(folder, 'logs'), { recursive: true, mode: 0o700 })
  const names = memberNames(plan.members)
  const rtuPorts = rtuNames(plan.rtus).length
  const ports = await freePorts(3 * names.length + rtuPorts)
  // In blocks of one purpose, so that members are told apart by the last digits.
  const members = names.map((name, i) => ({
    name,
    p2pPort: ports[i] as number,
    apiPort: ports[names.length + i] as number,
    metricsPort: ports[2 * names.length + i] as number,
  }))
  const genesisFile = join(folder, 'genesis.json')
  await writeFile(genesisFile, renderGenesis(await genesisOf(folder, names, plan)), { mode: 0o644 })
  for (const member of members) await initMember(folder, genesisFile, member, members)
  const rtus: RtuPlace[] = []
  for (const [i, name] of rtuNames(plan.rtus).entries()) {
    const owner = members[i % members.length] as MemberPlace
    // Two members each, so that one may be away; different ones, so that the devices are spread.
    const near = [owner, members[(i + 1) % members.length] as MemberPlace].slice(0, members.length)
    rtus.push(await initRtu(folder, genesisFile, name, owner, near, ports[3 * names.length + i] as number, plan))
  }
  await replaceFile(placesFileIn(folder), `${JSON.stringify({ format: FORMAT, members, rtus }, null, 2)}\n`)
  return { folder, members, rtus }
}

async function genesisOf(folder: string, names: readonly string[], plan: TestnetPlan): Promise<Genesis> {
  const members: { name: string; publicKey: Uint8Array }[] = []
  const apiKeys: string[][] = []
  for (const name of names) {
    const home = homeIn(folder, name)
    const { publicKey } = await readOrCreateKeyFile(home.nodeKeyFile)
    const { publicKeyHex } = await readOrCreateKeyFile(apiKeyFile(home, API_KEY) as string)
    members.push({ name, publicKey })
    apiKeys.push([publicKeyHex])
  }
  const { deltaMs, heartbeatMs } = plan
  const parameters = {
    ...DEFAULT_PARAMETERS,
    deltaMs,
    heartbeatMs,
    bodyAllowanceMs: Math.max(500, 2 * deltaMs),
    timeoutDoublingsMax: 6,
    inclusionTimeoutMs: 20_000,
  }
  const memberSet = { members, parameters }
  return { format: 1, network: 'testnet', createdAt: Date.now(), memberSet, apiKeys, modules: [] }
}

/** Where a member listens. */
export const multiaddrOf = ({ p2pPort }: MemberPlace): string => `/ip4/127.0.0.1/tcp/${p2pPort}`
const peersOf = (members: readonly MemberPlace[]): string =>
  members.map((member) => `${member.name}=${multiaddrOf(member)}`).join(',')

/** Makes the home of a member that knows where `all` listen; `me` need not be a member yet. */
export function initMember(
  folder: string,
  genesisFile: string,
  me: MemberPlace,
  all: readonly MemberPlace[],
): Promise<void> {
  return init(homeIn(folder, me.name), ['--name', me.name, '--genesis', genesisFile], {
    'network.listen': multiaddrOf(me),
    'network.peers': peersOf(all.filter((other) => other !== me)),
    // All come from one address here.
    'network.inbound_per_second_max': '1000',
    'api.listen': `127.0.0.1:${me.apiPort}`,
    'api.requests_per_minute_max': '1000000',
    'metrics.listen': `127.0.0.1:${me.metricsPort}`,
    'store.disk_free_bytes_min': '67108864',
    'log.format': 'json',
  })
}

async function initRtu(
  folder: string,
  genesisFile: string,
  name: string,
  owner: MemberPlace,
  near: readonly MemberPlace[],
  port: number,
  plan: TestnetPlan,
): Promise<RtuPlace> {
  const home = homeIn(folder, name)
  const { publicKey, publicKeyHex } = await readOrCreateKeyFile(home.nodeKeyFile)
  await init(home, ['--rtu', '--name', name, '--genesis', genesisFile], {
    'rtu.members': peersOf(near),
    'rtu.segment': SEGMENT,
    'rtu.listen': `/ip4/127.0.0.1/tcp/${port}`,
    'rtu.interval_ms': String(plan.rtuIntervalMs),
    'log.format': 'json',
  })
  return { name, device: toHex(addressOf(publicKey)), publicKey: publicKeyHex, owner: owner.name }
}

// `althing init` in this process, with its own options and nothing of this shell.
async function init(home: Home, words: readonly string[], settings: Readonly<Record<string, string>>): Promise<void> {
  const surroundings = { environment: {}, stdin: process.stdin, stdout: () => undefined, stderr: () => undefined }
  const context = new CommandContext(surroundings, () => ({ home: home.folder, json: true, set: settings }))
  const program = new Command().exitOverride()
  registerInit(program, context)
  await program.parseAsync(['init', ...words], { from: 'user' })
}

/** The body of `POST /v1/devices` that registers `rtu`. */
export const registrationOf = (rtu: RtuPlace): object => ({
  publicKey: rtu.publicKey,
  hardwareId: `testnet-${rtu.name}`,
  manufacturer: 'althing',
  model: 'testnet RTU',
  firmware: '1',
  capabilities: ['report'],
  segment: SEGMENT,
  mode: 'enforce',
})
