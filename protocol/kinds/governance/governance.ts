/**
 * `governance.propose`, `.approve`, `.withdraw`: members change who is a member, keys and parameters (ledger.md §2, agreement.md §5.5).
 * Owns 'era/', 'governance/' and 'succession/'. The transaction by which a quorum of the present members is for a proposal completes it: it
 * writes the next era, and `execution.ts` lets nothing follow it in its block.
 * Invariants: approvals count in the era they were given in; one change makes one era, so what was approved is what comes.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import { integer, record, type TypeOf } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import type { MemberSet, PublicKeyHex } from '../../members.ts'
import { addressOf, recover } from '../../signature.ts'
import type { Code } from '../../verdict.ts'
import { readDevice } from '../device/record.ts'
import { remark, transactionId } from '../fields.ts'
import { readApiKey } from '../key/record.ts'
import type { Kind, KindContext, StateView } from '../kind.ts'
import { setAfter } from './change.ts'
import {
  type Change,
  changeCodec,
  consentBytes,
  memberNow,
  type ProposalRecord,
  proposalStateKey,
  readOpen,
  readProposal,
  readSuccession,
  writeAddresses,
  writeNextEra,
  writeOpen,
  writeProposal,
  writeSuccession,
} from './record.ts'

const proposePayload = record({
  /** The era that the change is for: the present one. */
  era: integer(),
  change: changeCodec,
  /** Block time, ms: later than the block, by 30 days at most. */
  expiresAt: integer(),
  reason: remark,
})
/** An open proposal, by its id. */
const proposalPayload = record({ proposal: transactionId })

/**
 * Proposes a change, which the proposer thereby approves. GOVERNANCE_ERA, GOVERNANCE_EXPIRY, GOVERNANCE_FULL; codes of `setAfter`; KEY_EXISTS,
 * MEMBER_CONSENT, MEMBER_KEYS_FULL for a new key.
 */
export const governancePropose: Kind<TypeOf<typeof proposePayload>> = {
  name: 'governance.propose',
  describe: 'A member proposes to add, remove or re-key a member, or to change parameters.',
  signers: ['member'],
  usesReserve: true,
  payload: proposePayload,
  apply({ era, change, expiresAt, reason }, context, state) {
    const { height, time, transactionId: id } = context
    if (era !== context.era) return 'GOVERNANCE_ERA'
    if (expiresAt <= time || expiresAt > time + LIMITS.proposalMsMax) return 'GOVERNANCE_EXPIRY'
    const after = outcome(change, context, state)
    if (typeof after === 'string') return after
    const proposer = context.role.member
    const listed = readOpen(state, proposer)
    const stillOpen = listed.filter((open) => !isExpired(readProposal(state, toHex(open)), time))
    const completes = context.quorum === 1
    if (!completes && stillOpen.length >= LIMITS.proposalsOpenMax) return 'GOVERNANCE_FULL'
    if (completes) {
      complete(change, after, context, id, state)
      return null
    }
    for (const open of listed) if (!stillOpen.includes(open)) state.delete(proposalStateKey(toHex(open)))
    writeOpen(state, proposer, [...stillOpen, id])
    writeProposal(state, toHex(id), { era, change, expiresAt, reason, proposer, height, approvals: [proposer] })
    return null
  },
}

/**
 * Approves a proposal; with a quorum it is carried out. GOVERNANCE_UNKNOWN, GOVERNANCE_EXPIRED, GOVERNANCE_APPROVED; KEY_EXISTS if the new key
 * has got another role since.
 */
export const governanceApprove: Kind<TypeOf<typeof proposalPayload>> = {
  name: 'governance.approve',
  describe: 'A member approves a proposal; the approval that makes a quorum carries it out and ends the era.',
  signers: ['member'],
  usesReserve: true,
  payload: proposalPayload,
  apply({ proposal: proposalId }, context, state) {
    const id = toHex(proposalId)
    const proposal = readProposal(state, id)
    if (proposal === undefined || proposal.era !== context.era) return 'GOVERNANCE_UNKNOWN'
    if (isExpired(proposal, context.time)) return 'GOVERNANCE_EXPIRED'
    const { member } = context.role
    if (proposal.approvals.includes(member)) return 'GOVERNANCE_APPROVED'
    const approvals = [...proposal.approvals, member]
    if (approvals.length < context.quorum) {
      writeProposal(state, id, { ...proposal, approvals })
      return null
    }
    const after = outcome(proposal.change, context, state)
    if (typeof after === 'string') return after
    complete(proposal.change, after, context, proposalId, state)
    return null
  },
}

