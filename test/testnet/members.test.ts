/** Real daemons, by the command line, while members and parameters change under load: agreement.md §5.5 as operators do it. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { homeIn, logFileIn, multiaddrOf } from '../../testnet/homes.ts'
import { althing } from '../cli/process.ts'
import { WatchedNetwork } from './network.ts'

/** One network for all of these, in this order. */
let network: WatchedNetwork
beforeAll(async () => {
  network = await WatchedNetwork.start(4, 20, { guests: ['fifth'], rtus: 1 })
}, 60_000)
afterAll(() => network?.stop(), 30_000)

/** Runs a command in the home of `name`; what it printed as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they come
async function run(name: string, ...words: string[]): Promise<any> {
  const { code, stdout, stderr } = await althing(homeIn(network.folder, name).folder, ['--json', ...words])
  expect(code, `${name}: ${words.join(' ')}\n${stderr}`).toBe(0)
  return JSON.parse(stdout)
}
/** A proposal of the first of `by`, approved by the others, who make a quorum. */
async function carryOut(by: readonly string[], ...words: string[]): Promise<void> {
  const [first, ...others] = by as [string, ...string[]]
  const { id } = await run(first, ...words)
  for (const other of others) {
    // Each asks its own node, which may be a block behind.
    await network.expect(
      `${other} knows the proposal`,
      async () => (await network.member(other).client.get(['proposals', id])) !== undefined,
      20_000,
    )
    await run(other, 'proposal', 'approve', id)
  }
}
const eraOf = async (name: string): Promise<number | undefined> =>
  ((await network.member(name).client.get(['members'])) as { era: number } | undefined)?.era
const untilEra = (era: number, names: readonly string[]): Promise<void> =>
  network.expect(
    `era ${era} has begun for ${names.join(', ')}`,
    async () => (await Promise.all(names.map(eraOf))).every((one) => one === era),
    40_000,
  )
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they come
const statusOf = async (name: string): Promise<any> => network.member(name).client.get(['status'])
const reports = async (): Promise<number> => {
  await network.testnet.readReports(network.member('north').client)
  return network.testnet.reportsOf('rtu-1').count
}

