import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CborError } from '../../../protocol/cbor.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { decodeEntry, encodeEntry, keyHashOf, valueHashOf } from '../../../protocol/state/entry.ts'

describe('state entry', () => {
  it('comes back from its encoding', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array(), (height, value) => {
        expect(decodeEntry(encodeEntry({ height, value }))).toEqual({ height, value })
      }),
    )
  })

  it('a value of more than the limit, or a negative height → CborError', () => {
    const value = new Uint8Array(LIMITS.stateValueBytesMax)
    expect(encodeEntry({ height: 0, value }).length).toBeGreaterThan(value.length)
    expect(() => encodeEntry({ height: 0, value: new Uint8Array(value.length + 1) })).toThrow(CborError)
    expect(() => encodeEntry({ height: -1, value: new Uint8Array(0) })).toThrow(CborError)
  })

  it('hashes are SHA3-256 of the UTF-8 key and of the encoding', () => {
    const entry = encodeEntry({ height: 3, value: Uint8Array.of(1) })
    expect(keyHashOf('kv/þing/🜨')).toEqual(sha3(new TextEncoder().encode('kv/þing/🜨')))
    expect(valueHashOf(entry)).toEqual(sha3(entry))
  })

  it('a key with a lone surrogate → RangeError: it would share its bytes with another', () => {
    expect(() => keyHashOf('a\ud800')).toThrow(RangeError)
  })
})