/**
 * Takes a proposal back before it is carried out, by whoever proposed it; what others approved goes with it. GOVERNANCE_UNKNOWN,
 * GOVERNANCE_FOREIGN. An expired one may be withdrawn too: it no longer counts among those that its proposer may have open.
 */
export const governanceWithdraw: Kind<TypeOf<typeof proposalPayload>> = {
  name: 'governance.withdraw',
  describe: 'A member takes back its own proposal before it is carried out.',
  signers: ['member'],
  usesReserve: true,
  payload: proposalPayload,
  apply({ proposal: proposalId }, context, state) {
    const id = toHex(proposalId)
    const proposal = readProposal(state, id)
    if (proposal === undefined || proposal.era !== context.era) return 'GOVERNANCE_UNKNOWN'
    const { member } = context.role
    if (proposal.proposer !== member) return 'GOVERNANCE_FOREIGN'
    const others = readOpen(state, member).filter((open) => !equalBytes(open, proposalId))
    writeOpen(state, member, others)
    state.delete(proposalStateKey(id))
    return null
  },
}

const isExpired = (proposal: ProposalRecord | undefined, time: number): boolean =>
  proposal === undefined || proposal.expiresAt < time

/** The set that a change leads to, or why it may not be made. */
function outcome(change: Change, context: KindContext, state: StateView): MemberSet | Code {
  const after = setAfter(context.memberSet, change)
  if (typeof after === 'string') return after
  if (change.kind === 'add') return keyRefusal(change.publicKey, change.name, change, context, state) ?? after
  if (change.kind !== 'replace') return after
  const replaced = toHex(change.publicKey)
  const name = context.memberSet.members[context.members.get(replaced) as number]?.name as string
  if ((readSuccession(state, replaced)?.former.length ?? 0) >= LIMITS.formerKeysMax) return 'MEMBER_KEYS_FULL'
  return keyRefusal(change.by, name, change, context, state) ?? after
}

/** Why `key` cannot become a member's: it has, or had, another role, or its holder did not consent. */
function keyRefusal(
  key: Uint8Array,
  name: string,
  { addresses, consent }: { readonly addresses: readonly string[]; readonly consent: Uint8Array },
  { chainId, members }: KindContext,
  state: StateView,
): Code | null {
  const address = toHex(addressOf(key))
  const apiKey = readApiKey(state, address)
  const isTaken =
    readDevice(state, address) !== undefined ||
    (apiKey !== undefined && memberNow(state, apiKey.member, members) !== undefined) ||
    // A key that was given up may be in strange hands. One that is the last of its succession left with its member and may return with it.
    (readSuccession(state, toHex(key))?.now ?? toHex(key)) !== toHex(key)
  if (isTaken) return 'KEY_EXISTS'
  const signer = recover('membership', chainId, consentBytes(name, addresses), consent)
  return signer !== undefined && equalBytes(signer, key) ? null : 'MEMBER_CONSENT'
}

/** Writes the next era; everything that was proposed in this one is over. */
function complete(
  change: Change,
  memberSet: MemberSet,
  { era, height, memberSet: before }: KindContext,
  proposal: Uint8Array,
  state: StateView,
): void {
  for (const { publicKey } of before.members) {
    const member: PublicKeyHex = toHex(publicKey)
    for (const id of readOpen(state, member)) state.delete(proposalStateKey(toHex(id)))
    writeOpen(state, member, [])
  }
  if (change.kind === 'add') writeAddresses(state, toHex(change.publicKey), change.addresses)
  if (change.kind === 'remove') writeAddresses(state, toHex(change.publicKey), [])
  if (change.kind === 'replace') {
    const [old, key] = [toHex(change.publicKey), toHex(change.by)]
    writeAddresses(state, old, [])
    writeAddresses(state, key, change.addresses)
    writeSuccession(state, key, [...(readSuccession(state, old)?.former ?? []), old])
  }
  writeNextEra(state, { era: era + 1, height, memberSet, proposal })
}
