import { describe, expect, it } from 'vitest'
import { decodeCbor } from '../../protocol/cbor.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { decodeTransaction, signerOf } from '../../protocol/transaction.ts'
import { handIn, Load, loadTransaction } from '../../testnet/load.ts'
import { until } from '../../testnet/testnet.ts'

const chainId = new Uint8Array(32).fill(5)
const secretKey = new Uint8Array(32).fill(6)
type Api = Parameters<typeof handIn>[0]

/** An API that takes every transaction but those for which `refuses` holds. */
const apiOf = (lists: Uint8Array[][], refuses: (i: number) => boolean = () => false): Api => ({
  send: () => Promise.reject(new Error('not used')),
  open: () => Promise.reject(new Error('not used')),
  async json({ body }) {
    const list = decodeCbor(body?.bytes ?? new Uint8Array()) as Uint8Array[]
    lists.push(list)
    return {
      items: list.map((bytes, i) => ({
        id: Buffer.from(decodeTransaction(bytes).id).toString('hex'),
        ...(refuses(i) ? { status: 'refused', code: 'POOL_FULL' } : { status: 'accepted' }),
      })),
    }
  },
})

describe('load', () => {
  it('load: a transaction has exactly the size that was asked for, is signed, and never the same twice', () => {
    for (const size of [200, 300, 301, 555, 4000]) {
      const transaction = loadTransaction({ key: 'load/1', validForMs: 60_000, size }, chainId, secretKey)
      expect(transaction.bytes.length).toBe(size)
      expect(signerOf(transaction, chainId)).toEqual(publicKeyOf(secretKey))
    }
    const ids = Array.from({ length: 20 }, () =>
      loadTransaction({ key: 'k', validForMs: 1 }, chainId, secretKey).id.join(),
    )
    expect(new Set(ids).size).toBe(20)
    expect(() => loadTransaction({ key: 'k', validForMs: 1, size: 50 }, chainId, secretKey)).toThrow(RangeError)
  })

  it('load: of a list, the ids that were taken and the refusals by code are told apart', async () => {
    const list = [1, 2, 3].map((i) => loadTransaction({ key: `k${i}`, validForMs: 1000 }, chainId, secretKey))
    const answer = await handIn(
      apiOf([], (i) => i === 1),
      list.map(({ bytes }) => bytes),
    )
    expect(answer.accepted).toEqual([list[0], list[2]].map((one) => Buffer.from(one?.id ?? '').toString('hex')))
    expect(answer.refused).toEqual({ POOL_FULL: 1 })
  })

  it('load: it goes in turn to the members that can be used, until it is stopped', async () => {
    const [one, two]: [Uint8Array[][], Uint8Array[][]] = [[], []]
    const source = (lists: Uint8Array[][], usable: boolean) => ({
      api: async () => apiOf(lists),
      secretKey,
      usable: () => usable,
    })
    const load = new Load(chainId, [source(one, true), source(two, false)], 100)
    load.start()
    expect(await until(() => load.counts.accepted >= 20, 5000)).toBe(true)
    load.stop()
    expect([one.length > 1, two.length]).toEqual([true, 0])
    expect(load.latest.length).toBe(load.counts.accepted)
  })
})
