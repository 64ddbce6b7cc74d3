import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, type Json } from '../../protocol/jcs.ts'

const folder = join(process.env['ALTHING_DATA'] ?? '../shared/data', 'jcs-rfc8785')

describe('jcs', () => {
  it.skipIf(!existsSync(folder))(
    'jcs: the vectors of RFC 8785’s authors, byte for byte (skipped where ../shared/data and ALTHING_DATA are missing)',
    () => {
      const names = readdirSync(`${folder}/input`)
      expect(names.length).toBeGreaterThan(0)
      for (const name of names) {
        const input = JSON.parse(readFileSync(`${folder}/input/${name}`, 'utf8')) as Json
        expect(canonicalJson(input), name).toBe(readFileSync(`${folder}/output/${name}`, 'utf8').trimEnd())
      }
    },
  )

  it('jcs: one value has one text, whatever the order in which its fields were written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue() as fc.Arbitrary<Json>), (fields) => {
        const turned = Object.fromEntries(Object.entries(fields).reverse())
        expect(canonicalJson(turned)).toBe(canonicalJson(fields))
        expect(JSON.parse(canonicalJson(fields))).toEqual(JSON.parse(JSON.stringify(fields)))
      }),
    )
  })

  it('jcs: what JSON cannot say is refused', () => {
    expect(() => canonicalJson(Number.NaN)).toThrow('not a number of JSON')
    expect(() => canonicalJson('\ud800')).toThrow('lone surrogate')
  })
})
