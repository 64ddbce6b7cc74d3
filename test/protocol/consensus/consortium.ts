/**
 * Members with real keys for the tests of codecs and verification: they sign what the core would ask them to sign.
 */
import { type Header, type SealedHeader, sealHeader } from '../../../protocol/block.ts'
import { toHex, ZERO_HASH } from '../../../protocol/bytes.ts'
import type {
  BlameCertificate,
  Certificate,
  Equivocation,
  Proposal,
  Signer,
  Slot,
} from '../../../protocol/consensus/types.ts'
import { createSigner } from '../../../protocol/consensus/verify.ts'
import { decodeFrame, type ProposalParts, type Unverified, type WireMessage } from '../../../protocol/consensus/wire.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { type MemberSet, type QuorumSizes, quorumSizes } from '../../../protocol/members.ts'

export const CHAIN_ID = new Uint8Array(32).fill(9)
export const ERA = 0
export const TERM_BLOCKS = 4

export type Consortium = {
  readonly memberSet: MemberSet
  readonly signers: readonly Signer[]
  readonly sizes: QuorumSizes
}

/** `n` members with fixed keys. */
export function consortium(n: number): Consortium {
  const keys = Array.from({ length: n }, (_, i) => new Uint8Array(32).fill(i + 1))
  const members = keys.map((key, i) => ({ name: `member ${i}`, publicKey: publicKeyOf(key) }))
  const parameters = {
    percent: 51,
    deltaMs: 100,
    termBlocks: TERM_BLOCKS,
    heartbeatMs: 500,
    bodyAllowanceMs: 0,
    timeoutDoublingsMax: 6,
    inclusionTimeoutMs: 1000,
    clockDriftMs: 1000,
    trustThresholdPpm: 300_000,
    trustPatience: 3,
    trustInitialPpm: 700_000,
    trustMinRaters: 3,
    trustFreshnessMs: 60_000,
  }
  return {
    memberSet: { members, parameters },
    signers: keys.map((key) => createSigner(CHAIN_ID, key)),
    sizes: quorumSizes(n, parameters.percent),
  }
}

/** A header of the era; `ends`: it ends the era. */
export function header(
  height: number,
  parent: Uint8Array,
  { ends = false, transactionCount = 0, time = 0 } = {},
): SealedHeader {
  const fields: Header = {
    version: 1,
    chainId: CHAIN_ID,
    era: ERA,
    height,
    parent,
    time,
    treesRoot: ZERO_HASH,
    transactionCount,
    stateRoot: ZERO_HASH,
    historyRoot: ZERO_HASH,
    memberSetHash: ZERO_HASH,
    nextMemberSetHash: ends ? ZERO_HASH : null,
    modulesHash: ZERO_HASH,
  }
  return sealHeader(fields)
}

export const slotFor = (view: number, seq: number, sealed: SealedHeader): Slot => ({
  view,
  seq,
  height: sealed.header.height,
  hash: toHex(sealed.hash),
})

export const leaderSignature = ({ signers }: Consortium, slot: Slot): Uint8Array =>
  (signers[slot.view % signers.length] as Signer).slot('proposal', ERA, slot)

export const certify = (
  { signers }: Consortium,
  kind: 'vote' | 'commit',
  slot: Slot,
  members: number[],
): Certificate => ({
  ...slot,
  kind,
  signatures: new Map(members.map((member) => [member, (signers[member] as Signer).slot(kind, ERA, slot)])),
})

export const blamed = ({ signers }: Consortium, view: number, members: number[]): BlameCertificate => ({
  view,
  signatures: new Map(members.map((member) => [member, (signers[member] as Signer).blame(ERA, view)])),
})

export const equivocate = (of: Consortium, first: Slot, second: Slot): Equivocation => ({
  first: { ...first, leaderSignature: leaderSignature(of, first) },
  second: { ...second, leaderSignature: leaderSignature(of, second) },
})

/** The proposal of `sealed` at (view, seq), signed by its leader. */
export function propose(
  of: Consortium,
  view: number,
  seq: number,
  sealed: SealedHeader,
  rest: Pick<Proposal, 'parentCertificate' | 'justification'>,
): { message: Proposal; parts: ProposalParts } {
  const slot = slotFor(view, seq, sealed)
  const block = {
    hash: slot.hash,
    parent: toHex(sealed.header.parent),
    height: slot.height,
    endsEra: sealed.header.nextMemberSetHash !== null,
  }
  const transactionIds = Array.from({ length: sealed.header.transactionCount }, (_, i) => new Uint8Array(32).fill(i))
  const message = {
    kind: 'proposal' as const,
    era: ERA,
    view,
    seq,
    block,
    leaderSignature: leaderSignature(of, slot),
    ...rest,
  }
  return { message, parts: { header: sealed.bytes, transactionIds } }
}

/** The message of a frame, or a failure of the test. */
export function decoded(bytes: Uint8Array): Unverified<WireMessage> {
  const frame = decodeFrame(bytes)
  if (frame.kind !== 'message') throw new Error('a frame of the link')
  return frame.message
}
