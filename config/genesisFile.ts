/**
 * Stage: before everything. genesis.json ⇄ the protocol's `Genesis`: the file on which the organisations of a consortium agree.
 * Invariants: all problems are listed at once; ranges are asked of the protocol's own codecs and not repeated here; the chain id in
 * the file, where it stands, is the hash of the rest; what `renderGenesis` writes, `parseGenesis` reads as the same genesis.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { fromHex, toHex } from '../protocol/bytes.ts'
import { CborError } from '../protocol/cbor.ts'
import { encodeAs } from '../protocol/codec.ts'
import { chainIdOf, type Genesis, genesisCodec } from '../protocol/genesis.ts'
import type { Parameters } from '../protocol/members.ts'
import { MODULE_KINDS, type ModuleKind } from '../protocol/modules/input.ts'
import { didYouMean, type Parsed, type Problem } from './problems.ts'

/** Characters of a genesis file: 64 members with 16 API keys each need about a tenth. */
export const GENESIS_CHARACTERS_MAX = 1024 * 1024

/** Parameters of a new consortium where `init` is told nothing else. Times in milliseconds. */
export const DEFAULT_PARAMETERS: Parameters = Object.freeze({
  percent: 51,
  deltaMs: 500,
  termBlocks: 100,
  heartbeatMs: 10_000,
  bodyAllowanceMs: 2000,
  timeoutDoublingsMax: 8,
  inclusionTimeoutMs: 60_000,
  clockDriftMs: 5000,
  trustThresholdPpm: 300_000,
  trustPatience: 2,
  trustInitialPpm: 700_000,
  trustMinRaters: 3,
  trustFreshnessMs: 600_000,
})

// A genesis that breaks no rule. One field at a time is put into it, so that the codec judges that field alone.
const EXAMPLE_KEY = toHex(secp256k1.getPublicKey(new Uint8Array(32).fill(1), true))
const EXAMPLE_MODULE: Genesis['modules'][number] = { kind: 'anomaly', version: '1', code: Uint8Array.of(0) }
const EXAMPLE: Genesis = {
  format: 1,
  network: 'example',
  createdAt: 0,
  memberSet: { members: [{ name: 'A', publicKey: fromHex(EXAMPLE_KEY) }], parameters: DEFAULT_PARAMETERS },
  apiKeys: [[]],
  modules: [],
}

/** What keeps the codec from taking `genesis`, as a clause, or undefined. */
function refusal(genesis: Genesis): string | undefined {
  try {
    encodeAs(genesisCodec, genesis)
    return undefined
  } catch (error) {
    if (!(error instanceof CborError)) throw error
    return `is ${error.message.slice(error.message.indexOf(': ') + 2)}`.replace('is does not', 'does not')
  }
}

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

class Reader {
  readonly problems: Problem[] = []

  add(where: string, what: string, hint?: string): void {
    this.problems.push(hint === undefined ? { where, what } : { where, what, hint })
  }

  /** `value` as an object with the keys `needed` and perhaps `allowed`; complains of missing and unknown ones. */
  object(where: string, value: unknown, needed: readonly string[], allowed: readonly string[] = []): Json {
    if (!isObject(value)) {
      this.add(where, `is not an object with ${needed.join(', ')}`)
      return {}
    }
    const known = [...needed, ...allowed]
    for (const key of Object.keys(value))
      if (!known.includes(key)) this.add(join(where, key), 'is not a key of a genesis', didYouMean(key, known))
    for (const key of needed) if (!Object.hasOwn(value, key)) this.add(join(where, key), 'is missing')
    return value
  }

  /** `value` as a list of at most `max`. A missing one has been complained of. */
  list(where: string, value: unknown, max: number): readonly unknown[] {
    if (Array.isArray(value) && value.length <= max) return value
    if (value !== undefined) this.add(where, `is not a list of at most ${max} entries`)
    return []
  }

  /** Complains if the codec refuses `genesis`, which is the example with the one value of `where` put in. */
  judge(where: string, value: unknown, genesis: Genesis): void {
    const what = value === undefined ? undefined : refusal(genesis)
    if (what !== undefined) this.add(where, what)
  }

