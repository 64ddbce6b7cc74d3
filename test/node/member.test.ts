/** node/main.ts: members over real libp2p and real disks, in one process. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createDataDirectory } from '../../node/dataDirectory.ts'
import { MemberNode } from '../../node/main.ts'
import { toHex } from '../../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { apiSecret, genesisWith, memberSecret } from './genesis.ts'
import { cleanUp, quiet, untilWithin } from './running.ts'

const genesisOf = (n: number): Genesis => genesisWith(n, { createdAt: Date.now(), deltaMs: 250, heartbeatMs: 500 })

const until = untilWithin(15_000)

async function startMember(genesis: Genesis, i: number, folder: string, seeds: MemberNode[]): Promise<MemberNode> {
  const node = await MemberNode.start({
    genesis,
    dataDirectory: join(folder, `${i}`),
    secretKey: memberSecret(i),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    peers: seeds.flatMap(({ network }) =>
      network.addresses().map((address) => ({ member: network.publicKey, address })),
    ),
    pool: { bytesMax: 16_000_000, countMax: 20_000 },
    diskFreeBytesMin: 0,
    ledger: { keep: { blocks: 0, hours: 0 }, snapshotBlocks: 0, join: 'snapshot' },
    restart() {},
    recover: false,
    log: quiet,
    fatal: (error) => {
      throw error
    },
  })
  cleanUp.push(() => node.stop())
  return node
}

describe('four members in one process', () => {
  it('agree on blocks; a transaction given to one is committed by all, with one state root', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'althing-'))
    cleanUp.push(() => rm(folder, { recursive: true, force: true }))
    const genesis = genesisOf(4)
    const nodes: MemberNode[] = []
    for (let i = 0; i < 4; i++) {
      await createDataDirectory(join(folder, `${i}`), genesis)
      nodes.push(await startMember(genesis, i, folder, nodes))
    }
    for (const node of nodes)
      node.network.setMembers(
        nodes
          .filter((other) => other !== node)
          .map((other) => ({ publicKey: other.network.publicKey, addresses: other.network.addresses() })),
      )
    await until('two blocks are committed by all', () => nodes.every((node) => node.executor.head.height >= 2))
    const transaction = signTransaction(
      {
        kind: 'kv.put',
        payload: ['greeting', Uint8Array.of(1, 2, 3)],
        nonce: new Uint8Array(16).fill(5),
        validUntil: Date.now() + 60_000,
      },
      chainIdOf(genesis),
      apiSecret,
    )
    expect(await (nodes[2] as MemberNode).intake.submit([transaction.bytes])).toEqual(['OK'])
    await until('it is committed by all', () =>
      nodes.every((node) => node.executor.reads.transaction(transaction.id) !== undefined),
    )
    const height = Math.min(...nodes.map((node) => node.executor.head.height))
    const hashes = new Set(nodes.map((node) => toHex(node.executor.reads.headerAt(height)?.hash ?? new Uint8Array())))
    expect(hashes.size).toBe(1)
  }, 60_000)
})

it('a member whose data directory is gone → SIGNING_RECORD_MISSING, and nothing is made in its place', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'althing-'))
  cleanUp.push(() => rm(folder, { recursive: true, force: true }))
  const refused = { code: 'SIGNING_RECORD_MISSING', exitCode: 78 }
  await expect(startMember(genesisOf(4), 0, folder, [])).rejects.toMatchObject(refused)
  expect(await readdir(folder)).toEqual([])
})
