/**
 * Security modules in the state: 'module/info/<hash>' → what was published; 'module/code/<hash>' → its binary; 'module/version/<kind>/<version>' →
 * its hash; 'module/count/<member>' → how many a member published; 'module/active/<kind>' → which one runs, and which one will;
 * 'module/vote/<kind>/<member>' → what a member wants to run next.
 * Invariants: what runs at a height follows from the state of the block before; a binary stays as long as the chain.
 */
import { toHex } from '../../bytes.ts'
import { bytes, decodeAs, encodeAs, integer, list, oneOf, optional, record, type TypeOf } from '../../codec.ts'
import { sha3 } from '../../crypto.ts'
import { type Genesis, moduleVersion } from '../../genesis.ts'
import { LIMITS } from '../../limits.ts'
import type { PublicKeyHex } from '../../members.ts'
import { MODULE_KINDS, type ModuleKind } from '../../modules/input.ts'
import { publicKeyHex } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/** Shape of a kind of module. */
export const moduleKind = oneOf(...MODULE_KINDS)

/** A published module. */
export type ModuleRecord = TypeOf<typeof moduleCodec>
const moduleCodec = record({
  kind: moduleKind,
  version: moduleVersion,
  /** Of its binary. */
  byteCount: integer(1, LIMITS.moduleBytesMax),
  /** Who published it; null for those of the genesis. */
  member: optional(publicKeyHex),
  /** Height at which it was published; 0 for those of the genesis. */
  height: integer(),
})

/** What all keys of published modules begin with. */
export const MODULE_PREFIX = 'module/info/'
const codeKey = (hash: string): string => `module/code/${hash}`
const versionKey = (kind: ModuleKind, version: string): string => `module/version/${kind}/${version}`
const countKey = (member: PublicKeyHex): string => `module/count/${member}`

/** A published module from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeModule = (value: Uint8Array): ModuleRecord => decodeAs(moduleCodec, value, 'module')
/** The module with `hash` (hexadecimal), or undefined if none was published. */
export function readModule(state: StateReader, hash: string): ModuleRecord | undefined {
  const value = state.get(MODULE_PREFIX + hash)
  return value === undefined ? undefined : decodeModule(value)
}
/** Its binary. */
export const readModuleCode = (state: StateReader, hash: string): Uint8Array | undefined => state.get(codeKey(hash))
/** Whether a module of `kind` was published with `version`. */
export const hasModuleVersion = (state: StateReader, kind: ModuleKind, version: string): boolean =>
  state.get(versionKey(kind, version)) !== undefined

const countCodec = integer(1)
/** Modules that `member` has published. */
export function moduleCount(state: StateReader, member: PublicKeyHex): number {
  const value = state.get(countKey(member))
  return value === undefined ? 0 : decodeAs(countCodec, value, 'module count')
}

/** Writes a module of `member`. */
export function writeModule(
  state: StateView,
  { kind, version, code }: { readonly kind: ModuleKind; readonly version: string; readonly code: Uint8Array },
  member: PublicKeyHex,
  height: number,
): void {
  for (const [key, value] of entriesOf({ kind, version, code }, member, height)) state.put(key, value)
  state.put(countKey(member), encodeAs(countCodec, moduleCount(state, member) + 1))
}

function entriesOf(
  { kind, version, code }: Genesis['modules'][number],
  member: PublicKeyHex | null,
  height: number,
): [string, Uint8Array][] {
  const hash = sha3(code)
  const info = encodeAs(moduleCodec, { kind, version, byteCount: code.length, member, height })
  return [
    [MODULE_PREFIX + toHex(hash), info],
    [codeKey(toHex(hash)), code],
    [versionKey(kind, version), hash],
  ]
}

/** A module that runs from a height on. */
export type Activation = TypeOf<typeof activationCodec>
const activationCodec = record({
  hash: bytes(32),
  version: moduleVersion,
  /** First block whose reports it judges. */
  height: integer(),
})
/** Which module of a kind runs. */
export type ActiveRecord = TypeOf<typeof activeCodec>
const activeCodec = record({ now: optional(activationCodec), next: optional(activationCodec) })

