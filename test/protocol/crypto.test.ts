import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import {
  installPrimitives,
  noblePrimitives,
  publicKeyOf,
  recoverDigest,
  sha3,
  sha256,
  signDigest,
} from '../../protocol/crypto.ts'

const vectors = join(process.env['ALTHING_DATA'] ?? '../shared/data', 'wycheproof', 'ecdsa_secp256k1_sha256_test.json')
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const secretKey = new Uint8Array(32).fill(7)

/** r and s of a DER signature, strictly: shortest lengths and integers, nothing behind. Undefined on anything else. */
function parseDer(der: Uint8Array): { r: bigint; s: bigint } | undefined {
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der.length > 2 + 127) return undefined
  let at = 2
  const numbers: bigint[] = []
  while (at < der.length) {
    const length = der[at + 1]
    if (der[at] !== 0x02 || length === undefined || length === 0 || length > 127) return undefined
    const digits = der.subarray(at + 2, at + 2 + length)
    if (digits.length !== length) return undefined
    const [first, second] = digits
    if (first === 0 && second !== undefined && second < 0x80) return undefined
    if ((first as number) >= 0x80) return undefined
    numbers.push(BigInt(`0x${toHex(digits)}`))
    at += 2 + length
  }
  const [r, s] = numbers
  return numbers.length === 2 && r !== undefined && s !== undefined ? { r, s } : undefined
}

/** r ‖ s ‖ id, or undefined where a number does not fit its 32 bytes. */
function joined({ r, s }: { r: bigint; s: bigint }, id: number): Uint8Array | undefined {
  const [left, right] = [r.toString(16).padStart(64, '0'), s.toString(16).padStart(64, '0')]
  return left.length === 64 && right.length === 64 ? Uint8Array.of(...fromHex(left + right), id) : undefined
}

/** Whether the signature recovers to `publicKey` under any recovery id. */
const recoversTo = (publicKey: string, digest: Uint8Array, numbers: { r: bigint; s: bigint }): boolean =>
  [0, 1, 2, 3].some((id) => {
    const signature = joined(numbers, id)
    const recovered = signature && recoverDigest(digest, signature)
    return recovered !== undefined && toHex(recovered) === publicKey
  })

type Group = {
  publicKey: { uncompressed: string }
  tests: { tcId: number; msg: string; sig: string; result: 'valid' | 'invalid' }[]
}

describe('crypto', () => {
  it('hashes equal those of OpenSSL for any message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (message) => {
        expect(toHex(sha3(message))).toBe(createHash('sha3-256').update(message).digest('hex'))
        expect(toHex(sha256(message))).toBe(createHash('sha256').update(message).digest('hex'))
      }),
    )
  })

  it('hashes of nothing are those of FIPS 202 and FIPS 180-4', () => {
    const nothing = new Uint8Array(0)
    expect(toHex(sha3(nothing))).toBe('a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a')
    expect(toHex(sha256(nothing))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })

  it('a signature is deterministic, has low S and recovers to its key', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (digest) => {
        const signature = signDigest(digest, secretKey)
        expect(signature).toHaveLength(65)
        expect(signDigest(digest, secretKey)).toEqual(signature)
        expect(BigInt(`0x${toHex(signature.subarray(32, 64))}`) <= ORDER / 2n).toBe(true)
        expect(recoverDigest(digest, signature)).toEqual(publicKeyOf(secretKey))
      }),
      { numRuns: 20 },
    )
  })

  it('the same signature with high S and the other parity → undefined', () => {
    const digest = sha3(Uint8Array.of(1))
    const signature = signDigest(digest, secretKey)
    const s = ORDER - BigInt(`0x${toHex(signature.subarray(32, 64))}`)
    const r = BigInt(`0x${toHex(signature.subarray(0, 32))}`)
    for (const id of [0, 1, 2, 3]) expect(recoverDigest(digest, joined({ r, s }, id) as Uint8Array)).toBeUndefined()
  })

  it('r or s of zero or beyond the order, a recovery id above 3, another length → undefined', () => {
    const digest = sha3(Uint8Array.of(2))
    const good = signDigest(digest, secretKey)
    for (const [r, s] of [
      [0n, 1n],
      [1n, 0n],
      [ORDER, 1n],
      [1n, ORDER],
      [2n ** 256n - 1n, 1n],
    ] as const)
      for (const id of [0, 1, 2, 3]) expect(recoverDigest(digest, joined({ r, s }, id) as Uint8Array)).toBeUndefined()
    for (const id of [4, 27, 28, 255]) expect(recoverDigest(digest, good.with(64, id))).toBeUndefined()
    expect(recoverDigest(digest, good.subarray(0, 64))).toBeUndefined()
    expect(recoverDigest(digest, Uint8Array.of(...good, 0))).toBeUndefined()
    expect(recoverDigest(digest.subarray(1), good)).toBeUndefined()
  })

  it('hostile signatures → a key of 33 bytes or undefined, never thrown', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 31, maxLength: 33 }),
        fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ minLength: 64, maxLength: 64 })),
        fc.nat({ max: 5 }),
        (digest, signature, id) => {
          const key = recoverDigest(digest, Uint8Array.of(...signature, id))
          if (key !== undefined) expect(key).toHaveLength(33)
        },
      ),
    )
  })

  it('a provider that is installed is the one that is asked, until noble is put back', () => {
    const marked = new Uint8Array(32).fill(9)
    installPrimitives({ ...noblePrimitives, sha256: () => marked })
    try {
      expect(sha256(new Uint8Array(0))).toBe(marked)
    } finally {
      installPrimitives(noblePrimitives)
    }
    expect(sha256(new Uint8Array(0))).not.toEqual(marked)
  })

  it.skipIf(!existsSync(vectors))(
    'Wycheproof ecdsa_secp256k1_sha256: low S and valid ⇔ recovers to the key (skipped where ../shared/data/wycheproof is absent)',
    () => {
      const { testGroups, numberOfTests } = JSON.parse(readFileSync(vectors, 'utf8'))
      const counts = { accepted: 0, highS: 0, invalid: 0 }
      for (const { publicKey, tests } of testGroups as Group[]) {
        const { uncompressed } = publicKey
        const odd = Number.parseInt(uncompressed.slice(-1), 16) % 2 === 1
        const compressed = (odd ? '03' : '02') + uncompressed.slice(2, 66)
        for (const { tcId, msg, sig, result } of tests) {
          const numbers = parseDer(fromHex(sig))
          const recovered = numbers !== undefined && recoversTo(compressed, sha256(fromHex(msg)), numbers)
          if (result === 'invalid') {
            expect(recovered, `vector ${tcId}`).toBe(false)
            counts.invalid++
            continue
          }
          if (numbers === undefined) throw new Error(`vector ${tcId}: the strict parser refused a valid signature`)
          const low = numbers.s <= ORDER / 2n
          expect(recovered, `vector ${tcId}`).toBe(low)
          // What is refused only for its high S is good in its low form.
          if (!low) {
            const lowered = { r: numbers.r, s: ORDER - numbers.s }
            expect(recoversTo(compressed, sha256(fromHex(msg)), lowered), `vector ${tcId}`).toBe(true)
          }
          counts[low ? 'accepted' : 'highS']++
        }
      }
      expect(counts.accepted + counts.highS + counts.invalid).toBe(numberOfTests)
      expect(counts.accepted).toBeGreaterThan(50)
    },
    60_000,
  )
})
