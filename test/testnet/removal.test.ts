/** A real daemon that was off while the others removed it: what it says when it starts, days later for all it knows. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { homeIn, logFileIn } from '../../testnet/homes.ts'
import { althing } from '../cli/process.ts'
import { WatchedNetwork } from './network.ts'

const STAYING = ['north', 'south', 'east'] as const
let network: WatchedNetwork
beforeAll(async () => {
  network = await WatchedNetwork.start(4, 5)
}, 90_000)
afterAll(() => network?.stop(), 30_000)

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they come
const get = async (name: string, ...path: string[]): Promise<any> => network.member(name).client.get(path)

it('a member that was off while it was removed learns when it starts that it was, in which era, at which height and by whom', async () => {
  await network.grows(2)
  const { process } = network.member('west')
  await process.stop()
  const run = async (name: string, ...words: string[]): Promise<{ id: string }> => {
    const { code, stdout, stderr } = await althing(homeIn(network.folder, name).folder, ['--json', ...words])
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout)
  }
  const { id } = await run('north', 'member', 'remove', 'west')
  for (const other of ['south', 'east']) {
    const knows = async (): Promise<boolean> => (await get(other, 'proposals', id)) !== undefined
    await network.expect(`${other} knows the proposal`, knows, 40_000)
    await run(other, 'proposal', 'approve', id)
  }
  const isOver = async (): Promise<boolean> =>
    (await Promise.all(STAYING.map((name) => get(name, 'members')))).every((answer) => answer?.era === 1)
  await network.expect('era 1 has begun', isOver, 60_000)
  await process.start()
  await network.expect('west knows', async () => (await get('west', 'status'))?.removed != null, 90_000)

  const { since } = await get('north', 'members')
  const { removed, phase, standstill, warnings } = await get('west', 'status')
  expect(removed).toMatchObject({ era: 1, height: since, isKeyReplaced: false })
  expect(STAYING).toEqual(expect.arrayContaining(removed.by))
  const said = `This node was removed in era 1 at height ${since} by ${removed.by.join(', ')}`
  expect(warnings[0]).toContain(said)
  // It may still have been let in as a member for a moment, and have followed to the end of its era by itself.
  expect([standstill, ['removed', 'following'].includes(phase)]).toEqual([null, true])
  expect(await network.member('west').client.probe('/readyz')).toBe(503)
  const log = await readFile(logFileIn(network.folder, 'west'), 'utf8')
  expect(log).toMatch(/This node was removed in era 1|this node is no member/)
  const exits = await Promise.all(
    ['west', 'north'].map(async (name) => (await althing(homeIn(network.folder, name).folder, ['status'])).code),
  )
  expect(exits).toEqual([2, 0])
}, 300_000)
