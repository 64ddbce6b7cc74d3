/**
 * Governance in the state: 'era/current' → the present era; 'era/past/<n>' → one of the last that are over;
 * 'governance/proposal/<id>' → an open proposal; 'governance/open/<member>' → ids of
 * a member's open proposals; 'governance/addresses/<member>' → where a member that joined later listens; 'succession/<key>' → which key took
 * the place of this one.
 * Invariants: 'era/current' is there from height 0 and changes in the last block of an era only; proposals of an era are gone when it ends;
 * a key that was replaced never acts for anybody again.
 */

import {
  bytes,
  type Codec,
  decodeAs,
  encodeAs,
  integer,
  list,
  optional,
  record,
  type TypeOf,
  text,
} from '../../codec.ts'
import { union } from '../../consensus/wire.ts'
import { LIMITS } from '../../limits.ts'
import { type MemberSet, memberName, memberSetCodec, type PublicKeyHex, parameterChangesCodec } from '../../members.ts'
import { SIGNATURE_BYTES } from '../../signature.ts'
import { publicKey, publicKeyHex, remark, transactionId } from '../fields.ts'
import type { StateReader, StateView } from '../kind.ts'

/**
 * An era as the state shows it. The hash of the block that began it cannot stand in its own state; the header at `height` has it, and the
 * history root of every later header proves that one.
 */
export type EraRecord = TypeOf<typeof eraCodec>
const eraCodec = record({
  era: integer(),
  /** Height of the block that ended the era before; 0 in the first. The era's own blocks begin above it. */
  height: integer(),
  memberSet: memberSetCodec,
  /** The proposal that led to it; null in the first. */
  proposal: optional(transactionId),
})

/** State key of the present era. */
export const ERA_STATE_KEY = 'era/current'
/** The bytes of an era in the state. */
export const encodeEra = (era: EraRecord): Uint8Array => encodeAs(eraCodec, era)
/** An era from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeEra = (value: Uint8Array): EraRecord => decodeAs(eraCodec, value, 'era')
/** The first era, as the genesis has it. */
export const firstEra = (memberSet: MemberSet): EraRecord => ({ era: 0, height: 0, memberSet, proposal: null })
/** The era of the next block. Throws an Error on a state without one: a bug. */
export function readEra(state: StateReader): EraRecord {
  const value = state.get(ERA_STATE_KEY)
  if (value === undefined) throw new Error('the state has no era')
  return decodeEra(value)
}

/** State key of the era `era`, which is over. */
export const pastEraStateKey = (era: number): string => `era/past/${era}`
/** The era `era` that is over; undefined if it is not, or has been for more than `LIMITS.evidenceErasMax` eras. */
export function readPastEra(state: StateReader, era: number): EraRecord | undefined {
  const value = state.get(pastEraStateKey(era))
  return value === undefined ? undefined : decodeEra(value)
}
/** Writes the era that begins, keeps the one before among those that are over, and lets go of the oldest. */
export function writeNextEra(state: StateView, next: EraRecord): void {
  state.put(pastEraStateKey(next.era - 1), encodeEra(readEra(state)))
  state.delete(pastEraStateKey(next.era - 1 - LIMITS.evidenceErasMax))
  state.put(ERA_STATE_KEY, encodeEra(next))
}

/** Where a member listens: multiaddrs such as `/dns4/hub.example/tcp/4001`. */
export const addressesCodec: Codec<readonly string[]> = list(
  text(LIMITS.addressCharactersMax, { min: 2, pattern: /^\/[\x21-\x7e]+$/ }),
  LIMITS.memberAddressesMax,
)
const consentCodec = record({ name: memberName, addresses: addressesCodec })
/**
 * What a new key signs, in the domain `membership`, to say that its holder joins under `name` and listens at `addresses`: without it, a typing
 * error could make a member of a key that nobody holds, and the consortium would wait for it for ever.
 */
export const consentBytes = (name: string, addresses: readonly string[]): Uint8Array =>
  encodeAs(consentCodec, { name, addresses })
const consent = bytes(SIGNATURE_BYTES)

/** One change of members or parameters. */
export type Change = TypeOf<typeof changeCodec>
/** Shape of a change. */
export const changeCodec = union({
  /** A new member, last in the order of the set. */
  add: record({ publicKey, name: memberName, addresses: addressesCodec, consent }),
  remove: record({ publicKey }),
  /** `by` takes the place of `publicKey`: same name, same place in the order; API keys and devices go with it. */
  replace: record({ publicKey, by: publicKey, addresses: addressesCodec, consent }),
  parameters: record({ values: parameterChangesCodec }),
})

