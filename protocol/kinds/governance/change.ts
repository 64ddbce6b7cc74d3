/**
 * Changes: a member set and a change → the set after it, or why not. Which parameters are safe is decided here and nowhere else.
 * Invariants: the set that comes out has 1 … `LIMITS.membersMax` members, distinct keys and names, and a quorum that its members can make; a
 * member keeps its place in the order until it is removed.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import { LIMITS } from '../../limits.ts'
import {
  type MemberSet,
  memberIndex,
  PARAMETER_NAMES,
  type ParameterChanges,
  type Parameters,
  quorumSizes,
} from '../../members.ts'
import type { Code } from '../../verdict.ts'
import type { Change } from './record.ts'

/**
 * The set after `change`. MEMBER_EXISTS, MEMBER_UNKNOWN, MEMBERS_FULL, MEMBERS_TOO_FEW, PARAMETER_UNSAFE, GOVERNANCE_NO_CHANGE. Whether a key is
 * free for a member, and consents, is not asked here: that takes the state and the chain.
 */
export function setAfter(set: MemberSet, change: Change): MemberSet | Code {
  const index = memberIndex(set)
  const { members, parameters } = set
  switch (change.kind) {
    case 'add': {
      const { publicKey, name } = change
      if (index.has(toHex(publicKey)) || members.some((member) => member.name === name)) return 'MEMBER_EXISTS'
      if (members.length >= LIMITS.membersMax) return 'MEMBERS_FULL'
      return { members: [...members, { name, publicKey }], parameters }
    }
    case 'remove': {
      if (!index.has(toHex(change.publicKey))) return 'MEMBER_UNKNOWN'
      if (members.length === 1) return 'MEMBERS_TOO_FEW'
      return { members: members.filter(({ publicKey }) => !equalBytes(publicKey, change.publicKey)), parameters }
    }
    case 'replace': {
      const at = index.get(toHex(change.publicKey))
      if (at === undefined) return 'MEMBER_UNKNOWN'
      if (index.has(toHex(change.by))) return 'MEMBER_EXISTS'
      return {
        members: members.map((member, i) => (i === at ? { ...member, publicKey: change.by } : member)),
        parameters,
      }
    }
    case 'parameters': {
      const after = parametersAfter(parameters, change.values)
      if (PARAMETER_NAMES.every((name) => after[name] === parameters[name])) return 'GOVERNANCE_NO_CHANGE'
      return unsafe(members.length, parameters, after).length > 0 ? 'PARAMETER_UNSAFE' : { members, parameters: after }
    }
  }
}

const parametersAfter = (before: Parameters, values: ParameterChanges): Parameters => {
  const after: { -readonly [K in keyof Parameters]: number } = { ...before }
  for (const name of PARAMETER_NAMES) after[name] = values[name] ?? before[name]
  return after
}

/** A relation that keeps a chain movable, asked when one of its parameters changes. */
type SafetyRule = {
  readonly about: readonly (keyof Parameters)[]
  /** For people. */
  readonly says: string
  readonly holds: (before: Parameters, after: Parameters, members: number) => boolean
}

/** Rules between parameters, beside the bounds of each that a genesis has as well. docs/governance.md repeats them. */
export const SAFETY_RULES: readonly SafetyRule[] = [
  {
    about: ['deltaMs'],
    says: 'deltaMs goes down to half and up to tenfold in one change',
    // Members whose machines or network are slower than Δ sign nothing, so nothing would bring a Δ back that is far too short.
    holds: (before, after) => 2 * after.deltaMs >= before.deltaMs && after.deltaMs <= 10 * before.deltaMs,
  },
  {
    about: ['percent'],
    says: 'percent leaves at least one of three or more members dispensable',
    // Else the chain ends with the first member that never comes back.
    holds: (_, after, members) => members < 3 || quorumSizes(members, after.percent).f > 0,
  },
  {
    about: ['inclusionTimeoutMs', 'deltaMs', 'bodyAllowanceMs'],
    says: 'inclusionTimeoutMs is at least 8 × deltaMs + bodyAllowanceMs',
    // Else honest leaders are accused of censorship (agreement.md §4.4).
    holds: (_, after) => after.inclusionTimeoutMs >= 8 * after.deltaMs + after.bodyAllowanceMs,
  },
  {
    about: ['clockDriftMs', 'deltaMs'],
    says: 'clockDriftMs is at least deltaMs',
    holds: (_, after) => after.clockDriftMs >= after.deltaMs,
  },
  {
    about: ['timeoutDoublingsMax'],
    says: 'timeoutDoublingsMax is at least 3',
    // A network that is slow for a while would be asked for progress faster than it can make any.
    holds: (_, after) => after.timeoutDoublingsMax >= 3,
  },
  {
    about: ['trustThresholdPpm', 'trustInitialPpm'],
    says: 'trustThresholdPpm is below trustInitialPpm',
    // Else every new device is one opinion away from being suspect, and nobody's word weighs enough to say otherwise.
    holds: (_, after) => after.trustThresholdPpm < after.trustInitialPpm,
  },
]

/** What `after` breaks that it is asked about, each for people. */
export function unsafe(members: number, before: Parameters, after: Parameters): string[] {
  return SAFETY_RULES.filter(
    ({ about, holds }) => about.some((name) => before[name] !== after[name]) && !holds(before, after, members),
  ).map(({ says }) => says)
}
