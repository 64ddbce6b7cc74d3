import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readBackup } from '../../../node/backup/format.ts'
import { backupOfStopped, restoreBackup, verifyBackup, writeBackup } from '../../../node/backup/main.ts'
import { checkDataDirectory, openRecord } from '../../../node/dataDirectory.ts'
import { openInspection } from '../../../node/inspect/main.ts'
import { repairDataDirectory } from '../../../node/repair/main.ts'
import { heightKey } from '../../../node/store/buckets.ts'
import { systemDisk } from '../../../node/store/disk.ts'
import { openLedger } from '../../../node/store/ledgerStore.ts'
import { openLevel } from '../../../node/store/level.ts'
import { lockDirectory } from '../../../node/store/lock.ts'
import type { SealedHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeTransaction } from '../../../protocol/transaction.ts'
import { key } from '../../protocol/kinds/consortium.ts'
import { adding, build, CHAIN_ID, certify, endEra, GENESIS, grow, put, TIME } from '../executor/world.ts'
import { withMember, writeMember } from '../memberDirectory.ts'

let folder: string
let data: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-backup-'))
  data = join(folder, 'data')
  file = join(folder, 'a.backup')
  await writeMember(data, 40)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('backup: of a stopped member it is verified offline, from the genesis in it', async () => {
  await writeBackup(backupOfStopped(data, GENESIS), file)
  const report = await verifyBackup(file, join(folder, 'work'))
  expect(report).toEqual({ chainId: toHex(CHAIN_ID), height: 40, firstHeight: 1, firstBody: 1, problems: [] })
  expect(await readdir(folder)).toEqual(['a.backup', 'data'])
  await expect(writeBackup(backupOfStopped(data, GENESIS), file)).rejects.toMatchObject({ code: 'BACKUP_EXISTS' })
  expect(await readdir(data)).toEqual(['ledger', 'signing'])
})

it('backup: of a directory that a process holds → STORE_LOCKED, and no file', async () => {
  const lock = await lockDirectory(data)
  await expect(writeBackup(backupOfStopped(data, GENESIS), file)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await lock.release()
  expect(await readdir(folder)).toEqual(['data'])
})

it('backup: one moment is in it, whatever is committed while it is read', async () => {
  const store = await openLevel(join(data, 'ledger'), { mode: 'open' })
  const ledger = openLedger(store, { chainId: CHAIN_ID })
  const walk = ledger.everything()
  const { backupOf } = await import('../../../node/backup/format.ts')
  const pieces = backupOf(GENESIS, walk)
  await store.batch([{ key: Uint8Array.of(5, 65), value: Uint8Array.of(1) }], { sync: true })
  await writeBackup(pieces, file)
  await store.close()
  expect((await verifyBackup(file, join(folder, 'work'))).problems).toEqual([])
})

it('backup: cut or changed anywhere → BACKUP_MALFORMED', async () => {
  await writeBackup(backupOfStopped(data, GENESIS), file)
  const packed = await readFile(file)
  const raw = gunzipSync(packed)
  const damaged: Buffer[] = [
    packed.subarray(0, packed.length - 20),
    gzipSync(raw.subarray(0, raw.length - 1)),
    gzipSync(Buffer.concat([raw, Buffer.from([0])])),
    Buffer.from('not a backup'),
  ]
  for (const at of [3, 30, raw.length >> 1, raw.length - 45, raw.length - 5]) {
    const changed = Buffer.from(raw)
    changed[at] = (changed[at] as number) ^ 1
    damaged.push(gzipSync(changed))
  }
  for (const bytes of damaged) {
    await writeFile(join(folder, 'bad'), bytes)
    const verdict = await verifyBackup(join(folder, 'bad'), join(folder, 'work')).then(
      ({ problems }) => `problems: ${problems.length}`,
      (error: { code?: string }) => error.code,
    )
    expect(verdict).toBe('BACKUP_MALFORMED')
  }
})

it('backup: a ledger that was tampered with before it was backed up is found by its roots', async () => {
  const store = await openLevel(join(data, 'ledger'), { mode: 'open' })
  for await (const [key, value] of store.iterate({ gte: Uint8Array.of(5), lt: Uint8Array.of(6), limit: 1 }))
    await store.batch([{ key, value: value.map((byte, i) => (i === value.length - 1 ? byte ^ 1 : byte)) }], {
      sync: true,
    })
  await store.close()
  await writeBackup(backupOfStopped(data, GENESIS), file)
  const { problems } = await verifyBackup(file, join(folder, 'work'))
  expect(problems.join('\n')).toContain('does not match its entry')
})

it('restore: puts the ledger into an empty directory, and leaves it without a signing record, so that it has to recover', async () => {
  await writeBackup(backupOfStopped(data, GENESIS), file)
  const fresh = join(folder, 'fresh')
  expect(await restoreBackup(file, fresh, GENESIS)).toMatchObject({ height: 40, problems: [] })
  expect(await readdir(fresh)).toEqual(['ledger'])
  const store = await openLevel(join(fresh, 'ledger'), { mode: 'open' })
  expect(openLedger(store, { chainId: CHAIN_ID }).committedHeight).toBe(40)
  await store.close()
  await expect(openRecord(fresh, CHAIN_ID, false, systemDisk)).rejects.toMatchObject({
    code: 'SIGNING_RECORD_MISSING',
    exitCode: 78,
  })
})

it('restore: where there is a signing record, a ledger, or another genesis it changes nothing', async () => {
  await writeBackup(backupOfStopped(data, GENESIS), file)
  await expect(restoreBackup(file, data, GENESIS)).rejects.toMatchObject({ code: 'SIGNING_RECORD_EXISTS' })
  await rename(join(data, 'signing'), join(folder, 'away'))
  await expect(restoreBackup(file, data, GENESIS)).rejects.toMatchObject({ code: 'STORE_EXISTS' })
  const other = { ...GENESIS, createdAt: 1 }
  await expect(restoreBackup(file, join(folder, 'other'), other)).rejects.toMatchObject({ code: 'STORE_WRONG_CHAIN' })
  expect(await readdir(join(folder, 'other'))).toEqual([])
})

it('format: nothing but the ledger is in it: each entry is of a bucket of the ledger', async () => {
  const pieces = backupOfStopped(data, GENESIS)
  const { genesis, entries } = await readBackup(pieces)
  expect(genesis).toEqual(GENESIS)
  const buckets = new Set<number>()
  for await (const [key] of entries) buckets.add(key[0] as number)
  expect([...buckets]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13])
})

