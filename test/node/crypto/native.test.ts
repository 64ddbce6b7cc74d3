import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativePrimitives, signatureProvider } from '../../../node/crypto/native.ts'
import { fromHex } from '../../../protocol/bytes.ts'
import { noblePrimitives } from '../../../protocol/crypto.ts'

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const FIELD = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2fn
const number32 = (n: bigint): Uint8Array => fromHex(n.toString(16).padStart(64, '0'))
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const edges = [0n, 1n, 2n, 3n, ORDER >> 1n, (ORDER >> 1n) + 1n, ORDER - 1n, ORDER, ORDER + 1n, FIELD - ORDER - 1n]
  .concat([FIELD - ORDER, FIELD - ORDER + 1n, FIELD - 1n, FIELD, (1n << 256n) - 1n])
  .map(number32)
const scalar = fc.oneof(bytes(32), fc.constantFrom(...edges))
const secret = bytes(32).filter((key) => key.some((byte) => byte !== 0) && (key[0] as number) < 0xff)

const assemble = (r: Uint8Array, s: Uint8Array, recoveryId: number): Uint8Array => {
  const signature = new Uint8Array(65)
  signature.set(r, 0)
  signature.set(s, 32)
  signature[64] = recoveryId
  return signature
}
const outcome = (call: () => Uint8Array): Uint8Array | 'throws' => {
  try {
    return call()
  } catch {
    return 'throws'
  }
}

describe('native primitives', () => {
  it('native: this platform has the prebuilt libsecp256k1', () => {
    expect(signatureProvider).toBe('libsecp256k1')
  })

  it('native: both hashes equal noble on any message, as plain Uint8Arrays', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (message) => {
        expect(nativePrimitives.sha3_256(message)).toEqual(noblePrimitives.sha3_256(message))
        expect(nativePrimitives.sha256(message)).toEqual(noblePrimitives.sha256(message))
        expect(Object.getPrototypeOf(nativePrimitives.sha3_256(message))).toBe(Uint8Array.prototype)
      }),
    )
  })

  it('native: a hash keeps no larger buffer alive', () => {
    expect(nativePrimitives.sha3_256(new Uint8Array(5)).buffer.byteLength).toBe(32)
  })

  it('native: signing and public keys equal noble, also for digests at and above the group order', () => {
    fc.assert(
      fc.property(scalar, secret, (digest, key) => {
        const signature = nativePrimitives.sign(digest, key)
        expect(signature).toEqual(noblePrimitives.sign(digest, key))
        expect(nativePrimitives.publicKey(key)).toEqual(noblePrimitives.publicKey(key))
        expect(nativePrimitives.recover(digest, signature)).toEqual(noblePrimitives.publicKey(key))
      }),
      { numRuns: 150 },
    )
  })

  it('native: secrets out of range or of a wrong length are refused by both', () => {
    for (const key of [...edges, new Uint8Array(31), new Uint8Array(33), new Uint8Array(0)]) {
      expect(outcome(() => nativePrimitives.publicKey(key))).toEqual(outcome(() => noblePrimitives.publicKey(key)))
      const digest = new Uint8Array(32).fill(7)
      expect(outcome(() => nativePrimitives.sign(digest, key))).toEqual(
        outcome(() => noblePrimitives.sign(digest, key)),
      )
    }
  })

  it("native: a digest that is not 32 bytes is a caller's bug and throws", () => {
    for (const length of [0, 31, 33])
      expect(outcome(() => nativePrimitives.sign(new Uint8Array(length), new Uint8Array(32).fill(7)))).toBe('throws')
  })

  it('native: recovery equals noble on random and on extreme r, s, digest and recovery id', () => {
    fc.assert(
      fc.property(scalar, scalar, scalar, fc.integer({ min: 0, max: 5 }), (digest, r, s, recoveryId) => {
        const signature = assemble(r, s, recoveryId)
        expect(nativePrimitives.recover(digest, signature)).toEqual(noblePrimitives.recover(digest, signature))
      }),
      { numRuns: 600 },
    )
  })

  it('native: recovery equals noble on good signatures with one byte changed', () => {
    fc.assert(
      fc.property(bytes(32), secret, fc.nat(64), fc.nat(255), (digest, key, place, byte) => {
        const signature = noblePrimitives.sign(digest, key)
        signature[place] = byte
        expect(nativePrimitives.recover(digest, signature)).toEqual(noblePrimitives.recover(digest, signature))
      }),
      { numRuns: 150 },
    )
  })

  it('native: garbage of any length → undefined, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ maxLength: 40 }), (signature, digest) => {
        expect(nativePrimitives.recover(digest, signature)).toEqual(noblePrimitives.recover(digest, signature))
      }),
    )
  })

  it('native: the same signature with high S → undefined', () => {
    const digest = new Uint8Array(32).fill(9)
    const signature = nativePrimitives.sign(digest, new Uint8Array(32).fill(3))
    const s = BigInt(`0x${Buffer.from(signature.subarray(32, 64)).toString('hex')}`)
    const high = assemble(signature.subarray(0, 32), number32(ORDER - s), (signature[64] as number) ^ 1)
    expect(nativePrimitives.recover(digest, signature)).toBeDefined()
    expect(nativePrimitives.recover(digest, high)).toBeUndefined()
    expect(noblePrimitives.recover(digest, high)).toBeUndefined()
  })
})
