import { assert, property, string, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../protocol/bytes.ts'

describe('bytes', () => {
  it('bytes: any bytes → their hexadecimal text, and back', () => {
    assert(
      property(uint8Array({ maxLength: 3000 }), (bytes) => {
        const text = toHex(bytes)
        expect(text).toBe(Buffer.from(bytes).toString('hex'))
        expect(fromHex(text)).toEqual(bytes)
        expect(fromHex(text.toUpperCase())).toEqual(bytes)
      }),
    )
  })

  it('bytes: text that is not hexadecimal → RangeError', () => {
    for (const text of ['0', '0g', 'g0', ' 0', '0x', '0\u0000', '\u0130\u0130', '٠٠', '𝟎', '-1', '000'])
      expect(() => fromHex(text), text).toThrow(RangeError)
    assert(
      property(string({ minLength: 1 }), (text) => {
        if (/^([0-9a-fA-F]{2})*$/.test(text)) return
        expect(() => fromHex(text)).toThrow(RangeError)
      }),
    )
  })
})
