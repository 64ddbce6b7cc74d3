/** What damage to files and kills leave of a ledger and of a signing record. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FAILURES } from '../../../node/failures.ts'
import { type LedgerStore, openLedger } from '../../../node/store/ledgerStore.ts'
import { openLevel } from '../../../node/store/level.ts'
import { CHAIN_ID, filledLedger, idsOf } from './fixture.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'althing-damage-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const HEIGHT = 150

async function writeLedger(): Promise<string> {
  const location = join(directory, 'ledger')
  const { ledger } = await filledLedger(await openLevel(location, { mode: 'create' }), HEIGHT)
  await ledger.close()
  return location
}

/** Opens the ledger; what fails is closed again. */
async function reopen(location: string): Promise<LedgerStore> {
  const store = await openLevel(location, { mode: 'open' })
  try {
    return openLedger(store, { chainId: CHAIN_ID })
  } catch (error) {
    await store.close()
    throw error
  }
}

const fileOf = async (location: string, pattern: RegExp): Promise<string> =>
  join(location, (await readdir(location)).find((name) => pattern.test(name)) as string)

describe('damage on disk', () => {
  it('ledger: a log that lost its end → an earlier height, whole', async () => {
    const location = await writeLedger()
    const log = await fileOf(location, /\.log$/)
    await truncate(log, Math.floor((await stat(log)).size / 2))
    const ledger = await reopen(location)
    expect(ledger.committedHeight).toBeGreaterThan(10)
    expect(ledger.committedHeight).toBeLessThan(HEIGHT)
    expect(await ledger.check({ transactionIdsOf: idsOf })).toEqual([])
    await ledger.close()
  })

  it('ledger: a log damaged in its middle, which LevelDB passes over in silence → STORE_CORRUPT', async () => {
    const location = await writeLedger()
    const log = await fileOf(location, /\.log$/)
    const size = (await stat(log)).size
    expect(size).toBeGreaterThan(3 * 32_768)
    const file = await open(log, 'r+')
    await file.write(Buffer.alloc(64, 0xff), 0, 64, 32_768 + 1000)
    await file.close()
    await expect(reopen(location)).rejects.toMatchObject({ code: 'STORE_CORRUPT', exitCode: 65 })
  })

  it('ledger: CURRENT or the manifest damaged or gone → STORE_CORRUPT', async () => {
    const location = await writeLedger()
    const manifest = await fileOf(location, /^MANIFEST/)
    await truncate(join(location, 'CURRENT'), 4)
    await expect(reopen(location)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    await rm(manifest)
    await expect(reopen(location)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })

  it('ledger: a table cut short or emptied → STORE_CORRUPT, whose advice is not the check that ends in it', async () => {
    const location = join(directory, 'ledger')
    const { ledger } = await filledLedger(
      await openLevel(location, { mode: 'create', writeBufferBytes: 65_536 }),
      HEIGHT,
    )
    await ledger.close()
    const tables = (await readdir(location)).filter((name) => name.endsWith('.ldb'))
    expect(tables.length).toBeGreaterThan(0)
    for (const bytesOf of [(size: number) => Math.floor(size / 2), () => 0]) {
      for (const table of tables)
        await truncate(join(location, table), bytesOf((await stat(join(location, table))).size))
      await expect(reopen(location)).rejects.toMatchObject({ code: 'STORE_CORRUPT', exitCode: 65 })
    }
    for (const { advice } of [FAILURES.STORE_CORRUPT, FAILURES.STORE_READ_FAILED]) {
      expect(advice).not.toContain('db check')
      expect(advice).toMatch(/move the directory `ledger`.*never `signing`.*start/)
    }
  })

  it('ledger: a process killed while it commits leaves every block that it had acknowledged, and a whole ledger', async () => {
    const location = join(directory, 'ledger')
    const writer = fileURLToPath(new URL('./ledgerWriter.ts', import.meta.url))
    const child = spawn(process.execPath, [writer, location], { stdio: ['ignore', 'pipe', 'inherit'] })
    let acknowledged = 0
    for await (const chunk of child.stdout) {
      acknowledged = Number(String(chunk).trim().split('\n').at(-1))
      if (acknowledged > 30) break
    }
    const gone = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGKILL')
    await gone
    const ledger = await reopen(location)
    expect(ledger.committedHeight).toBeGreaterThanOrEqual(acknowledged)
    expect(await ledger.check({ transactionIdsOf: idsOf })).toEqual([])
    await ledger.close()
  })
})
