import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { decodeBody, encodeBody } from '../../../node/executor/body.ts'
import { Executor } from '../../../node/executor/executor.ts'
import { initializeLedger } from '../../../node/executor/genesisState.ts'
import { hashKey } from '../../../node/store/buckets.ts'
import { openLedger } from '../../../node/store/ledgerStore.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { checkTransaction, readTransaction, type SignedTransaction } from '../../../protocol/execution.ts'
import { treesRoot } from '../../../protocol/merkle.ts'
import { keyHashOf } from '../../../protocol/state/entry.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { deviceBytes, registration, report, score } from '../../protocol/kinds/consortium.ts'
import {
  API_KEYS,
  build,
  CHAIN_ID,
  certify,
  GENESIS,
  grow,
  type Node,
  open,
  put,
  remove,
  signed,
  TIME,
  tampered,
} from './world.ts'

beforeAll(() => installNativePrimitives())

/** Everything of an executor that a refused block must leave as it was. */
const picture = ({ executor, ledger }: Node) =>
  JSON.stringify([executor.head.height, toHex(executor.head.hash), executor.usage, ledger.committedHeight])

const check = (node: Node): Promise<string[]> =>
  node.ledger.check({
    transactionIdsOf(body) {
      const transactions = decodeBody(body)
      if (typeof transactions === 'string') throw new Error(transactions)
      return transactions.map((bytes) => (readTransaction(bytes, CHAIN_ID) as SignedTransaction).transaction.id)
    },
  })

describe('building and validating', () => {
  it('executor: what one builds the other finds valid, and both commit one state, over random transactions', async () => {
    const command = fc.record({
      signer: fc.constantFrom(...API_KEYS, 77),
      kind: fc.constantFrom('put', 'delete', 'register', 'report', 'score'),
      name: fc.constantFrom('a', 'b', 'c'),
      device: fc.integer({ min: 100, max: 102 }),
    })
    const transactionOf = ({
      signer,
      kind,
      name,
      device,
    }: {
      signer: number
      kind: string
      name: string
      device: number
    }) => {
      if (kind === 'put') return put(name, 1, signer)
      if (kind === 'delete') return remove(name, signer)
      if (kind === 'register') return signed('device.register', signer, registration(device))
      if (kind === 'report') return signed('device.report', signer, report(device))
      return signed('trust.score', signer, score(device, 400_000))
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(command, { maxLength: 12 }), { minLength: 1, maxLength: 6 }),
        async (blocks) => {
          const [leader, member] = [await open(), await open()]
          for (const [i, commands] of blocks.entries()) {
            const time = TIME + i * 1000
            const offered = commands.map(transactionOf)
            const { sealed, transactions, refused } = build(leader, offered, { time })
            expect(transactions.length + refused.length).toBe(offered.length)
            expect(member.executor.validate(sealed, transactions, time)).toBeNull()
            for (const { executor } of [leader, member]) await executor.commit(sealed.hash, certify(sealed))
          }
          expect(picture(member)).toBe(picture(leader))
          expect(await check(leader)).toEqual([])
          expect(await check(member)).toEqual([])
          const again = await open(leader.store)
          expect(build(again, [put('z')], { time: TIME * 2 }).sealed.header.historyRoot).toEqual(
            build(member, [put('z')], { time: TIME * 2 }).sealed.header.historyRoot,
          )
        },
      ),
      { numRuns: 25 },
    )
  })

  it('executor: transactions that fail are left out with their codes, those that do not fit without', async () => {
    const node = await open()
    const twice = put('a')
    const large = Array.from({ length: 36 }, (_, i) =>
      signed('kv.put', 11, { key: `large${i}`, value: new Uint8Array(60_000) }),
    )
    const built = build(node, [twice, twice, put('b', 1, 77), remove('absent'), ...large, put('last')])
    expect(built.refused.map(({ code }) => code)).toEqual(['TX_REPLAYED', 'TX_UNKNOWN_SIGNER', 'KV_UNKNOWN'])
    expect(built.transactions).toHaveLength(1 + 34 + 1)
    const other = await open()
    expect(other.executor.validate(built.sealed, built.transactions, TIME)).toBeNull()
  })

  it('executor: a block is never earlier than its parent, whatever the clock of its leader says', async () => {
    const node = await open()
    await grow(node, [], TIME)
    expect(build(node, [], { time: TIME - 500 }).sealed.header.time).toBe(TIME)
  })

  it('executor: the same block built twice is kept once', async () => {
    const node = await open()
    const transactions = [put('a')]
    build(node, transactions)
    const before = picture(node)
    build(node, transactions)
    expect(picture(node)).toBe(before)
  })

  it('executor: the pool asks with the state after the head', async () => {
    const node = await open()
    const first = put('a')
    expect(checkTransaction(first, node.executor.surroundings(TIME))).toBeNull()
    await grow(node, [first])
    expect(checkTransaction(first, node.executor.surroundings(TIME))).toBe('TX_REPLAYED')
    expect(checkTransaction(remove('a'), node.executor.surroundings(TIME))).toBeNull()
  })
})

