import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeModuleInput, encodeModuleInput } from '../../../protocol/modules/input.ts'

describe('module input', () => {
  it('input: what was put in comes out, NaN included', () => {
    const integers = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.array(fc.double(), { maxLength: 20 }), integers, fc.uint8Array({ maxLength: 20 }), (...given) => {
        const [floats, whole, text] = given
        const input = { floats, integers: whole, text }
        expect(decodeModuleInput(encodeModuleInput(input))).toEqual(input)
      }),
    )
  })

  it('input: bytes that are cut, longer, or of another version are none', () => {
    const bytes = encodeModuleInput({ floats: [1], integers: [2] })
    expect(decodeModuleInput(bytes.subarray(0, -1))).toBeUndefined()
    expect(decodeModuleInput(Uint8Array.of(...bytes, 0))).toBeUndefined()
    expect(decodeModuleInput(Uint8Array.of(2, ...bytes.subarray(1)))).toBeUndefined()
    expect(decodeModuleInput(new Uint8Array())).toBeUndefined()
  })

  it('input: more than a module takes is a mistake of the caller', () => {
    expect(() => encodeModuleInput({ floats: new Array(9000).fill(0), integers: [] })).toThrow(RangeError)
    expect(() => encodeModuleInput({ floats: [], integers: [1.5] })).toThrow(RangeError)
  })
})
