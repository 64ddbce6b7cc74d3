/** Security modules from the transaction that publishes one to the block that nobody votes for: node/executor with node/modules/host.ts. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { ModuleHost } from '../../../node/modules/host.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { encodeActiveModules } from '../../../protocol/kinds/module/record.ts'
import { merkleRoot, treeRoots } from '../../../protocol/merkle.ts'
import { installModuleEngine } from '../../../protocol/modules/engine.ts'
import { encodeModuleInput } from '../../../protocol/modules/input.ts'
import { registration, report } from '../../protocol/kinds/consortium.ts'
import { build, grow, type Node, open, put, signed, TIME, tampered } from './world.ts'

beforeAll(() => {
  installNativePrimitives()
  installModuleEngine(new ModuleHost())
})
const code = new Uint8Array(readFileSync(new URL('../../../protocol/modules/built/anomaly.wasm', import.meta.url)))
const hash = sha3(code)
const LISTED = sha3(encodeActiveModules([{ kind: 'anomaly', hash, version: '1' }]))
const features = encodeModuleInput({ floats: [350_000], integers: [] })
const scored = (over: object = {}) =>
  signed('device.report', 21, { ...report(21), features, model: { hash, version: '1' }, scores: [500_000, 1], ...over })

/** A chain at height 2 whose module is active from block 4 on. */
async function withModule(): Promise<Node> {
  const node = await open()
  await grow(node, [
    signed('device.register', 11, registration(21)),
    signed('module.publish', 1, { kind: 'anomaly', version: '1', code }),
  ])
  await grow(
    node,
    [1, 2, 3].map((member) => signed('module.activate', member, { hash, height: 4 })),
  )
  return node
}

describe('executor: security modules', () => {
  it('the header covers what runs from the height on that was agreed', async () => {
    const node = await withModule()
    const third = await grow(node, [])
    expect(third.header.modulesHash).toEqual(sha3(encodeActiveModules([])))
    const fourth = await grow(node, [])
    expect(fourth.header.modulesHash).toEqual(LISTED)
    const again = await open(node.store)
    expect(build(again, [put('z')]).sealed.header.modulesHash).toEqual(LISTED)
  })

  it('built on a block that is not committed, the swap is the same', async () => {
    const node = await withModule()
    const { sealed: third } = build(node, [put('a')])
    const { sealed: fourth } = build(node, [put('b')], { parent: third.hash })
    expect(third.header.modulesHash).toEqual(sha3(encodeActiveModules([])))
    expect(fourth.header.modulesHash).toEqual(LISTED)
  })

  it('a leader leaves a report with a wrong score out; a member does not vote for a block that holds one', async () => {
    const leader = await withModule()
    await grow(leader, [])
    const wrong = scored({ scores: [499_999, 1] })
    const stale = scored({ model: { hash, version: '0' } })
    const built = build(leader, [wrong, stale, scored()])
    expect(built.refused.map((one) => one.code)).toEqual(['REPORT_SCORE', 'REPORT_MODEL'])
    expect(built.transactions).toHaveLength(1)
    // Another member with the same chain.
    const judge = await open(leader.store)
    for (const lie of [wrong, stale]) {
      const treesRoot = merkleRoot(sha3, treeRoots([lie.transaction.id]))
      const block = tampered(built.sealed, { treesRoot, transactionCount: 1 })
      expect(judge.executor.validate(block, [lie], TIME)).toBe('BLOCK_TRANSACTION')
    }
    expect(judge.executor.validate(built.sealed, built.transactions, TIME)).toBeNull()
    const others = tampered(built.sealed, { modulesHash: sha3(encodeActiveModules([])) })
    expect(judge.executor.validate(others, built.transactions, TIME)).toBe('BLOCK_MODULES')
  })
})
