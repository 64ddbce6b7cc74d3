/** A daemon that joins a chain by a snapshot, beginning with nothing but its home; node/snapshot itself is tested where it stands. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHomes, homeIn, logFileIn, type TestnetPlaces } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'
import { Testnet, until } from '../../testnet/testnet.ts'

let folder: string
let places: TestnetPlaces
let testnet: Testnet
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-joining-'))
  places = await createHomes(folder, { ...DEFAULT_PLAN, rtus: 0, heartbeatMs: 50 })
  for (const { name } of places.members) {
    const { configFile } = homeIn(folder, name)
    const text = await readFile(configFile, 'utf8')
    await writeFile(configFile, text.replace(/^snapshot_blocks = .*$/m, 'snapshot_blocks = 50'))
  }
  testnet = await Testnet.prepare(places, 0, () => undefined)
}, 60_000)
afterAll(async () => {
  await testnet?.stop()
  await rm(folder, { recursive: true, force: true })
}, 30_000)

type Ledger = { readonly snapshots: readonly number[]; readonly joining: unknown }
type Status = { readonly height: number; readonly headHash: string; readonly ledger: Ledger; readonly phase: string }

it('joining: a daemon with an empty ledger takes a snapshot, starts again in its own process, and votes', async () => {
  const [late, ...others] = [...testnet.members].reverse()
  if (late === undefined) throw new Error('no members')
  const statusOf = async (member: typeof late): Promise<Status | undefined> =>
    (await member.client.get(['status'])) as Status | undefined
  await Promise.all(others.map(({ process }) => process.start()))
  const grown = await until(async () => {
    const all = await Promise.all(others.map(statusOf))
    return all.every((status) => Math.max(0, ...(status?.ledger.snapshots ?? [])) >= 300)
  }, 90_000)
  expect(grown).toBe(true)

  await late.process.start()
  const { pid } = late.process
  expect(await until(async () => ((await statusOf(late))?.height ?? 0) >= 300, 60_000)).toBe(true)
  const log = await readFile(logFileIn(folder, late.place.name), 'utf8')
  expect(log).toContain('the snapshot is whole')
  expect(log).toContain('starting again with the ledger that came by the snapshot')
  // The first 300 blocks were neither executed nor fetched one by one.
  expect(/"from":\d{1,2},.*catching up/.test(log.slice(log.indexOf('starting again')))).toBe(false)
  expect(late.process.pid).toBe(pid)
  const votes = await until(async () => {
    const { height } = (await statusOf(late)) ?? { height: 0 }
    return (await others[0]?.client.signed(height))?.includes(late.place.name) === true
  }, 60_000)
  expect(votes).toBe(true)
  const height = (await statusOf(late))?.height ?? 0
  const hashes = await Promise.all([late, ...others].map(({ client }) => client.header(height - 1)))
  expect(new Set(hashes.map((header) => header?.hash)).size).toBe(1)
}, 240_000)
