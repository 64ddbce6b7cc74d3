import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BUCKETS, hashKey, heightKey, historyKey, META, textKey } from '../../../node/store/buckets.ts'
import { createLedger, type LedgerStore, openLedger } from '../../../node/store/ledgerStore.ts'
import { openLevel } from '../../../node/store/level.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { frontierAt, frontierRoot } from '../../../protocol/history.ts'
import { keyHashOf } from '../../../protocol/state/entry.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { CHAIN_ID, ChainMaker, DEVICE, filledLedger, idsOf, readBody } from './fixture.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of items) out.push(item)
  return out
}

const check = (ledger: LedgerStore): Promise<string[]> => ledger.check({ transactionIdsOf: idsOf })

describe('buckets', () => {
  it('buckets: the numbers are those released, each once', () => {
    expect(BUCKETS).toEqual({
      headers: 1,
      heightByHash: 2,
      bodies: 3,
      certificates: 4,
      state: 5,
      leaves: 6,
      history: 7,
      transactions: 8,
      deviceEvents: 9,
      meta: 10,
      memberSets: 11,
      treeRoots: 12,
      replayRecords: 13,
      transactionIds: 14,
      chunks: 15,
    })
  })
})

describe('ledger', () => {
  it('ledger: what a block wrote is read back by every key', async () => {
    const { ledger, maker } = await filledLedger(new MemoryStore(), 3)
    const block = maker.next({ transactions: 3 })
    await ledger.commitBlock(block)
    expect(ledger.committedHeight).toBe(4)
    expect(ledger.committedHash).toEqual(block.header.hash)
    expect(ledger.header(4)?.bytes).toEqual(block.header.bytes)
    expect(ledger.header(0)).toBeUndefined()
    expect(ledger.heightOf(block.header.hash)).toBe(4)
    expect(ledger.heightOf(CHAIN_ID)).toBe(0)
    expect(await ledger.body(4)).toEqual(block.body)
    expect(ledger.certificate(4)).toEqual(block.certificate)
    expect(ledger.treeRoots(4)).toEqual(block.treeRoots)
    expect(ledger.transaction(block.transactionIds[2] as Uint8Array)).toEqual({ height: 4, index: 2 })
    expect(ledger.state('key/4')).toEqual({ height: 4, value: Uint8Array.of(4) })
    expect(ledger.stateBytes('key/4')).toEqual(block.stateChanges[0]?.entry)
    expect(ledger.state('absent')).toBeUndefined()
    expect(ledger.memberSet(sha3(Uint8Array.of(7)))).toEqual(Uint8Array.of(7))
    expect(frontierRoot(frontierAt(5, (level, index) => ledger.historyNode(level, index)))).toEqual(
      maker.next().header.header.historyRoot,
    )
    expect(() => ledger.historyNode(3, 9)).toThrow('missing')
  })

  it('ledger: entries of a prefix come in order, page by page', async () => {
    const { ledger } = await filledLedger(new MemoryStore(), 7)
    const first = await collect(ledger.states('key/', 3))
    expect(first.map(({ key }) => key)).toEqual(['key/0', 'key/1', 'key/2'])
    const second = await collect(ledger.states('key/', 3, 'key/2'))
    expect(second.map(({ key }) => key)).toEqual(['key/3', 'key/4', 'key/5'])
    expect(await collect(ledger.states('genesis', 10))).toHaveLength(1)
  })

  it('ledger: a deleted entry is gone with its leaf, and the leaves come in the order of their hashes', async () => {
    const { ledger, maker } = await filledLedger(new MemoryStore(), 3)
    const block = maker.next()
    await ledger.commitBlock({
      ...block,
      stateChanges: [{ key: 'key/2', entry: null }],
      leafChanges: [{ keyHash: keyHashOf('key/2'), valueHash: null }],
    })
    expect(ledger.state('key/2')).toBeUndefined()
    const leaves = (await collect(ledger.leaves())).map(({ keyHash }) => Buffer.from(keyHash).toString('hex'))
    expect(leaves).toHaveLength(3)
    expect(leaves).toEqual([...leaves].sort())
    expect(await check(ledger)).toEqual([])
  })

  it('ledger: events of a device are found by category, in either order', async () => {
    const { ledger } = await filledLedger(new MemoryStore(), 5)
    const odd = await collect(ledger.deviceEvents(DEVICE, { category: 'odd', limit: 10 }))
    expect(odd.map(({ height, category }) => [height, category])).toEqual([
      [1, 'odd'],
      [3, 'odd'],
      [5, 'odd'],
    ])
    const latest = await collect(ledger.deviceEvents(DEVICE, { category: 'odd', reverse: true, limit: 1 }))
    expect(latest[0]).toMatchObject({ height: 5, index: 0 })
    expect(await collect(ledger.deviceEvents(DEVICE, { limit: 10 }))).toHaveLength(5)
    expect(await collect(ledger.deviceEvents(DEVICE.subarray(0, 19), { limit: 10 }))).toHaveLength(0)
  })

  it('ledger: each block is one fsynced batch; a better certificate is not fsynced', async () => {
    const store = new MemoryStore()
    const { ledger } = await filledLedger(store, 2)
    expect(store.syncs).toEqual([true, true, true])
    await ledger.updateCertificate(1, Uint8Array.of(1, 2, 3))
    expect(store.syncs).toEqual([true, true, true, false])
    expect(ledger.certificate(1)).toEqual(Uint8Array.of(1, 2, 3))
    await expect(ledger.updateCertificate(3, Uint8Array.of(1))).rejects.toThrow('not committed')
  })

  it('ledger: a block that does not follow, of another chain, or given while another is written → a bug, nothing written', async () => {
    const { ledger, maker } = await filledLedger(new MemoryStore(), 1)
    const second = maker.next()
    await expect(ledger.commitBlock(maker.next())).rejects.toThrow('does not follow')
    const both = await Promise.allSettled([ledger.commitBlock(second), ledger.commitBlock(second)])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(ledger.committedHeight).toBe(2)
    await expect(ledger.commitBlock(second)).rejects.toThrow('does not follow')
    expect(await check(ledger)).toEqual([])
  })

  it('ledger: a failed durable write → STORE_WRITE_FAILED with exit code 74, and every later write is refused', async () => {
    const store = new MemoryStore()
    const { ledger, maker } = await filledLedger(store, 1)
    const block = maker.next()
    store.failing = true
    await expect(ledger.commitBlock(block)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED', exitCode: 74 })
    store.failing = false
    await expect(ledger.commitBlock(block)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
    await expect(ledger.updateCertificate(1, Uint8Array.of(1))).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
    await expect(ledger.pruneStep(1, Infinity, readBody)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
    expect(ledger.committedHeight).toBe(1)
    expect(ledger.failure?.code).toBe('STORE_WRITE_FAILED')
    expect(openLedger(store, { chainId: CHAIN_ID }).committedHeight).toBe(1)
  })

  it('ledger: too little free space → STORE_DISK_FULL before anything is written; with space again the block goes in', async () => {
    let free = 1_000_000
    const store = new MemoryStore()
    const disk = { directory: '/data', freeBytesMin: 500_000, freeBytes: async () => free, lookAtDiskMs: 0 }
    const { ledger, maker } = await filledLedger(store, 1, disk)
    const block = maker.next()
    free = 500_100
    await expect(ledger.commitBlock(block)).rejects.toMatchObject({ code: 'STORE_DISK_FULL', exitCode: 73 })
    expect(ledger.failure).toBeUndefined()
    expect(ledger.header(2)).toBeUndefined()
    free = 1_000_000
    await ledger.commitBlock(block)
    expect(ledger.committedHeight).toBe(2)
  })

  it('ledger: opening checks that there is one, its format, its chain and its newest headers', async () => {
    const store = new MemoryStore()
    const open = (chainId = CHAIN_ID) => openLedger(store, { chainId })
    expect(open).toThrow(expect.objectContaining({ code: 'STORE_MISSING' }))
    const { maker } = await filledLedger(store, 4)
    await expect(createLedger(store, CHAIN_ID, maker.genesis)).rejects.toMatchObject({ code: 'STORE_EXISTS' })
    expect(() => open(sha3(CHAIN_ID))).toThrow(expect.objectContaining({ code: 'STORE_WRONG_CHAIN', exitCode: 78 }))
    expect(open().committedHeight).toBe(4)
    await store.batch([{ key: heightKey('headers', 2), value: undefined }], { sync: true })
    expect(() => open()).toThrow(
      expect.objectContaining({ code: 'STORE_CORRUPT', message: expect.stringContaining('height 2') }),
    )
    await store.batch([{ key: textKey('meta', META.formatVersion), value: Uint8Array.of(0, 0, 0, 9) }], { sync: true })
    expect(() => open()).toThrow(expect.objectContaining({ code: 'STORE_WRONG_FORMAT' }))
  })

  it('ledger: pruning drops bodies, keeps headers, certificates, tree roots, ids and an hour of replay records', async () => {
    const { ledger, maker } = await filledLedger(new MemoryStore(), 5)
    await ledger.commitBlock(maker.next({ time: 5_000_000 }))
    await ledger.commitBlock(maker.next({ time: 10_000_000 }))
    const ids = idsOf((await ledger.body(5)) as Uint8Array)
    expect(await ledger.pruneStep(100, Infinity, readBody)).toEqual({ from: 1, to: 6, bytes: 5 * 64 })
    expect(ledger.firstBody).toBe(6)
    expect(await ledger.body(5)).toBeUndefined()
    expect(await ledger.body(6)).toBeDefined()
    expect(await ledger.prunedIds(5)).toEqual(ids)
    expect(ledger.header(5)).toBeDefined()
    expect(ledger.certificate(5)).toBeDefined()
    expect(ledger.treeRoots(5)).toHaveLength(1)
    expect((await collect(ledger.deviceEvents(DEVICE, { limit: 10 }))).map(({ height }) => height)).toEqual([7, 6])
    expect(await check(ledger)).toEqual([])
    await ledger.commitBlock(maker.next({ time: 10_001_000 }))
    expect((await ledger.pruneStep(100, Infinity, readBody)).to).toBe(6)
    expect(await collect(ledger.replayRecordsSince(0))).toHaveLength(3)
  })

  it('ledger: a step drops no body at or above the height given, none younger than the time given, and at most 64', async () => {
    const { ledger, maker } = await filledLedger(new MemoryStore(), 200)
    await ledger.commitBlock(maker.next({ time: 100_000_000 }))
    expect((await ledger.pruneStep(10, Infinity, readBody)).to).toBe(10)
    expect((await ledger.pruneStep(100, 20_000, readBody)).to).toBe(19)
    expect((await ledger.pruneStep(500, Infinity, readBody)).to).toBe(83)
    expect(await check(ledger)).toEqual([])
  })

  it('check: ids of a dropped body that are gone or others are found', async () => {
    const store = new MemoryStore()
    const { ledger, maker } = await filledLedger(store, 3)
    await ledger.commitBlock(maker.next({ time: 100_000_000 }))
    await ledger.pruneStep(3, Infinity, readBody)
    await store.batch([{ key: heightKey('transactionIds', 1), value: undefined }], { sync: true })
    await store.batch([{ key: heightKey('transactionIds', 2), value: new Uint8Array(64) }], { sync: true })
    const problems = (await check(ledger)).join('\n')
    expect(problems).toContain('height 1: no body, and no ids')
    expect(problems).toContain('height 2: the list of ids is not the one')
  })
})

describe('db check', () => {
  it('check: a whole ledger has no problems', async () => {
    const { ledger } = await filledLedger(new MemoryStore(), 20)
    expect(await check(ledger)).toEqual([])
  })

  const id = (height: number, i: number) => sha3(Uint8Array.of(3, height >> 8, height & 255, i))
  const damages: [string, Uint8Array, Uint8Array | undefined, string][] = [
    ['a body that is gone', heightKey('bodies', 3), undefined, 'no body'],
    ['another body', heightKey('bodies', 3), new Uint8Array(64), 'not the one'],
    ['a header that is gone', heightKey('headers', 3), undefined, 'no header'],
    ['a header that is no header', heightKey('headers', 3), Uint8Array.of(1), 'header'],
    ['the last certificate gone', heightKey('certificates', 9), undefined, 'no commit certificate'],
    ['a block above the committed height', heightKey('bodies', 10), Uint8Array.of(1), 'above the committed height'],
    ['a transaction that is not indexed', hashKey('transactions', id(4, 1)), undefined, 'not indexed'],
    ['a transaction too many', hashKey('transactions', CHAIN_ID), new Uint8Array(12), 'does not exist'],
    ['a block hash too many', hashKey('heightByHash', id(1, 1)), new Uint8Array(8), 'entries for'],
    ['an entry without its leaf', hashKey('leaves', keyHashOf('key/3')), undefined, 'does not match'],
    ['a leaf without an entry', textKey('state', 'key/3'), undefined, 'leaves'],
    ['other tree roots', heightKey('treeRoots', 3), new Uint8Array(32), 'tree roots'],
    ['a wrong node of history', historyKey(1, 1), new Uint8Array(32), 'history node'],
  ]
  it.each(damages)('check: %s is found', async (_name, key, value, problem) => {
    const store = new MemoryStore()
    const { ledger } = await filledLedger(store, 9)
    await store.batch([{ key, value }], { sync: true })
    expect((await check(ledger)).join('\n')).toContain(problem)
  })

  it('check: a node that ended between an ancestor and the block that commits it has no problem, and says which block it awaits', async () => {
    const store = new MemoryStore()
    const { ledger, maker } = await filledLedger(store, 3)
    expect(ledger.awaitedHeight).toBeUndefined()
    await ledger.commitBlock({ ...maker.next(), certificate: null, committedBy: 6 })
    expect(ledger.awaitedHeight).toBe(6)
    expect(await check(ledger)).toEqual([])
    await ledger.commitBlock({ ...maker.next(), certificate: null, committedBy: 6 })
    await ledger.commitBlock(maker.next())
    expect(ledger.awaitedHeight).toBeUndefined()
    expect(await check(ledger)).toEqual([])
    // The same place, and the certificate lost later: that is damage.
    await store.batch([{ key: heightKey('certificates', 6), value: undefined }], { sync: true })
    expect(ledger.awaitedHeight).toBeUndefined()
    expect(await check(ledger)).toEqual(['height 6: the last block has no commit certificate'])
  })

  it('check: a state root other than the header’s is found, and the list of problems is bounded', async () => {
    const store = new MemoryStore()
    const { ledger } = await filledLedger(store, 9)
    const wrongRoot = { transactionIdsOf: idsOf, stateRootOf: async () => CHAIN_ID }
    expect(await ledger.check(wrongRoot)).toEqual([expect.stringContaining('state: root')])
    for (let h = 1; h < 9; h++) await store.batch([{ key: heightKey('bodies', h), value: undefined }], { sync: true })
    expect(await ledger.check({ transactionIdsOf: idsOf, problemsMax: 3 })).toHaveLength(4)
  })
})

describe('ledger on LevelDB', () => {
  it('ledger: reopened after close it stands at the same height; a second opening meanwhile → STORE_LOCKED', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'althing-ledger-'))
    cleanups.push(() => rm(directory, { recursive: true, force: true }))
    const location = join(directory, 'ledger')
    await expect(openLevel(location, { mode: 'open' })).rejects.toMatchObject({ code: 'STORE_MISSING' })
    const { ledger } = await filledLedger(await openLevel(location, { mode: 'create' }), 12, { directory })
    await expect(openLevel(location, { mode: 'open' })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await ledger.close()
    await expect(openLevel(location, { mode: 'create' })).rejects.toMatchObject({ code: 'STORE_EXISTS' })
    const again = openLedger(await openLevel(location, { mode: 'open' }), { chainId: CHAIN_ID })
    cleanups.push(() => again.close())
    expect(again.committedHeight).toBe(12)
    expect(await check(again)).toEqual([])
  })
})

it('chain maker: blocks follow one another', () => {
  const maker = new ChainMaker()
  expect(maker.next().header.hash).toEqual(maker.next().header.header.parent)
})