describe('refusals', () => {
  it.each([
    ['another chain', { chainId: new Uint8Array(32) }, 'BLOCK_CHAIN'],
    ['an unknown parent', { parent: new Uint8Array(32) }, 'BLOCK_PARENT'],
    ['a height too far', { height: 3 }, 'BLOCK_HEIGHT'],
    ['another era', { era: 1 }, 'BLOCK_ERA'],
    ['a time before the parent', { time: TIME - 1 }, 'BLOCK_TIME'],
    ['a time beyond the drift', { time: TIME + 1101 }, 'BLOCK_TIME_AHEAD'],
    ['another history', { historyRoot: new Uint8Array(32) }, 'BLOCK_HISTORY'],
    ['another member set', { memberSetHash: new Uint8Array(32) }, 'BLOCK_MEMBER_SET'],
    ['a next member set', { nextMemberSetHash: new Uint8Array(32) }, 'BLOCK_MEMBER_SET'],
    ['other modules', { modulesHash: new Uint8Array(32) }, 'BLOCK_MODULES'],
    ['another count', { transactionCount: 1 }, 'BLOCK_COUNT'],
    ['other trees', { treesRoot: new Uint8Array(32) }, 'BLOCK_TREES'],
    ['another state', { stateRoot: new Uint8Array(32) }, 'BLOCK_ROOT'],
  ] as const)('executor: a block with %s → its code, nothing changed', async (_what, over, code) => {
    const [leader, member] = [await open(), await open()]
    await grow(leader, [put('a')])
    const { sealed, transactions } = build(leader, [put('a', 2), put('b')], { time: TIME + 1000 })
    await catchUp(member, leader)
    const before = picture(member)
    expect(member.executor.validate(tampered(sealed, over), transactions, TIME + 1000)).toBe(code)
    expect(picture(member)).toBe(before)
    expect(member.executor.validate(sealed, transactions, TIME + 1000)).toBeNull()
  })

  it('executor: other transactions under a header → BLOCK_TREES; too many bytes → BLOCK_TOO_LARGE', async () => {
    const [leader, member] = [await open(), await open()]
    const { sealed, transactions } = build(leader, [put('a'), put('b')])
    expect(member.executor.validate(sealed, transactions.toReversed(), TIME)).toBe('BLOCK_TREES')
    expect(member.executor.validate(sealed, transactions.slice(1), TIME)).toBe('BLOCK_COUNT')
    const large = Array.from({ length: 36 }, (_, i) =>
      signed('kv.put', 11, { key: `large${i}`, value: new Uint8Array(60_000) }),
    )
    const header = tampered(sealed, { transactionCount: large.length })
    expect(member.executor.validate(header, large, TIME)).toBe('BLOCK_TOO_LARGE')
  })

  it('executor: a block with a transaction that fails → BLOCK_TRANSACTION', async () => {
    const [leader, member] = [await open(), await open()]
    const bad = [put('a'), put('b', 1, 77)]
    const { sealed } = build(leader, [put('a')])
    const header = tampered(sealed, {
      transactionCount: 2,
      treesRoot: treesRoot(bad.map(({ transaction }) => transaction.id)),
    })
    const before = picture(member)
    expect(member.executor.validate(header, bad, TIME)).toBe('BLOCK_TRANSACTION')
    expect(picture(member)).toBe(before)
  })

  it('executor: a known block is refused while its time is ahead of the clock, and valid later', async () => {
    const node = await open()
    const { sealed, transactions } = build(node, [], { time: TIME })
    expect(node.executor.validate(sealed, transactions, TIME - 101)).toBe('BLOCK_TIME_AHEAD')
    expect(node.executor.validate(sealed, transactions, TIME - 100)).toBeNull()
  })

  it('executor: bodies have one encoding and bounds', () => {
    const transactions = [Uint8Array.of(1), Uint8Array.of(2, 3)]
    const body = encodeBody(transactions)
    expect(decodeBody(body)).toEqual(transactions)
    expect(decodeBody(body.subarray(1))).toBe('BLOCK_MALFORMED')
    expect(decodeBody(encodeBody([new Uint8Array(0)]))).toBe('BLOCK_MALFORMED')
    expect(decodeBody(encodeBody(Array.from({ length: 33 }, () => new Uint8Array(65_000))))).toBe('BLOCK_TOO_LARGE')
    expect(decodeBody(new Uint8Array(3_000_000))).toBe('BLOCK_TOO_LARGE')
  })
})

