import { afterEach, describe, expect, it } from 'vitest'
import type { PeerRole } from '../../node/network/network.ts'
import { keyOf, type Party, party, stopAll, until } from './helper.ts'

afterEach(stopAll)

/** Devices 1 … n of the segment `plant`, each knowing the others; `strangers` are known to nobody. */
async function devices(n: number, limits = {}): Promise<Party[]> {
  const roles = new Map<string, PeerRole>(Array.from({ length: n }, (_, i) => [keyOf(i + 1), 'device']))
  const all: Party[] = []
  for (let i = 1; i <= n; i++) all.push(await party(i, { roles, role: 'device', segment: 'plant', limits }))
  acquaint(all)
  return all
}

function acquaint(all: readonly Party[]): void {
  for (const one of all)
    one.network.setNeighbours(
      all.filter((other) => other !== one).map(({ key, address }) => ({ publicKey: key, addresses: [address] })),
    )
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const heard = (one: Party): string[] => one.gossip.map((piece) => piece.text)

describe('gossip of a segment', () => {
  it('devices connect to each other without any member, and what one publishes reaches all others', async () => {
    const [one, two, three] = (await devices(3)) as [Party, Party, Party]
    await until(() => {
      void one.network.publish('segment', text(`report ${Math.random()}`))
      return two.gossip.length > 0 && three.gossip.length > 0
    }, 'both hear')
    expect(two.gossip[0]?.topic).toBe('segment')
  })

  it('what one hears from a neighbour goes on to those that the neighbour does not reach', async () => {
    const all = (await devices(3)) as [Party, Party, Party]
    const [one, two, three] = all
    // A chain: one ─ two ─ three.
    one.network.setNeighbours([{ publicKey: two.key, addresses: [two.address] }])
    three.network.setNeighbours([{ publicKey: two.key, addresses: [two.address] }])
    await until(() => {
      void one.network.publish('segment', text(`report ${Math.random()}`))
      return three.gossip.length > 0
    }, 'the far one hears')
  })

  it('a device that is not known is let in by nobody, and no device of another segment is heard', async () => {
    const [one, two] = (await devices(2)) as [Party, Party]
    const roles = new Map<string, PeerRole>([1, 2, 8, 9].map((i) => [keyOf(i), 'device']))
    const stranger = await party(9, { roles, role: 'device', segment: 'plant' })
    stranger.network.setNeighbours([{ publicKey: one.key, addresses: [one.address] }])
    await until(() => {
      void one.network.publish('segment', text(`report ${Math.random()}`))
      return two.gossip.length > 3
    }, 'the known one hears')
    expect(stranger.gossip).toEqual([])
    expect(one.network.peers().map(({ publicKey }) => publicKey)).toEqual([two.key])
  })

  it('a neighbour that comes back at another time is linked again, and gossip with it', async () => {
    const [one, two] = (await devices(2)) as [Party, Party]
    await until(() => one.network.peers().length === 1, 'linked')
    await two.network.stop()
    await until(() => one.network.peers().length === 0, 'lost')
    const roles = new Map<string, PeerRole>([
      [keyOf(1), 'device'],
      [keyOf(2), 'device'],
    ])
    const again = await party(2, {
      roles,
      role: 'device',
      segment: 'plant',
      listen: two.address.split('/p2p/')[0] ?? '',
    })
    acquaint([one, again])
    await until(() => {
      void one.network.publish('segment', text(`report ${Math.random()}`))
      return again.gossip.length > 0
    }, 'hears again')
  })

  it('a flood from a neighbour → it is cut and let in again later; the others go on', async () => {
    const all = (await devices(3, { segmentPiecesPerSecond: 5, segmentPiecesBurst: 10, gossipOffencesMax: 3 })) as [
      Party,
      Party,
      Party,
    ]
    const [one, two, three] = all
    await until(() => one.network.peers().length === 2 && two.network.peers().length === 2, 'linked')
    await until(() => {
      for (let i = 0; i < 20; i++) void three.network.publish('segment', text(`flood ${Math.random()}`))
      return one.logs.some((line) => line.includes('gossip') && line.includes(three.key))
    }, 'shut out')
    await until(() => {
      void two.network.publish('segment', text('still here'))
      return heard(one).includes('still here')
    }, 'the honest one is heard')
  })
})
