import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Outcome, Pool, type PoolOptions } from '../../../node/pool/pool.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import type { Transaction } from '../../../protocol/transaction.ts'

const number = (length: number, value: number): Uint8Array => {
  const out = new Uint8Array(length)
  new DataView(out.buffer).setUint32(0, value)
  return out
}

function transaction(n: number, { size = 100, validUntil = 60_000, nonce = n } = {}): Transaction {
  const bytes = new Uint8Array(size)
  return {
    id: sha3(number(4, n)),
    bytes,
    body: bytes,
    signature: bytes,
    kind: 'kv.put',
    payload: null,
    nonce: number(16, nonce),
    validUntil,
  }
}
const idOf = (n: number): string => toHex(transaction(n).id)
const ids = (entries: readonly { id: string }[]): string[] => entries.map(({ id }) => id)
const ALL = { bytesMax: 10_000_000, countMax: 100_000 }
const NONE: ReadonlySet<string> = new Set()

function pool(options: Partial<PoolOptions> = {}): { pool: Pool; clock: { now: number } } {
  const clock = { now: 1_000_000 }
  const defaults = {
    countMax: 1000,
    bytesMax: 1_000_000,
    spanMs: 1000,
    committedMax: 100,
    listenersMax: 10,
    blockTime: 0,
  }
  return { pool: new Pool({ ...defaults, ...options }, () => clock.now), clock }
}

describe('pool: taking in', () => {
  it('pool: a transaction is held until it is committed, and found by id', () => {
    const { pool: p } = pool()
    const t = transaction(1)
    expect(p.add(t, 'a')).toBe('OK')
    expect(p.has(idOf(1))).toBe(true)
    expect(p.get(idOf(1))?.transaction).toBe(t)
    expect(p.stats).toEqual({ count: 1, bytes: 100, signers: 1, oldestSpanAt: 1_000_000, listeners: 0 })
    p.onCommitted([idOf(1)], 1)
    expect(p.has(idOf(1))).toBe(false)
    expect(p.stats).toEqual({ count: 0, bytes: 0, signers: 0, oldestSpanAt: null, listeners: 0 })
  })

  it('pool: the same transaction, or a second with the same nonce of one signer → POOL_DUPLICATE, pool unchanged', () => {
    const { pool: p } = pool()
    p.add(transaction(1), 'a')
    const before = p.stats
    expect(p.add(transaction(1), 'a')).toBe('POOL_DUPLICATE')
    expect(p.add(transaction(2, { nonce: 1 }), 'a')).toBe('POOL_DUPLICATE')
    expect(p.stats).toEqual(before)
    expect(p.add(transaction(2, { nonce: 1 }), 'b')).toBe('OK')
  })

  it('pool: a transaction committed lately → POOL_DUPLICATE, until so many others were committed that it is forgotten', () => {
    const { pool: p } = pool({ committedMax: 2 })
    p.onCommitted([idOf(1)], 1)
    expect(p.add(transaction(1), 'a')).toBe('POOL_DUPLICATE')
    p.onCommitted([idOf(2), idOf(3)], 2)
    expect(p.add(transaction(1), 'a')).toBe('OK')
  })

  it('pool: validUntil before the last block → TX_EXPIRED; more than an hour after it → TX_VALIDITY_TOO_LONG', () => {
    const { pool: p } = pool({ blockTime: 5000 })
    expect(p.add(transaction(1, { validUntil: 4999 }), 'a')).toBe('TX_EXPIRED')
    expect(p.add(transaction(1, { validUntil: 5000 }), 'a')).toBe('OK')
    const longest = 5000 + LIMITS.transactionValidityMsMax
    expect(p.add(transaction(2, { validUntil: longest + 1 }), 'a')).toBe('TX_VALIDITY_TOO_LONG')
    expect(p.add(transaction(2, { validUntil: longest }), 'a')).toBe('OK')
  })

  it('pool: one signer alone fills half, then → POOL_SIGNER_QUOTA; others still find room, and at last → POOL_FULL', () => {
    const { pool: p } = pool({ countMax: 100 })
    let n = 0
    while (p.add(transaction(++n), 'flood') === 'OK');
    expect(p.stats.count).toBe(50)
    expect(p.add(transaction(++n), 'flood')).toBe('POOL_SIGNER_QUOTA')
    for (let i = 0; i < 50; i++) expect(p.add(transaction(++n), `s${i}`)).toBe('OK')
    expect(p.add(transaction(++n), 'late')).toBe('POOL_FULL')
    expect(p.stats.count).toBe(100)
  })

  it('pool: the quota counts bytes as well', () => {
    const { pool: p } = pool({ bytesMax: 200_000 })
    expect(p.add(transaction(1, { size: 60_000 }), 'a')).toBe('OK')
    expect(p.add(transaction(2, { size: 60_000 }), 'a')).toBe('OK')
    expect(p.add(transaction(3, { size: 60_000 }), 'a')).toBe('POOL_SIGNER_QUOTA')
    expect(p.add(transaction(3, { size: 60_000 }), 'b')).toBe('OK')
    expect(p.add(transaction(4, { size: 60_000 }), 'c')).toBe('POOL_FULL')
  })
})

