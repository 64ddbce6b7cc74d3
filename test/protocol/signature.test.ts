import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { recover, sign } from '../../protocol/signature.ts'

const secretKey = new Uint8Array(32).fill(7)
const chain = new Uint8Array(32).fill(1)

describe('signature', () => {
  it('recovers to the key that signed, for any payload', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (payload) => {
        const signature = sign('vote', chain, payload, secretKey)
        expect(recover('vote', chain, payload, signature)).toEqual(publicKeyOf(secretKey))
      }),
      { numRuns: 10 },
    )
  })

  it('another domain, chain or payload → another signer or none', () => {
    const payload = Uint8Array.of(1, 2, 3)
    const signature = sign('vote', chain, payload, secretKey)
    const key = publicKeyOf(secretKey)
    expect(recover('commit', chain, payload, signature)).not.toEqual(key)
    expect(recover('vote', new Uint8Array(32), payload, signature)).not.toEqual(key)
    expect(recover('vote', chain, Uint8Array.of(1, 2, 4), signature)).not.toEqual(key)
  })
})
