import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Machines } from '../../testnet/machines.ts'
import { Netns } from '../../testnet/netns.ts'
import { isRoot, missingTools, NAMESPACES, ownName } from '../../testnet/tools.ts'

const members = ['north', 'south'].map((name, i) => ({
  name,
  p2pPort: 4000 + i,
  apiPort: 4100 + i,
  metricsPort: 4200 + i,
}))
const rtus = ['rtu-1', 'rtu-2'].map((name) => ({ name, device: name, publicKey: '', owner: 'south' }))
const places = { folder: '/nowhere', members, rtus }
const isPossible = isRoot() && (await missingTools(['ip', 'tc', 'nft', 'nsenter', 'unshare'])).length === 0

describe.skipIf(!isPossible)('machines (skipped where there is no root, iproute2, nftables, util-linux)', () => {
  it('machines: what an intruder runs on one is seen there, listens there, and nowhere else; nothing is left', async () => {
    const network = await Netns.prepare(
      members,
      rtus.map(({ name }) => name),
    )
    const machines = new Machines(network, places, 7)
    const [one, two] = rtus.map((place) => () => machines.mannerOf(place))
    const look = async (manner: typeof one): Promise<string> => {
      const [program = '', ...words] = manner?.().before ?? []
      const script = 'ls -l /proc/[0-9]*/exe 2>/dev/null; ls /dev/shm; cat /proc/net/tcp'
      return (await promisify(execFile)(program, [...words, 'sh', '-c', script]).catch((error) => error)).stdout
    }
    try {
      await network.open()
      await machines.open()
      const before = await look(one)
      expect(before).toContain('/cat')
      expect(before).not.toContain('.update')
      await machines.compromise('rtu-1')
      // 4444, listening.
      expect(await look(one)).toMatch(/-> \/dev\/shm\/\.update[\s\S]* 00000000:115C 00000000:0000 0A /)
      const other = await look(two)
      expect(other).toContain('/cat')
      expect(other).not.toContain('.update')
      expect(other).not.toContain(':115C')
    } finally {
      await machines.close()
      await network.close()
    }
    expect((await readdir(NAMESPACES)).filter((name) => name.startsWith(ownName('')))).toEqual([])
  }, 60_000)

  it('machines: an RTU is told its owner and the next member, where it listens, and how much it learns', async () => {
    const network = await Netns.prepare(
      members,
      rtus.map(({ name }) => name),
    )
    const machines = new Machines(network, places, 7)
    try {
      await network.open()
      await machines.open()
      const { before, after } = machines.mannerOf(rtus[1] as (typeof rtus)[number])
      expect(before.slice(0, 2)).toEqual(['nsenter', '--target'])
      expect(after.filter((word) => word !== '--set')).toEqual([
        'rtu.members=south=/ip4/10.213.0.2/tcp/4001,north=/ip4/10.213.0.1/tcp/4000',
        'rtu.listen=/ip4/10.213.0.102/tcp/7379',
        'rtu.learning_cycles=7',
      ])
    } finally {
      await machines.close()
      await network.close()
    }
  }, 60_000)
})