describe('pool: boundaries', () => {
  it('pool: a nonce is free again once its transaction has left', () => {
    const { pool: p } = pool()
    p.add(transaction(1), 'a')
    p.add(transaction(2), 'a')
    p.remove([idOf(1)], 'TX_FORBIDDEN')
    expect(p.add(transaction(3, { nonce: 1 }), 'a')).toBe('OK')
    expect(p.add(transaction(4, { nonce: 2 }), 'a')).toBe('POOL_DUPLICATE')
  })

  it('pool: a block of exactly validUntil does not expire a transaction, the next millisecond does', () => {
    const { pool: p } = pool()
    p.add(transaction(1, { validUntil: 500 }), 'a')
    p.onCommitted([], 500)
    expect(ids(p.take({ ...ALL, blockTime: 500 }, NONE))).toEqual([idOf(1)])
    p.onCommitted([], 501)
    expect(p.has(idOf(1))).toBe(false)
  })

  it('pool: bounds that could not hold two transactions → RangeError', () => {
    expect(() => pool({ bytesMax: 100_000 })).toThrow(RangeError)
    expect(() => pool({ countMax: 1 })).toThrow(RangeError)
  })
})

describe('pool: order', () => {
  it('pool: within a span signers take turns, each in its own order of arrival', () => {
    const { pool: p } = pool()
    for (const n of [1, 2, 3]) p.add(transaction(n), 'a')
    for (const n of [4, 5]) p.add(transaction(n), 'b')
    p.add(transaction(6), 'c')
    expect(ids(p.take(ALL, NONE))).toEqual([1, 4, 6, 2, 5, 3].map(idOf))
  })

  it('pool: a later span waits for the whole of an earlier one, whoever signed', () => {
    const { pool: p, clock } = pool()
    for (const n of [1, 2, 3]) p.add(transaction(n), 'a')
    clock.now += 1000
    p.add(transaction(4), 'b')
    p.add(transaction(5), 'a')
    expect(ids(p.take(ALL, NONE))).toEqual([1, 2, 3, 4, 5].map(idOf))
  })

  it('pool: a clock set back does not change the order of arrival', () => {
    const { pool: p, clock } = pool()
    p.add(transaction(1), 'a')
    clock.now -= 500_000
    p.add(transaction(2), 'b')
    expect(p.get(idOf(2))?.arrivedAt).toBe(1_000_000)
    clock.now += 501_000
    p.add(transaction(3), 'c')
    expect(ids(p.take(ALL, NONE))).toEqual([1, 2, 3].map(idOf))
  })

  it('pool: what is under way or expires before the block is left out, and stays', () => {
    const { pool: p } = pool()
    p.add(transaction(1), 'a')
    p.add(transaction(2, { validUntil: 500 }), 'b')
    p.add(transaction(3), 'c')
    expect(ids(p.take({ ...ALL, blockTime: 501 }, new Set([idOf(1)])))).toEqual([idOf(3)])
    expect(p.stats.count).toBe(3)
  })

  it('pool: one that does not fit holds back its signer’s later ones only, and is first in the next block', () => {
    const { pool: p } = pool()
    p.add(transaction(1, { size: 100 }), 'a')
    p.add(transaction(2, { size: 950 }), 'b')
    p.add(transaction(3, { size: 50 }), 'c')
    p.add(transaction(4, { size: 10 }), 'b')
    const first = ids(p.take({ bytesMax: 1000, countMax: 10 }, NONE))
    expect(first).toEqual([idOf(1), idOf(3)])
    p.onCommitted(first, 1)
    expect(ids(p.take({ bytesMax: 1000, countMax: 10 }, NONE))).toEqual([idOf(2), idOf(4)])
  })
})

