import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readBody } from '../../../node/executor/bodyContents.ts'
import { certificateProblems } from '../../../node/executor/eraLinks.ts'
import { stateRootOf } from '../../../node/executor/opening.ts'
import type { SnapshotLibrary } from '../../../node/snapshot/library.ts'
import { type Manifest, manifestCodec } from '../../../node/snapshot/manifest.ts'
import { openLedger } from '../../../node/store/ledgerStore.ts'
import type { KeyValueStore } from '../../../node/store/store.ts'
import { decodeHeader, type SealedHeader, sealHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../../protocol/codec.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { deviceStateKey } from '../../../protocol/kinds/device/record.ts'
import { type EraLink, eraLinkCodec } from '../../../protocol/light.ts'
import { memberSetCodec } from '../../../protocol/members.ts'
import { verifyProof } from '../../../protocol/proof.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { key } from '../../protocol/kinds/consortium.ts'
import { adding, build, CHAIN_ID, certify, GENESIS, grow, type Node, open, put } from '../executor/world.ts'
import { Between, consortium, type EraEnd, joinerOf, LATER, openStore, recent, serveAs } from './world.ts'

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

/** What the ledger that is joined is built in; `close` leaves it as a process leaves a directory. */
class Disk {
  store = new MemoryStore()
  readonly openStaging = async (anew: boolean): Promise<KeyValueStore> => {
    if (anew) this.store = new MemoryStore()
    this.store.close = async () => undefined
    return this.store
  }
}

const consortiumOf = (peers: readonly string[], ends: readonly EraEnd[] = []) =>
  consortium(peers, between, directory, libraries, ends)

const FIVE: EraEnd = { height: 5, change: adding(5), keys: [1, 2, 3, 4, 5] }
const NOT_FOUR = (height: number): EraEnd => ({
  ...{ height, keys: [1, 2, 3, 5] },
  change: { kind: 'remove', publicKey: key(4) },
})

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
    const { source, used, blocks } = await consortiumOf(['a', 'b'])
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
    const { source } = await consortiumOf(['liar', 'b', 'c'])
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
    const { source } = await consortiumOf(['liar', 'b'])
    between.tamper = (peer, name, answer) =>
      peer === 'liar' && name === 'snapshot' ? encodeAs(manifestCodec, lie(decodeAs(manifestCodec, answer))) : answer
    for (let round = 0; round < 5; round++) {
      const disk = new Disk()
      expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
      await isWhole(disk, source)
    }
    expect(between.penalties.every(({ peer }) => peer === 'liar')).toBe(true)
  })

  it.each([
    ['long before the snapshot', [FIVE]],
    ['before it, and in the blocks that are taken whole', [FIVE, NOT_FOUR(22)]],
    ['before it, and with the very block of the snapshot', [FIVE, NOT_FOUR(25)]],
  ] as const)(
    'joiner: eras that ended %s are followed from the genesis; it goes on in the present one and serves others',
    async (_when, ends) => {
      const { source, blocks } = await consortiumOf(['a', 'b'], ends)
      const disk = new Disk()
      expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
      expect(between.penalties).toEqual([])
      const joined = await isWhole(disk, source)
      expect(certificateProblems(joined.ledger, GENESIS)).toEqual([])
      const { reads } = joined.executor
      const ended = ends.map(({ height }) => height).filter((height) => height <= 25)
      expect([...ended, undefined]).toEqual([0, 1, 2].slice(0, ended.length + 1).map((era) => reads.eraEnd(era)))
      expect(joined.executor.era).toMatchObject({ era: ended.length, height: ended.at(-1) })
      const linksOf = ({ executor }: Node): string[] =>
        (executor.reads.eraLinks(0, ended.length) ?? []).map((link) => toHex(encodeAs(eraLinkCodec, link)))
      expect(linksOf(joined)).toEqual(linksOf(source))
      const { memberSetHash } = (source.ledger.header(5) as SealedHeader).header
      expect(reads.memberSet(memberSetHash)).toEqual(GENESIS.memberSet)
      const last = ends.at(-1) as EraEnd
      for (const { sealed, transactions } of blocks.slice(25)) {
        expect(joined.executor.validate(sealed, transactions, LATER)).toBeNull()
        await joined.executor.commit(sealed.hash, certify(sealed, undefined, last.keys))
      }
      expect(joined.executor.head.hash).toEqual(source.executor.head.hash)
      const proof = await reads.proveState(deviceStateKey('00'.repeat(20)))
      expect(proof && verifyProof(proof, GENESIS)).toMatchObject({ ok: true })
      // What it has it passes on, the eras too.
      libraries.push(await serveAs('joined', joined, between, join(directory, 'joined'), 31))
      await grow(joined, [recent('more')], LATER, last.keys)
      await libraries.at(-1)?.settled()
      for (const peer of ['a', 'b']) between.handlers.delete(peer)
      const second = new Disk()
      expect(await joinerOf(between, second.openStaging).joiner.join()).toBe(true)
      await isWhole(second, joined, 31)
    },
  )

  const lyingEras: [string, (manifest: Manifest) => Manifest][] = [
    ['no eras', (it) => ({ ...it, eras: [] })],
    ['an era too few', (it) => ({ ...it, eras: it.eras.slice(0, 1) })],
    ['an era twice', (it) => ({ ...it, eras: [...it.eras, it.eras[1] as EraLink] })],
    ['eras in another order', (it) => ({ ...it, eras: [...it.eras].reverse() })],
    [
      'members of its own',
      (it) => {
        const memberSet = encodeAs(memberSetCodec, {
          ...GENESIS.memberSet,
          members: GENESIS.memberSet.members.slice(1),
        })
        return { ...it, eras: it.eras.map((link) => ({ ...link, memberSet })) }
      },
    ],
    [
      'members of its own, and an end of the era that names them and only it has signed',
      (it) => {
        const [first, ...rest] = it.eras as [EraLink, EraLink]
        const memberSet = encodeAs(memberSetCodec, {
          ...GENESIS.memberSet,
          members: GENESIS.memberSet.members.slice(1),
        })
        const sealed = sealHeader({ ...decodeHeader(first.header).header, nextMemberSetHash: sha3(memberSet) })
        return { ...it, eras: [{ header: sealed.bytes, certificate: certify(sealed, [0, 1]), memberSet }, ...rest] }
      },
    ],
    [
      'a certificate of the era before',
      (it) => ({ ...it, certificate: certify(decodeHeader(it.header), [0, 1, 2], [1, 2, 4]) }),
    ],
  ]
  it.each(lyingEras)('joiner: a member whose manifest shows %s is left, another’s is taken', async (_what, lie) => {
    const { source } = await consortiumOf(['liar', 'b'], [FIVE, NOT_FOUR(22)])
    between.tamper = (peer, name, answer) =>
      peer === 'liar' && name === 'snapshot' ? encodeAs(manifestCodec, lie(decodeAs(manifestCodec, answer))) : answer
    for (let round = 0; round < 2; round++) {
      const disk = new Disk()
      expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
      await isWhole(disk, source)
    }
    expect(between.penalties.every(({ peer, code }) => peer === 'liar' && code === 'SNAPSHOT_INVALID')).toBe(true)
    expect(between.penalties.length).toBeGreaterThan(0)
  })

  it.each(['headers', 'blocks'])('joiner: a member that sends other %s is left', async (lied) => {
    const { source } = await consortiumOf(['liar', 'b'])
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
    const { source } = await consortiumOf(['a'])
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

  it('joiner: kill -9 of the process leaves what the next one goes on with', async () => {
    const place = join(directory, 'joining')
    const script = fileURLToPath(new URL('./joinerProcess.ts', import.meta.url))
    const run = (killAt: number): Promise<string[]> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [script, place], { stdio: ['ignore', 'pipe', 'inherit'] })
        const lines: string[] = []
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          lines.push(...text.trim().split('\n'))
          if (lines.filter((line) => line === 'chunk').length >= killAt) child.kill('SIGKILL')
        })
        child.on('close', () => resolve(lines))
      })
    const first = await run(3)
    expect(first).not.toContain('joined')
    const taken = first.filter((line) => line === 'chunk').length
    const second = await run(Number.POSITIVE_INFINITY)
    expect(second.at(-1)).toBe('joined')
    // Two are asked for at a time: what was under way may have been lost, nothing else.
    expect(second.filter((line) => line === 'chunk').length).toBeLessThanOrEqual(8 - taken + 2)
    const store = await openStore(place, 'open')
    const ledger = openLedger(store, { chainId: CHAIN_ID })
    const transactionIdsOf = (body: Uint8Array): readonly Uint8Array[] => readBody(body).transactionIds
    expect(await ledger.check({ transactionIdsOf, stateRootOf })).toEqual([])
    await store.close()
  }, 60_000)

  it('joiner: a member that joined gives the same snapshot’s blocks on, and serves the next', async () => {
    const { source } = await consortiumOf(['a'])
    const disk = new Disk()
    expect(await joinerOf(between, disk.openStaging).joiner.join()).toBe(true)
    const joined = await isWhole(disk, source)
    libraries.push(await serveAs('joined', joined, between, join(directory, 'joined'), 28))
    for (let height = 26; height <= 28; height++) await grow(joined, [recent(`more/${height}`)], LATER)
    await libraries.at(-1)?.settled()
    between.handlers.delete('a')
    const second = new Disk()
    expect(await joinerOf(between, second.openStaging).joiner.join()).toBe(true)
    await isWhole(second, joined, 28)
  })

  it('joiner: nothing is joined where there is no snapshot, little gain, or half of the chain', async () => {
    const { source } = await consortiumOf(['a'])
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
    const first = await serveAs('x', node, between, place, 2)
    for (let height = 1; height <= 7; height++) {
      await grow(node, [put(`key/${height}`)])
      await first.settled()
    }
    expect(first.heights).toEqual([4, 6])
    await first.stop()
    await (await openStore(join(place, 'new'), 'create')).close()
    const second = await serveAs('x', node, between, place, 2)
    libraries.push(second)
    expect(second.heights).toEqual([4, 6])
    expect(second.keepFrom).toBe(1)
  })
})