  /** Lower-case hexadecimal of a compressed key on the curve, or undefined after a complaint. */
  publicKey(where: string, value: unknown): string | undefined {
    if (value === undefined) return undefined
    if (typeof value !== 'string' || !/^[0-9a-fA-F]*$/.test(value)) {
      this.add(where, 'is not hexadecimal text')
    } else if (value.length === 64) {
      this.add(where, 'has 32 bytes and may be a SECRET key', 'If it is, make a new key; nobody else may know it')
    } else if (value.length !== 66 || !/^0[23]/.test(value)) {
      this.add(where, 'is not a compressed public key: 66 hexadecimal digits that begin with 02 or 03')
    } else if (!isOnCurve(value)) {
      this.add(where, 'is not a point of secp256k1', 'Copy it again from `althing keys show`')
    } else return value.toLowerCase()
    return undefined
  }
}

const join = (where: string, key: string): string => (where === 'genesis' ? key : `${where}.${key}`)

function isOnCurve(hex: string): boolean {
  try {
    secp256k1.Point.fromHex(hex)
    return true
  } catch {
    return false
  }
}

/** Reads genesis.json. `expectedChainId` (hex), where given, must be its hash: the wrong file is a problem like any other. */
export function parseGenesis(text: string, expectedChainId?: string): Parsed<Genesis> {
  if (text.length > GENESIS_CHARACTERS_MAX)
    return { ok: false, problems: [{ where: 'genesis', what: `is longer than ${GENESIS_CHARACTERS_MAX} characters` }] }
  let json: unknown
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    return { ok: false, problems: [{ where: 'genesis', what: `is not JSON: ${(error as Error).message}` }] }
  }
  const reader = new Reader()
  const genesis = readGenesis(reader, json)
  if (reader.problems.length === 0) {
    // The fields are right one by one; bounds on the whole are left.
    const what = refusal(genesis)
    if (what !== undefined) reader.add('genesis', what)
    else checkChainId(reader, genesis, (json as Json)['chainId'], expectedChainId)
  }
  return reader.problems.length > 0 ? { ok: false, problems: reader.problems } : { ok: true, value: genesis }
}

function readGenesis(reader: Reader, json: unknown): Genesis {
  const needed = ['format', 'network', 'createdAt', 'members', 'parameters']
  const root = reader.object('genesis', json, needed, ['chainId', 'modules'])
  const format = root['format'] as number
  const network = root['network'] as string
  const createdAt = readTime(reader, root['createdAt'])
  reader.judge('format', format, { ...EXAMPLE, format })
  reader.judge('network', network, { ...EXAMPLE, network })

  const parameters = readNumbers(reader, 'parameters', root['parameters'], DEFAULT_PARAMETERS, (value) => ({
    ...EXAMPLE,
    memberSet: { ...EXAMPLE.memberSet, parameters: value },
  }))

  const owners = new Map<string, string>()
  const names = new Map<string, string>()
  const own = (key: string | undefined, where: string): void => {
    if (key === undefined) return
    const owner = owners.get(key)
    if (owner !== undefined)
      reader.add(where, `is the same key as ${owner}`, 'Each member and API key has one of its own')
    else owners.set(key, where)
  }
  const members: { name: string; publicKey: Uint8Array }[] = []
  const apiKeys: string[][] = []
  const entries = reader.list('members', root['members'], 64)
  if (Array.isArray(root['members']) && entries.length === 0 && root['members'].length === 0)
    reader.add('members', 'is empty: a consortium has at least one member')
  for (const [i, entry] of entries.entries()) {
    const where = `members[${i}]`
    const member = reader.object(where, entry, ['name', 'publicKey'], ['apiKeys'])
    const name = member['name'] as string
    const [first] = EXAMPLE.memberSet.members
    const trial = { ...EXAMPLE, memberSet: { ...EXAMPLE.memberSet, members: [{ ...first!, name }] } }
    reader.judge(`${where}.name`, name, trial)
    if (typeof name === 'string' && name !== name.trim())
      reader.add(`${where}.name`, 'begins or ends with a space', 'Peers are configured by name: take the space away')
    // Peers are written by member name, so two of one name could not be told apart.
    if (typeof name === 'string' && names.has(name))
      reader.add(
        `${where}.name`,
        `is also the name of ${names.get(name)}`,
        'Peers are configured by name: choose another',
      )
    else if (typeof name === 'string') names.set(name, where)
    const key = reader.publicKey(`${where}.publicKey`, member['publicKey'])
    own(key, `${where}.publicKey`)
    const keys = reader.list(`${where}.apiKeys`, member['apiKeys'], 16).map((value, j) => {
      const apiKey = reader.publicKey(`${where}.apiKeys[${j}]`, value ?? null)
      own(apiKey, `${where}.apiKeys[${j}]`)
      return apiKey ?? ''
    })
    members.push({ name, publicKey: key === undefined ? new Uint8Array(33) : fromHex(key) })
    apiKeys.push(keys)
  }
  return {
    format,
    network,
    createdAt,
    memberSet: { members, parameters },
    apiKeys,
    modules: readModules(reader, root['modules'] ?? []),
  }
}