/** Brings `member` to the height of `leader` by the committed blocks. */
async function catchUp(member: Node, leader: Node): Promise<void> {
  const { reads } = leader.executor
  for (let height = member.executor.head.height + 1; height <= leader.executor.head.height; height++) {
    const sealed = reads.headerAt(height)
    const body = await reads.body(height)
    const certificate = reads.certificate(height)
    if (sealed === undefined || body === undefined) throw new Error('not served')
    const transactions = (decodeBody(body) as Uint8Array[]).map(
      (b) => readTransaction(b, CHAIN_ID) as SignedTransaction,
    )
    expect(member.executor.validate(sealed, transactions, sealed.header.time)).toBeNull()
    if (certificate !== undefined) await member.executor.commit(sealed.hash, certificate)
  }
}

describe('speculation', () => {
  it('executor: of two forks the committed one stays; the other is abandoned with its nodes', async () => {
    const [node, plain] = [await open(), await open()]
    const [a, b] = [[put('a')], [put('b')]]
    const left = build(node, a)
    const right = build(node, b)
    const leftChild = build(node, [put('c')], { parent: left.sealed.hash })
    const rightChild = build(node, [put('d')], { parent: right.sealed.hash })
    const grandchild = build(node, [put('e')], { parent: leftChild.sealed.hash })
    expect(node.executor.usage.speculations).toBe(5)
    await node.executor.commit(left.sealed.hash, certify(left.sealed))
    expect(node.executor.usage.speculations).toBe(2)
    expect(node.executor.knows(rightChild.sealed.hash)).toBe(false)
    expect(node.executor.validate(rightChild.sealed, rightChild.transactions, TIME)).toBe('BLOCK_PARENT')
    await node.executor.commit(grandchild.sealed.hash, certify(grandchild.sealed))
    for (const { sealed, transactions } of [left, leftChild, grandchild]) {
      expect(plain.executor.validate(sealed, transactions, TIME)).toBeNull()
      await plain.executor.commit(sealed.hash, certify(sealed))
    }
    expect(node.executor.usage).toEqual(plain.executor.usage)
    expect(picture(node)).toBe(picture(plain))
  })

  it('executor: a nonce used in an uncommitted ancestor is used', async () => {
    const node = await open()
    const transaction = put('a')
    const parent = build(node, [transaction])
    const child = build(node, [transaction], { parent: parent.sealed.hash })
    expect(child.refused.map(({ code }) => code)).toEqual(['TX_REPLAYED'])
  })

  it('executor: whether a nonce that expires between two blocks is used does not depend on what is committed', async () => {
    const [early, late] = [await open(), await open()]
    const nonce = new Uint8Array(16).fill(200)
    const first = signed('kv.put', 11, { key: 'a', value: new Uint8Array(1) }, { nonce, validUntil: TIME + 10 })
    const again = signed('kv.put', 11, { key: 'b', value: new Uint8Array(1) }, { nonce, validUntil: TIME + 5000 })
    const parent = build(early, [first])
    await early.executor.commit(parent.sealed.hash, certify(parent.sealed))
    expect(late.executor.validate(parent.sealed, parent.transactions, TIME)).toBeNull()
    const options = { parent: parent.sealed.hash, time: TIME + 11 }
    expect(build(early, [again], options).sealed.hash).toEqual(build(late, [again], options).sealed.hash)
    expect(build(early, [again], options).refused).toEqual([])
    expect(build(early, [again], { ...options, time: TIME + 10 }).refused).toHaveLength(1)
  })

  it('executor: the least lately used block without children makes room; a full row of blocks → EXECUTOR_FULL', async () => {
    const node = await open(undefined, { speculationsMax: 3 })
    const siblings = ['a', 'b', 'c'].map((name) => build(node, [put(name)]))
    const [a, b] = siblings
    expect(node.executor.validate(a!.sealed, a!.transactions, TIME)).toBeNull()
    const child = build(node, [put('d')], { parent: a!.sealed.hash })
    expect(node.executor.knows(b!.sealed.hash)).toBe(false)
    const grandchild = build(node, [put('e')], { parent: child.sealed.hash })
    expect(node.executor.usage.speculations).toBe(3)
    expect(() => build(node, [put('f')], { parent: grandchild.sealed.hash })).toThrow('wait for their commit')
    await node.executor.commit(grandchild.sealed.hash, certify(grandchild.sealed))
    expect(node.executor.usage.speculations).toBe(0)
    expect(await check(node)).toEqual([])
  })
})

