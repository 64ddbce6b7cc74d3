import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../protocol/bytes.ts'
import { encodeCbor } from '../../protocol/cbor.ts'
import {
  BlockExecution,
  checkTime,
  checkTransaction,
  executeTransactions,
  identityOf,
  namesOf,
  Overlay,
  ReplayWindow,
  readTransaction,
  STATE_ENTRIES_RESERVED,
} from '../../protocol/execution.ts'
import { kvStateKey } from '../../protocol/kinds/kv/kv.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { address, blacklisting, CHAIN, Chain, key, make, registration, secretKey, TIME } from './kinds/consortium.ts'

const A = 11
const put = (name: string, signer = A) => make('kv.put', signer, { key: name, value: new Uint8Array(1) })

describe('reading', () => {
  const transaction = signTransaction(
    { kind: 'kv.put', payload: ['k', Uint8Array.of(1)], nonce: new Uint8Array(16), validUntil: TIME + 1 },
    CHAIN,
    secretKey(A),
  )

  it('a signed transaction → its signer, and it applies', () => {
    const read = readTransaction(transaction.bytes, CHAIN)
    expect(read).toMatchObject({ signer: key(A) })
    if (typeof read !== 'string') expect(checkTransaction(read, new Chain().surroundings())).toBeNull()
  })

  it('a transaction for another chain → a signer that nobody knows', () => {
    const read = readTransaction(transaction.bytes, new Uint8Array(32))
    if (typeof read === 'string') expect(read).toBe('TX_SIGNATURE')
    else expect(checkTransaction(read, new Chain().surroundings())).toBe('TX_UNKNOWN_SIGNER')
  })

  it.each([
    ['nothing', new Uint8Array(0), 'TX_MALFORMED'],
    ['another shape', encodeCbor([1, 2]), 'TX_MALFORMED'],
    ['a byte too many', concat(transaction.bytes, new Uint8Array(1)), 'TX_MALFORMED'],
    ['64 KiB and one byte', new Uint8Array(LIMITS.transactionBytesMax + 1), 'TX_TOO_LARGE'],
    ['a length in a longer form', concat(Uint8Array.of(0x98, 2), transaction.bytes.subarray(1)), 'TX_NON_CANONICAL'],
    ['a signature of zeros', encodeCbor([transaction.body, new Uint8Array(65)]), 'TX_SIGNATURE'],
  ])('%s → refused', (_what, data, code) => {
    expect(readTransaction(data, CHAIN)).toBe(code)
  })

  it('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => typeof readTransaction(data, CHAIN) === 'string'),
    )
  })
})

describe('time and replay', () => {
  it.each([
    [TIME - 1, 'TX_EXPIRED'],
    [TIME, null],
    [TIME + LIMITS.transactionValidityMsMax, null],
    [TIME + LIMITS.transactionValidityMsMax + 1, 'TX_VALIDITY_TOO_LONG'],
  ] as const)('validUntil %i at block time 10 000 000 → %s', (validUntil, code) => {
    expect(checkTime({ validUntil }, TIME)).toBe(code)
    const transaction = make('kv.put', A, { key: 'k', value: new Uint8Array(1) }, { validUntil })
    expect(checkTransaction(transaction, new Chain().surroundings())).toBe(code)
  })

  it('the same nonce twice in one block → TX_REPLAYED; of another signer → applied', () => {
    const first = put('a')
    const { nonce } = first.transaction
    const { use } = identityOf(first.transaction, namesOf(first.signer))
    const execution = new BlockExecution(new Chain().surroundings())
    expect(execution.apply(first)).toBeNull()
    expect(execution.apply(make('kv.put', A, { key: 'b', value: new Uint8Array(1) }, { nonce }))).toBe('TX_REPLAYED')
    expect(execution.apply(make('kv.put', 12, { key: 'b', value: new Uint8Array(1) }, { nonce }))).toBeNull()
    expect(execution.has(use, TIME)).toBe(true)
    expect(execution.nonces()).toHaveLength(2)
  })

  it('a nonce of a committed block → TX_REPLAYED until it expires, then free again', () => {
    const window = new ReplayWindow()
    const first = put('a')
    const { use } = identityOf(first.transaction, namesOf(first.signer))
    const surroundings = { ...new Chain().surroundings(), seen: window.has.bind(window) }
    const execution = new BlockExecution(surroundings)
    expect(execution.apply(first)).toBeNull()
    window.commit(execution.nonces(), TIME)
    expect(checkTransaction(first, surroundings)).toBe('TX_REPLAYED')
    expect(window.has(use, use.validUntil)).toBe(true)
    expect(window.has(use, use.validUntil + 1)).toBe(false)
  })

  it('a refused transaction does not use its nonce up', () => {
    const execution = new BlockExecution(new Chain().surroundings())
    const refused = make('kv.delete', A, { key: 'absent' })
    expect(execution.apply(refused)).toBe('KV_UNKNOWN')
    expect(execution.nonces()).toEqual([])
  })

  it('the window answers as a list of all nonces would, and forgets what expired', () => {
    const use = fc.record({ nonce: fc.integer({ min: 0, max: 5 }), life: fc.integer({ min: 0, max: 200_000 }) })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 90_000 }), use), { maxLength: 40 }), (blocks) => {
        const window = new ReplayWindow()
        const all: { nonce: number; validUntil: number }[] = []
        let time = 0
        for (const [later, { nonce, life }] of blocks) {
          time += later
          const bytes = new Uint8Array(16).fill(nonce)
          const use = { key: `aa${nonce}`, hash: bytes, validUntil: time + life }
          const expected = all.some((used) => used.nonce === nonce && used.validUntil >= time)
          expect(window.has(use, time)).toBe(expected)
          const fresh = expected ? [] : [use]
          if (!expected) all.push({ nonce, validUntil: time + life })
          window.commit(fresh, time)
        }
        window.commit([], time + 300_000)
        expect(window.size).toBe(0)
      }),
    )
  })
})

