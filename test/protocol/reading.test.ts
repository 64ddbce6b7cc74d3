import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import {
  batchOf,
  parseReading,
  readingPath,
  renderReading,
  type SignedReading,
  signReading,
  type VerifiedReading,
  verifyReading,
  verifyReadingPath,
} from '../../protocol/reading.ts'
import { addressOf } from '../../protocol/signature.ts'

const CHAIN = new Uint8Array(32).fill(7)
const secret = new Uint8Array(32).fill(9)
const SENSOR = toHex(addressOf(publicKeyOf(secret)))
const packAt = (i: number): string => `[{"n":"tunnel/3/co","u":"ppm","t":${1_700_000_000 + i},"v":${i}.5}]`
const verified = (reading: SignedReading): VerifiedReading => {
  const answer = verifyReading(reading, CHAIN)
  if (!answer.ok) throw new Error(answer.problem)
  return answer.verified
}

describe('reading', () => {
  it('reading: what was signed is known by its signature alone, through its line of text', () => {
    const line = renderReading(signReading(packAt(1), CHAIN, secret))
    const parsed = parseReading(line)
    expect(parsed.ok && verified(parsed.reading)).toMatchObject({
      sensor: SENSOR,
      records: [{ name: 'tunnel/3/co', unit: 'ppm', time: 1_700_000_001_000, value: 1.5 }],
    })
  })

  it('reading: one character of the pack changed → the signature is someone else’s, never the sensor’s', () => {
    const { pack, signature } = signReading(packAt(1), CHAIN, secret)
    const answer = verifyReading({ pack: pack.replace('1.5', '1.6'), signature }, CHAIN)
    expect(answer.ok ? answer.verified.sensor : answer.code).not.toBe(SENSOR)
  })

  it('reading: signed for another chain → someone else’s', () => {
    const answer = verifyReading(signReading(packAt(1), new Uint8Array(32), secret), CHAIN)
    expect(answer.ok ? answer.verified.sensor : answer.code).not.toBe(SENSOR)
  })

  it.each([
    ['not JSON', '{', 'not JSON'],
    ['a list', '[]', 'not an object'],
    [
      'a signature too short',
      JSON.stringify({ senml: '[]', signature: 'ab' }),
      'signature: not 65 bytes in lower-case hexadecimal',
    ],
    [
      'another field',
      JSON.stringify({ senml: '[]', signature: '', sensor: 'me' }),
      'fields beside senml and signature',
    ],
    ['a lone surrogate', '{"senml":"\\ud800","signature":""}', 'senml: text with a lone surrogate'],
    [
      '4097 characters',
      JSON.stringify({ senml: 'x'.repeat(4097), signature: '0'.repeat(130) }),
      'senml: not 1 to 4096 characters',
    ],
  ])('reading: %s → refused, with why', (_what, line, problem) => {
    expect(parseReading(line)).toEqual({ ok: false, problem })
  })

  it('reading: of a batch of any size, each reading is proved at its place and nowhere else, and an altered one nowhere', () => {
    const all = Array.from({ length: 40 }, (_, i) => signReading(packAt(i), CHAIN, secret))
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.nat(), (size, i, j) => {
        const readings = all.slice(0, size)
        const batch = batchOf(readings.map(verified))
        const index = i % size
        const path = readingPath(readings, index)
        const reading = readings[index] as SignedReading
        expect(batch).toMatchObject({
          count: size,
          observedFrom: 1_700_000_000_000,
          observedTo: 1_700_000_000_000 + (size - 1) * 1000,
        })
        expect(verifyReadingPath(reading, index, batch, path)).toBe(true)
        expect(verifyReadingPath({ ...reading, pack: reading.pack.replace('.5', '.6') }, index, batch, path)).toBe(
          false,
        )
        if (j % size !== index) expect(verifyReadingPath(reading, j % size, batch, path)).toBe(false)
      }),
      { numRuns: 60 },
    )
  })

  it('reading: a pack that would not verify is not signed', () => {
    expect(() => signReading('[{"n":"a","v":1}]', CHAIN, secret)).toThrow('no reading: record 1: time is relative')
    expect(() => signReading(`[{"n":"a","t":1e9,"vs":"${'x'.repeat(4096)}"}]`, CHAIN, secret)).toThrow(
      'longer than 4096',
    )
  })
})
