import { createHash } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkDataDirectory } from '../../../node/dataDirectory.ts'
import { repairDataDirectory } from '../../../node/repair/main.ts'
import { type Bucket, bucketRange, META, textKey } from '../../../node/store/buckets.ts'
import { openLedger } from '../../../node/store/ledgerStore.ts'
import { openLevel } from '../../../node/store/level.ts'
import { lockDirectory } from '../../../node/store/lock.ts'
import { decodeTransaction } from '../../../protocol/transaction.ts'
import { CHAIN_ID, GENESIS } from '../executor/world.ts'
import { writeMember } from '../memberDirectory.ts'

let data: string
let signing: string
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'althing-repair-'))
  await writeMember(data, 60)
  signing = await hashOf(join(data, 'signing'))
})
afterEach(async () => {
  expect(await hashOf(join(data, 'signing'))).toBe(signing)
  await rm(data, { recursive: true, force: true })
})

/** What lies in a folder, down to the last byte and time of change. */
async function hashOf(folder: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(folder)).sort()) {
    hash.update(name).update(await readFile(join(folder, name)))
    hash.update(`${(await stat(join(folder, name))).mtimeMs}`)
  }
  return hash.digest('hex')
}

const check = () => checkDataDirectory(data, GENESIS, (bytes) => decodeTransaction(bytes).id)

it('repair: of a whole directory nothing is done', async () => {
  expect(await repairDataDirectory(data, GENESIS)).toEqual({
    height: 60,
    done: [],
    remarks: ['The signing record was not touched.'],
  })
})

it('repair: while a process holds the directory → STORE_LOCKED; the lock of one that is gone is removed, and said', async () => {
  const lock = await lockDirectory(data)
  await expect(repairDataDirectory(data, GENESIS)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await lock.release()
  await writeFile(join(data, 'LOCK'), '{"pid":999999999,"started":null}\n')
  const { height, done } = await repairDataDirectory(data, GENESIS)
  expect(height).toBe(60)
  expect(done).toEqual([expect.stringContaining('lock of a process that is gone')])
  expect(await readdir(data)).toEqual(['ledger', 'signing'])
})

const derived: Bucket[] = ['heightByHash', 'leaves', 'history', 'transactions', 'treeRoots']
it.each(derived)('repair: an index %s of which some is gone and some is wrong is rebuilt', async (bucket) => {
  const store = await openLevel(join(data, 'ledger'), { mode: 'open' })
  let i = 0
  for await (const [key, value] of store.iterate(bucketRange(bucket))) {
    i++
    if (i % 7 === 0) await store.batch([{ key, value: undefined }], { sync: true })
    if (i % 11 === 0) await store.batch([{ key, value: new Uint8Array(value.length) }], { sync: true })
  }
  await store.close()
  expect((await check()).problems).not.toEqual([])
  const { height, done } = await repairDataDirectory(data, GENESIS)
  expect(height).toBe(60)
  expect(done).toEqual([expect.stringContaining('were rebuilt')])
  expect(await check()).toEqual({ height: 60, awaited: null, problems: [] })
})

it('repair: a rebuilding that broke off is no ledger, and is done again', async () => {
  const store = await openLevel(join(data, 'ledger'), { mode: 'open' })
  await store.batch([{ key: textKey('meta', META.rebuilding), value: new Uint8Array(0) }], { sync: true })
  expect(() => openLedger(store, { chainId: CHAIN_ID })).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }))
  await store.close()
  expect((await repairDataDirectory(data, GENESIS)).height).toBe(60)
  expect((await check()).problems).toEqual([])
})

it('repair: a lost manifest is put together anew by what the tables hold', async () => {
  const ledger = join(data, 'ledger')
  const manifest = (await readdir(ledger)).find((name) => name.startsWith('MANIFEST')) as string
  await rm(join(ledger, manifest))
  const { height, done } = await repairDataDirectory(data, GENESIS)
  expect(height).toBe(60)
  expect(done).toEqual([expect.stringContaining('put together anew')])
  expect((await check()).problems).toEqual([])
})

it('repair: what cannot be mended is moved aside, and the start fetches a new one', async () => {
  const ledger = join(data, 'ledger')
  const store = await openLevel(ledger, { mode: 'open' })
  for await (const [key] of store.iterate({ ...bucketRange('bodies'), limit: 1 }))
    await store.batch([{ key, value: Uint8Array.of(1) }], { sync: true })
  await store.close()
  const { height, done, remarks } = await repairDataDirectory(data, GENESIS)
  expect(height).toBeNull()
  expect(done.at(-1)).toContain('was moved to')
  expect(remarks[0]).toContain('fills an empty one')
  expect((await readdir(data)).filter((name) => /^ledger/.test(name))).toEqual([
    expect.stringMatching(/^ledger\.damaged-/),
  ])
})

it.each(['cut short', 'emptied'])('repair: where a table was %s nothing is left that cannot be read', async (how) => {
  const ledger = join(data, 'ledger')
  // Reopening moves the log of the first process into a table.
  await (await openLevel(ledger, { mode: 'open' })).close()
  const table = join(ledger, (await readdir(ledger)).find((name) => name.endsWith('.ldb')) as string)
  await truncate(table, how === 'emptied' ? 0 : (await stat(table)).size >> 1)
  const { height, done } = await repairDataDirectory(data, GENESIS)
  expect(done[0]).toContain('put together anew')
  if (height === null) expect((await readdir(data)).some((name) => name.startsWith('ledger.damaged-'))).toBe(true)
  else expect(await check()).toEqual({ height, problems: [] })
  expect((await repairDataDirectory(data, GENESIS)).done).toEqual([])
})

it('repair: a log that was cut leaves an earlier height or is moved aside, never half a ledger', async () => {
  const ledger = join(data, 'ledger')
  for (const name of (await readdir(ledger)).filter((one) => /\.(?:log|ldb)$/.test(one))) {
    const { size } = await stat(join(ledger, name))
    if (size > 2000) await truncate(join(ledger, name), size >> 1)
    const file = await open(join(ledger, name), 'r+')
    if (size > 2000) await file.write(Buffer.alloc(64, 0xff), 0, 64, size >> 2)
    await file.close()
  }
  const { height } = await repairDataDirectory(data, GENESIS)
  if (height !== null) {
    expect(height).toBeLessThan(60)
    expect((await check()).problems).toEqual([])
  } else expect((await readdir(data)).some((name) => name.startsWith('ledger.damaged-'))).toBe(true)
})
