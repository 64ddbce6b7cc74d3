import { expect, it } from 'vitest'
import type { Pool } from '../../../node/pool/pool.ts'
import { Bodies } from '../../../node/sync/bodies.ts'
import { bodiesAnswer } from '../../../node/sync/serve.ts'
import { encodeAs } from '../../../protocol/codec.ts'
import { sha3 } from '../../../protocol/crypto.ts'

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
    },
  )
  expect(await bodies.of(sha3(Uint8Array.of(7)), 1, [sha3(Uint8Array.of(9))], [0])).toBeNull()
  expect(asked.slice(0, 2)).toEqual(['member 0', 'member 1'])
  expect(bodies.fetched).toBe(0)
})
