/** The simulated disk: what survives a crash, and what it does when it is full or fails. */
import { expect, it } from 'vitest'
import type { Disk } from '../../node/store/disk.ts'
import type { KeyValueStore, StoreOperation } from '../../node/store/store.ts'
import { seededRandom } from '../simulation/random.ts'
import { SimulatedDisk } from './disk.ts'
import { Schedule, Scope } from './schedule.ts'

const put = (key: number): StoreOperation => ({ key: Uint8Array.of(key), value: Uint8Array.of(key) })

function machine(seed: number): { schedule: Schedule; disk: SimulatedDisk; begin(): { scope: Scope; disk: Disk } } {
  const schedule = new Schedule()
  const disk = new SimulatedDisk(seededRandom(seed), { writeMsMax: 5, readMsMax: 1, forgetful: false })
  const begin = () => {
    const scope = new Scope(schedule, (error) => {
      throw error
    })
    return { scope, disk: disk.seenBy(scope, () => schedule.now) }
  }
  return { schedule, disk, begin }
}

/** Runs virtual time until `task` has settled. */
async function wait<T>(schedule: Schedule, task: Promise<T>): Promise<T> {
  let settled = false
  const done = task.finally(() => {
    settled = true
  })
  done.catch(() => undefined)
  await schedule.run(schedule.now + 1000, () => settled)
  return done
}

const keysOf = (store: KeyValueStore | undefined): number[] =>
  Array.from({ length: 10 }, (_, i) => i).filter((i) => store?.getSync(Uint8Array.of(i)) !== undefined)

it('disk: what was synced survives every crash; of what was not, the youngest is lost first and each batch whole', async () => {
  const kept = new Set<string>()
  for (let seed = 1; seed <= 60; seed++) {
    const { schedule, disk, begin } = machine(seed)
    const first = begin()
    const store = await wait(schedule, first.disk.openStore('/data', { mode: 'create' }))
    await wait(schedule, first.disk.syncDirectory('/'))
    await wait(schedule, store.batch([put(0)], { sync: true }))
    await wait(schedule, store.batch([put(1), put(2)], { sync: false }))
    await wait(schedule, store.batch([put(3)], { sync: false }))
    void store.batch([put(4)], { sync: true })
    first.scope.end()
    disk.crash()
    kept.add(keysOf(disk.peek('/data')).join())
  }
  // With the last one, which was under way, everything before it is durable as well.
  expect([...kept].sort()).toEqual(['0', '0,1,2', '0,1,2,3', '0,1,2,3,4'])
})

it('disk: a name that was not synced may be gone after a crash, one that was is not', async () => {
  const found = new Set<boolean>()
  for (let seed = 1; seed <= 20; seed++) {
    const { schedule, disk, begin } = machine(seed)
    const first = begin()
    await wait(schedule, first.disk.openStore('/synced', { mode: 'create' }))
    await wait(schedule, first.disk.syncDirectory('/'))
    await wait(schedule, first.disk.openStore('/new', { mode: 'create' }))
    disk.crash()
    expect(disk.peek('/synced')).toBeDefined()
    found.add(disk.peek('/new') !== undefined)
  }
  expect(found).toEqual(new Set([true, false]))
})

it('disk: full → STORE_WRITE_FAILED and nothing written; a failing write may have been made; a lock is held by one', async () => {
  const { schedule, disk, begin } = machine(1)
  const first = begin()
  const store = await wait(schedule, first.disk.openStore('/data', { mode: 'createOrOpen' }))
  disk.freeBytes = 1
  await expect(wait(schedule, store.batch([put(1)], { sync: true }))).rejects.toMatchObject({
    code: 'STORE_WRITE_FAILED',
  })
  disk.freeBytes = Number.POSITIVE_INFINITY
  disk.fault = { kind: 'fail', made: true, writes: 1, crash: () => undefined }
  await expect(wait(schedule, store.batch([put(2)], { sync: true }))).rejects.toMatchObject({
    code: 'STORE_WRITE_FAILED',
  })
  expect(keysOf(disk.peek('/data'))).toEqual([2])
  const again = first.disk.openStore('/data', { mode: 'open' })
  await expect(wait(schedule, again)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
})
