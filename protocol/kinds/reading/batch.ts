/**
 * `reading.batch`: the root over a batch of signed readings, which stay off the chain (ledger.md §2). Owns 'reading/'.
 * Invariant: nothing of a reading but the root and the claims beside it is believed here; whoever holds a reading and its path checks
 * the sensor's signature itself (reading.ts).
 */
import { type Batch, batchCodec } from '../../reading.ts'
import type { Kind } from '../kind.ts'
import { addBatch } from './record.ts'

/** Counts and keeps the root of a batch. TX_PAYLOAD if its times are the wrong way round. */
export const readingBatch: Kind<Batch> = {
  name: 'reading.batch',
  describe: 'Anchors a batch of signed sensor readings by its Merkle root; the readings stay off the chain.',
  signers: ['device', 'apiKey'],
  payload: batchCodec,
  apply({ root, count, observedFrom, observedTo }, context, state) {
    if (observedFrom > observedTo) return 'TX_PAYLOAD'
    addBatch(state, context.signerAddress, count, {
      lastRoot: root,
      lastHeight: context.height,
      lastTransaction: context.transactionId,
    })
    return null
  },
}
