import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { openMemberLedger, openStaging, settleStaging } from '../../node/dataDirectory.ts'
import { systemDisk } from '../../node/store/disk.ts'
import { GENESIS } from './executor/world.ts'
import { writeMember } from './memberDirectory.ts'

let folder: string
const warned: string[] = []
const log = { warn: (_fields: object, message: string) => void warned.push(message) }
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-data-'))
  warned.length = 0
  // What stands ready: the ledger of another member, which is higher.
  await writeMember(join(folder, 'other'), 9)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A member of `heights` blocks, beside whose ledger another one stands ready. */
async function memberWith(heights: number): Promise<string> {
  const data = join(folder, 'mine')
  await writeMember(data, heights)
  await cp(join(folder, 'other', 'ledger'), join(data, 'ledger.joined'), { recursive: true })
  return data
}

async function heightAfterStart(data: string): Promise<number> {
  const ledger = await openMemberLedger(GENESIS, data, 0, { disk: systemDisk, clock: systemClock, log })
  await ledger.close()
  return ledger.committedHeight
}

it('data directory: a ledger that stands ready takes the place of an empty one, which is removed', async () => {
  const data = await memberWith(0)
  expect(await heightAfterStart(data)).toBe(9)
  expect(await readdir(data)).toEqual(['ledger', 'signing'])
  expect(warned).toEqual([])
})

it('data directory: one that holds blocks is kept beside it, and that is said', async () => {
  const data = await memberWith(3)
  expect(await heightAfterStart(data)).toBe(9)
  expect(await readdir(data)).toEqual(['ledger', expect.stringMatching(/^ledger\.before-3-/), 'signing'])
  expect(warned).toEqual([expect.stringContaining('is kept')])
})

it('data directory: wherever a crash ended the exchange, the next start ends it', async () => {
  const data = await memberWith(0)
  await rename(join(data, 'ledger'), join(data, 'ledger.empty'))
  expect(await heightAfterStart(data)).toBe(9)
  expect(await readdir(data)).toEqual(['ledger', 'signing'])
  await mkdir(join(data, 'ledger.empty'))
  expect(await heightAfterStart(data)).toBe(9)
  expect(await readdir(data)).toEqual(['ledger', 'signing'])
})

it('data directory: what is being built is taken up again, begun anew where that is asked for, and counts only when it is settled', async () => {
  const data = join(folder, 'mine')
  await writeMember(data, 1)
  const first = await openStaging(systemDisk, data, false)
  await first.batch([{ key: Uint8Array.of(1), value: Uint8Array.of(2) }], { sync: true })
  await first.close()
  const second = await openStaging(systemDisk, data, false)
  expect(second.getSync(Uint8Array.of(1))).toEqual(Uint8Array.of(2))
  await second.close()
  expect(await heightAfterStart(data)).toBe(1)
  const third = await openStaging(systemDisk, data, true)
  expect(third.getSync(Uint8Array.of(1))).toBeUndefined()
  await third.close()
  await settleStaging(systemDisk, data)
  expect((await readdir(data)).sort()).toEqual(['ledger', 'ledger.joined', 'signing'])
})
