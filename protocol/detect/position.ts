/**
 * Stage: detectors. Whether the positions of a vehicle can be true: what physics, the receiver's own words and the rest of the fleet allow.
 * Sources: Psiaki and Humphreys, GNSS Spoofing and Detection, Proc. IEEE 2016; Warner and Johnston, GPS Spoofing Countermeasures, 2003
 * (implied speed, identical fixes, clock).
 * Invariants: a fix that says nothing of a thing (NaN) is not judged by it; memory is bounded; an incident is one finding of each check.
 * Not seen: a receiver that is led away no faster than the vehicle could drive, along streets that the fleet uses.
 */
import { POSITION } from './configuration.ts'

/** What is checked. */
export type PositionCheck =
  | 'coordinates'
  | 'jump'
  | 'heading'
  | 'freeze'
  | 'duplicate'
  | 'replay'
  | 'clock'
  | 'signal'
  | 'astray'
  | 'crowd'

/** One fix; what is not known is NaN. */
export type Fix = {
  /** The receiver's time, s since 1970-01-01T00:00Z. */
  readonly time: number
  /** When it was heard, by a clock that is not the receiver's, likewise. */
  readonly heardAt: number
  readonly latitude: number
  readonly longitude: number
  /** m/s. */
  readonly speed: number
  /** Degrees from north. */
  readonly track: number
  readonly satellites: number
  readonly hdop: number
}

/** Something that cannot be. `excess`: how many times what is allowed, at least 1. */
export type PositionFinding = { readonly check: PositionCheck; readonly excess: number }

const EARTH_RADIUS = 6_371_000
const RADIANS = Math.PI / 180

/** Metres on the sphere between two positions in degrees (haversine). */
export function distance(latitude1: number, longitude1: number, latitude2: number, longitude2: number): number {
  const up = Math.sin(((latitude2 - latitude1) * RADIANS) / 2)
  const along = Math.sin(((longitude2 - longitude1) * RADIANS) / 2)
  const square = up * up + Math.cos(latitude1 * RADIANS) * Math.cos(latitude2 * RADIANS) * along * along
  return 2 * EARTH_RADIUS * Math.asin(Math.min(1, Math.sqrt(square)))
}

/** Degrees from north of the way from the first position to the second, near each other. */
export function bearing(latitude1: number, longitude1: number, latitude2: number, longitude2: number): number {
  const east = (longitude2 - longitude1) * Math.cos(latitude1 * RADIANS)
  return (Math.atan2(east, latitude2 - latitude1) / RADIANS + 360) % 360
}

/** Cells that vehicles passed, and which ones: the streets of the fleet. */
export class FleetMap {
  private readonly cells = new Map<string, Set<string>>()

  /** `vehicle` was there. */
  add(vehicle: string, latitude: number, longitude: number): void {
    const key = `${Math.floor(latitude / POSITION.cell)} ${Math.floor(longitude / POSITION.cell)}`
    const vehicles = this.cells.get(key)
    if (vehicles === undefined) this.cells.set(key, new Set([vehicle]))
    else vehicles.add(vehicle)
  }

  /** Whether another vehicle than `vehicle` passed there, or in a cell beside it. */
  knows(vehicle: string, latitude: number, longitude: number): boolean {
    const [row, column] = [Math.floor(latitude / POSITION.cell), Math.floor(longitude / POSITION.cell)]
    for (let r = row - 1; r <= row + 1; r++)
      for (let c = column - 1; c <= column + 1; c++) {
        const vehicles = this.cells.get(`${r} ${c}`)
        if (vehicles !== undefined && (vehicles.size > 1 || !vehicles.has(vehicle))) return true
      }
    return false
  }
}

/** Watches one vehicle. */
export class PositionWatch {
  private readonly vehicle: string
  private readonly map: FleetMap | null
  private before: Fix | null = null
  private readonly past: Fix[] = []
  private frozen = 0
  private frozenSince = 0
  private turned = 0
  private astray = 0
  private replayed = 0
  private replayFrom = -1
  private replayLength = 0
  private readonly quietUntil = new Map<PositionCheck, number>()

  /** `map`: the streets of the fleet; null where there is no fleet. */
  constructor(vehicle: string, map: FleetMap | null) {
    this.vehicle = vehicle
    this.map = map
  }