/** State key of what runs of `kind`. */
export const activeStateKey = (kind: ModuleKind): string => `module/active/${kind}`
/** What runs of `kind`, and what is to; both null where nothing ever did. */
export function readActive(state: StateReader, kind: ModuleKind): ActiveRecord {
  const value = state.get(activeStateKey(kind))
  return value === undefined ? { now: null, next: null } : decodeAs(activeCodec, value, 'active module')
}
/** Writes it. */
export const writeActive = (state: StateView, kind: ModuleKind, value: ActiveRecord): void =>
  state.put(activeStateKey(kind), encodeAs(activeCodec, value))

/** The module of `kind` that runs in the block at `height`, whose parent's state is `state`; null if none does. */
export function activeModule(state: StateReader, kind: ModuleKind, height: number): Activation | null {
  const { now, next } = readActive(state, kind)
  return next !== null && next.height <= height ? next : now
}

/** One active module as the header's hash covers it. */
export type ActiveModule = TypeOf<typeof activeListCodec>[number]
const activeListCodec = list(record({ kind: moduleKind, hash: bytes(32), version: moduleVersion }), MODULE_KINDS.length)
/** The modules that run in the block at `height` on top of `state`, in the order of the kinds. */
export const activeModules = (state: StateReader, height: number): ActiveModule[] =>
  MODULE_KINDS.flatMap((kind) => {
    const active = activeModule(state, kind, height)
    return active === null ? [] : [{ kind, hash: active.hash, version: active.version }]
  })
/** Their bytes, of which the header has the hash. */
export const encodeActiveModules = (modules: readonly ActiveModule[]): Uint8Array => encodeAs(activeListCodec, modules)
/** Those that `data` lists. Throws `CborError` on anything else. */
export const decodeActiveModules = (data: Uint8Array): readonly ActiveModule[] =>
  decodeAs(activeListCodec, data, 'active modules')
/** Header field `modulesHash` of the block at `height` on top of `state`. */
export const modulesHash = (state: StateReader, height: number): Uint8Array =>
  sha3(encodeActiveModules(activeModules(state, height)))

/** What a member wants to run next. */
export type ModuleVote = TypeOf<typeof voteCodec>
const voteCodec = record({ hash: bytes(32), height: integer(1) })
const voteKey = (kind: ModuleKind, member: PublicKeyHex): string => `module/vote/${kind}/${member}`
/** What `member` wants to run of `kind`, or undefined if it was not asked or has got it. */
export function readModuleVote(state: StateReader, kind: ModuleKind, member: PublicKeyHex): ModuleVote | undefined {
  const value = state.get(voteKey(kind, member))
  return value === undefined ? undefined : decodeAs(voteCodec, value, 'vote for a module')
}
/** Writes it; undefined deletes it. */
export function writeModuleVote(
  state: StateView,
  kind: ModuleKind,
  member: PublicKeyHex,
  vote: ModuleVote | undefined,
): void {
  if (vote === undefined) state.delete(voteKey(kind, member))
  else state.put(voteKey(kind, member), encodeAs(voteCodec, vote))
}

/**
 * What the modules of the genesis put into the state: each is published, and active from block 1 on. Throws `RangeError` for two of one
 * kind. Whether they may run is for whoever makes the genesis to check.
 */
export function genesisModuleEntries({ modules }: Pick<Genesis, 'modules'>): ReadonlyMap<string, Uint8Array> {
  const entries = new Map<string, Uint8Array>()
  for (const module of modules) {
    const key = activeStateKey(module.kind)
    if (entries.has(key)) throw new RangeError(`two modules of kind ${module.kind}`)
    for (const [name, value] of entriesOf(module, null, 0)) entries.set(name, value)
    const now = { hash: sha3(module.code), version: module.version, height: 1 }
    entries.set(key, encodeAs(activeCodec, { now, next: null }))
  }
  return entries
}
