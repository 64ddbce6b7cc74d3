import { assert, property, string, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8Length, writeUtf8 } from '../../protocol/bytes.ts'

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

  it('bytes: any text → its UTF-8 form, and no length where a surrogate stands alone', () => {
    assert(
      property(string({ unit: 'binary' }), string({ unit: 'grapheme' }), (a, b) => {
        for (const text of [a, b, a + b]) {
          const expected = Buffer.from(text, 'utf8')
          const bytes = new Uint8Array(expected.length + 2)
          expect(utf8Length(text)).toBe(expected.length)
          expect(writeUtf8(bytes, 1, text)).toBe(1 + expected.length)
          expect(Buffer.compare(bytes.subarray(1, -1), expected)).toBe(0)
        }
      }),
    )
    for (const text of ['\ud800', 'a\udc00', '\ud800a', '\udc00\ud800', '\ud800\ud800\udc00'])
      expect(utf8Length(text)).toBe(-1)
  })
})