describe('blocks', () => {
  it('all transactions apply → the state after them', () => {
    const outcome = executeTransactions([put('a'), put('b', 12)], new Chain().surroundings())
    expect('applied' in outcome && [...outcome.applied.state.changes().keys()]).toEqual([
      kvStateKey(address(A), 'a'),
      kvStateKey(address(12), 'b'),
    ])
  })

  it('the first refusal → its index and code', () => {
    const chain = new Chain()
    const before = chain.picture()
    const outcome = executeTransactions([put('a'), put('b', 99), put('c')], chain.surroundings())
    expect(outcome).toEqual({ index: 1, code: 'TX_UNKNOWN_SIGNER' })
    expect(chain.picture()).toEqual(before)
  })

  it('a transaction sees those before it in the block', () => {
    const steps = [
      make('device.register', A, registration(51)),
      put('a', 51),
      make('access.blacklist', A, blacklisting(51)),
      put('b', 51),
    ]
    expect(executeTransactions(steps, new Chain().surroundings())).toEqual({ index: 3, code: 'DEVICE_BLACKLISTED' })
  })

  it('a full state → STATE_FULL for new entries, not for changes, deletes or the blacklist', () => {
    const chain = new Chain()
    for (const step of [put('old'), make('device.register', A, registration(51))]) expect(chain.apply(step)).toBeNull()
    const full = { ...chain.surroundings(), entries: LIMITS.stateEntriesMax - STATE_ENTRIES_RESERVED }
    expect(checkTransaction(put('new'), full)).toBe('STATE_FULL')
    expect(checkTransaction(put('old'), full)).toBeNull()
    expect(checkTransaction(make('access.blacklist', A, blacklisting(51)), full)).toBeNull()
    const steps = [make('kv.delete', A, { key: 'old' }), put('new'), put('newer')]
    expect(executeTransactions(steps, full)).toEqual({ index: 2, code: 'STATE_FULL' })
    const brimful = { ...full, entries: LIMITS.stateEntriesMax }
    expect(checkTransaction(make('access.blacklist', A, blacklisting(51)), brimful)).toBe('STATE_FULL')
  })
})

describe('overlay', () => {
  it('behaves as a copy of its base, nested or not, and its changes lead from one to the other', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd')
    const operation = fc.record({ name, value: fc.option(fc.integer({ min: 0, max: 255 })) })
    const base = fc.dictionary(name, fc.integer({ min: 0, max: 255 }), { noNullPrototype: true })
    fc.assert(
      fc.property(base, fc.array(operation), fc.array(operation), (start, outer, inner) => {
        const state = new Map<string, Uint8Array>(
          Object.entries(start).map(([key, value]) => [key, Uint8Array.of(value)]),
        )
        const copy = new Map(state)
        const below = new Overlay(state)
        const play = (overlay: Overlay, operations: typeof outer): void => {
          for (const { name: key, value } of operations) {
            if (value === null) {
              overlay.delete(key)
              copy.delete(key)
            } else {
              overlay.put(key, Uint8Array.of(value))
              copy.set(key, Uint8Array.of(value))
            }
            expect(overlay.get(key)).toEqual(copy.get(key))
          }
        }
        play(below, outer)
        const above = new Overlay(below)
        play(above, inner)
        above.commitTo(below)
        expect(below.entriesAdded).toBe(copy.size - state.size)
        const reached = new Map(state)
        for (const [key, value] of below.changes()) {
          if (value !== null) reached.set(key, value)
          else expect(reached.delete(key)).toBe(true)
        }
        expect(new Map([...reached].sort())).toEqual(new Map([...copy].sort()))
      }),
    )
  })
})
