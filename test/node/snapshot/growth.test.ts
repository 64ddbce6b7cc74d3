/** A real member that joins by a snapshot: over libp2p, with databases, and the restart in between. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createDataDirectory } from '../../../node/dataDirectory.ts'
import { MemberNode } from '../../../node/main.ts'
import { toHex } from '../../../protocol/bytes.ts'
import type { Genesis } from '../../../protocol/genesis.ts'
import { genesisWith, memberSecret } from '../genesis.ts'
import { cleanUp, quiet, untilWithin } from '../running.ts'

const until = untilWithin(60_000)

async function start(
  genesis: Genesis,
  i: number,
  folder: string,
  others: readonly MemberNode[],
  { restart = () => undefined, port = '0' }: { restart?: () => void; port?: string } = {},
): Promise<MemberNode> {
  const node = await MemberNode.start({
    genesis,
    dataDirectory: join(folder, `${i}`),
    secretKey: memberSecret(i),
    listen: [`/ip4/127.0.0.1/tcp/${port}`],
    announce: [],
    peers: others.flatMap(({ network }) =>
      network.addresses().map((address) => ({ member: network.publicKey, address })),
    ),
    pool: { bytesMax: 16_000_000, countMax: 20_000 },
    diskFreeBytesMin: 0,
    ledger: { keep: { blocks: 0, hours: 0 }, snapshotBlocks: 20, join: 'snapshot', joinGainMin: 20 },
    recover: false,
    log: quiet,
    fatal: (error) => {
      throw error
    },
    restart,
  })
  cleanUp.push(() => node.stop())
  return node
}

it('growth: a member that was away from the beginning joins by a snapshot, starts again, and signs with the others', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'althing-growth-'))
  cleanUp.push(() => rm(folder, { recursive: true, force: true }))
  const genesis = genesisWith(4, { createdAt: Date.now(), deltaMs: 250, heartbeatMs: 50 })
  const nodes: MemberNode[] = []
  for (let i = 0; i < 4; i++) await createDataDirectory(join(folder, `${i}`), genesis)
  for (let i = 0; i < 3; i++) nodes.push(await start(genesis, i, folder, nodes))
  for (const node of nodes)
    node.network.setMembers(
      nodes
        .filter((other) => other !== node)
        .map(({ network }) => ({ publicKey: network.publicKey, addresses: network.addresses() })),
    )
  await until('all three have a snapshot', () => nodes.every(({ growth }) => (growth.snapshots.at(-1) ?? 0) >= 80))

  const again = Promise.withResolvers<void>()
  const behind = await start(genesis, 3, folder, nodes, { restart: again.resolve })
  await again.promise
  const port = /\/tcp\/(\d+)/.exec(behind.network.addresses()[0] ?? '')?.[1] as string
  await behind.stop()
  const joined = await start(genesis, 3, folder, nodes, { port })
  const { firstHeight, snapshots } = joined.growth
  const { height } = joined.executor.head
  expect(height).toBeGreaterThanOrEqual(80)
  expect(firstHeight).toBe(1)
  expect(snapshots).toEqual([])
  await until('it goes on with the others', () => joined.executor.head.height > height + 5)
  await until('its signature is among those of a block', () =>
    nodes.some(({ roster }) => (roster.entries[3]?.lastSignedHeight ?? 0) > height),
  )
  const hashes = [joined, ...nodes].map(({ executor }) => executor.reads.headerAt(height + 3)?.hash)
  expect(new Set(hashes.map((hash) => hash && toHex(hash))).size).toBe(1)
  const left = (await readdir(join(folder, '3'))).filter((name) => name.startsWith('ledger'))
  expect(left).toEqual(['ledger'])
}, 120_000)
