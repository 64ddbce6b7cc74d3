import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { equalBytes } from '../../protocol/bytes.ts'
import { CborError, type CborValue, encodeCbor } from '../../protocol/cbor.ts'
import { publicKeyOf, sha3 } from '../../protocol/crypto.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { decodeTransaction, signerOf, signTransaction, type TransactionDraft } from '../../protocol/transaction.ts'

const secretKey = new Uint8Array(32).fill(7)
const chainId = new Uint8Array(32).fill(1)
const draft: TransactionDraft = {
  kind: 'kv.put',
  payload: ['key', Uint8Array.of(1, 2, 3)],
  nonce: new Uint8Array(16).fill(4),
  validUntil: 1_700_000_000_000,
}

/** The wire form of any body and signature. */
const wire = (body: CborValue, signature: CborValue = new Uint8Array(65)): Uint8Array =>
  encodeCbor([encodeCbor(body), signature])

describe('transaction', () => {
  it('what was signed comes back, with its id, its signer and the bytes as they arrived', () => {
    const payloads = fc.oneof(
      fc.maxSafeNat(),
      fc.string(),
      fc.constant(null),
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }),
    )
    fc.assert(
      fc.property(
        payloads,
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.maxSafeNat(),
        (payload, nonce, time) => {
          const signed = signTransaction({ kind: 'a.b', payload, nonce, validUntil: time }, chainId, secretKey)
          const decoded = decodeTransaction(signed.bytes)
          expect(decoded).toEqual(signed)
          expect(decoded).toMatchObject({ kind: 'a.b', payload, nonce, validUntil: time })
          expect(decoded.id).toEqual(sha3(signed.bytes))
          expect(signerOf(decoded, chainId)).toEqual(publicKeyOf(secretKey))
        },
      ),
      { numRuns: 30 },
    )
  })

  it('another chain → another signer or none', () => {
    const signed = signTransaction(draft, chainId, secretKey)
    expect(signerOf(signed, new Uint8Array(32))).not.toEqual(publicKeyOf(secretKey))
  })

  it('any byte changed → not decodable, or not of this signer', () => {
    const { bytes } = signTransaction(draft, chainId, secretKey)
    const key = publicKeyOf(secretKey)
    for (let at = 0; at < bytes.length; at++) {
      try {
        const signer = signerOf(decodeTransaction(bytes.with(at, (bytes[at] as number) ^ 1)), chainId)
        expect(signer !== undefined && equalBytes(signer, key), `byte ${at}`).toBe(false)
      } catch (error) {
        expect(error).toBeInstanceOf(CborError)
      }
    }
  })

  it('at the size limit → decoded; one byte more → CborError', () => {
    const sized = (size: number) => wire(['kv.put', new Uint8Array(size), draft.nonce, 1])
    // Beyond 255 bytes each of both lengths takes 3 bytes, so the frame around a payload is constant.
    const frame = sized(60_000).length - 60_000
    const largest = sized(LIMITS.transactionBytesMax - frame)
    expect(largest).toHaveLength(LIMITS.transactionBytesMax)
    expect(decodeTransaction(largest).kind).toBe('kv.put')
    expect(() => decodeTransaction(sized(LIMITS.transactionBytesMax - frame + 1))).toThrow(CborError)
  })

  it.each<[string, Uint8Array]>([
    ['a third field', encodeCbor([encodeCbor(['kv.put', null, draft.nonce, 1]), new Uint8Array(65), null])],
    ['no signature', encodeCbor([encodeCbor(['kv.put', null, draft.nonce, 1])])],
    ['a signature of 64 bytes', wire(['kv.put', null, draft.nonce, 1], new Uint8Array(64))],
    ['a body that is no byte string', encodeCbor([['kv.put', null, draft.nonce, 1], new Uint8Array(65)])],
    ['an empty body', encodeCbor([new Uint8Array(0), new Uint8Array(65)])],
    ['a fifth field of the body', wire(['kv.put', null, draft.nonce, 1, null])],
    ['a nonce of 15 bytes', wire(['kv.put', null, new Uint8Array(15), 1])],
    ['a negative time', wire(['kv.put', null, draft.nonce, -1])],
    ['a kind that ends with a dot', wire(['kv.', null, draft.nonce, 1])],
    ['a kind in capitals', wire(['KV.put', null, draft.nonce, 1])],
    ['a kind with a line feed', wire(['kv.put\n', null, draft.nonce, 1])],
    ['a kind of 49 characters', wire([`a.${'b'.repeat(47)}`, null, draft.nonce, 1])],
    // 00 in the longer form 18 00, as the time.
    ['a body in a second encoding', secondEncoding()],
  ])('%s → CborError', (_, data) => {
    expect(() => decodeTransaction(data)).toThrow(CborError)
  })

  it('a draft outside the shapes is not signed → CborError', () => {
    expect(() => signTransaction({ ...draft, kind: 'Nonsense' }, chainId, secretKey)).toThrow(CborError)
    expect(() => signTransaction({ ...draft, nonce: new Uint8Array(8) }, chainId, secretKey)).toThrow(CborError)
    expect(() => signTransaction({ ...draft, payload: 1.5 }, chainId, secretKey)).toThrow(CborError)
    const payload = new Uint8Array(LIMITS.transactionBytesMax)
    expect(() => signTransaction({ ...draft, payload }, chainId, secretKey)).toThrow(CborError)
  })
})

function secondEncoding(): Uint8Array {
  const body = encodeCbor(['kv.put', null, draft.nonce, 0])
  return encodeCbor([Uint8Array.of(...body.subarray(0, -1), 0x18, 0), new Uint8Array(65)])
}
