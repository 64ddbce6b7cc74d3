/**
 * RTU: proofs that members give, checked here with nothing but the genesis (ledger.md §5).
 * Invariant: what is returned as proved is what was asked for, in a block that a quorum of members committed, whom the
 * genesis and the ends of eras name.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { type Proof, parseProof, verifyProof } from '../../protocol/proof.ts'
import { decodeEntry, type StateEntry } from '../../protocol/state/entry.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { CertifiedHeader } from '../light/messages.ts'

/** A proof that holds. */
export type Proved = {
  readonly proof: Proof
  /** Header of the block that it is about. */
  readonly sealed: SealedHeader
  /** The header that carries the commit certificate: that one, or a descendant's. */
  readonly certified: CertifiedHeader
}

/** Checks a proof file of `kind`. MESSAGE_MALFORMED: no proof file. LIGHT_ANSWER: of another kind. Else the code of the step that fails. */
export function checkProof(text: string, kind: Proof['subject']['kind'], genesis: Genesis): Proved | Code {
  const read = parseProof(text)
  if (!read.ok) return 'MESSAGE_MALFORMED'
  const { proof } = read
  if (proof.subject.kind !== kind) return 'LIGHT_ANSWER'
  const { steps } = verifyProof(proof, genesis)
  const failed = steps.find(({ code }) => code !== null)?.code
  if (failed !== undefined && failed !== null) return failed
  const { header, history, certificate } = proof.block
  return { proof, sealed: decodeHeader(header), certified: { header: history?.header ?? header, certificate } }
}

/** The entry that a proof shows under `key`, null for its absence; LIGHT_ANSWER if it is about another key. */
export function provedEntry({ proof: { subject } }: Proved, key: string): StateEntry | null | Code {
  if (subject.kind !== 'state' || subject.key !== key) return 'LIGHT_ANSWER'
  return subject.entry === null ? null : decodeEntry(subject.entry)
}

/** Whether a proof is about just these bytes of a transaction. */
export const provesTransaction = ({ proof: { subject } }: Proved, bytes: Uint8Array): boolean =>
  subject.kind === 'transaction' && equalBytes(subject.transaction, bytes)
