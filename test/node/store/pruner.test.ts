import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createLedger, type LedgerStore, openLedger } from '../../../node/store/ledgerStore.ts'
import { openLevel } from '../../../node/store/level.ts'
import type { BodyReader } from '../../../node/store/prune.ts'
import { isArchive, type Keep, Pruner } from '../../../node/store/pruner.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { CHAIN_ID, ChainMaker, filledLedger, idsOf, readBody } from './fixture.ts'

const silent = { info() {} }
const clock = {
  after(_delayMs: number, run: () => void) {
    setImmediate(run)
    return { cancel() {} }
  },
}

function prunerOf(
  ledger: LedgerStore,
  keep: Keep,
  { keepFrom = Number.POSITIVE_INFINITY, read = readBody }: { keepFrom?: number; read?: BodyReader } = {},
): { pruner: Pruner; failures: unknown[] } {
  const failures: unknown[] = []
  const fatal = (error: unknown): void => void failures.push(error)
  return {
    pruner: new Pruner(keep, { ledger, clock, readBody: read, keepFrom: () => keepFrom, log: silent, fatal }),
    failures,
  }
}

async function untilAt(ledger: LedgerStore, firstBody: number): Promise<void> {
  while (ledger.firstBody < firstBody) await new Promise((resolve) => setImmediate(resolve))
}

/** A ledger of 400 blocks, one a second, and a last one days later. */
async function oldLedger(store = new MemoryStore()): Promise<LedgerStore> {
  const { ledger, maker } = await filledLedger(store, 400)
  await ledger.commitBlock(maker.next({ time: 500_000_000 }))
  return ledger
}

it('pruner: bodies of all but the last blocks go, in several steps, and the ledger stays whole', async () => {
  const ledger = await oldLedger()
  const { pruner, failures } = prunerOf(ledger, { blocks: 10, hours: 0 })
  pruner.committed()
  await untilAt(ledger, 392)
  await pruner.stop()
  expect(ledger.firstBody).toBe(392)
  expect(failures).toEqual([])
  expect(await ledger.check({ transactionIdsOf: idsOf })).toEqual([])
})

it('pruner: an archive drops nothing; what a snapshot needs is kept; both settings have to let a body go', async () => {
  const ledger = await oldLedger()
  expect(isArchive({ blocks: 0, hours: 0 })).toBe(true)
  for (const [keep, keepFrom] of [
    [{ blocks: 0, hours: 0 }, Number.POSITIVE_INFINITY],
    [{ blocks: 10, hours: 0 }, 1],
    [{ blocks: 10, hours: 1000 }, Number.POSITIVE_INFINITY],
    [{ blocks: 390, hours: 1 }, Number.POSITIVE_INFINITY],
  ] as const) {
    const { pruner } = prunerOf(ledger, keep, { keepFrom })
    pruner.committed()
    await pruner.stop()
    expect(ledger.firstBody).toBe(1)
  }
  const { pruner } = prunerOf(ledger, { blocks: 0, hours: 1 }, { keepFrom: 300 })
  pruner.committed()
  await untilAt(ledger, 300)
  await pruner.stop()
  expect(ledger.firstBody).toBe(300)
})

it('pruner: a failed write is fatal, and wherever it ended the ledger opens whole', async () => {
  for (const batches of [0, 1, 3]) {
    const store = new MemoryStore()
    const ledger = await oldLedger(store)
    const { pruner, failures } = prunerOf(ledger, { blocks: 10, hours: 0 })
    const end = store.syncs.length + batches
    const write = store.batch.bind(store)
    store.batch = async (...given) => {
      store.failing = store.syncs.length >= end
      return write(...given)
    }
    pruner.committed()
    while (failures.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(failures).toEqual([expect.objectContaining({ code: 'STORE_WRITE_FAILED' })])
    store.failing = false
    const again = openLedger(store, { chainId: CHAIN_ID })
    expect(again.firstBody).toBe(1 + 64 * batches)
    expect(await again.check({ transactionIdsOf: idsOf })).toEqual([])
  }
})

it('pruner: on a real disk the space of dropped bodies is given back', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'althing-prune-'))
  const usedBytes = (): number => Number(execFileSync('du', ['-sb', directory], { encoding: 'utf8' }).split('\t')[0])
  const store = await openLevel(join(directory, 'ledger'), { mode: 'create', writeBufferBytes: 1024 * 1024 })
  try {
    const maker = new ChainMaker()
    await createLedger(store, CHAIN_ID, maker.genesis)
    const ledger = openLedger(store, { chainId: CHAIN_ID })
    // 1000 blocks of 130 transactions of 300 bytes that do not compress.
    for (let i = 0; i < 1000; i++) {
      const block = maker.next({ time: i === 999 ? 500_000_000 : i * 1000 })
      const noise = crypto.getRandomValues(new Uint8Array(39_000))
      await ledger.commitBlock({ ...block, body: noise })
    }
    const before = usedBytes()
    const read: BodyReader = (body) => ({
      transactionIds: Array.from({ length: 130 }, (_, i) => body.subarray(300 * i, 300 * i + 32)),
      deviceEvents: [],
    })
    const { pruner } = prunerOf(ledger, { blocks: 10, hours: 0 }, { read })
    pruner.committed()
    await untilAt(ledger, 991)
    await pruner.stop()
    const after = usedBytes()
    expect(before).toBeGreaterThan(35_000_000)
    expect(after).toBeLessThan(before / 2)
  } finally {
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
}, 60_000)