function readModules(reader: Reader, value: unknown): Genesis['modules'] {
  return reader.list('modules', value, MODULE_KINDS.length).map((entry, i) => {
    const where = `modules[${i}]`
    const { kind, version, code } = reader.object(where, entry, ['kind', 'version', 'code']) as {
      kind: ModuleKind
      version: string
      code: unknown
    }
    const bytes = typeof code === 'string' ? Uint8Array.from(Buffer.from(code, 'base64')) : undefined
    reader.judge(`${where}.kind`, kind, { ...EXAMPLE, modules: [{ ...EXAMPLE_MODULE, kind }] })
    reader.judge(`${where}.version`, version, { ...EXAMPLE, modules: [{ ...EXAMPLE_MODULE, version }] })
    // Only what would be written again: base64 is read leniently.
    if (code !== undefined && (bytes === undefined || Buffer.from(bytes).toString('base64') !== code))
      reader.add(`${where}.code`, 'is not a binary in base64')
    else
      reader.judge(`${where}.code`, bytes, {
        ...EXAMPLE,
        modules: [{ ...EXAMPLE_MODULE, code: bytes ?? EXAMPLE_MODULE.code }],
      })
    return { kind, version, code: bytes ?? EXAMPLE_MODULE.code }
  })
}

// Every key of `standard` as a number that the codec takes.
function readNumbers<T extends { readonly [K in keyof T]: number }>(
  reader: Reader,
  where: string,
  value: unknown,
  standard: T,
  around: (trial: T) => Genesis,
): T {
  if (value === undefined) return standard
  const given = reader.object(where, value, Object.keys(standard))
  const numbers: Record<string, unknown> = {}
  for (const key of Object.keys(standard)) {
    numbers[key] = given[key]
    reader.judge(`${where}.${key}`, given[key], around({ ...standard, [key]: given[key] }))
  }
  return numbers as T
}

function readTime(reader: Reader, value: unknown): number {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN
  // Only the one form that `toISOString` writes: otherwise one genesis would have many spellings.
  const exact = Number.isFinite(time) && time >= 0 && new Date(time).toISOString() === value
  if (!exact && value !== undefined)
    reader.add('createdAt', 'is not a UTC time with milliseconds, such as 2026-11-23T12:00:00.000Z')
  return exact ? time : 0
}

function checkChainId(reader: Reader, genesis: Genesis, stated: unknown, expected: string | undefined): void {
  const actual = toHex(chainIdOf(genesis))
  if (stated !== undefined && stated !== actual)
    reader.add(
      'chainId',
      `does not belong to this genesis, whose chain id is ${actual}`,
      'The file was changed after it was agreed on. Get it again from the other members',
    )
  if (expected !== undefined && expected.toLowerCase() !== actual)
    reader.add(
      'genesis',
      `has the wrong hash: ${actual}, not ${expected.toLowerCase()}`,
      'This is the genesis of another consortium or another version of it. Compare chain ids with the other members',
    )
}

/** genesis.json for `genesis`, with its chain id. Throws `RangeError` if its time is beyond what a date can hold (year 275 760). */
export function renderGenesis(genesis: Genesis): string {
  const file = {
    format: genesis.format,
    network: genesis.network,
    chainId: toHex(chainIdOf(genesis)),
    createdAt: new Date(genesis.createdAt).toISOString(),
    members: genesis.memberSet.members.map((member, i) => ({
      name: member.name,
      publicKey: toHex(member.publicKey),
      apiKeys: genesis.apiKeys[i] ?? [],
    })),
    parameters: genesis.memberSet.parameters,
    modules: genesis.modules.map(({ kind, version, code }) => ({
      kind,
      version,
      code: Buffer.from(code).toString('base64'),
    })),
  }
  return `${JSON.stringify(file, null, 2)}\n`
}
