/** Catching up: what a member that lies about blocks can do to one that is behind. */
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../node/clock.ts'
import { decodeBody, encodeBody } from '../../../node/executor/body.ts'
import { Pool } from '../../../node/pool/pool.ts'
import { systemPace } from '../../../node/steps.ts'
import { KeptBlocks } from '../../../node/store/keptBlocks.ts'
import { Blocks, BUILD_BOUNDS } from '../../../node/sync/blocks.ts'
import { blocksAnswer } from '../../../node/sync/serve.ts'
import { decodeHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { certificateCodec } from '../../../protocol/certificate.ts'
import { decodeAs, encodeAs, type TypeOf } from '../../../protocol/codec.ts'
import type { Certificate } from '../../../protocol/consensus/types.ts'
import { createVerifier } from '../../../protocol/consensus/verify.ts'
import { signerOf } from '../../../protocol/transaction.ts'
import type { Code } from '../../../protocol/verdict.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { build, CHAIN_ID, certify, GENESIS, type Node, open, put, TIME } from '../executor/world.ts'

type Sent = TypeOf<typeof blocksAnswer>
const keys = GENESIS.memberSet.members.map(({ publicKey }) => toHex(publicKey))
const verifier = createVerifier({ chainId: CHAIN_ID, memberSet: GENESIS.memberSet, era: 0, cacheMax: 256 })
const quiet = { debug() {}, info() {}, warn() {} }

/** `count` blocks on top of the head of `node`, each with a certificate of `members`, or none. */
function chain(node: Node, count: number, members: readonly number[] | null, mark = 'x'): Sent {
  let parent = node.executor.head.hash
  return Array.from({ length: count }, (_, i) => {
    const transactions = [put(`${mark}${i}`)]
    const { sealed } = build(node, transactions, { parent, time: TIME + i })
    parent = sealed.hash
    return {
      header: sealed.bytes,
      body: encodeBody(transactions.map(({ transaction }) => transaction.bytes)),
      certificate: members === null ? null : certify(sealed, members),
    }
  })
}

/** Who would become a member by an open proposal. */
const NAMED = 'named'

/** A member that is behind: member 1 lies as `lie` says, members 2 and 3 and whoever is named have `truth`; 1 and 2 are linked. */
async function behind(lie: (from: number) => Sent | Uint8Array, truth: Sent, nowMs = TIME + 60_000) {
  const disk = new MemoryStore()
  const kept = await KeptBlocks.open(disk)
  const node = await open(undefined, { speculationsMax: 8 })
  const penalties: { peer: string; code: Code }[] = []
  const asked = new Map<string, number>()
  const pool = new Pool(
    { bytesMax: 1 << 20, countMax: 100, spanMs: 1000, committedMax: 100, listenersMax: 10, blockTime: TIME },
    () => systemClock.monotonic(),
  )
  let turn = 0
  const blocks: Blocks = new Blocks(
    { era: 0, members: keys, me: 0, alsoAsked: [], heartbeatMs: 1000, ...BUILD_BOUNDS },
    {
      // The liar comes first whenever somebody is asked.
      clock: { ...systemClock, now: () => nowMs, monotonic: () => 2 * turn++ },
      pace: systemPace,
      executor: node.executor,
      pool,
      intake: {
        flush: () => undefined,
        signers: async (list) => list.map((transaction) => signerOf(transaction, CHAIN_ID)),
      },
      network: {
        linkedPeers: () => [keys[1] as string, keys[2] as string],
        async request(peer) {
          asked.set(peer, (asked.get(peer) ?? 0) + 1)
          const from = node.executor.head.height
          const answer = peer === keys[1] ? lie(from) : truth.slice(from)
          return answer instanceof Uint8Array ? answer : encodeAs(blocksAnswer, answer)
        },
        penalize: (peer, code) => void penalties.push({ peer, code }),
      },
      kept,
      log: quiet,
      committed() {},
      evidence() {},
      named: () => [NAMED],
      join: async () => false,
    },
  )
  return { node, blocks, penalties, asked, kept, disk }
}

/** Lets `blocks` commit the last block of `truth`, and says what came of it. */
async function catchUp({ node, blocks }: Awaited<ReturnType<typeof behind>>, truth: Sent): Promise<number> {
  const last = decodeAs(certificateCodec, truth.at(-1)?.certificate as Uint8Array)
  const verified = verifier.certificate(last)
  if (!verified.ok) throw new Error(verified.code)
  await blocks.commit(verified.certificate as Certificate)
  blocks.stop()
  return node.executor.head.height
}

const elsewhere = (): Promise<Node> => open(undefined, { speculationsMax: 64 })

describe('catching up from a member that lies', () => {
  it('valid blocks of its own without certificates → none is executed, and the chain is fetched from another member', async () => {
    const truth = chain(await elsewhere(), 12, [0, 1, 2], 'true')
    const own = chain(await elsewhere(), 40, null, 'own')
    const world = await behind((from) => own.slice(from), truth)
    expect(await catchUp(world, truth)).toBe(12)
    expect(world.node.executor.usage.speculations).toBe(0)
  })

  it('certificates of too few, one twice, another block; other bodies; blocks that do not follow → a penalty, the next is asked', async () => {
    const source = await elsewhere()
    const truth = chain(source, 6, [0, 1, 2], 'true')
    const own = (members: readonly number[]) => async () => chain(await elsewhere(), 6, members, 'own')
    const [first, second] = truth as [Sent[number], Sent[number]]
    const lies: [string, () => Promise<Sent | Uint8Array>, Code | null][] = [
      ['too few', own([0, 1]), 'CERT_NO_QUORUM'],
      ['one twice', own([0, 0, 1]), 'CERT_DUPLICATE_SIGNER'],
      ['of another block', async () => [{ ...first, certificate: second.certificate }], 'CERT_STATEMENT'],
      ['another body', async () => [{ ...first, body: second.body }], 'BLOCK_TREES'],
      ['half a body', async () => [{ ...first, body: first.body.slice(0, -1) }], 'BLOCK_MALFORMED'],
      ['a gap', async () => [{ ...first, certificate: null }, truth[2] as Sent[number]], 'BLOCK_PARENT'],
      ['no header', async () => [{ ...first, header: Uint8Array.of(1) }], 'MESSAGE_MALFORMED'],
      ['no certificate', async () => [{ ...first, certificate: Uint8Array.of(1) }], 'MESSAGE_MALFORMED'],
      ['rubbish', async () => new Uint8Array(100_000).fill(0x81), 'MESSAGE_MALFORMED'],
      ['nothing', async () => [], null],
    ]
    for (const [what, lie, code] of lies) {
      const answer = await lie()
      const world = await behind(() => answer, truth)
      expect(await catchUp(world, truth), what).toBe(6)
      const codes = new Set(world.penalties.map(({ peer, code }) => `${peer === keys[1] ? 'liar' : 'honest'} ${code}`))
      expect([what, [...codes]]).toEqual([what, code === null ? [] : [`liar ${code}`]])
    }
  })

  it('a clock that is minutes behind → certified blocks are taken all the same: their time was judged by who voted', async () => {
    const truth = chain(await elsewhere(), 3, [0, 1, 2], 'true')
    const world = await behind(() => [], truth, TIME - 600_000)
    expect(await catchUp(world, truth)).toBe(3)
  })
})

describe('a member whose linked members know of no more', () => {
  it('asks members without a link and whoever is named, once each, and takes what is certified', async () => {
    const truth = chain(await elsewhere(), 3, [0, 1, 2])
    const made = await behind(() => [], truth)
    await made.blocks.lookBeyond()
    expect([made.node.executor.head.height, [...made.asked]]).toEqual([
      3,
      [
        [keys[3], 1],
        [NAMED, 1],
      ],
    ])
    made.blocks.stop()
  })

  it('what too few have signed is not taken, whoever it comes from', async () => {
    const made = await behind(() => [], chain(await elsewhere(), 2, [2, 3]))
    await made.blocks.lookBeyond()
    expect(made.node.executor.head.height).toBe(0)
    expect(made.penalties.map(({ peer }) => peer)).toEqual([keys[3], NAMED])
    made.blocks.stop()
  })
})

describe('blocks that were voted for and are nowhere but on the own disk', () => {
  it('are executed again in order, whatever the clock says, and committed by their certificate though nobody has them', async () => {
    const truth = chain(await elsewhere(), 3, [0, 1, 2])
    const world = await behind(() => [], [], TIME - 3_600_000)
    for (const { header, body } of truth.toReversed()) {
      const sealed = decodeHeader(header)
      const transactions = decodeBody(body)
      if (typeof transactions === 'string') throw new Error(transactions)
      world.kept.keep({ height: sealed.header.height, hash: sealed.hash, header, transactions })
    }
    await world.disk.batch(world.kept.takeWaiting(), { sync: true })
    expect(await catchUp(world, truth)).toBe(3)
    expect(world.kept.size).toBe(0)
    expect(await world.blocks.restore()).toBe(false)
  })

  it('one whose parent is nowhere is left alone', async () => {
    const [, second] = chain(await elsewhere(), 2, null)
    const world = await behind(() => [], [])
    const sealed = decodeHeader(second?.header as Uint8Array)
    const transactions = decodeBody(second?.body as Uint8Array) as Uint8Array[]
    world.kept.keep({ height: 2, hash: sealed.hash, header: sealed.bytes, transactions })
    await world.disk.batch(world.kept.takeWaiting(), { sync: true })
    expect(await world.blocks.restore()).toBe(false)
    expect(world.node.executor.knows(sealed.hash)).toBe(false)
  })
})
