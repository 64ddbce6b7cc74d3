import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CborError, type CborValue, encodeCbor } from '../../protocol/cbor.ts'
import {
  boolean,
  bytes,
  type Codec,
  decodeAs,
  encodeAs,
  integer,
  list,
  oneOf,
  optional,
  record,
  text,
} from '../../protocol/codec.ts'

const refused = <T>(codec: Codec<T>, value: CborValue): void => {
  expect(() => decodeAs(codec, encodeCbor(value)), JSON.stringify(value)).toThrow(CborError)
}
const notEncoded = <T>(codec: Codec<T>, value: unknown): void => {
  expect(() => encodeAs(codec, value as T)).toThrow(CborError)
}

describe('codec', () => {
  it('a value of any shape comes back from its encoding', () => {
    const codec = record({
      count: integer(-5, 5),
      blob: bytes(0, 20),
      label: text(20),
      flag: boolean,
      word: oneOf('vote', 'commit'),
      maybe: optional(integer()),
      items: list(record({ deep: list(boolean, 3) }), 4),
    })
    const value = fc.record({
      count: fc.integer({ min: -5, max: 5 }),
      blob: fc.uint8Array({ maxLength: 20 }),
      label: fc.string({ unit: 'grapheme', maxLength: 5 }).filter((label) => label.length <= 20),
      flag: fc.boolean(),
      word: fc.constantFrom('vote' as const, 'commit' as const),
      maybe: fc.option(fc.maxSafeNat()),
      items: fc.array(fc.record({ deep: fc.array(fc.boolean(), { maxLength: 3 }) }), { maxLength: 4 }),
    })
    fc.assert(
      fc.property(value, (original) => {
        const plain = JSON.parse(JSON.stringify({ ...original, blob: null }))
        expect(decodeAs(codec, encodeAs(codec, original))).toEqual({ ...plain, blob: original.blob })
      }),
    )
  })

  it('integer: bounds hold in both directions', () => {
    const codec = integer(2, 4)
    for (const good of [2, 3, 4]) expect(decodeAs(codec, encodeAs(codec, good))).toBe(good)
    for (const bad of [1, 5, -3]) {
      refused(codec, bad)
      notEncoded(codec, bad)
    }
    for (const bad of ['3', null, true, [3], Uint8Array.of(3)]) refused(codec, bad)
    notEncoded(codec, 2.5)
    notEncoded(codec, Number.NaN)
  })

  it('bytes: bounds hold in both directions', () => {
    const codec = bytes(2, 3)
    for (const length of [2, 3]) expect(decodeAs(codec, encodeAs(codec, new Uint8Array(length)))).toHaveLength(length)
    for (const length of [0, 1, 4]) {
      refused(codec, new Uint8Array(length))
      notEncoded(codec, new Uint8Array(length))
    }
    for (const bad of ['ab', null, [1, 2], 2]) refused(codec, bad)
    refused(bytes(3), new Uint8Array(2))
  })

  it('text: length, pattern and lone surrogates', () => {
    const codec = text(3, { min: 1, pattern: /^[a-z]+$/ })
    expect(decodeAs(codec, encodeAs(codec, 'abc'))).toBe('abc')
    for (const bad of ['', 'abcd', 'aB', 'a\n']) {
      refused(codec, bad)
      notEncoded(codec, bad)
    }
    notEncoded(text(3), '\ud800')
    notEncoded(text(3), 'a\udc00')
    expect(decodeAs(text(2), encodeAs(text(2), '😀'))).toBe('😀')
    for (const bad of [1, null, new Uint8Array(1), ['a']]) refused(codec, bad)
  })

  it('oneOf: only the words of the list', () => {
    const codec = oneOf('vote', 'commit')
    for (const bad of ['blame', '', 'toString', 0, null]) refused(codec, bad)
    notEncoded(codec, 'blame')
  })

  it('boolean and optional: nothing that merely looks like it', () => {
    for (const bad of [0, 1, null, 'true', []]) refused(boolean, bad)
    expect(decodeAs(optional(boolean), encodeCbor(null))).toBeNull()
    refused(optional(boolean), 0)
  })

  it('list: bounds hold in both directions, and each item is checked', () => {
    const codec = list(integer(), 3, 1)
    expect(decodeAs(codec, encodeAs(codec, [1, 2, 3]))).toEqual([1, 2, 3])
    for (const bad of [[], [1, 2, 3, 4]]) {
      refused(codec, bad)
      notEncoded(codec, bad)
    }
    for (const bad of [[1, '2'], [[1]], null, 1, 'abc', new Uint8Array(2)]) refused(codec, bad)
  })

  it('record: neither fewer nor more fields, in the order written', () => {
    const codec = record({ b: integer(), a: text(3) })
    expect(encodeAs(codec, { a: 'x', b: 1 })).toEqual(encodeCbor([1, 'x']))
    for (const bad of [[1], [1, 'x', null], ['x', 1], [], null, 'xy', 2]) refused(codec, bad)
  })

  it('a refusal names the place and the rule', () => {
    const codec = record({ items: list(record({ count: integer(0, 9) }), 4) })
    expect(() => decodeAs(codec, encodeCbor([[[1], [10]]]), 'report')).toThrow(
      'report.items[1].count: not an integer from 0 to 9',
    )
  })
})
