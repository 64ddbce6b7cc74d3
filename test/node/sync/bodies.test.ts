import { expect, it } from 'vitest'
import type { Pool } from '../../../node/pool/pool.ts'
import { Bodies } from '../../../node/sync/bodies.ts'
import { bodiesAnswer } from '../../../node/sync/serve.ts'
import { encodeAs } from '../../../protocol/codec.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import type { Transaction } from '../../../protocol/transaction.ts'

it('bodies: an answer with more transactions than were asked for → what fits is looked at, the next member is asked', async () => {
  const asked: string[] = []
  let rounds = 0
  const bodies = new Bodies(
    {
      pool: { get: () => undefined } as unknown as Pool,
      intake: { signers: async (transactions) => transactions.map(() => undefined) },
      network: {
        async request(peer) {
          asked.push(peer)
          return encodeAs(bodiesAnswer, [Uint8Array.of(1), Uint8Array.of(2), null, Uint8Array.of(3)])
        },
      },
    },
    {
      others: () => [1],
      attempt: async (from, question) => question(`member ${from}`),
      isAbove: () => rounds++ < 8,
      pause: async () => undefined,
      arrival: async () => false,
    },
  )
  expect(await bodies.of(sha3(Uint8Array.of(7)), 1, [sha3(Uint8Array.of(9))], [0])).toBeNull()
  expect(asked.slice(0, 2)).toEqual(['member 0', 'member 1'])
  expect(bodies.fetched).toBe(0)
})

it('bodies: what is missing comes by gossip, beside much else → it is looked for as it comes, and nobody is asked', async () => {
  const data = Uint8Array.of(9)
  const transaction = { id: sha3(data), bytes: data } as Transaction
  let arrivals = 0
  const bodies = new Bodies(
    {
      pool: {
        get: () => (arrivals < 5 ? undefined : { transaction, signer: '02'.repeat(33) }),
      } as unknown as Pool,
      intake: { signers: async () => [] },
      network: { request: () => Promise.reject(new Error('asked')) },
    },
    {
      others: () => [1],
      attempt: () => Promise.reject(new Error('asked')),
      isAbove: () => true,
      pause: () => Promise.reject(new Error('paused')),
      async arrival() {
        arrivals++
        return true
      },
    },
  )
  expect(await bodies.of(sha3(Uint8Array.of(7)), 1, [transaction.id], [0])).toMatchObject([{ transaction }])
  expect(arrivals).toBe(5)
})

it('bodies: the pool takes in much, and what is missing is never among it → it is asked for', async () => {
  let arrivals = 0
  let rounds = 0
  const asked: number[] = []
  const bodies = new Bodies(
    {
      pool: { get: () => undefined } as unknown as Pool,
      intake: { signers: async () => [] },
      network: { request: () => Promise.reject(new Error('no answer')) },
    },
    {
      others: () => [1],
      async attempt(from) {
        asked.push(from)
        return null
      },
      isAbove: () => rounds++ < 100,
      pause: async () => undefined,
      async arrival() {
        arrivals++
        return true
      },
    },
  )
  expect(await bodies.of(sha3(Uint8Array.of(7)), 1, [sha3(Uint8Array.of(9))], [0])).toBeNull()
  expect(arrivals).toBe(60)
  expect(asked.length).toBeGreaterThan(1)
})
