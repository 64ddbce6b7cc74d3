import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeptBlocks } from '../../../node/store/keptBlocks.ts'
import { openLevel } from '../../../node/store/level.ts'
import {
  createSigningRecord,
  openOrReplaceSigningRecord,
  openSigningRecord,
  SigningRecord,
  signingDirectory,
} from '../../../node/store/signingRecord.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { CHAIN_ID } from './fixture.ts'

let data: string
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'althing-data-'))
})
afterEach(() => rm(data, { recursive: true, force: true }))

const b = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe('signing record', () => {
  it('signing record: what was written last is read, also after reopening', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    const record = await openSigningRecord(directory, CHAIN_ID)
    expect(record.read()).toEqual(b(1))
    const bytes = b(2, 3)
    await record.write(bytes)
    bytes[0] = 99
    expect(record.read()).toEqual(b(2, 3))
    await record.close()
    const again = await openSigningRecord(directory, CHAIN_ID)
    expect(again.read()).toEqual(b(2, 3))
    await again.close()
  })

  it('signing record: evidence kept beside it is there after reopening, until it is let go; blocks and record are not touched', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    const record = await openSigningRecord(directory, CHAIN_ID)
    record.blocks.keep({ height: 7, hash: new Uint8Array(32).fill(5), header: b(1), transactions: [] })
    await record.write(b(2))
    for (const payload of [b(8), b(9), b(9)]) await record.evidence.keep(payload)
    await record.close()
    const again = await openSigningRecord(directory, CHAIN_ID)
    const kept = (await again.evidence.stored()).map((payload) => [...payload])
    expect(kept.sort()).toEqual([[8], [9]])
    await again.evidence.forget(b(8))
    expect((await again.evidence.stored()).map((payload) => [...payload])).toEqual([[9]])
    expect([again.read(), again.blocks.size]).toEqual([b(2), 1])
    await again.close()
  })

  it('signing record: missing → SIGNING_RECORD_MISSING, and nothing is created', async () => {
    const directory = signingDirectory(data)
    const refused = { code: 'SIGNING_RECORD_MISSING', exitCode: 78 }
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject(refused)
    expect(await readdir(data)).toEqual([])
    await mkdir(directory)
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject(refused)
    expect((await readdir(directory)).filter((name) => name === 'CURRENT')).toEqual([])
    const empty = await openLevel(directory, { mode: 'createOrOpen' })
    await empty.close()
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject(refused)
  })

  it('signing record: of another chain → STORE_WRONG_CHAIN, also to one that recovers, and it stays', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, new Uint8Array(32).fill(9), b(1))
    const refused = { code: 'STORE_WRONG_CHAIN', exitCode: 78 }
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject(refused)
    await expect(openOrReplaceSigningRecord(directory, CHAIN_ID, b(2))).rejects.toMatchObject(refused)
    const kept = await openSigningRecord(directory, new Uint8Array(32).fill(9))
    expect(kept.read()).toEqual(b(1))
    await kept.close()
  })

  it('signing record: created twice → SIGNING_RECORD_EXISTS, the first stays', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    await expect(createSigningRecord(directory, CHAIN_ID, b(2))).rejects.toMatchObject({
      code: 'SIGNING_RECORD_EXISTS',
    })
    const record = await openSigningRecord(directory, CHAIN_ID)
    expect(record.read()).toEqual(b(1))
    await record.close()
  })

  it('signing record: content that is not what was written → SIGNING_RECORD_CORRUPT', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    const store = await openLevel(directory, { mode: 'open' })
    await store.batch([{ key: b(1), value: new Uint8Array(40) }], { sync: true })
    await store.close()
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject({
      code: 'SIGNING_RECORD_CORRUPT',
      exitCode: 65,
    })
  })

  it('signing record: a damaged manifest → SIGNING_RECORD_CORRUPT', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    const manifest = (await readdir(directory)).find((name) => name.startsWith('MANIFEST')) as string
    await truncate(join(directory, manifest), 3)
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject({ code: 'SIGNING_RECORD_CORRUPT' })
    await rm(join(directory, manifest))
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject({ code: 'SIGNING_RECORD_CORRUPT' })
  })

  it('signing record: a table that is cut short → SIGNING_RECORD_CORRUPT', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(1))
    // Opening writes what the log holds into a table.
    await (await openSigningRecord(directory, CHAIN_ID)).close()
    const table = (await readdir(directory)).find((name) => name.endsWith('.ldb')) as string
    await truncate(join(directory, table), 10)
    await expect(openSigningRecord(directory, CHAIN_ID)).rejects.toMatchObject({ code: 'SIGNING_RECORD_CORRUPT' })
  })

  it('signing record: one that is damaged or empty is replaced for a member that recovers, and kept beside it; a good one stays', async () => {
    const directory = signingDirectory(data)
    await mkdir(directory)
    await (await openOrReplaceSigningRecord(directory, CHAIN_ID, b(1))).close()
    const manifest = (await readdir(directory)).find((name) => name.startsWith('MANIFEST')) as string
    await truncate(join(directory, manifest), 3)
    const second = await openOrReplaceSigningRecord(directory, CHAIN_ID, b(2))
    expect(second.read()).toEqual(b(2))
    await second.close()
    const third = await openOrReplaceSigningRecord(directory, CHAIN_ID, b(3))
    expect(third.read()).toEqual(b(2))
    await third.close()
    expect((await readdir(data)).filter((name) => name.startsWith('signing.lost-'))).toHaveLength(2)
  })

  it('signing record: what a process left that was killed while it created one is no record, and in nobody’s way', async () => {
    const directory = signingDirectory(data)
    await (await openLevel(`${directory}.new`, { mode: 'create' })).close()
    await createSigningRecord(directory, CHAIN_ID, b(1))
    expect(await readdir(data)).toEqual(['signing'])
  })

  it('signing record: a failed write → STORE_WRITE_FAILED for it and every later one; each write asks for fsync', async () => {
    const store = new MemoryStore()
    const record = new SigningRecord(store, b(1), await KeptBlocks.open(store))
    await record.write(b(2))
    expect(store.syncs).toEqual([true])
    store.failing = true
    await expect(record.write(b(3))).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED', exitCode: 74 })
    store.failing = false
    await expect(record.write(b(4))).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
    expect(record.read()).toEqual(b(2))
  })

  it('signing record: two writes at once are a bug', async () => {
    const store = new MemoryStore()
    const record = new SigningRecord(store, b(1), await KeptBlocks.open(store))
    const first = record.write(b(2))
    await expect(record.write(b(3))).rejects.toThrow('at once')
    await first
    expect(record.read()).toEqual(b(2))
  })

  it('signing record: a process killed while it writes leaves a record it wrote, none older than the last it acknowledged', async () => {
    const directory = signingDirectory(data)
    await createSigningRecord(directory, CHAIN_ID, b(0, 0))
    const child = spawn(process.execPath, [fileURLToPath(new URL('./signingWriter.ts', import.meta.url)), directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = 0
    for await (const chunk of child.stdout) {
      acknowledged = Number(String(chunk).trim().split('\n').at(-1))
      if (acknowledged > 40) break
    }
    const gone = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGKILL')
    await gone
    const record = await openSigningRecord(directory, CHAIN_ID)
    const [high, low] = record.read() as unknown as [number, number]
    expect(high * 256 + low).toBeGreaterThanOrEqual(acknowledged)
    await record.close()
  })
})