describe('pool: leaving', () => {
  it('pool: listeners are told once: committed, refused with its code, expired', () => {
    const { pool: p } = pool()
    const told: [number, Outcome][] = []
    for (const n of [1, 2, 3]) {
      p.add(transaction(n, { validUntil: n === 3 ? 10 : 60_000 }), 'a')
      p.listen(idOf(n), (outcome) => told.push([n, outcome]))
    }
    p.remove([idOf(2), idOf(99)], 'TX_FORBIDDEN')
    p.onCommitted([idOf(1)], 11)
    p.onCommitted([idOf(1), idOf(2), idOf(3)], 12)
    expect(told).toEqual([
      [2, { kind: 'refused', code: 'TX_FORBIDDEN' }],
      [1, { kind: 'committed', blockTime: 11 }],
      [3, { kind: 'expired' }],
    ])
    expect(p.stats.listeners).toBe(0)
  })

  it('pool: who asks after the commit is told at once; who stops listening is not told; an unknown id has no wait', () => {
    const { pool: p } = pool()
    const told: Outcome[] = []
    p.add(transaction(1), 'a')
    const stop = p.listen(idOf(1), (outcome) => told.push(outcome))
    stop?.()
    stop?.()
    expect(p.stats.listeners).toBe(0)
    p.onCommitted([idOf(1)], 7)
    expect(told).toEqual([])
    p.listen(idOf(1), (outcome) => told.push(outcome))
    expect(told).toEqual([{ kind: 'committed', blockTime: 7 }])
    expect(p.listen(idOf(2), () => undefined)).toBeUndefined()
  })

  it('pool: more listeners than allowed → no wait', () => {
    const { pool: p } = pool({ listenersMax: 1 })
    p.add(transaction(1), 'a')
    expect(p.listen(idOf(1), () => undefined)).toBeDefined()
    expect(p.listen(idOf(1), () => undefined)).toBeUndefined()
  })
})

type Step =
  | { do: 'add'; signer: number; size: number; ahead: number; nonce: number }
  | { do: 'commit'; count: number; step: number }
  | { do: 'remove'; pick: number }
  | { do: 'wait'; ms: number }
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      signer: fc.integer({ min: 0, max: 4 }),
      size: fc.integer({ min: 80, max: 60_000 }),
      ahead: fc.integer({ min: 0, max: 5000 }),
      nonce: fc.integer({ min: 0, max: 200 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      count: fc.integer({ min: 0, max: 6 }),
      step: fc.integer({ min: 0, max: 1500 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 800 }) }) },
)

