import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readBody } from '../../../node/executor/bodyContents.ts'
import { stateRootOf } from '../../../node/executor/opening.ts'
import type { SnapshotLibrary } from '../../../node/snapshot/library.ts'
import { type Manifest, manifestCodec } from '../../../node/snapshot/manifest.ts'
import { openLevel } from '../../../node/store/level.ts'
import type { KeyValueStore } from '../../../node/store/store.ts'
import { decodeAs, encodeAs } from '../../../protocol/codec.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { build, certify, grow, type Node, open, put, signed, TIME } from '../executor/world.ts'
import { Between, joinerOf, serveAs } from './world.ts'

let directory: string
let between: Between
const libraries: SnapshotLibrary[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'althing-snapshot-'))
  between = new Between()
})
afterEach(async () => {
  for (const library of libraries.splice(0)) await library.stop()
  await rm(directory, { recursive: true, force: true })
})

const LATER = TIME + 3 * 3_600_000
const openStore = (location: string, mode: 'create' | 'open'): Promise<KeyValueStore> => openLevel(location, { mode })

/** What the ledger that is joined is built in; `close` leaves it as a process leaves a directory. */
class Disk {
  store = new MemoryStore()
  readonly openStaging = async (anew: boolean): Promise<KeyValueStore> => {
    if (anew) this.store = new MemoryStore()
    this.store.close = async () => undefined
    return this.store
  }
}

/** A transaction of the last hour, which must not be taken twice. */
const recent = (name: string): SignedTransaction =>
  signed('kv.put', 11, { key: name, value: Uint8Array.of(1) }, { validUntil: LATER + 600_000 })
const large = (name: string): SignedTransaction =>
  signed('kv.put', 11, { key: name, value: new Uint8Array(8000).fill(7) })

/**
 * Members `peers` with one chain of 30 blocks: 480 kB of state in the first 20, the others of the last hour, a snapshot at 25 while the
 * rest goes on changing the state.
 */
async function consortium(
  peers: readonly string[],
): Promise<{ source: Node; used: SignedTransaction; blocks: ReturnType<typeof build>[] }> {
  const nodes: Node[] = []
  for (const peer of peers) {
    const node = await open()
    nodes.push(node)
    libraries.push(await serveAs(peer, node, between, join(directory, peer), 25, openStore))
  }
  const source = nodes[0] as Node
  const used = recent('line/24')
  const blocks: ReturnType<typeof build>[] = []
  for (let height = 1; height <= 30; height++) {
    const old = [large(`old/${height}/a`), large(`old/${height}/b`), large(`old/${height}/c`)]
    const transactions = height <= 20 ? old : [height === 24 ? used : recent(`line/${height}`)]
    const time = height <= 20 ? TIME : LATER
    const built = build(source, transactions, { time })
    expect(built.refused).toEqual([])
    blocks.push(built)
    for (const { executor } of nodes.slice(1))
      expect(executor.validate(built.sealed, built.transactions, time)).toBeNull()
    for (const { executor } of nodes) await executor.commit(built.sealed.hash, certify(built.sealed))
  }
  for (const library of libraries) await library.settled()
  return { source, used, blocks }
}

async function isWhole(disk: Disk, source: Node, height = 25): Promise<Node> {
  const joined = await open(disk.store)
  expect(joined.executor.head.height).toBe(height)
  expect(await stateRootOf(joined.ledger.leaves())).toEqual(source.ledger.header(height)?.header.stateRoot)
  const transactionIdsOf = (body: Uint8Array): readonly Uint8Array[] => readBody(body).transactionIds
  expect(await joined.ledger.check({ transactionIdsOf, stateRootOf })).toEqual([])
  return joined
}

const chunksAsked = (): number => between.asked.filter(({ name }) => name === 'snapshot-chunk').length

