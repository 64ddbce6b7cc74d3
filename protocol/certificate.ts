/**
 * Slots, statements and certificates (agreement.md §§2–3). A statement is signed over (domain, chain, era, view, seq, height,
 * blockHash) and nothing else; a certificate is a quorum of statements of distinct members for one slot and block.
 */
import { toHex } from './bytes.ts'
import { bytes, encodeAs, integer, list, oneOf, record, type TypeOf } from './codec.ts'
import { LIMITS } from './limits.ts'
import type { PublicKeyHex } from './members.ts'
import { recover, SIGNATURE_BYTES } from './signature.ts'

/** What leader signatures, votes and commits are about. */
export type Statement = TypeOf<typeof statementCodec>
/** Shape of a statement. */
export const statementCodec = record({
  era: integer(),
  view: integer(),
  seq: integer(),
  height: integer(1),
  /** Hash of the block, 32 bytes. */
  hash: bytes(32),
})

/** The bytes that are signed for `statement`; the domain says whether as proposal, vote or commit. */
export const statementBytes = (statement: Statement): Uint8Array => encodeAs(statementCodec, statement)

/** The bytes that a blame signs: era and view. */
export const blameBytes = (era: number, view: number): Uint8Array => encodeAs(blameCodec, { era, view })
const blameCodec = record({ era: integer(), view: integer() })

/** A certificate on the wire and on disk: signatures only, no claimed signers. */
export type WireCertificate = TypeOf<typeof certificateCodec>
/** Shape of a certificate. */
export const certificateCodec = record({
  /** `vote`: a certificate. `commit`: a commit certificate (CC). */
  kind: oneOf('vote', 'commit'),
  statement: statementCodec,
  /** 65 bytes each, in the order of the members' indices. */
  signatures: list(bytes(SIGNATURE_BYTES), LIMITS.membersMax, 1),
})

/** Indices of the members that signed, or why the certificate is worth nothing. */
export type Signers =
  | { ok: true; members: number[] }
  | { ok: false; code: 'CERT_FOREIGN_SIGNER' | 'CERT_DUPLICATE_SIGNER' }

/**
 * Who signed `certificate`, each once, each a member of the set that `index` describes. Whether they are a quorum is the caller's
 * question. `verify` may be given to check signatures through a cache; by default each is recovered here.
 */
export function signersOf(
  certificate: WireCertificate,
  chainId: Uint8Array,
  index: ReadonlyMap<PublicKeyHex, number>,
  verify: typeof recover = recover,
): Signers {
  const payload = statementBytes(certificate.statement)
  const members: number[] = []
  for (const signature of certificate.signatures) {
    const key = verify(certificate.kind, chainId, payload, signature)
    const member = key === undefined ? undefined : index.get(toHex(key))
    if (member === undefined) return { ok: false, code: 'CERT_FOREIGN_SIGNER' }
    if (members.includes(member)) return { ok: false, code: 'CERT_DUPLICATE_SIGNER' }
    members.push(member)
  }
  return { ok: true, members }
}