  /** Takes the next fix, in the order in which fixes were heard, and gives what is new about it. */
  step(fix: Fix): PositionFinding[] {
    const found: PositionFinding[] = []
    const say = (check: PositionCheck, excess: number): void => {
      if (fix.time < (this.quietUntil.get(check) ?? Number.NEGATIVE_INFINITY)) return
      this.quietUntil.set(check, fix.time + POSITION.quietSeconds)
      found.push({ check, excess: Math.max(1, excess) })
    }
    const { latitude, longitude } = fix
    if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180) || (latitude === 0 && longitude === 0)) {
      say('coordinates', 1)
      return found
    }
    if (fix.satellites < POSITION.satellitesMin) say('signal', POSITION.satellitesMin / Math.max(1, fix.satellites))
    if (fix.hdop > POSITION.hdopMax) say('signal', fix.hdop / POSITION.hdopMax)
    if (fix.time - fix.heardAt > POSITION.clockSlack) say('clock', (fix.time - fix.heardAt) / POSITION.clockSlack)
    const { before } = this
    if (before !== null) {
      const seconds = fix.time - before.time
      if (seconds < -POSITION.clockSlack) say('clock', -seconds / POSITION.clockSlack)
      const metres = distance(before.latitude, before.longitude, latitude, longitude)
      const allowed = POSITION.speedMax * Math.max(0, seconds) + POSITION.slack
      if (metres > allowed) say(seconds === 0 ? 'duplicate' : 'jump', metres / allowed)
      if (seconds > 0) {
        this.freeze(before, fix, metres, say)
        this.heading(before, fix, metres, seconds, say)
        this.replay(fix, metres, say)
      }
    }
    if (before === null || fix.time > before.time) this.stray(fix, say)
    this.before = fix
    return found
  }

  private freeze(before: Fix, fix: Fix, metres: number, say: (check: PositionCheck, excess: number) => void): void {
    if (metres > 0 || !(fix.speed >= POSITION.freezeSpeed)) {
      this.frozen = 0
      return
    }
    if (this.frozen++ === 0) this.frozenSince = before.time
    const seconds = fix.time - this.frozenSince
    if (this.frozen >= POSITION.freezeFixes && seconds >= POSITION.freezeSeconds)
      say('freeze', seconds / POSITION.freezeSeconds)
  }

  private heading(
    before: Fix,
    fix: Fix,
    metres: number,
    seconds: number,
    say: (check: PositionCheck, excess: number) => void,
  ): void {
    if (!(metres >= POSITION.headingStep && seconds <= POSITION.headingSeconds) || Number.isNaN(fix.track)) return
    const apart = Math.abs(fix.track - bearing(before.latitude, before.longitude, fix.latitude, fix.longitude)) % 360
    const turn = Math.min(apart, 360 - apart)
    this.turned = turn > POSITION.headingDifference ? this.turned + 1 : 0
    if (this.turned >= POSITION.headingFixes) say('heading', turn / POSITION.headingDifference)
  }

  /** The very positions of an earlier stretch, one after the other: receivers never repeat themselves to the last digit while they move. */
  private replay(fix: Fix, metres: number, say: (check: PositionCheck, excess: number) => void): void {
    if (metres === 0) return
    const next = this.replayFrom < 0 ? undefined : this.past[this.replayFrom + 1]
    if (next !== undefined && next.latitude === fix.latitude && next.longitude === fix.longitude) {
      this.replayFrom++
      this.replayed++
      this.replayLength += metres
    } else {
      this.replayFrom = this.past.findIndex(
        ({ latitude, longitude }) => latitude === fix.latitude && longitude === fix.longitude,
      )
      this.replayed = this.replayFrom < 0 ? 0 : 1
      this.replayLength = 0
    }
    if (this.replayed >= POSITION.replayFixes && this.replayLength >= POSITION.replayLength)
      say('replay', this.replayed / POSITION.replayFixes)
    this.past.push(fix)
    if (this.past.length > POSITION.remembered) {
      this.past.shift()
      this.replayFrom = Math.max(-1, this.replayFrom - 1)
    }
  }

  private stray(fix: Fix, say: (check: PositionCheck, excess: number) => void): void {
    if (this.map === null) return
    this.astray = this.map.knows(this.vehicle, fix.latitude, fix.longitude) ? 0 : this.astray + 1
    if (this.astray >= POSITION.astrayFixes) say('astray', this.astray / POSITION.astrayFixes)
  }
}

/** Vehicles within this many metres of each other count as at one place. */
const CROWD_METRES = 30
/** So many that were apart are not suddenly at one place. */
const CROWD_VEHICLES = 5

/**
 * Neighbours in the fleet at one moment: whether many that were `apart` metres or more from each other before are now at one place, as when one
 * transmitter leads all receivers within its reach. `now` and `then` hold latitude, longitude of each vehicle, one after the other.
 */
export function crowd(then: Float64Array, now: Float64Array, apart: number): PositionFinding | null {
  const count = now.length / 2
  let most = 0
  for (let i = 0; i < count; i++) {
    let together = 1
    for (let j = 0; j < count; j++) {
      if (i === j) continue
      const [a, b, c, d] = [now[2 * i], now[2 * i + 1], now[2 * j], now[2 * j + 1]] as [number, number, number, number]
      if (!(distance(a, b, c, d) <= CROWD_METRES)) continue
      const [e, f, g, h] = [then[2 * i], then[2 * i + 1], then[2 * j], then[2 * j + 1]] as [
        number,
        number,
        number,
        number,
      ]
      if (distance(e, f, g, h) >= apart) together++
    }
    most = Math.max(most, together)
  }
  return most >= CROWD_VEHICLES ? { check: 'crowd', excess: most / CROWD_VEHICLES } : null
}