describe('pool: properties', () => {
  it('pool: counts and bytes equal what is held, nothing accepted leaves untold, and none is overtaken by more than a span', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const { pool: p, clock } = pool({ countMax: 60, bytesMax: 500_000, listenersMax: 1000, committedMax: 20 })
        const held = new Map<string, { size: number; validUntil: number; signer: string; order: number }>()
        const told = new Map<string, Outcome['kind']>()
        let time = 0
        let n = 0
        for (const s of steps) {
          if (s.do === 'wait') clock.now += s.ms
          else if (s.do === 'add') {
            const t = transaction(++n, { size: s.size, validUntil: time + s.ahead, nonce: s.nonce })
            const before = p.stats
            if (p.add(t, `s${s.signer}`) === 'OK') {
              const id = toHex(t.id)
              held.set(id, {
                size: s.size,
                validUntil: t.validUntil,
                signer: `s${s.signer}`,
                order: n,
              })
              expect(p.listen(id, ({ kind }) => told.set(id, kind))).toBeDefined()
            } else expect(p.stats).toEqual(before)
          } else if (s.do === 'remove') {
            const id = [...held.keys()][s.pick % (held.size || 1)]
            if (id === undefined) continue
            p.remove([id], 'TX_FORBIDDEN')
            expect(told.get(id)).toBe('refused')
            held.delete(id)
          } else {
            const taken = ids(p.take({ bytesMax: 2 * 65_536, countMax: s.count }, NONE))
            for (const id of taken) expect(held.has(id)).toBe(true)
            time += s.step
            p.onCommitted(taken, time)
            for (const id of taken) {
              expect(told.get(id)).toBe('committed')
              held.delete(id)
            }
            for (const [id, { validUntil }] of held) {
              if (validUntil >= time) continue
              expect(told.get(id)).toBe('expired')
              held.delete(id)
            }
          }
          expect(p.stats.count).toBe(held.size)
          expect(p.stats.bytes).toBe([...held.values()].reduce((sum, { size }) => sum + size, 0))
          expect(p.stats.signers).toBe(new Set([...held.values()].map(({ signer }) => signer)).size)
          for (const id of held.keys()) expect(p.has(id)).toBe(true)
          expect(p.stats.listeners).toBe(held.size)
        }
        const everything = p.take(ALL, NONE)
        expect(new Set(ids(everything))).toEqual(new Set(held.keys()))
        everything.forEach((later, i) => {
          for (const earlier of everything.slice(0, i)) {
            expect(earlier.arrivedAt - later.arrivedAt).toBeLessThan(1000)
            if (earlier.signer === later.signer)
              expect(held.get(earlier.id)?.order).toBeLessThan(held.get(later.id)?.order as number)
          }
        })
      }),
      { numRuns: 150 },
    )
  })

  it('pool: under a flood that never ends, a single transaction of another signer is taken within its span', () => {
    const { pool: p, clock } = pool({ countMax: 2000, bytesMax: 1_000_000 })
    let n = 0
    const flood = () => {
      while (p.add(transaction(++n, { validUntil: 3_000_000 }), `flood${n % 3}`) === 'OK');
    }
    flood()
    for (let waits = 0; waits < 20; waits++) {
      const quiet = transaction(++n, { validUntil: 3_000_000 })
      expect(p.add(quiet, 'quiet')).toBe('OK')
      const arrived = clock.now
      let blocks = 0
      while (p.has(toHex(quiet.id))) {
        p.onCommitted(ids(p.take({ bytesMax: 200_000, countMax: 100 }, NONE)), blocks)
        clock.now += 100
        flood()
        expect(++blocks).toBeLessThan(30)
      }
      expect(clock.now - arrived).toBeLessThan(3000)
    }
  })

  it('pool: it lets go of transactions that left, also while one of their span stays', async () => {
    const { pool: p, clock } = pool({ countMax: 4000, committedMax: 10 })
    const passing: WeakRef<Transaction>[] = []
    for (let n = 1; n <= 20_000; n++) {
      if (n % 10 === 0) clock.now += 10
      const t = transaction(n, { validUntil: 3_000_000 })
      const stays = n % 5000 === 1
      if (!stays) passing.push(new WeakRef(t))
      expect(p.add(t, stays ? 'stays' : `s${n % 3}`)).toBe('OK')
      if (!stays) p.onCommitted([toHex(t.id)], 1)
    }
    expect(p.stats.count).toBe(4)
    // A weak reference holds on until its job has ended.
    await new Promise(setImmediate)
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
    expect(passing.filter((reference) => reference.deref() !== undefined).length).toBeLessThan(500)
    expect(p.take(ALL, NONE)).toHaveLength(4)
  })
})
