import { afterEach, describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../../node/crypto/native.ts'
import type { SignatureItem } from '../../../node/crypto/packing.ts'
import { SignaturePool } from '../../../node/crypto/pool.ts'
import { noblePrimitives } from '../../../protocol/crypto.ts'

const pools: SignaturePool[] = []
const pool = (options = {}): SignaturePool => {
  const made = new SignaturePool(options)
  pools.push(made)
  return made
}
afterEach(async () => {
  await Promise.all(pools.splice(0).map((made) => made.close()))
})

const secret = (i: number): Uint8Array => new Uint8Array(32).fill(1 + (i % 200))
const item = (i: number): SignatureItem => {
  if (i % 2 === 0) {
    const digest = new Uint8Array(32).fill(i)
    return { digest, signature: nativePrimitives.sign(digest, secret(i)) }
  }
  const body = new Uint8Array(i).fill(i)
  return { body, signature: nativePrimitives.sign(noblePrimitives.sha3_256(body), secret(i)) }
}

describe('signature pool', () => {
  it('pool: digests and bodies over many chunks and two threads → the signers, in order', async () => {
    const items = Array.from({ length: 700 }, (_, i) => item(i))
    const keys = await pool({ size: 2 }).recover(items)
    expect(keys).toEqual(items.map((_, i) => nativePrimitives.publicKey(secret(i))))
  })

  it('pool: malformed items among good ones → undefined in their places only', async () => {
    const good = item(4)
    const keys = await pool().recover([
      { digest: new Uint8Array(31), signature: good.signature },
      good,
      { digest: new Uint8Array(32), signature: new Uint8Array(64) },
      { body: new Uint8Array(0), signature: new Uint8Array(65).fill(255) },
    ])
    expect(keys).toEqual([undefined, nativePrimitives.publicKey(secret(4)), undefined, undefined])
  })

  it('pool: one alone → the same answer as among many, malformed ones too', async () => {
    for (const one of [
      item(4),
      item(5),
      { ...item(4), signature: new Uint8Array(64) },
      { ...item(6), digest: new Uint8Array(31) },
    ]) {
      const [among] = await pool().recover([one, item(7), item(8)])
      expect(await pool().recover([one])).toEqual([among])
    }
  })

  it('pool: an empty batch → no answers', async () => {
    expect(await pool().recover([])).toEqual([])
  })

  it('pool: more items than the queue takes → SIGNATURE_POOL_FULL, and the place is free again afterwards', async () => {
    const small = pool({ queueItemsMax: 4 })
    const first = small.recover([item(1), item(2), item(3)])
    await expect(small.recover([item(4), item(5)])).rejects.toMatchObject({ code: 'SIGNATURE_POOL_FULL' })
    await first
    expect(small.pendingItems).toBe(0)
    expect((await small.recover([item(4), item(5), item(6)])).every((key) => key !== undefined)).toBe(true)
  })

  it('pool: closing fails what waits and what comes later with SIGNATURE_POOL_CLOSED', async () => {
    const closing = pool()
    const waiting = closing.recover(Array.from({ length: 500 }, (_, i) => item(i)))
    const expectation = expect(waiting).rejects.toMatchObject({ code: 'SIGNATURE_POOL_CLOSED' })
    await closing.close()
    await expectation
    await expect(closing.recover([item(1)])).rejects.toMatchObject({ code: 'SIGNATURE_POOL_CLOSED' })
  })
})
