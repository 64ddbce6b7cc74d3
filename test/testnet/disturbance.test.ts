/** The daemons of a testnet while members are killed, paused and doubled, judged by the black-box checker. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { homeIn } from '../../testnet/homes.ts'
import { until } from '../../testnet/testnet.ts'
import { althing } from '../cli/process.ts'
import { isAlive } from './helper.ts'
import { WatchedNetwork } from './network.ts'

/** One network for all of these, in this order: each leaves it whole. */
let network: WatchedNetwork
beforeAll(async () => {
  network = await WatchedNetwork.start(4, 20)
}, 60_000)
afterAll(() => network?.stop(), 30_000)

const kill = async (name: string): Promise<void> => {
  expect(await network.testnet.act({ verb: 'kill', name })).toMatchObject({ ok: true })
}
const restart = async (name: string): Promise<void> => {
  expect(await network.testnet.act({ verb: 'restart', name })).toMatchObject({ ok: true })
}
const leader = async (): Promise<string> => {
  const statuses = await Promise.all(network.testnet.members.map(({ client }) => client.status()))
  return statuses.find((status) => status !== undefined)?.leader ?? ''
}

describe('four members under load', () => {
  it('kill -9 of the leader: the others go on; it catches up and votes again', async () => {
    await network.grows(3)
    const name = await leader()
    expect(network.testnet.members.map(({ place }) => place.name)).toContain(name)
    await kill(name)
    await network.grows(3)
    expect(await leader()).not.toBe(name)
    await restart(name)
    await network.votesAgain(name)
  }, 60_000)

  it('kill -9 of any other member: the others go on; it catches up and votes again', async () => {
    const first = await leader()
    const others = network.testnet.members.map(({ place }) => place.name).filter((name) => name !== first)
    for (const name of others) {
      await kill(name)
      await network.grows(2)
      await restart(name)
      await network.votesAgain(name)
    }
  }, 100_000)

  it('a member that is paused is passed over, and votes again when it goes on', async () => {
    network.testnet.members[1]?.process.pause()
    await network.grows(2)
    network.testnet.members[1]?.process.resume()
    await network.votesAgain(network.testnet.members[1]?.place.name ?? '')
  }, 60_000)

  it('two of four gone: the chain stops, status says how many votes are missing and whose, readyz is 503; it resumes when one returns', async () => {
    const [north, , east, west] = network.testnet.members
    await kill('east')
    await kill('west')
    const standstill = async () => (await north?.client.status())?.standstill
    const short = async (): Promise<boolean> => {
      const said = await standstill()
      return said !== undefined && said.votes < said.needed && said.missing.length === 2
    }
    expect(await until(short, 30_000)).toBe(true)
    const height = await network.height('north')
    const said = await standstill()
    expect(said?.needed).toBe(3)
    expect(said?.votes).toBeLessThan(3)
    expect(said?.missing).toEqual(['east', 'west'])
    expect(said?.sentence).toMatch(/east \(offline .*west \(offline/)
    expect(await north?.client.probe('/readyz')).toBe(503)
    expect(await north?.client.probe('/livez')).toBe(200)
    expect(await network.height('north')).toBe(height)
    await restart('east')
    await network.grows(2)
    await network.votesAgain('east')
    expect(await until(async () => (await north?.client.probe('/readyz')) === 200, 10_000)).toBe(true)
    await restart('west')
    await network.votesAgain('west')
    expect([east?.process.restarts, west?.process.restarts].every((count) => (count ?? 0) > 0)).toBe(true)
  }, 90_000)

  it('a second daemon on the directory of a running one ends at once and says so; the first does not notice', async () => {
    const { pid } = network.member('south').process
    const home = homeIn(network.folder, 'south').folder
    const { code, stdout, stderr } = await althing(home, ['start'])
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/(in use|another process|locked|lock)/i)
    expect(isAlive(pid)).toBe(true)
    await network.grows(2)
  }, 40_000)

  it('nothing that was acknowledged is lost or contradicted', async () => {
    expect(network.checker.acknowledgedCount).toBeGreaterThan(20)
    expect(await network.verdict()).toEqual([])
  }, 60_000)

  it('all stop in time when they are asked to, and leave nothing running', async () => {
    const { pids } = network.testnet
    expect(pids).toHaveLength(5)
    await network.testnet.stop()
    expect(pids.filter(isAlive)).toEqual([])
    for (const { process } of network.testnet.members)
      expect([process.name, process.ending]).toEqual([process.name, 'exit code 0'])
    const run = await readFile(`${homeIn(network.folder, 'north').folder}/run.json`, 'utf8').catch(() => 'removed')
    expect(run).toBe('removed')
  }, 30_000)
})
