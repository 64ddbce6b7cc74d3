import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bearing,
  crowd,
  distance,
  type Fix,
  FleetMap,
  type PositionFinding,
  PositionWatch,
} from '../../../protocol/detect/position.ts'

/** A vehicle that goes north at 10 m/s, a fix every ten seconds. */
const way = (i: number, more: Partial<Fix> = {}): Fix => ({
  time: 10 * i,
  heardAt: 10 * i,
  latitude: 48 + (100 * i) / 111_195,
  longitude: 11 + 1e-6 * (i % 7),
  speed: 10,
  track: 0,
  satellites: 9,
  hdop: 1,
  ...more,
})
const checksOf = (fixes: readonly Fix[], map: FleetMap | null = null): string[] => {
  const watch = new PositionWatch('a', map)
  return fixes.flatMap((fix) => watch.step(fix)).map(({ check }: PositionFinding) => check)
}
const drive = (count: number, change: (i: number) => Partial<Fix> = () => ({})): Fix[] =>
  Array.from({ length: count }, (_, i) => way(i, change(i)))

describe('detect/position', () => {
  it('a drive that can be true gives nothing', () => {
    expect(checksOf(drive(300))).toEqual([])
    // Parked: the same place for an hour, standing.
    expect(checksOf(drive(300, () => ({ latitude: 48, longitude: 11, speed: 0 })))).toEqual([])
  })

  it('each way of lying is found by its own check', () => {
    const frozen = way(50)
    const cases: [string, Fix[]][] = [
      ['jump', drive(60, (i) => (i >= 50 ? { latitude: 49 } : {}))],
      ['freeze', drive(100, (i) => (i > 50 ? { latitude: frozen.latitude, longitude: frozen.longitude } : {}))],
      ['replay', [...drive(50), ...drive(20, (i) => ({ time: 600 + 20 * i, heardAt: 600 + 20 * i }))].slice(0, 70)],
      ['clock', drive(60, (i) => (i === 50 ? { time: 10, heardAt: 500 } : {}))],
      ['clock', drive(60, (i) => (i === 50 ? { time: 10_000 } : {}))],
      ['heading', drive(60, (i) => (i >= 50 ? { track: 180 } : {}))],
      ['signal', drive(60, (i) => (i === 50 ? { satellites: 2 } : {}))],
      ['signal', drive(60, (i) => (i === 50 ? { hdop: 50 } : {}))],
      ['coordinates', drive(60, (i) => (i === 50 ? { latitude: Number.NaN } : {}))],
      ['coordinates', drive(60, (i) => (i === 50 ? { latitude: 0, longitude: 0 } : {}))],
      ['duplicate', [...drive(50), way(49, { latitude: 48.5 })]],
    ]
    for (const [check, fixes] of cases) expect(checksOf(fixes), check).toContain(check)
  })

  it('an incident is one finding, not one a fix', () => {
    expect(checksOf(drive(100, (i) => ({ satellites: i >= 50 ? 2 : 9 })))).toEqual(['signal'])
  })

  it('who leaves the streets of the others is astray, and own traces do not make a street', () => {
    const map = new FleetMap()
    for (const { latitude, longitude } of drive(100)) map.add('b', latitude, longitude)
    const away = (i: number): Partial<Fix> => (i >= 50 ? { longitude: 11 + (i - 49) * 0.001 } : {})
    for (const { latitude, longitude } of drive(100, away)) map.add('a', latitude, longitude)
    expect(checksOf(drive(100), map)).toEqual([])
    expect(checksOf(drive(100, away), map)).toEqual(['astray'])
  })

  it('five vehicles that were apart and are at one place are a crowd; five parked ones are none', () => {
    const apart = Float64Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? 48 + i / 10 : 11))
    const together = Float64Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? 50 : 11))
    expect(crowd(apart, together, 1000)).toEqual({ check: 'crowd', excess: 1 })
    expect(crowd(together, together, 1000)).toBeNull()
    expect(crowd(apart, apart, 1000)).toBeNull()
  })

  it('distance is a metric on the sphere, and a bearing leads the way', () => {
    const place = fc.tuple(
      fc.double({ min: -89, max: 89, noNaN: true }),
      fc.double({ min: -180, max: 180, noNaN: true }),
    )
    fc.assert(
      fc.property(place, place, place, (a, b, c) => {
        expect(distance(...a, ...b)).toBeCloseTo(distance(...b, ...a), 3)
        expect(distance(...a, ...c)).toBeLessThanOrEqual(distance(...a, ...b) + distance(...b, ...c) + 1e-3)
      }),
    )
    expect(distance(48, 11, 49, 11)).toBeCloseTo(111_195, -1)
    expect([bearing(48, 11, 49, 11), bearing(48, 11, 48, 12), bearing(48, 11, 47, 11)]).toEqual([0, 90, 180])
  })

  it('whatever a receiver says, the watch answers, at most once a check and moment', () => {
    const any = fc.double({ noDefaultInfinity: false })
    const fix = fc.record({
      time: any,
      heardAt: any,
      latitude: any,
      longitude: any,
      speed: any,
      track: any,
      satellites: any,
      hdop: any,
    })
    fc.assert(
      fc.property(fc.array(fix, { maxLength: 20 }), (fixes) => {
        const watch = new PositionWatch('a', null)
        for (const one of fixes) for (const { excess } of watch.step(one)) expect(excess).toBeGreaterThanOrEqual(1)
      }),
    )
  })
})
