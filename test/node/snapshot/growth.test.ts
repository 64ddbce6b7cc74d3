/** A real member that joins by a snapshot: over libp2p, with databases, and the restart in between. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createDataDirectory } from '../../../node/dataDirectory.ts'
import { MemberNode } from '../../../node/main.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../../../protocol/genesis.ts'
import { governanceApprove, governancePropose } from '../../../protocol/kinds/governance/governance.ts'
import { proposalStateKey } from '../../../protocol/kinds/governance/record.ts'
import type { Kind } from '../../../protocol/kinds/kind.ts'
import { PARAMETER_NAMES } from '../../../protocol/members.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
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

/** The members present agree on another heartbeat, which ends the first era. */
async function nextEra(genesis: Genesis, nodes: readonly MemberNode[]): Promise<void> {
  const submit = async (kind: Kind<never>, by: number, payload: unknown): Promise<Uint8Array> => {
    const draft = { kind: kind.name, payload: kind.payload.to(payload as never) }
    const rest = { nonce: randomBytes(16), validUntil: Date.now() + 600_000 }
    const { bytes, id } = signTransaction({ ...draft, ...rest }, chainIdOf(genesis), memberSecret(by))
    // The store shows a block a moment before what is submitted next is judged by it.
    await expect.poll(() => nodes[by]?.intake.submit([bytes])).toEqual(['OK'])
    return id
  }
  const values = Object.fromEntries(PARAMETER_NAMES.map((name) => [name, name === 'heartbeatMs' ? 60 : null]))
  const change = { kind: 'parameters', values }
  const terms = { era: 0, expiresAt: Date.now() + 3_600_000, reason: '' }
  const proposal = await submit(governancePropose as Kind<never>, 0, { ...terms, change })
  await until('the proposal is open for all', () =>
    nodes.every(({ executor }) => executor.reads.state(proposalStateKey(toHex(proposal))) !== undefined),
  )
  for (const by of [1, 2]) await submit(governanceApprove as Kind<never>, by, { proposal })
  await until('era 1 has begun for all', () => nodes.every(({ eras }) => eras.present.ledger.era === 1))
}

it('growth: a member that was away from the beginning joins by a snapshot of a later era, starts again, and signs with the others', async () => {
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
  await nextEra(genesis, nodes)
  await until('all three have a snapshot', () => nodes.every(({ growth }) => (growth.snapshots.at(-1) ?? 0) >= 80))

  const again = Promise.withResolvers<void>()
  const behind = await start(genesis, 3, folder, nodes, { restart: again.resolve })
  await again.promise
  const port = /\/tcp\/(\d+)/.exec(behind.network.addresses()[0] ?? '')?.[1] as string
  await behind.stop()
  const joined = await start(genesis, 3, folder, nodes, { port })
  const { firstHeight, snapshots } = joined.growth
  const { height } = joined.executor.head
  expect(joined.executor.era).toMatchObject({ era: 1, memberSet: { parameters: { heartbeatMs: 60 } } })
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
  // It was shown the end of the first era, and may have had its few blocks before it saw how far behind it was.
  expect(left.filter((name) => !/^ledger\.before-[1-9]-/.test(name))).toEqual(['ledger'])
}, 120_000)
