import { describe, expect, test } from 'vitest'
import type { SealedHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../../protocol/codec.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import { type Change, consentBytes, decodeEra, ERA_STATE_KEY } from '../../../protocol/kinds/governance/record.ts'
import { memberSetCodec, memberSetHash } from '../../../protocol/members.ts'
import { sign } from '../../../protocol/signature.ts'
import { key, secretKey } from '../../protocol/kinds/consortium.ts'
import { build, CHAIN_ID, certify, GENESIS, grow, type Node, open, put, signed, TIME, tampered } from './world.ts'

const fifth: Change = {
  kind: 'add',
  publicKey: key(5),
  name: 'm5',
  addresses: [],
  consent: sign('membership', CHAIN_ID, consentBytes('m5', []), secretKey(5)),
}
const propose = (by: number, change: Change, era = 0): SignedTransaction =>
  signed('governance.propose', by, { era, change, expiresAt: TIME + 1_000_000, reason: '' })
const approve = (by: number, proposal: SignedTransaction): SignedTransaction =>
  signed('governance.approve', by, { proposal: proposal.transaction.id })

/** `node` with a proposal that lacks one approval. */
async function almost(node: Node): Promise<SignedTransaction> {
  const proposal = propose(1, fifth)
  await grow(node, [proposal, approve(2, proposal)])
  return proposal
}
const SET_OF_FIVE = {
  ...GENESIS.memberSet,
  members: [...GENESIS.memberSet.members, { name: 'm5', publicKey: key(5) }],
}

describe('executor: a block that ends its era', () => {
  test('names the set that comes; the next block stands in the next era, with that set', async () => {
    const node = await open()
    const proposal = await almost(node)
    const last = await grow(node, [approve(3, proposal)])
    expect(last.header).toMatchObject({ era: 0, nextMemberSetHash: memberSetHash(SET_OF_FIVE) })
    expect(last.header.memberSetHash).toEqual(memberSetHash(GENESIS.memberSet))
    expect(node.executor.era).toMatchObject({ era: 1, height: last.header.height, quorum: 3 })
    const { header } = build(node, [put('a')]).sealed
    expect(header).toMatchObject({ era: 1, nextMemberSetHash: null })
    expect(header.memberSetHash).toEqual(memberSetHash(SET_OF_FIVE))
    expect(decodeAs(memberSetCodec, node.ledger.memberSet(header.memberSetHash) as Uint8Array)).toEqual(SET_OF_FIVE)
  })

  test('takes nothing after the transaction that completes the change; what was left out stays for the next', async () => {
    const node = await open()
    const proposal = await almost(node)
    const built = build(node, [put('a'), approve(3, proposal), put('b'), approve(4, proposal)])
    expect(built.transactions.map(({ transaction }) => transaction.kind)).toEqual(['kv.put', 'governance.approve'])
    expect(built.refused).toEqual([])
  })

  test('is judged by executing it: no block may end an era by itself, leave the end out, or name another set', async () => {
    const [builder, judge] = [await open(), await open()]
    const proposal = propose(1, fifth)
    const approval = approve(2, proposal)
    for (const node of [builder, judge]) await grow(node, [proposal, approval])
    const verdictOn = (sealed: SealedHeader, transactions: readonly SignedTransaction[]) =>
      judge.executor.validate(sealed, transactions, TIME)
    const plain = build(builder, [put('a')])
    const ending = build(builder, [approve(3, proposal)])
    const other = memberSetHash(GENESIS.memberSet)
    expect(verdictOn(tampered(plain.sealed, { nextMemberSetHash: other }), plain.transactions)).toBe('BLOCK_MEMBER_SET')
    expect(verdictOn(tampered(ending.sealed, { nextMemberSetHash: null }), ending.transactions)).toBe(
      'BLOCK_MEMBER_SET',
    )
    expect(verdictOn(tampered(ending.sealed, { nextMemberSetHash: other }), ending.transactions)).toBe(
      'BLOCK_MEMBER_SET',
    )
    expect(verdictOn(ending.sealed, ending.transactions)).toBe(null)
    await judge.executor.commit(ending.sealed.hash, certify(ending.sealed))
    await builder.executor.commit(ending.sealed.hash, certify(ending.sealed))
    const next = build(builder, [put('a')])
    expect(verdictOn(tampered(next.sealed, { era: 0 }), next.transactions)).toBe('BLOCK_ERA')
    expect(verdictOn(tampered(next.sealed, { memberSetHash: other }), next.transactions)).toBe('BLOCK_MEMBER_SET')
    expect(verdictOn(next.sealed, next.transactions)).toBe(null)
  })

  test('with a transaction behind its end is invalid', async () => {
    const [builder, judge] = [await open(), await open()]
    const proposal = propose(1, fifth)
    const approval = approve(2, proposal)
    for (const node of [builder, judge]) await grow(node, [proposal, approval])
    const both = [approve(3, proposal), put('b')]
    const alone = build(builder, [put('x'), put('y')]).sealed
    const { merkleRoot, treeRoots } = await import('../../../protocol/merkle.ts')
    const { sha3 } = await import('../../../protocol/crypto.ts')
    const treesRoot = merkleRoot(sha3, treeRoots(both.map(({ transaction }) => transaction.id)))
    expect(judge.executor.validate(tampered(alone, { treesRoot }), both, TIME)).toBe('BLOCK_TRANSACTION')
  })

  test('can be built upon before it is committed, and is committed by its own certificate only', async () => {
    const node = await open()
    const proposal = await almost(node)
    const { sealed } = build(node, [approve(3, proposal)])
    const above = build(node, [put('a')], { parent: sealed.hash })
    expect(above.sealed.header.era).toBe(1)
    await expect(node.executor.commit(above.sealed.hash, certify(above.sealed))).rejects.toThrow('own certificate')
    await node.executor.commit(sealed.hash, certify(sealed))
    expect(await node.executor.commit(above.sealed.hash, certify(above.sealed))).toHaveLength(1)
  })

  test('the era is in the state, where it can be proved, and is there again after a start', async () => {
    const node = await open()
    const proposal = await almost(node)
    await grow(node, [approve(3, proposal)])
    const entry = node.executor.reads.state(ERA_STATE_KEY)
    expect(decodeEra(entry?.value as Uint8Array)).toMatchObject({ era: 1, memberSet: SET_OF_FIVE })
    const again = await open(node.store)
    expect(again.executor.era).toEqual(node.executor.era)
    expect(toHex(build(again, [put('a')]).sealed.header.memberSetHash)).toBe(toHex(memberSetHash(SET_OF_FIVE)))
    expect(encodeAs(memberSetCodec, again.executor.era.memberSet)).toEqual(encodeAs(memberSetCodec, SET_OF_FIVE))
  })
})