describe('random forks', () => {
  it('executor: whatever was tried and abandoned meanwhile, a restart and a plain replay give the same nodes and roots', async () => {
    const step = fc.record({
      on: fc.nat({ max: 7 }),
      names: fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.boolean()), { maxLength: 4 }),
      commit: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 25 }), async (steps) => {
        const node = await open(undefined, { speculationsMax: 6 })
        const { executor } = node
        const tried: Uint8Array[] = []
        for (const [i, { on, names, commit }] of steps.entries()) {
          const live = [executor.head.hash, ...tried.filter((hash) => executor.speculation(hash) !== undefined)]
          const parent = live[on % live.length] as Uint8Array
          const transactions = names.map(([name, put_]) => (put_ ? put(name, i) : remove(name)))
          let built: ReturnType<typeof build>
          try {
            built = build(node, transactions, { parent, time: TIME + i })
          } catch (error) {
            expect(error).toMatchObject({ code: 'EXECUTOR_FULL' })
            continue
          }
          tried.push(built.sealed.hash)
          if (commit) await executor.commit(built.sealed.hash, certify(built.sealed))
        }
        const sealed = build(node, [put('last')], { time: TIME * 2 }).sealed
        await executor.commit(sealed.hash, certify(sealed))
        const again = await open(node.store)
        expect(again.executor.usage).toEqual(executor.usage)
        const replay = await open()
        await catchUp(replay, node)
        expect(replay.executor.usage).toEqual(executor.usage)
        expect(replay.executor.head.hash).toEqual(executor.head.hash)
        expect(await check(node)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})

describe('commit', () => {
  it('executor: a descendant commits its ancestors before it, without certificates of their own', async () => {
    const node = await open()
    const first = build(node, [put('a')])
    const second = build(node, [put('b')], { parent: first.sealed.hash })
    const committed = await node.executor.commit(second.sealed.hash, certify(second.sealed))
    expect(committed.map(({ height, certified }) => [height, certified])).toEqual([
      [1, false],
      [2, true],
    ])
    expect(node.ledger.certificate(1)).toBeUndefined()
    expect(await node.executor.commit(first.sealed.hash, certify(first.sealed))).toEqual([])
    expect(node.ledger.certificate(1)).toEqual(certify(first.sealed))
    await expect(node.executor.commit(new Uint8Array(32), new Uint8Array(1))).rejects.toMatchObject({
      code: 'EXECUTOR_UNKNOWN_BLOCK',
    })
  })

  it('executor: a disk that fills up between ancestor and descendant → STORE_DISK_FULL; trying again tells of both, once', async () => {
    const store = new MemoryStore()
    await initializeLedger(store, GENESIS)
    let looks = 0
    const freeBytes = async () => (++looks === 2 ? 0 : 1_000_000)
    const opening = { chainId: CHAIN_ID, directory: '/', freeBytesMin: 1000, freeBytes, lookAtDiskMs: 0 }
    const ledger = openLedger(store, opening)
    const executor = await Executor.open(GENESIS, ledger, { speculationsMax: 8 })
    const node = { store, ledger, executor }
    const first = build(node, [put('a')]).sealed
    const second = build(node, [put('b')], { parent: first.hash }).sealed
    await expect(executor.commit(second.hash, certify(second))).rejects.toMatchObject({ code: 'STORE_DISK_FULL' })
    expect(executor.head.height).toBe(1)
    const told = await executor.commit(second.hash, certify(second))
    expect(told.map(({ height, certified }) => [height, certified])).toEqual([
      [1, false],
      [2, true],
    ])
    expect(await executor.commit(second.hash, certify(second))).toEqual([])
  })

  it('executor: reports come out as events, by device and category', async () => {
    const node = await open()
    const { sealed } = build(node, [
      signed('device.register', 11, registration(100)),
      signed('device.report', 11, report(100)),
      signed('device.report', 11, report(100)),
      signed('device.report', 11, report(100)),
    ])
    const [block] = await node.executor.commit(sealed.hash, certify(sealed))
    expect(block?.events).toHaveLength(3)
    const { reads } = node.executor
    const first = await reads.deviceEvents(deviceBytes(100), 'process.unknown', 2)
    expect(first.items.map(({ index }) => index)).toEqual([3, 2])
    const second = await reads.deviceEvents(deviceBytes(100), 'process.unknown', 2, first.next as string)
    expect(second.items.map(({ index }) => index)).toEqual([1])
    expect(second.next).toBeNull()
  })

  it('executor: blocks are judged beside a running commit as they would be without', async () => {
    const [node, other] = [await open(), await open()]
    const first = build(node, [put('a')])
    const second = build(node, [remove('a'), put('b')], { parent: first.sealed.hash })
    const fork = build(other, [put('c')])
    expect(other.executor.validate(first.sealed, first.transactions, TIME)).toBeNull()
    expect(other.executor.validate(second.sealed, second.transactions, TIME)).toBeNull()
    const commit = node.executor.commit(second.sealed.hash, certify(second.sealed))
    const turns: (string | null)[] = []
    let over = false
    const done = commit.finally(() => {
      over = true
    })
    while (!over) {
      await Promise.resolve()
      turns.push(node.executor.validate(fork.sealed, fork.transactions, TIME))
      const third = node.executor.build(second.sealed.hash, [remove('b')], TIME + 1)
      expect(third).toMatchObject({ refused: [] })
    }
    await done
    expect(turns.at(-1)).toBe('BLOCK_PARENT')
    expect(new Set(turns).size).toBeLessThanOrEqual(2)
    expect(await check(node)).toEqual([])
  })

  it('executor: after a failed write everything is refused, and a restart finds all that was acknowledged', async () => {
    const node = await open()
    const acknowledged = await grow(node, [put('a')])
    const { sealed } = build(node, [put('b')])
    node.store.failing = true
    await expect(node.executor.commit(sealed.hash, certify(sealed))).rejects.toMatchObject({
      code: 'STORE_WRITE_FAILED',
      exitCode: 74,
    })
    node.store.failing = false
    expect(() => build(node, [])).toThrow('out of use')
    expect(() => node.executor.validate(sealed, [], TIME)).toThrow('out of use')
    expect(() => node.executor.reads.state('a')).toThrow('out of use')
    await expect(node.executor.commit(sealed.hash, certify(sealed))).rejects.toThrow('out of use')
    const again = await open(node.store)
    expect(again.executor.head.hash).toEqual(acknowledged.hash)
  })

  it('executor: opened at every height it builds the same blocks, and remembers nonces', async () => {
    const node = await open()
    const all: SignedTransaction[] = []
    for (let i = 0; i < 12; i++) {
      const transactions = [put(`k${i % 5}`, i), put(`n${i}`), ...(i % 3 === 2 ? [remove(`n${i - 1}`)] : [])]
      all.push(...transactions)
      await grow(node, transactions, TIME + i * 1000)
      const again = await open(node.store)
      const probe = [put('probe'), ...all]
      const time = TIME + i * 1000
      expect(build(again, probe, { time }).sealed.hash).toEqual(build(node, probe, { time }).sealed.hash)
      expect(build(again, probe, { time }).refused.every(({ code }) => code === 'TX_REPLAYED')).toBe(true)
    }
    expect(await check(node)).toEqual([])
  })

  it('executor: a state that is not that of the last block → STORE_CORRUPT', async () => {
    const node = await open()
    await grow(node, [put('a')])
    await node.store.batch([{ key: hashKey('leaves', keyHashOf('x')), value: new Uint8Array(32) }], { sync: true })
    await expect(open(node.store)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })
})
