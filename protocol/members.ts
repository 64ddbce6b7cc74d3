/**
 * The member set and the parameters of an era: who votes, how many votes decide, and the times that agreement rests on
 * (agreement.md §1). The hash of both stands in every header; a block that changes either ends its era (§5.5).
 */
import { toHex } from './bytes.ts'
import { bytes, type Codec, encodeAs, integer, list, optional, record, type TypeOf, text } from './codec.ts'
import { sha3 } from './crypto.ts'
import { LIMITS } from './limits.ts'

/** A 33-byte compressed key in lower-case hexadecimal: the name of a member or device wherever a map needs one. */
export type PublicKeyHex = string

/** Name of a member as people see it. */
export const memberName: Codec<string> = text(LIMITS.nameCharactersMax, {
  min: 1,
  pattern: /^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u,
})

/** One organisation's node. */
export type Member = TypeOf<typeof memberCodec>
const memberCodec = record({
  /** Shown to people; trusted by nothing. */
  name: memberName,
  /** Compressed secp256k1 key, 33 bytes; also the libp2p identity. */
  publicKey: bytes(33),
})

/** What an era fixes: agreement (agreement.md §1) and trust (ledger.md §3). Times in milliseconds. */
export type Parameters = TypeOf<typeof parametersCodec>
const PARAMETERS = {
  /** Percentage of members that makes a quorum, 51 … 100. */
  percent: integer(51, 100),
  /** Δ: bound on delivering one small message between honest, live members. */
  deltaMs: integer(10, 60_000),
  /** Blocks of a leader's term; the last closes the view. */
  termBlocks: integer(1, 10_000),
  /** An idle leader proposes an empty block this long after the last. */
  heartbeatMs: integer(50, 600_000),
  /** What fetching one block's body may take, allowed before a leader is blamed. */
  bodyAllowanceMs: integer(0, 600_000),
  /** Most doublings of the progress timeout. */
  timeoutDoublingsMax: integer(0, 20),
  /** How long a leader may pass over a transaction while taking later ones (censorship, §4.4). */
  inclusionTimeoutMs: integer(100, 3_600_000),
  /** How far a block's time may be ahead of a member's clock. */
  clockDriftMs: integer(0, 600_000),
  /** Below this trust a device is suspect, and after `trustPatience` rounds of opinions blacklisted (ledger.md §3). Parts per million. */
  trustThresholdPpm: integer(0, 1_000_000),
  /** Rounds of opinions in a row below the threshold that lead to blacklisting. */
  trustPatience: integer(1, 1000),
  /** Trust of a device that is new or was reinstated, parts per million. */
  trustInitialPpm: integer(0, 1_000_000),
  /** Fresh voices about a device without which its trust stands as it is. */
  trustMinRaters: integer(1, LIMITS.ratersMax),
  /** How long an opinion counts after it was formed: up to 7 days. */
  trustFreshnessMs: integer(1000, 7 * 24 * 3_600_000),
}
const parametersCodec = record(PARAMETERS)

/** New values of some parameters; null: as it was. Each within the bounds of a genesis. */
export type ParameterChanges = { readonly [K in keyof Parameters]: number | null }
/** Shape of `ParameterChanges`. */
export const parameterChangesCodec: Codec<ParameterChanges> = record({
  percent: optional(PARAMETERS.percent),
  deltaMs: optional(PARAMETERS.deltaMs),
  termBlocks: optional(PARAMETERS.termBlocks),
  heartbeatMs: optional(PARAMETERS.heartbeatMs),
  bodyAllowanceMs: optional(PARAMETERS.bodyAllowanceMs),
  timeoutDoublingsMax: optional(PARAMETERS.timeoutDoublingsMax),
  inclusionTimeoutMs: optional(PARAMETERS.inclusionTimeoutMs),
  clockDriftMs: optional(PARAMETERS.clockDriftMs),
  trustThresholdPpm: optional(PARAMETERS.trustThresholdPpm),
  trustPatience: optional(PARAMETERS.trustPatience),
  trustInitialPpm: optional(PARAMETERS.trustInitialPpm),
  trustMinRaters: optional(PARAMETERS.trustMinRaters),
  trustFreshnessMs: optional(PARAMETERS.trustFreshnessMs),
})
/** Names of all parameters, in the order of their encoding. */
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as readonly (keyof Parameters)[]

/** Members and parameters of one era. */
export type MemberSet = TypeOf<typeof memberSetCodec>
/** Shape of a member set. */
export const memberSetCodec = record({
  members: list(memberCodec, LIMITS.membersMax, 1),
  parameters: parametersCodec,
})

/** SHA3-256 of the set's encoding: the header fields `memberSetHash` and `nextMemberSetHash`. */
export const memberSetHash = (set: MemberSet): Uint8Array => sha3(encodeAs(memberSetCodec, set))

/** Sizes of agreement.md §1 for `n` members. */
export type QuorumSizes = {
  /** members */ n: number
  /** quorum */ q: number
  /** tolerated liars */ f: number
  /** strong quorum */ s: number
}

/** Quorum, faults and strong quorum for `n` members at `percent` (agreement.md §1). */
export function quorumSizes(n: number, percent: number): QuorumSizes {
  const q = Math.max(Math.floor(n / 2) + 1, Math.ceil((percent * n) / 100))
  const f = n - q
  return { n, q, f, s: Math.floor((n + f) / 2) + 1 }
}

/** Leader of a view: `members[view mod n]` (agreement.md §1). */
export const leaderOf = (view: number, n: number): number => view % n

/** Lookup from a compressed key to its index in the set. Throws `RangeError` when two members share a key. */
export function memberIndex(set: MemberSet): ReadonlyMap<PublicKeyHex, number> {
  const index = new Map<PublicKeyHex, number>()
  set.members.forEach((member, i) => {
    const key = toHex(member.publicKey)
    if (index.has(key)) throw new RangeError(`members ${index.get(key)} and ${i} share one key`)
    index.set(key, i)
  })
  return index
}
