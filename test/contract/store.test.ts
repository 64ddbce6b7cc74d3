/** One suite for every implementation of the key-value store. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { openLevel } from '../../node/store/level.ts'
import type { KeyValueStore, StoreOperation, StoreRange } from '../../node/store/store.ts'
import { compareBytes, toHex } from '../../protocol/bytes.ts'
import { MemoryStore } from './memoryStore.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const kinds: [string, () => Promise<KeyValueStore>][] = [
  ['memory', async () => new MemoryStore()],
  [
    'level',
    async () => {
      const directory = await mkdtemp(join(tmpdir(), 'althing-store-'))
      cleanups.push(() => rm(directory, { recursive: true, force: true }))
      return openLevel(join(directory, 'db'), { mode: 'create' })
    },
  ],
]

const b = (...values: number[]): Uint8Array => Uint8Array.from(values)
const put = (key: Uint8Array, value: Uint8Array): StoreOperation => ({ key, value })

async function keysOf(store: KeyValueStore, range: StoreRange): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of store.iterate(range)) keys.push(toHex(key))
  return keys
}

describe.each(kinds)('store %s', (_name, openStore) => {
  const open = async (): Promise<KeyValueStore> => {
    const store = await openStore()
    cleanups.push(() => store.close())
    return store
  }

  it('store: a key that was put is read by get, getSync and getMany; one that was not is undefined', async () => {
    const store = await open()
    await store.batch([put(b(1), b(9)), put(b(2), b())], { sync: true })
    expect(await store.get(b(1))).toStrictEqual(b(9))
    expect(store.getSync(b(1))).toStrictEqual(b(9))
    expect(store.getSync(b(2))?.length).toBe(0)
    expect(await store.get(b(3))).toBeUndefined()
    expect(store.getSync(b(3))).toBeUndefined()
    const many = await store.getMany([b(2), b(3), b(1)])
    expect(many.map((value) => value && toHex(value))).toEqual(['', undefined, '09'])
  })

  it('store: operations of a batch apply in order, a deletion after a put wins', async () => {
    const store = await open()
    await store.batch([put(b(1), b(1)), { key: b(1), value: undefined }, put(b(2), b(1)), put(b(2), b(2))], {
      sync: false,
    })
    expect(store.getSync(b(1))).toBeUndefined()
    expect(store.getSync(b(2))).toStrictEqual(b(2))
  })

  it('store: what was read does not change when the array that was written does', async () => {
    const store = await open()
    const value = b(1, 2, 3)
    await store.batch([put(b(1), value)], { sync: false })
    value[0] = 99
    expect(store.getSync(b(1))).toStrictEqual(b(1, 2, 3))
  })

  it('store: a walk sees the store as it was when it began', async () => {
    const store = await open()
    await store.batch([put(b(1), b(1)), put(b(2), b(1))], { sync: false })
    const walk = store.iterate({})[Symbol.asyncIterator]()
    await walk.next()
    await store.batch([put(b(3), b(1)), { key: b(2), value: undefined }], { sync: false })
    expect((await walk.next()).value?.[0]).toStrictEqual(b(2))
    expect((await walk.next()).done).toBe(true)
  })

  it('store: walks and reads of random contents equal those of a sorted list', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(key, fc.option(fc.uint8Array({ maxLength: 4 }), { nil: undefined })), { maxLength: 30 }),
        fc.option(key, { nil: undefined }),
        fc.option(key, { nil: undefined }),
        fc.boolean(),
        fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
        async (operations, gte, lt, reverse, limit) => {
          const store = await openStore()
          await store.batch(
            operations.map(([k, value]) => ({ key: k, value })),
            { sync: false },
          )
          const model = new Map(operations.map(([k, value]) => [toHex(k), value] as const))
          const kept = operations
            .map(([k]) => k)
            .filter((k, i, all) => all.findIndex((o) => toHex(o) === toHex(k)) === i)
          let expected = kept
            .filter((k) => model.get(toHex(k)) !== undefined)
            .filter((k) => (!gte || compareBytes(k, gte) >= 0) && (!lt || compareBytes(k, lt) < 0))
            .sort(compareBytes)
          if (reverse) expected.reverse()
          expected = expected.slice(0, limit ?? expected.length)
          const range = { ...(gte && { gte }), ...(lt && { lt }), reverse, ...(limit !== undefined && { limit }) }
          expect(await keysOf(store, range)).toEqual(expected.map(toHex))
          await store.close()
        },
      ),
      { numRuns: 40 },
    )
  })

  it('store: a walk longer than one read of the database is complete and in order', async () => {
    const store = await open()
    const operations = Array.from({ length: 2500 }, (_, i) => put(b(i >> 8, i & 255), b(1)))
    await store.batch(operations, { sync: false })
    const keys = await keysOf(store, {})
    expect(keys.length).toBe(2500)
    expect(keys).toEqual([...keys].sort())
    await store.compact(b(0), b(255))
  })

  it('store: a write after close → STORE_WRITE_FAILED; closing twice is no error', async () => {
    const store = await open()
    await store.close()
    await store.close()
    await expect(store.batch([put(b(1), b(1))], { sync: true })).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
  })
})
