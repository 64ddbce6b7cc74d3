import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { REPLAY_RECORD_BYTES, ReplayWindow, replaySince } from '../../../node/store/replayWindow.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { CHAIN_ID, ChainMaker, filledLedger } from './fixture.ts'

const signer = (i: number): Uint8Array => new Uint8Array(33).fill(i)
const nonce = (i: number): Uint8Array => {
  const out = new Uint8Array(16)
  new DataView(out.buffer).setUint32(0, i)
  return out
}
const HOUR = LIMITS.transactionValidityMsMax

async function* each(records: Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* records
}

describe('replay window', () => {
  it('replay window: a pair counts for its signer until its validUntil has passed', () => {
    const window = new ReplayWindow()
    window.expire(1_000)
    expect(window.add({ signer: signer(1), nonce: nonce(1), validUntil: 5_000 })).toBe(true)
    expect(window.has(signer(1), nonce(1))).toBe(true)
    expect(window.has(signer(2), nonce(1))).toBe(false)
    expect(window.has(signer(1), nonce(2))).toBe(false)
    window.expire(5_000)
    expect(window.has(signer(1), nonce(1))).toBe(true)
    window.expire(5_001)
    expect(window.has(signer(1), nonce(1))).toBe(false)
  })

  it('replay window: a full one refuses, unchanged, and has room again when a slice has passed', () => {
    const window = new ReplayWindow({ entriesMax: 2 })
    window.expire(0)
    expect(window.add({ signer: signer(1), nonce: nonce(1), validUntil: 10 })).toBe(true)
    expect(window.add({ signer: signer(1), nonce: nonce(2), validUntil: 10 })).toBe(true)
    expect(window.roomAt(20)).toBe(0)
    expect(window.add({ signer: signer(1), nonce: nonce(3), validUntil: 10 })).toBe(false)
    expect(window.has(signer(1), nonce(3))).toBe(false)
    expect(window.roomAt(HOUR)).toBe(2)
  })

  it('replay window: a validUntil beyond the hour, before its block, or no number → RangeError; times do not fall', () => {
    const window = new ReplayWindow()
    window.expire(10_000_000)
    for (const validUntil of [10_000_000 + HOUR + 1, 1, Number.NaN])
      expect(() => window.add({ signer: signer(1), nonce: nonce(1), validUntil })).toThrow(RangeError)
    expect(() => window.expire(9_999_999)).toThrow(RangeError)
  })

  it('replay window: it answers as a plain map does, over random blocks, and a rebuilt one answers and has room alike', async () => {
    const block = fc.record({
      step: fc.integer({ min: 0, max: 900_000 }),
      pairs: fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: HOUR })), { maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 25 }), async (blocks) => {
        const window = new ReplayWindow()
        const model = new Map<number, number>()
        const packed: { time: number; records: Uint8Array }[] = []
        let time = 0
        for (const { step, pairs } of blocks) {
          time += step
          window.expire(time)
          const added = pairs
            .filter(([n], i) => pairs.findIndex(([m]) => m === n) === i && !((model.get(n) ?? -1) >= time))
            .map(([n, ahead]) => ({ n, signer: signer(1), nonce: nonce(n), validUntil: time + ahead }))
          for (const pair of added) {
            window.add(pair)
            model.set(pair.n, pair.validUntil)
          }
          packed.push({ time, records: ReplayWindow.pack(added) })
        }
        const recent = packed.filter((p) => p.time >= replaySince(time)).map((p) => p.records)
        const rebuilt = await ReplayWindow.rebuild(each(recent), time)
        for (let n = 0; n <= 30; n++) {
          const used = (model.get(n) ?? -1) >= time
          expect(window.has(signer(1), nonce(n))).toBe(used)
          expect(rebuilt.has(signer(1), nonce(n))).toBe(used)
        }
        expect(rebuilt.roomAt(time)).toBe(window.roomAt(time))
        expect(rebuilt.size).toBe(window.size)
      }),
      { numRuns: 100 },
    )
  })

  it('replay window: memory is given back as the hour passes, however long it runs', () => {
    const window = new ReplayWindow()
    let most = 0
    for (let time = 0; time < 12 * HOUR; time += 60_000) {
      window.expire(time)
      for (let i = 0; i < 50; i++) window.add({ signer: signer(1), nonce: nonce(time + i), validUntil: time + HOUR })
      most = Math.max(most, window.reservedBytes)
    }
    expect(window.size).toBeLessThanOrEqual(50 * 71)
    expect(most).toBeLessThanOrEqual(8 * 24 * 1024 * 2)
  })

  it('replay window: 20 000 pairs take at most 34 bytes each, and each is found again with its expiry', () => {
    const window = new ReplayWindow()
    const count = 20_000
    const until = (i: number): number => 600_000 + ((i * 7919) % 600_000)
    for (let i = 0; i < count; i++) window.add({ signer: signer(1), nonce: nonce(i), validUntil: until(i) })
    expect(window.size).toBe(count)
    expect(window.reservedBytes).toBeLessThanOrEqual(34 * count)
    for (let i = 0; i < count; i += 97) {
      expect(window.hasAt(signer(1), nonce(i), until(i))).toBe(true)
      expect(window.hasAt(signer(1), nonce(i), until(i) + 1)).toBe(false)
    }
    expect(window.hasAt(signer(1), nonce(count), 0)).toBe(false)
  })

  it('replay window: it is rebuilt from the ledger, and malformed records are refused', async () => {
    const { ledger } = await filledLedger(new MemoryStore(), 5)
    const window = await ReplayWindow.rebuild(ledger.replayRecordsSince(replaySince(5000)), 5000)
    const last = new ChainMaker()
    let block = last.next()
    for (let i = 0; i < 4; i++) block = last.next()
    const [id] = block.transactionIds as [Uint8Array]
    expect(window.has(CHAIN_ID, id.subarray(0, 16))).toBe(true)
    expect(block.replayRecords.length).toBe(2 * REPLAY_RECORD_BYTES)
    await expect(ReplayWindow.rebuild(each([new Uint8Array(25)]), 0)).rejects.toThrow(RangeError)
    await expect(ReplayWindow.rebuild(each([block.replayRecords]), 5000, { entriesMax: 1 })).rejects.toThrow('too many')
  })
})
