/**
 * A committed block as another member sent it, checked against its header, with what is derived from it: nothing of it is executed.
 * Stage: ledger of the others → ledger. Invariant: body and certificate are those of exactly this header, or nothing is made of them.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { identityOf, namesOf } from '../../protocol/execution.ts'
import { verifyHeader } from '../../protocol/light.ts'
import type { MemberSet } from '../../protocol/members.ts'
import { treesRoot } from '../../protocol/merkle.ts'
import { decodeTransaction, type Transaction } from '../../protocol/transaction.ts'
import { decodeBody } from '../executor/body.ts'
import { deviceEventsOf } from '../executor/speculation.ts'
import { packNonces } from '../executor/usedNonces.ts'
import type { SentBlock } from '../sync/serve.ts'
import type { WholeBlock } from './staging.ts'

/** The block of `header` from what was sent for it; undefined where that is another one. Throws on bytes that are no block. */
export async function wholeBlock(
  { header: headerBytes, body, certificate }: SentBlock,
  header: SealedHeader,
  {
    signers,
    chainId,
    memberSet,
  }: {
    signers: (transactions: readonly Transaction[]) => Promise<(Uint8Array | undefined)[]>
    chainId: Uint8Array
    /** Of the block's era. */
    memberSet: MemberSet | undefined
  },
): Promise<WholeBlock | undefined> {
  if (!equalBytes(headerBytes, header.bytes)) return undefined
  const encoded = decodeBody(body)
  if (typeof encoded === 'string') return undefined
  const transactions = encoded.map((data) => decodeTransaction(data))
  const transactionIds = transactions.map(({ id }) => id)
  const { treesRoot: root, transactionCount } = header.header
  if (transactionIds.length !== transactionCount || !equalBytes(treesRoot(transactionIds), root)) return undefined
  if (certificate !== null) {
    if (memberSet === undefined) return undefined
    if (!verifyHeader(header, decodeAs(certificateCodec, certificate), memberSet, chainId).ok) return undefined
  }
  const found = await signers(transactions)
  const nonces = transactions.map((transaction, i) => {
    const signer = found[i]
    if (signer === undefined) throw new RangeError('a committed transaction that is signed by nobody')
    return identityOf(transaction, namesOf(signer)).use
  })
  return {
    body,
    certificate,
    transactionIds,
    deviceEvents: deviceEventsOf(transactions.map((transaction) => ({ transaction }))),
    replayRecords: packNonces(nonces),
  }
}
