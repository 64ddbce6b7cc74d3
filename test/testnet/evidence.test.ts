/** A member that lies to real daemons over real libp2p: what it signed reaches the chain, and everyone can see it (agreement.md §7). */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseGenesis } from '../../config/genesisFile.ts'
import { readKeyFile } from '../../node/crypto/keys.ts'
import { toHex } from '../../protocol/bytes.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { homeIn, multiaddrOf } from '../../testnet/homes.ts'
import { althing } from '../cli/process.ts'
import { Liar } from './liar.ts'
import { WatchedNetwork } from './network.ts'

const HONEST = ['north', 'south', 'east']
let network: WatchedNetwork
let liar: Liar | undefined
beforeAll(async () => {
  network = await WatchedNetwork.start(4, 10)
}, 60_000)
afterAll(async () => {
  await liar?.stop()
  await network?.stop()
}, 30_000)

type Offences = { items: { name: string; member: string; kind: string; era: number; view: number; by: string }[] }
const offences = async (name: string): Promise<Offences['items']> =>
  ((await network.member(name).client.get(['evidence'])) as Offences | undefined)?.items ?? []
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they come
const statusOf = async (name: string): Promise<any> => network.member(name).client.get(['status'])

it('two blocks signed for one place → on the chain, in API, command line and status, after a restart too; the chain goes on', async () => {
  await network.grows(2)
  await network.member('west').process.stop()
  const home = homeIn(network.folder, 'west')
  const genesis = parseGenesis(await readFile(home.genesisFile, 'utf8'))
  if (!genesis.ok) throw new Error('no genesis')
  const keys = genesis.value.memberSet.members.map(({ publicKey }) => toHex(publicKey))
  const names = genesis.value.memberSet.members.map(({ name }) => name)
  const key = await readKeyFile(home.nodeKeyFile)
  liar = await Liar.start({
    chainId: chainIdOf(genesis.value),
    secretKey: key.secretKey(),
    keys,
    others: HONEST.map((name) => ({
      publicKey: keys[names.indexOf(name)] as string,
      addresses: [multiaddrOf(network.member(name).place)],
    })),
  })
  const lying = liar
  await network.expect(
    'the liar is linked to all and hears them',
    async () => lying.linked === 3 && lying.heard.view >= 0,
    40_000,
  )
  const view = lying.equivocate()
  await network.expect(
    'it is recorded, and all three show it',
    async () => (await Promise.all(HONEST.map(offences))).every((items) => items.length === 1),
    60_000,
  )
  const [offence] = await offences('north')
  expect(offence).toMatchObject({ name: 'west', member: key.publicKeyHex, era: 0, view })
  // As a leader it signed two blocks for one place, as a member it voted for both: one offence is recorded for each view.
  expect(['equivocation', 'conflict']).toContain(offence?.kind)
  expect(keys).toContain((await offences('south'))[0]?.by)
  const listed = await althing(homeIn(network.folder, 'north').folder, ['--json', 'member', 'evidence'])
  expect({ code: listed.code, items: JSON.parse(listed.stdout).items }).toMatchObject({
    code: 0,
    items: [{ name: 'west' }],
  })
  const said = expect.stringContaining('The chain has recorded evidence against west (1 offence)')
  expect((await statusOf('east')).warnings).toContainEqual(said)
  const shown = await althing(homeIn(network.folder, 'east').folder, ['status'])
  expect(shown.stdout).toContain('1 on the chain')

  const { process } = network.member('south')
  await process.stop()
  await process.start()
  await network.expect('south is up again', async () => (await statusOf('south'))?.phase === 'running', 40_000)
  expect(await statusOf('south')).toMatchObject({ evidence: 0, offences: { recorded: 1, members: ['west'] } })
  expect((await statusOf('south')).warnings).toContainEqual(said)
  await network.grows(2)
}, 240_000)