/** An open proposal. */
export type ProposalRecord = TypeOf<typeof proposalCodec>
const proposalCodec = record({
  era: integer(),
  change: changeCodec,
  /** Block time, ms, after which it can no longer be approved. */
  expiresAt: integer(),
  reason: remark,
  proposer: publicKeyHex,
  /** Height at which it was proposed. */
  height: integer(1),
  /** Members that are for it, the proposer first. */
  approvals: list(publicKeyHex, LIMITS.membersMax, 1),
})

/** What all keys of proposals begin with. */
export const PROPOSAL_PREFIX = 'governance/proposal/'
/** State key of the proposal `id` (hexadecimal). */
export const proposalStateKey = (id: string): string => `${PROPOSAL_PREFIX}${id}`
/** A proposal from its bytes in the state. Throws `CborError` on other bytes. */
export const decodeProposal = (value: Uint8Array): ProposalRecord => decodeAs(proposalCodec, value, 'proposal')
/** The proposal `id` (hexadecimal), or undefined if none is open. */
export function readProposal(state: StateReader, id: string): ProposalRecord | undefined {
  const value = state.get(proposalStateKey(id))
  return value === undefined ? undefined : decodeProposal(value)
}
/** Writes a proposal. */
export const writeProposal = (state: StateView, id: string, value: ProposalRecord): void =>
  state.put(proposalStateKey(id), encodeAs(proposalCodec, value))

const openCodec = list(transactionId, LIMITS.proposalsOpenMax)
const openStateKey = (member: PublicKeyHex): string => `governance/open/${member}`
/** Ids of the open proposals of `member`, oldest first; some may have expired. */
export function readOpen(state: StateReader, member: PublicKeyHex): readonly Uint8Array[] {
  const value = state.get(openStateKey(member))
  return value === undefined ? [] : decodeAs(openCodec, value, 'open proposals')
}
/** Replaces that list. */
export function writeOpen(state: StateView, member: PublicKeyHex, ids: readonly Uint8Array[]): void {
  if (ids.length === 0) state.delete(openStateKey(member))
  else state.put(openStateKey(member), encodeAs(openCodec, ids))
}

const addressesStateKey = (member: PublicKeyHex): string => `governance/addresses/${member}`
/** Where `member` said it listens when it joined or changed its key; none for members of the genesis. */
export function readAddresses(state: StateReader, member: PublicKeyHex): readonly string[] {
  const value = state.get(addressesStateKey(member))
  return value === undefined ? [] : decodeAs(addressesCodec, value, 'addresses')
}
/** Replaces them; none deletes the entry. */
export function writeAddresses(state: StateView, member: PublicKeyHex, addresses: readonly string[]): void {
  if (addresses.length === 0) state.delete(addressesStateKey(member))
  else state.put(addressesStateKey(member), encodeAs(addressesCodec, addresses))
}

/** Keys that followed each other in one member's place. */
export type SuccessionRecord = TypeOf<typeof successionCodec>
const successionCodec = record({
  /** The key in use. */
  now: publicKeyHex,
  /** Under the key in use: those before it, oldest first. Under one of those: none. */
  former: list(publicKeyHex, LIMITS.formerKeysMax),
})
const successionStateKey = (key: PublicKeyHex): string => `succession/${key}`
/** Succession of a key that was replaced or took the place of another; undefined for all other keys. */
export function readSuccession(state: StateReader, key: PublicKeyHex): SuccessionRecord | undefined {
  const value = state.get(successionStateKey(key))
  return value === undefined ? undefined : decodeAs(successionCodec, value, 'succession')
}
/** Puts `key` in the place of the last of `former`: whatever names one of them means `key` from now on. */
export function writeSuccession(state: StateView, key: PublicKeyHex, former: readonly PublicKeyHex[]): void {
  state.put(successionStateKey(key), encodeAs(successionCodec, { now: key, former }))
  for (const before of former)
    state.put(successionStateKey(before), encodeAs(successionCodec, { now: key, former: [] }))
}

/**
 * The present key of the member that `member` names, as records of devices and API keys do: `member` itself, or the key that took its
 * place. undefined if it has left. `members` as from `memberIndex`.
 */
export function memberNow(
  state: StateReader,
  member: PublicKeyHex,
  members: ReadonlyMap<PublicKeyHex, number>,
): PublicKeyHex | undefined {
  if (members.has(member)) return member
  const now = readSuccession(state, member)?.now
  return now !== undefined && members.has(now) ? now : undefined
}
