import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CborError, type CborValue, decodeCbor, encodeCbor } from '../../../protocol/cbor.ts'
import { decodeRecord, encodeRecord } from '../../../protocol/consensus/record.ts'
import type { SigningRecord } from '../../../protocol/consensus/types.ts'

const signature = fc.uint8Array({ minLength: 65, maxLength: 65 })
const hash = fc
  .array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 })
  .map((digits) => digits.join(''))
const signatures = fc
  .uniqueArray(fc.nat({ max: 63 }), { minLength: 1, maxLength: 5 })
  .chain((members) => fc.tuple(...members.map((member) => fc.tuple(fc.constant(member), signature))))
  .map((entries) => new Map(entries))
const slotFields = { view: fc.nat(), seq: fc.nat(), height: fc.integer({ min: 1, max: 2 ** 40 }), hash }
const slot = fc.record(slotFields)
const certificate = fc.record({ kind: fc.constantFrom('vote' as const, 'commit' as const), ...slotFields, signatures })
const blames = fc.record({ view: fc.nat(), signatures })
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null })
const lock = fc.record({
  view: fc.integer({ min: -1, max: 99 }),
  strongSeq: fc.integer({ min: -1, max: 99 }),
  tipSeq: fc.nat(),
  tip: hash,
  tipCertificate: maybe(certificate),
  strongCertificate: maybe(certificate),
})
const anyRecord: fc.Arbitrary<SigningRecord> = fc.record({
  era: fc.nat(),
  view: fc.nat(),
  reason: fc.oneof(
    maybe(certificate).map((of) => ({ kind: 'start' as const, certificate: of })),
    blames.map((of) => ({ kind: 'blamed' as const, certificate: of })),
    certificate.map((of) => ({ kind: 'closed' as const, certificate: of })),
  ),
  quit: maybe(blames),
  lock,
  lockNow: lock,
  unresolved: fc.array(certificate, { maxLength: 2 }),
  proposal: maybe(slot),
  votes: fc.array(fc.record({ ...slotFields, leaderSignature: maybe(signature) }), { maxLength: 3 }),
  votesFrom: fc.nat(),
  commit: maybe(slot),
  highest: maybe(certificate),
  recovering: fc.boolean(),
  barredView: fc.integer({ min: -1, max: 99 }),
  fork: maybe(fc.record({ era: fc.nat(), first: certificate, second: certificate })),
  blocks: fc.array(fc.record({ hash, parent: hash, height: fc.nat(), endsEra: fc.boolean() }), { maxLength: 3 }),
})

describe('signing record', () => {
  it('any record comes back from its encoding', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(decodeRecord(encodeRecord(record))).toEqual(record)
      }),
      { numRuns: 200 },
    )
  })

  const [sample] = fc.sample(
    anyRecord.filter(({ quit }) => (quit?.signatures.size ?? 0) > 1),
    { numRuns: 1, seed: 1 },
  ) as [SigningRecord]

  it('two orders of insertion have one encoding', () => {
    const quit = sample.quit as NonNullable<SigningRecord['quit']>
    const turned = { ...quit, signatures: new Map([...quit.signatures].reverse()) }
    expect(encodeRecord({ ...sample, quit: turned })).toEqual(encodeRecord(sample))
  })

  it('every shortened or foreign encoding is refused with CborError', () => {
    const bytes = encodeRecord(sample)
    for (let length = 0; length < bytes.length; length += 7)
      expect(() => decodeRecord(bytes.slice(0, length))).toThrow(CborError)
    const fields = decodeCbor(bytes) as CborValue[]
    const swapped = ((fields[4] as CborValue[])[1] as CborValue[]).toReversed()
    const changes: [number, CborValue][] = [
      [0, 3],
      [1, -1],
      [2, 'view'],
      [3, ['why', []]],
      [4, [(fields[4] as CborValue[])[0] as CborValue, swapped]],
      [13, -2],
    ]
    for (const [at, value] of changes) expect(() => decodeRecord(encodeCbor(fields.with(at, value)))).toThrow(CborError)
  })

  it('a hash that is no hash is not encoded', () => {
    expect(() => encodeRecord({ ...sample, lock: { ...sample.lock, tip: 'first' } })).toThrow(CborError)
  })
})
