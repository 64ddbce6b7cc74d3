/**
 * Bus positions: false alarms on what is clean, and what is found of spoofing that is put into it.
 * Invariants: the map of streets comes from the other vehicles; every vehicle is spoofed in the same ways, at the middle of its day.
 */
import { crowd, type Fix, FleetMap, PositionWatch } from '../../protocol/detect/position.ts'
import { filesOf, rowsOf } from './data.ts'
import type { Row } from './sets.ts'

/** The fixes of one vehicle, in order. */
export type Vehicle = { readonly id: string; readonly fixes: readonly Fix[] }

/** Metres a second in a mile an hour; the feed had those until 2016. */
const MILE_AN_HOUR = 0.44704

/** Vehicles of one day's file. */
export function vehiclesOf(file: string): Vehicle[] {
  const [head, ...rows] = rowsOf(['capmetrics-gtfsrt', file]) as [string[], ...string[][]]
  const column = (name: string): number => head.indexOf(name)
  const [id, time, speed, latitude, longitude] = ['vehicle_id', 'timestamp', 'speed', 'latitude', 'longitude'].map(
    column,
  )
  const unit = Number(file.slice(0, 4)) < 2016 ? MILE_AN_HOUR : 1
  const vehicles = new Map<string, Fix[]>()
  for (const cells of rows) {
    const at = Date.parse(cells[time as number] as string) / 1000
    const fix: Fix = {
      time: at,
      heardAt: at,
      latitude: Number(cells[latitude as number]),
      longitude: Number(cells[longitude as number]),
      speed: Number(cells[speed as number]) * unit,
      track: Number.NaN,
      satellites: Number.NaN,
      hdop: Number.NaN,
    }
    const name = cells[id as number] as string
    const fixes = vehicles.get(name)
    if (fixes === undefined) vehicles.set(name, [fix])
    else fixes.push(fix)
  }
  // The files are in the order of trips, not of time.
  return [...vehicles].map(([name, fixes]) => ({ id: name, fixes: fixes.toSorted((a, b) => a.time - b.time) }))
}

/** The streets that `vehicles` drove. */
export function mapOf(vehicles: readonly Vehicle[]): FleetMap {
  const map = new FleetMap()
  for (const { id, fixes } of vehicles) for (const { latitude, longitude } of fixes) map.add(id, latitude, longitude)
  return map
}

/** Metres in a degree of latitude. */
const DEGREE = 111_195
const moved = (fix: Fix, north: number, east: number): Fix => ({
  ...fix,
  latitude: fix.latitude + north / DEGREE,
  longitude: fix.longitude + east / (DEGREE * Math.cos((fix.latitude * Math.PI) / 180)),
})

/** Ways of spoofing: the fixes from the `from`th on, changed. */
export const SPOOFINGS: Readonly<Record<string, (fixes: readonly Fix[], from: number) => Fix[]>> = {
  jump: (fixes, from) => fixes.slice(from).map((fix) => moved(fix, 5000, 15_000)),
  'drift-off': (fixes, from) => {
    const start = (fixes[from] as Fix).time
    return fixes.slice(from).map((fix) => moved(fix, 2 * (fix.time - start), (fix.time - start) / 2))
  },
  freeze: (fixes, from) => {
    const { latitude, longitude } = fixes[from] as Fix
    return fixes.slice(from).map((fix) => ({ ...fix, latitude, longitude }))
  },
  replay: (fixes, from) =>
    fixes.slice(from, 2 * from).map((fix, i) => {
      const { latitude, longitude, speed } = fixes[i] as Fix
      return { ...fix, latitude, longitude, speed }
    }),
}

/** Fixes of a vehicle without which its day is too short to be spoofed in the middle. */
const FIXES_MIN = 60
/** Seconds in which spoofing is to be found. */
const PROMPT_SECONDS = 3600

/** Seconds between two looks at the whole fleet, for how long a fix holds, and how far apart those must have been who now are together. */
const LOOK_SECONDS = 300
const APART_METRES = 1500

/** Times at which the fleet is suddenly at one place; `change` may move the fixes. */
function crowds(vehicles: readonly Vehicle[], change: (fix: Fix) => Fix): number {
  const times = vehicles.flatMap(({ fixes }) => fixes.map(({ time }) => time))
  const [first, last] = [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))]
  let found = 0
  for (let at = first + 2 * LOOK_SECONDS; at <= last; at += LOOK_SECONDS) {
    const latest = (fixes: readonly Fix[], until: number): Fix | undefined =>
      fixes.findLast(({ time }) => time <= until && time > until - LOOK_SECONDS)
    const pairs = vehicles.flatMap(({ fixes }) => {
      const [then, now] = [latest(fixes, at - LOOK_SECONDS), latest(fixes, at)]
      return then === undefined || now === undefined ? [] : [[then, change(now)] as const]
    })
    const flat = (which: 0 | 1): Float64Array =>
      Float64Array.from(pairs.flatMap((pair) => [pair[which].latitude, pair[which].longitude]))
    if (crowd(flat(0), flat(1), APART_METRES) !== null) found++
  }
  return found
}

/** The bus days that are here. */
export function buses(): Row[] {
  return filesOf('capmetrics-gtfsrt', /\.csv(?:\.gz)?$/).flatMap((file): Row[] => {
    const vehicles = vehiclesOf(file)
    const map = mapOf(vehicles)
    let falseAlarms = 0
    const checks = new Map<string, number>()
    for (const { id, fixes } of vehicles) {
      const watch = new PositionWatch(id, map)
      for (const fix of fixes)
        for (const { check } of watch.step(fix)) {
          falseAlarms++
          checks.set(check, (checks.get(check) ?? 0) + 1)
        }
    }
    const rates = Object.entries(SPOOFINGS).map(([name, spoof]) => {
      const long = vehicles.filter(({ fixes }) => fixes.length >= FIXES_MIN)
      const found = long.filter(({ id, fixes }) => {
        const from = Math.floor(fixes.length / 2)
        const watch = new PositionWatch(id, map)
        for (const fix of fixes.slice(0, from)) watch.step(fix)
        const until = (fixes[from] as Fix).time + PROMPT_SECONDS
        return spoof(fixes, from).some((fix) => watch.step(fix).length > 0 && fix.time <= until)
      })
      return `${name} ${Math.round((100 * found.length) / long.length)} %`
    })
    const together = crowds(vehicles, (fix) => fix)
    if (together > 0) checks.set('crowd', together)
    // One transmitter for all: whoever is heard is where it says.
    const led = crowds(vehicles, (fix) => ({ ...fix, latitude: 30.2, longitude: -97.67 }))
    rates.push(`one place for all ${led > 0 ? 'yes' : 'no'}`)
    const rate = (falseAlarms + together) / vehicles.length
    return [
      {
        set: `bus positions ${file.slice(0, 10)}, ${vehicles.length} vehicles`,
        method: 'position checks',
        score: `found in an hour: ${rates.join(', ')}`,
        toBeat: '≤ 1 false a vehicle-day',
        reached: rate <= 1,
        falseAlarms: `${rate.toFixed(2)} a vehicle-day (${[...checks].map(([check, n]) => `${check} ${n}`).join(', ')})`,
      },
    ]
  })
}