describe('a consortium that changes while it works', () => {
  it('a fifth member asks to join with its own key, is proposed and approved, follows, and votes', async () => {
    await network.grows(2)
    const fifth = network.member('fifth')
    expect((await statusOf('fifth')).phase).toBe('following')
    const request = await run('fifth', 'member', 'request', '--name', 'fifth', '--address', multiaddrOf(fifth.place))
    const file = join(network.folder, 'request.json')
    await writeFile(file, JSON.stringify(request))
    await carryOut(['north', 'south', 'east'], 'member', 'add', file, '--reason', 'a fifth')
    await untilEra(1, ['north', 'south', 'east', 'west', 'fifth'])
    await network.votesAgain('fifth')
    expect((await run('west', 'member', 'list')).items.map(({ name }: { name: string }) => name)).toEqual([
      ...['north', 'south', 'east', 'west', 'fifth'],
    ])
  }, 120_000)

  it('Δ changes for all, by the votes of old and new members', async () => {
    await carryOut(['fifth', 'south', 'north'], 'param', 'set', 'deltaMs=300', 'heartbeatMs=600')
    await untilEra(2, ['north', 'south', 'east', 'west', 'fifth'])
    await network.grows(2)
    expect(await run('east', 'param', 'list')).toMatchObject({ deltaMs: 300, heartbeatMs: 600 })
    expect((await statusOf('fifth')).delays.deltaMs).toBe(300)
  }, 90_000)

  it('a member is removed: it says so, its links end, nothing of it counts, and the others go on', async () => {
    await carryOut(['north', 'south', 'fifth'], 'member', 'remove', 'west')
    await untilEra(3, ['north', 'south', 'east', 'fifth'])
    await network.expect('west knows', async () => (await statusOf('west'))?.phase === 'following', 20_000)
    expect(await network.member('west').client.probe('/readyz')).toBe(503)
    expect(await readFile(logFileIn(network.folder, 'west'), 'utf8')).toContain('this node is no member any more')
    await network.expect(
      'no link to west is left',
      async () => (await statusOf('west')).members.every((member: { linked: boolean }) => !member.linked),
      30_000,
    )
    await network.grows(3)
    const { signed, missing } = await network
      .member('north')
      .client.get(['blocks', `${(await network.height('north')) ?? 0}`, 'certificate'])
      .then((answer) => answer as { signed: string[]; missing: string[] })
    expect([...signed, ...missing].sort()).toEqual(['east', 'fifth', 'north', 'south'])
  }, 120_000)

  it('a member replaces its key: rotate, approve, activate, start again', async () => {
    await carryOut(['east', 'north', 'south'], 'keys', 'rotate', '--reason', 'yearly')
    await untilEra(4, ['north', 'south', 'fifth'])
    await network.expect('east knows', async () => (await statusOf('east'))?.phase === 'following', 20_000)
    const { process } = network.member('east')
    await process.stop()
    await run('east', 'keys', 'activate')
    await process.start()
    await network.expect('east is in the era', async () => (await eraOf('east')) === 4, 30_000)
    await network.votesAgain('east')
  }, 120_000)

  it('a proof of the last era is verified with the genesis alone; the RTU has followed, and goes on', async () => {
    const before = await reports()
    const value = join(network.folder, 'value')
    await writeFile(value, 'word')
    const { id } = await run('north', 'kv', 'put', 'last', value, '--wait')
    const file = join(network.folder, 'proof.json')
    await althing(homeIn(network.folder, 'north').folder, ['proof', 'get', 'transactions', id, '--out', file])
    const genesis = join(network.folder, 'genesis.json')
    const { code, stdout } = await althing(join(network.folder, 'nowhere'), [
      'proof',
      'verify',
      file,
      '--genesis',
      genesis,
    ])
    expect(stdout).toContain('The proof holds.')
    expect(stdout).toContain('Era 4.')
    expect(code).toBe(0)
    const rtuLog = logFileIn(network.folder, 'rtu-1')
    await network.expect('the RTU is in the era', async () => /"era":4/.test(await readFile(rtuLog, 'utf8')), 40_000)
    await network.expect('the RTU reports', async () => (await reports()) > before, 60_000)
  }, 150_000)

  it('a member that was off while it was removed learns when it starts that it was, in which era and by whom', async () => {
    const { process } = network.member('fifth')
    await process.stop()
    await carryOut(['north', 'south', 'east'], 'member', 'remove', 'fifth')
    await untilEra(5, ['north', 'south', 'east'])
    // Those who left keep their links for ten seconds: after that the door is closed, as for one that comes days later.
    await network.grows(25)
    await process.start()
    await network.expect('fifth knows', async () => (await statusOf('fifth'))?.removed !== null, 60_000)
    const { removed, phase, warnings } = await statusOf('fifth')
    const { since } = (await network.member('north').client.get(['members'])) as { since: number }
    expect({ removed, phase }).toMatchObject({
      removed: { era: 5, height: since, isKeyReplaced: false },
      phase: 'removed',
    })
    for (const name of removed.by) expect(['north', 'south', 'east']).toContain(name)
    const said = `This node was removed in era 5 at height ${since} by ${removed.by.join(', ')}`
    expect(warnings[0]).toContain(said)
    expect(await readFile(logFileIn(network.folder, 'fifth'), 'utf8')).toContain(said)
    expect(await network.member('fifth').client.probe('/readyz')).toBe(503)
    for (const [name, exit] of [
      ['fifth', 2],
      ['west', 2],
      ['north', 0],
    ] as const)
      expect((await althing(homeIn(network.folder, name).folder, ['status'])).code, name).toBe(exit)
    expect((await statusOf('west')).removed).toMatchObject({ era: 3 })
  }, 150_000)

  it('nothing that was acknowledged is lost or contradicted', async () => {
    expect(network.checker.acknowledgedCount).toBeGreaterThan(20)
    expect(await network.verdict(['west', 'fifth'])).toEqual([])
    for (const name of ['north', 'south', 'east']) expect((await statusOf(name)).evidence).toBe(0)
  }, 60_000)
})
