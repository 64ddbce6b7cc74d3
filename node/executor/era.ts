/**
 * The era in which a block stands, as executing and judging it need it: made once for each era, from what the state holds.
 */

import type { EraRecord } from '../../protocol/kinds/governance/record.ts'
import type { BlockContext } from '../../protocol/kinds/kind.ts'
import { memberIndex, memberSetHash, quorumSizes } from '../../protocol/members.ts'

/** An era of the ledger. */
export type LedgerEra = EraRecord &
  Pick<BlockContext, 'members' | 'quorum'> & {
    /** `memberSetHash` of its set, 32 bytes. */
    readonly memberSetHash: Uint8Array
  }

/** `record` with what follows from it. */
export function ledgerEra(record: EraRecord): LedgerEra {
  const { memberSet } = record
  const { q } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
  return { ...record, members: memberIndex(memberSet), quorum: q, memberSetHash: memberSetHash(memberSet) }
}
