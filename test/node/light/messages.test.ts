import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeAnswer,
  decodeCertifiedHeader,
  decodeFrame,
  encodeAnswer,
  encodeCertifiedHeader,
  encodeFrame,
} from '../../../node/light/messages.ts'
import { CborError, decodeCbor, encodeCbor } from '../../../protocol/cbor.ts'

const header = { header: Uint8Array.of(1, 2), certificate: Uint8Array.of(3) }
const messages = [
  ['answer', decodeAnswer, encodeAnswer({ code: 'OK', proof: '{}' })],
  ['header', decodeCertifiedHeader, encodeCertifiedHeader(header)],
  ['frame with a header', decodeFrame, encodeFrame({ kind: 'header', header })],
  ['frame with a report', decodeFrame, encodeFrame({ kind: 'report', transaction: Uint8Array.of(7) })],
] as const

describe('messages between devices and members', () => {
  it('what is encoded is decoded as it was', () => {
    expect(decodeAnswer(encodeAnswer({ code: 'POOL_FULL', proof: null }))).toEqual({ code: 'POOL_FULL', proof: null })
    expect(decodeCertifiedHeader(encodeCertifiedHeader(header))).toEqual(header)
    expect(decodeFrame(encodeFrame({ kind: 'header', header }))).toEqual({ kind: 'header', header })
    const report = { kind: 'report' as const, transaction: Uint8Array.of(7) }
    expect(decodeFrame(encodeFrame(report))).toEqual(report)
  })

  it.each(messages)('%s: any bytes give a value whose encoding they are, or a CborError', (_name, decode) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        try {
          decode(data)
        } catch (error) {
          expect(error).toBeInstanceOf(CborError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it.each(messages)('%s: with any one byte changed, it is refused or says something else', (_name, decode, encoded) => {
    const before = decode(encoded)
    for (let i = 0; i < encoded.length; i++)
      for (const flip of [1, 2, 0x20, 0x80]) {
        const changed = Uint8Array.from(encoded)
        changed[i] = (changed[i] as number) ^ flip
        try {
          expect(decode(changed)).not.toEqual(before)
        } catch (error) {
          if (!(error instanceof CborError)) throw error
        }
      }
  })

  it('values out of bounds are refused on both sides', () => {
    const longCode = 'A'.repeat(65)
    expect(() => encodeAnswer({ code: longCode, proof: null })).toThrow(CborError)
    for (const value of [[longCode, null], ['lower', null], ['OK'], ['OK', 5], ['OK', null, null]])
      expect(() => decodeAnswer(encodeCbor(value))).toThrow(CborError)
    expect(() => decodeFrame(encodeCbor(['gossip', Uint8Array.of(1)]))).toThrow(CborError)
    expect(() => decodeFrame(encodeCbor(['report', new Uint8Array(0)]))).toThrow(CborError)
    expect(decodeCbor(encodeFrame({ kind: 'report', transaction: Uint8Array.of(1) }))).toEqual([
      'report',
      Uint8Array.of(1),
    ])
  })
})
