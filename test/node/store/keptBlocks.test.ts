import { expect, it } from 'vitest'
import { KEPT_BLOCKS_MAX, type KeptBlock, KeptBlocks } from '../../../node/store/keptBlocks.ts'
import { SigningRecord } from '../../../node/store/signingRecord.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'

const blockAt = (height: number, hash = height): KeptBlock => ({
  height,
  hash: new Uint8Array(32).fill(hash),
  header: Uint8Array.of(1, height),
  transactions: [Uint8Array.of(2, height), Uint8Array.of(3, height)],
})
const nameOf = ({ hash }: KeptBlock): string => Buffer.from(hash).toString('hex')

async function opened(store: MemoryStore): Promise<SigningRecord> {
  return new SigningRecord(store, new Uint8Array(0), await KeptBlocks.open(store))
}

it('kept blocks: one is durable with the next record and not before, in the same synced batch, with its proposal', async () => {
  const store = new MemoryStore()
  const record = await opened(store)
  record.blocks.keep(blockAt(5))
  record.blocks.keepFrame(nameOf(blockAt(5)), Uint8Array.of(9))
  expect(await (await KeptBlocks.open(store)).stored()).toEqual([])
  await record.write(Uint8Array.of(1))
  expect(store.syncs).toEqual([true])
  expect(await (await KeptBlocks.open(store)).stored()).toEqual([{ ...blockAt(5), frame: Uint8Array.of(9) }])
})

it('kept blocks: they come back in order of height; what is committed is let go, forks below it too', async () => {
  const store = new MemoryStore()
  const record = await opened(store)
  for (const block of [blockAt(7), blockAt(6), blockAt(6, 66), blockAt(8)]) record.blocks.keep(block)
  await record.write(Uint8Array.of(1))
  const again = await opened(store)
  expect((await again.blocks.stored()).map(({ height }) => height)).toEqual([6, 6, 7, 8])
  again.blocks.forgetUpTo(7)
  await again.write(Uint8Array.of(2))
  expect((await (await KeptBlocks.open(store)).stored()).map(({ height }) => height)).toEqual([8])
})

it('kept blocks: a proposal of a block that is not kept is passed over; more blocks than the bound → the one kept first goes', async () => {
  const store = new MemoryStore()
  const record = await opened(store)
  record.blocks.keepFrame(nameOf(blockAt(1)), Uint8Array.of(9))
  for (let height = 1; height <= KEPT_BLOCKS_MAX + 2; height++) record.blocks.keep(blockAt(height))
  await record.write(Uint8Array.of(1))
  expect(record.blocks.size).toBe(KEPT_BLOCKS_MAX)
  const stored = await (await KeptBlocks.open(store)).stored()
  expect(stored.map(({ height }) => height).slice(0, 2)).toEqual([3, 4])
  expect(stored).toHaveLength(KEPT_BLOCKS_MAX)
})
