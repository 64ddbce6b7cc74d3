import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NmeaDecoder, type NmeaFix, sentenceFields } from '../../../protocol/detect/nmea.ts'

const checked = (body: string): string => {
  let sum = 0
  for (const character of body) sum ^= character.charCodeAt(0)
  return `$${body}*${sum.toString(16).toUpperCase().padStart(2, '0')}`
}
const fixOf = (...bodies: string[]): NmeaFix | null => {
  const decoder = new NmeaDecoder()
  let fix: NmeaFix | null = null
  for (const body of bodies) fix = decoder.step(checked(body)) ?? fix
  return fix
}
const GGA = 'GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000'
const RMC = 'GPRMC,030719.000,A,3747.0873,S,17518.8938,E,0.69,181.39,311214,,,A'

describe('detect/nmea', () => {
  it('GGA and RMC of one second make one fix', () => {
    const fix = fixOf(GGA, RMC) as NmeaFix
    expect(fix.latitude).toBeCloseTo(-37.784788333, 9)
    expect(fix.longitude).toBeCloseTo(175.314896667, 9)
    expect(fix.speed).toBeCloseTo(0.355, 3)
    expect(fix).toMatchObject({ mode: 3, altitude: 59.9, track: 181.39, satellites: 8, hdop: 1.1 })
    expect(fix.timeMs).toBe(Date.parse('2014-12-31T03:07:19.000Z'))
  })

  it('another second begins anew: nothing of the one before is left', () => {
    const fix = fixOf(GGA, RMC, 'GPGGA,030720.000,,,,,0,00,,,M,,M,,') as NmeaFix
    expect(fix.mode).toBe(1)
    for (const value of [fix.latitude, fix.longitude, fix.speed, fix.altitude]) expect(value).toBeNaN()
  })

  it('over midnight the day goes on, before RMC tells it', () => {
    const fix = fixOf(
      'GPRMC,235959.000,A,3747.0873,S,17518.8938,E,0.69,181.39,311214,,,A',
      'GPGGA,000000.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000',
    )
    expect(fix?.timeMs).toBe(Date.parse('2015-01-01T00:00:00Z'))
  })

  it('RMC of a receiver that warns has no position', () => {
    expect(fixOf('GPRMC,120316,V,4221.4394,N,01321.9948,E,000.0,000.0,150305,001.4,E')).toMatchObject({ mode: 1 })
    expect(fixOf('GPGLL,3747.0873,S,17518.8938,E,030719,V')?.latitude).toBeNaN()
  })

  it('any one changed character of a sentence makes it none', () => {
    const line = checked(GGA)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: line.length - 4 }), fc.integer({ min: 32, max: 126 }), (at, code) => {
        const other = String.fromCharCode(code)
        fc.pre(other !== line[at])
        expect(sentenceFields(line.slice(0, at) + other + line.slice(at + 1))).toBeNull()
      }),
    )
  })

  it('no line, however it is made, gives a position outside of the earth or breaks the decoder', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('GGA', 'RMC', 'GLL', 'GNS', 'GSA', 'VTG', 'ZDA', 'XYZ'),
        fc.array(
          fc.oneof(
            fc.constantFrom('', 'N', 'S', 'E', 'W', 'A', 'V', '1', '9999.9'),
            fc.stringMatching(/^[0-9.-]{0,9}$/),
          ),
          {
            maxLength: 20,
          },
        ),
        (type, fields) => {
          const fix = new NmeaDecoder().step(checked([`GP${type}`, ...fields].join(',')))
          if (fix === null || Number.isNaN(fix.latitude)) return
          expect(Math.abs(fix.latitude)).toBeLessThanOrEqual(90)
          expect(Math.abs(fix.longitude)).toBeLessThanOrEqual(180)
        },
      ),
    )
    fc.assert(
      fc.property(fc.string(), (line) => {
        expect(new NmeaDecoder().step(line)).toBeNull()
      }),
    )
  })
})