describe('joining by a snapshot', () => {
  it('joiner: the ledger it builds is whole, has the state root of the header, and goes on with the next blocks', async () => {
    const { source, used, blocks } = await consortium(['a', 'b'])
    const disk = new Disk()
    const { joiner, settled } = joinerOf(between, disk.openStaging)
    expect(await joiner.join()).toBe(true)
    expect(settled()).toBe(1)
    expect(between.penalties).toEqual([])
    expect(chunksAsked()).toBe(8)
    const joined = await isWhole(disk, source)
    expect(joined.ledger.firstHeight).toBe(20)
    // A nonce that was used before the snapshot is used, and a block that the others made is valid here.
    expect(build(joined, [used], { time: LATER }).refused).toMatchObject([{ code: 'TX_REPLAYED' }])
    for (const { sealed, transactions } of blocks.slice(25)) {
      expect(joined.executor.validate(sealed, transactions, LATER)).toBeNull()
      await joined.executor.commit(sealed.hash, certify(sealed))
    }
    expect(joined.executor.head.hash).toEqual(source.executor.head.hash)
    const proof = await joined.executor.reads.proveTransaction(used.transaction.id)
    expect(proof?.subject.kind).toBe('transaction')
  })

  it('joiner: a member that sends wrong chunks is penalised and left, and what the others sent stays', async () => {
    const { source } = await consortium(['liar', 'b', 'c'])
    between.tamper = (peer, name, answer) => {
      if (peer === 'liar' && name === 'snapshot-chunk') answer[answer.length - 1] = (answer.at(-1) as number) ^ 1
      return answer
    }
    const disk = new Disk()
    expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
    expect(new Set(between.penalties.map(({ peer, code }) => `${peer} ${code}`))).toEqual(
      new Set(['liar SNAPSHOT_INVALID']),
    )
    // Each right chunk once, and each wrong one once more: nothing began anew.
    expect(chunksAsked()).toBe(8 + between.penalties.length)
    await isWhole(disk, source)
  })

  const lies: [string, (manifest: Manifest) => Manifest][] = [
    ['another history below', (it) => ({ ...it, peaks: it.peaks.map(() => new Uint8Array(32)) })],
    ['a state of its own', (it) => ({ ...it, subtrees: it.subtrees.map((byte, i) => (i === 5 ? byte ^ 1 : byte)) })],
    ['too short a past', (it) => ({ ...it, firstHeight: 24, peaks: it.peaks.slice(0, 2) })],
    ['no certificate', (it) => ({ ...it, certificate: Uint8Array.of(0) })],
  ]
  it.each(lies)('joiner: a member whose manifest claims %s is left, another’s is taken', async (_what, lie) => {
    const { source } = await consortium(['liar', 'b'])
    between.tamper = (peer, name, answer) =>
      peer === 'liar' && name === 'snapshot' ? encodeAs(manifestCodec, lie(decodeAs(manifestCodec, answer))) : answer
    for (let round = 0; round < 5; round++) {
      const disk = new Disk()
      expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
      await isWhole(disk, source)
    }
    expect(between.penalties.every(({ peer }) => peer === 'liar')).toBe(true)
  })

  it.each(['headers', 'blocks'])('joiner: a member that sends other %s is left', async (lied) => {
    const { source } = await consortium(['liar', 'b'])
    between.tamper = (peer, name, answer) => {
      if (peer === 'liar' && name === lied) answer[answer.length >> 1] = (answer[answer.length >> 1] as number) ^ 1
      return answer
    }
    const disk = new Disk()
    expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
    expect(between.penalties.every(({ peer }) => peer === 'liar')).toBe(true)
    await isWhole(disk, source)
  })

  it('joiner: killed in the middle it goes on where it was, and asks for no chunk twice', async () => {
    const { source } = await consortium(['a'])
    const disk = new Disk()
    const { joiner } = joinerOf(between, disk.openStaging)
    let chunks = 0
    between.tamper = (_peer, name, answer) => {
      if (name === 'snapshot-chunk' && ++chunks > 3) joiner.stop()
      return name === 'snapshot-chunk' && chunks > 3 ? undefined : answer
    }
    expect(await joiner.join()).toBe(false)
    between.tamper = (_peer, _name, answer) => answer
    between.asked.length = 0
    expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
    expect(chunksAsked()).toBe(8 - 3)
    await isWhole(disk, source)
  })

  it('joiner: a member that joined gives the same snapshot’s blocks on, and serves the next', async () => {
    const { source } = await consortium(['a'])
    const disk = new Disk()
    expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
    const joined = await isWhole(disk, source)
    libraries.push(await serveAs('joined', joined, between, join(directory, 'joined'), 28, openStore))
    for (let height = 26; height <= 28; height++) await grow(joined, [recent(`more/${height}`)], LATER)
    await libraries.at(-1)?.settled()
    between.handlers.delete('a')
    const second = new Disk()
    expect(await joinerOf(between, second.openStaging).joiner.join()).toBe(true)
    await isWhole(second, joined, 28)
  })

  it('joiner: nothing is joined where there is no snapshot, little gain, or half of the chain', async () => {
    const { source } = await consortium(['a'])
    const join = (options: { head?: number; gainMin?: number }): Promise<boolean> =>
      joinerOf(between, new Disk().openStaging, options).joiner.join()
    expect(await join({ gainMin: 26 })).toBe(false)
    expect(await join({ head: 13 })).toBe(false)
    expect(await join({ head: 12 })).toBe(true)
    // Who is behind what all have dropped has no other way.
    for (let to = 0; to < 20; ) to = (await source.ledger.pruneStep(20, Infinity, readBody)).to
    expect(await join({ head: 19 })).toBe(false)
    expect(await join({ head: 18 })).toBe(true)
    between.handlers.clear()
    expect(await join({})).toBe(false)
  })
})

describe('snapshots that are served', () => {
  it('library: the two newest are kept, over a restart too; a draft is removed', async () => {
    const node = await open()
    const place = join(directory, 'x')
    const first = await serveAs('x', node, between, place, 2, openStore)
    for (let height = 1; height <= 7; height++) {
      await grow(node, [put(`key/${height}`)])
      await first.settled()
    }
    expect(first.heights).toEqual([4, 6])
    await first.stop()
    await (await openStore(join(place, '8.new'), 'create')).close()
    const second = await serveAs('x', node, between, place, 2, openStore)
    libraries.push(second)
    expect(second.heights).toEqual([4, 6])
    expect(second.keepFrom).toBe(1)
  })
})
