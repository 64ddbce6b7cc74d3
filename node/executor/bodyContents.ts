/**
 * What a committed body holds, read again: for what is kept of it when it is dropped, and for indexes that are rebuilt.
 * Stage: ledger. Invariant: the same ids and events as those of the execution that committed it.
 */
import { decodeTransaction } from '../../protocol/transaction.ts'
import type { BodyReader } from '../store/prune.ts'
import { decodeBody } from './body.ts'
import { deviceEventsOf } from './speculation.ts'

/** Ids and device events of a body. Throws on bytes that are no body of transactions. */
export const readBody: BodyReader = (body) => {
  const transactions = decodeBody(body)
  if (typeof transactions === 'string') throw new Error(transactions)
  const decoded = transactions.map((bytes) => ({ transaction: decodeTransaction(bytes) }))
  return {
    transactionIds: decoded.map(({ transaction }) => transaction.id),
    deviceEvents: deviceEventsOf(decoded),
  }
}
