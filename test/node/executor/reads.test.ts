/** Reads and proofs of a ledger that has dropped its old bodies; those of a whole one stand in executor.test.ts and protocol/proof.test.ts. */
import { expect, it } from 'vitest'
import { readBody } from '../../../node/executor/bodyContents.ts'
import { parseProof, renderProof, verifyProof } from '../../../protocol/proof.ts'
import { GENESIS, grow, open, put, TIME } from './world.ts'

it('reads: what was dropped is still proved to who has kept its bytes, offline; the state is proved as ever', async () => {
  const node = await open()
  const kept = [put('a'), put('b'), put('c')]
  await grow(node, kept)
  await grow(node, [])
  for (let i = 0; i < 5; i++) await grow(node, [put(`d/${i}`)], TIME + 4 * 3_600_000)
  expect((await node.ledger.pruneStep(2, Number.POSITIVE_INFINITY, readBody)).to).toBe(2)
  const { reads } = node.executor
  expect(reads.held).toEqual({ firstHeight: 1, firstBody: 2 })
  expect(await reads.transactionIds(1)).toEqual(kept.map(({ transaction }) => transaction.id))
  for (const { transaction } of kept) {
    expect(reads.transaction(transaction.id)?.height).toBe(1)
    expect(await reads.proveTransaction(transaction.id)).toBeUndefined()
    const proof = await reads.proveTransaction(transaction.id, transaction.bytes)
    if (proof === undefined) throw new Error('no proof')
    const read = parseProof(renderProof(proof))
    if (!read.ok) throw new Error(read.problem)
    expect(verifyProof(read.proof, GENESIS).ok).toBe(true)
  }
  const state = await reads.proveState('kv/none')
  expect(state !== undefined && verifyProof(state, GENESIS).ok).toBe(true)
})