const FIVE = [1, 2, 3, 4, 5]
/** Two eras more, the last block signed by `keys`. */
async function goOn(keys: readonly number[], members: readonly number[] = [0, 1, 2]): Promise<void> {
  await withMember(data, async (node) => {
    await endEra(node, adding(5))
    await grow(node, [put('in era 1')], TIME, FIVE)
    await endEra(node, { kind: 'remove', publicKey: key(4) }, FIVE)
    const { sealed } = build(node, [put('in era 2')])
    await node.executor.commit(sealed.hash, certify(sealed, members, keys))
  })
}
const idOf = (bytes: Uint8Array): Uint8Array => decodeTransaction(bytes).id

it('backup: in a later era its head is verified by the members of that era, as db check, repair and an inspection see it', async () => {
  await goOn([1, 2, 3, 5])
  await writeBackup(backupOfStopped(data, GENESIS), file)
  expect(await verifyBackup(file, join(folder, 'work'))).toMatchObject({ height: 46, problems: [] })
  const restored = join(folder, 'restored')
  expect((await restoreBackup(file, restored, GENESIS)).problems).toEqual([])
  expect(await checkDataDirectory(restored, GENESIS, idOf)).toMatchObject({ height: 46, problems: [] })
  expect(await repairDataDirectory(restored, GENESIS)).toMatchObject({ height: 46, done: [] })
  const rules = { tokenSecret: new Uint8Array(32).fill(7), issuer: 'a', audience: 'b', requestsPerMinuteMax: 100 }
  const inspection = await openInspection({ ...rules, dataDirectory: restored, genesis: GENESIS, port: 0 })
  expect(inspection.height).toBe(46)
  await inspection.close()
})

it.each([
  ['only the set before has this quorum', [1, 2, 3, 4], [0, 1, 3]],
  ['fewer than a quorum signed', [1, 2, 3, 5], [0, 1]],
])('backup: in a later era a head that no quorum of its members signed is found: %s', async (_why, keys, members) => {
  await goOn(keys, members)
  await writeBackup(backupOfStopped(data, GENESIS), file)
  const problem = expect.stringMatching(/^height 46: its certificate is none of the members of its era: CERT_/)
  expect((await verifyBackup(file, join(folder, 'work'))).problems).toEqual([problem])
  expect((await restoreBackup(file, join(folder, 'restored'), GENESIS)).problems).toEqual([problem])
  expect((await checkDataDirectory(data, GENESIS, idOf)).problems).toEqual([problem])
})

it('backup: an end of an era whose certificate is gone, or of other members, is found', async () => {
  await goOn([1, 2, 3, 5])
  const damages = [
    [undefined, 'era 0: how it ended is not there'],
    ['other', 'era 0: its end does not follow from the genesis: CERT_FOREIGN_SIGNER'],
  ] as const
  for (const [damage, said] of damages) {
    const store = await openLevel(join(data, 'ledger'), { mode: 'open' })
    const header = openLedger(store, { chainId: CHAIN_ID }).header(42) as SealedHeader
    const value = damage && certify(header, [0, 1, 4], FIVE)
    await store.batch([{ key: heightKey('certificates', 42), value }], { sync: true })
    await store.close()
    expect((await checkDataDirectory(data, GENESIS, idOf)).problems).toEqual([said])
  }
})
