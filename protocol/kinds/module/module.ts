/**
 * `module.publish`, `module.activate`: security modules come into the ledger, and a quorum of members decides which run from which height on
 * (ledger.md §2, §3). Owns 'module/'.
 * Invariants: what is published may run on every host; a module becomes active at a height above that of the block that completed its quorum,
 * so within one block every report is judged by the same ones.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import { bytes, integer, record, type TypeOf } from '../../codec.ts'
import { sha3 } from '../../crypto.ts'
import { moduleCode, moduleVersion } from '../../genesis.ts'
import { LIMITS } from '../../limits.ts'
import { moduleEngine } from '../../modules/engine.ts'
import type { Kind } from '../kind.ts'
import {
  hasModuleVersion,
  moduleCount,
  moduleKind,
  readActive,
  readModule,
  readModuleVote,
  writeActive,
  writeModule,
  writeModuleVote,
} from './record.ts'

const publishPayload = record({ kind: moduleKind, version: moduleVersion, code: moduleCode })
const activatePayload = record({
  hash: bytes(32),
  /** First block whose reports the module judges. */
  height: integer(1),
})

/**
 * Publishes a module, which nothing runs before a quorum has activated it. MODULE_EXISTS by hash or by kind and version; MODULES_FULL; codes of the
 * MODULE part for a binary that may not run.
 */
export const modulePublish: Kind<TypeOf<typeof publishPayload>> = {
  name: 'module.publish',
  describe: 'A member publishes a security module: its WebAssembly binary, kind and version.',
  signers: ['member'],
  payload: publishPayload,
  apply(module, context, state) {
    const { member } = context.role
    if (readModule(state, toHex(sha3(module.code))) !== undefined) return 'MODULE_EXISTS'
    if (hasModuleVersion(state, module.kind, module.version)) return 'MODULE_EXISTS'
    if (moduleCount(state, member) >= LIMITS.modulesPerMemberMax) return 'MODULES_FULL'
    const refusal = moduleEngine().check(module.kind, module.code)
    if (refusal !== null) return refusal
    writeModule(state, module, member, context.height)
    return null
  },
}

/**
 * A member is for a module from a height on; once a quorum is for the same, it is settled. A later one of the same member takes the place of
 * an earlier one. MODULE_UNKNOWN, MODULE_HEIGHT, MODULE_APPROVED.
 */
export const moduleActivate: Kind<TypeOf<typeof activatePayload>> = {
  name: 'module.activate',
  describe: 'A member approves that a security module judges reports from a height on; a quorum settles it.',
  signers: ['member'],
  usesReserve: true,
  payload: activatePayload,
  apply({ hash, height }, context, state) {
    const module = readModule(state, toHex(hash))
    if (module === undefined) return 'MODULE_UNKNOWN'
    if (height <= context.height || height > context.height + LIMITS.moduleActivationBlocksMax) return 'MODULE_HEIGHT'
    const { kind, version } = module
    const { now, next } = readActive(state, kind)
    const last = next ?? now
    const isVote = (other: { readonly hash: Uint8Array; readonly height: number } | null | undefined): boolean =>
      other !== null && other !== undefined && other.height === height && equalBytes(other.hash, hash)
    const { member } = context.role
    if (isVote(last) || isVote(readModuleVote(state, kind, member))) return 'MODULE_APPROVED'
    const others = [...context.members.keys()].filter((one) => one !== member)
    const approvals = 1 + others.filter((other) => isVote(readModuleVote(state, kind, other))).length
    if (approvals < context.quorum) {
      writeModuleVote(state, kind, member, { hash, height })
      return null
    }
    for (const one of context.members.keys()) writeModuleVote(state, kind, one, undefined)
    writeActive(state, kind, {
      // What was to run already does from its height on; what was to run later is given up for this.
      now: next !== null && next.height <= context.height ? next : now,
      next: { hash, version, height },
    })
    return null
  },
}
