/**
 * Stage: detectors. What a satellite receiver says: NMEA 0183 sentences GGA, RMC, GLL, GNS, GSA, VTG and ZDA → the fix of an epoch.
 * Source: Raymond, NMEA Revealed (gpsd); receivers that keep to no standard are taken as gpsd takes them where that is known.
 * Invariants: a sentence with a wrong checksum, or with a field that is no number, changes nothing; what an epoch does not say is NaN and never 0.
 */

/** What the sentences of one epoch said so far. */
export type NmeaFix = {
  /** Seconds since midnight UTC; NaN before anything told it. */
  readonly secondsOfDay: number
  /** ms since 1970-01-01T00:00Z; NaN as long as no sentence told the date. */
  readonly timeMs: number
  /** 0 unknown, 1 no fix, 2 without altitude, 3 with. */
  readonly mode: number
  /** Degrees, north and east positive. */
  readonly latitude: number
  readonly longitude: number
  /** Metres above the sea. */
  readonly altitude: number
  /** Metres a second. */
  readonly speed: number
  /** Degrees from true north. */
  readonly track: number
  readonly satellites: number
  readonly hdop: number
}

/** Characters of a sentence; longer lines are none. The standard says 82, receivers send more. */
export const SENTENCE_CHARACTERS_MAX = 256
/** Metres a second in a knot. */
const KNOT = 1852 / 3600
const NONE: NmeaFix = {
  secondsOfDay: Number.NaN,
  timeMs: Number.NaN,
  mode: 0,
  latitude: Number.NaN,
  longitude: Number.NaN,
  altitude: Number.NaN,
  speed: Number.NaN,
  track: Number.NaN,
  satellites: Number.NaN,
  hdop: Number.NaN,
}

/** Fields of a sentence whose checksum is right; null for anything else. The first is talker and type, as GPGGA. */
export function sentenceFields(line: string): string[] | null {
  const text = line.trim()
  if (text.length > SENTENCE_CHARACTERS_MAX) return null
  const parts = /^\$([A-Z]{2}[A-Z]{3},[\x20-\x7e]*)\*([0-9A-Fa-f]{2})$/.exec(text)
  if (parts === null) return null
  let sum = 0
  for (const character of parts[1] as string) sum ^= character.charCodeAt(0)
  return sum === Number.parseInt(parts[2] as string, 16) ? (parts[1] as string).split(',') : null
}

/** A decimal field; NaN where it is empty or none. */
const number = (field: string | undefined): number =>
  /^-?\d+(?:\.\d*)?$|^-?\.\d+$/.test(field ?? '') ? Number(field) : Number.NaN

/** Degrees of ddmm.mmmm and a letter of `letters`, the second of which is negative. */
function degrees(field: string | undefined, letter: string | undefined, letters: string): number {
  const value = number(field)
  const at = letters.indexOf(letter || '?')
  if (Number.isNaN(value) || at < 0) return Number.NaN
  const whole = Math.floor(value / 100)
  return (whole + (value - 100 * whole) / 60) * (at === 0 ? 1 : -1)
}

/** Seconds since midnight of hhmmss.ss. */
function seconds(field: string | undefined): number {
  const value = /^\d{6}(?:\.\d*)?$/.test(field ?? '') ? Number(field) : Number.NaN
  return Math.floor(value / 10_000) * 3600 + (Math.floor(value / 100) % 100) * 60 + (value % 100)
}

/** Days since 1970-01-01; two digits of a year from 80 on are of the last century. */
const dayOf = (day: number, month: number, year: number): number =>
  Date.UTC(year < 80 ? 2000 + year : year < 100 ? 1900 + year : year, month - 1, day) / 86_400_000

/** Puts the sentences of a receiver together. */
export class NmeaDecoder {
  private fix: NmeaFix = NONE
  private day = Number.NaN

  /** The fix of the present epoch after `line`; null if it is no sentence that says something about it. */
  step(line: string): NmeaFix | null {
    const fields = sentenceFields(line)
    if (fields === null) return null
    const type = (fields[0] as string).slice(2)
    if (type === 'GGA') {
      // Some receivers give a position from three satellites and call it none; gpsd takes it, and so is it here.
      const hasFix = number(fields[6]) > 0 || number(fields[7]) >= 3
      return this.position(fields, 1, 2, hasFix, this.quality(fields))
    }
    if (type === 'GNS') return this.position(fields, 1, 2, !/^N*$/.test(fields[6] ?? ''), this.quality(fields))
    if (type === 'GLL') return this.position(fields, 5, 1, fields[6] === 'A' && fields[7] !== 'N', {})
    if (type === 'RMC') {
      const date = /^(\d\d)(\d\d)(\d\d)$/.exec(fields[9] ?? '')
      if (date !== null) this.day = dayOf(Number(date[1]), Number(date[2]), Number(date[3]))
      const moving = { speed: number(fields[7]) * KNOT, track: number(fields[8]) }
      return this.position(fields, 1, 3, fields[2] === 'A' && fields[12] !== 'N', moving)
    }
    if (type === 'VTG') {
      const speed = number(fields[5]) * KNOT
      return this.put({ speed: Number.isNaN(speed) ? number(fields[7]) / 3.6 : speed, track: number(fields[1]) })
    }
    if (type === 'GSA') {
      const mode = number(fields[2])
      return mode >= 1 && mode <= 3 ? this.put({ mode, hdop: number(fields[16]) }) : null
    }
    if (type !== 'ZDA') return null
    this.day = dayOf(number(fields[2]), number(fields[3]), number(fields[4]))
    return this.at(seconds(fields[1]))
  }

  /** What GGA and GNS say beside the position. */
  private quality(fields: readonly string[]): Partial<NmeaFix> {
    return { satellites: number(fields[7]), hdop: number(fields[8]), altitude: number(fields[9]) }
  }

  /** A sentence with a time and a position; latitude begins at field `at`. Without a fix nothing of it counts. */
  private position(
    fields: readonly string[],
    time: number,
    at: number,
    hasFix: boolean,
    more: Partial<NmeaFix>,
  ): NmeaFix {
    this.at(seconds(fields[time]))
    if (!hasFix) return this.put({ mode: 1, satellites: more.satellites ?? Number.NaN })
    const latitude = degrees(fields[at], fields[at + 1], 'NS')
    const longitude = degrees(fields[at + 2], fields[at + 3], 'EW')
    if (Number.isNaN(latitude) || Number.isNaN(longitude) || Math.abs(latitude) > 90 || Math.abs(longitude) > 180)
      return this.put(more)
    const known = Number.isNaN(more.altitude ?? Number.NaN) ? 2 : 3
    return this.put({ latitude, longitude, mode: Math.max(known, this.fix.mode), ...more })
  }

  /** Begins another epoch if the time is another one. */
  private at(secondsOfDay: number): NmeaFix {
    if (Number.isNaN(secondsOfDay)) return this.fix
    const before = this.fix.secondsOfDay
    if (secondsOfDay !== before) this.fix = { ...NONE, mode: this.fix.mode > 1 ? this.fix.mode : 0, secondsOfDay }
    // After midnight the date of the last sentence is yesterday's until another one tells it.
    if (secondsOfDay < before - 43_200) this.day++
    return this.put({})
  }

  private put(more: Partial<NmeaFix>): NmeaFix {
    const told = Object.fromEntries(Object.entries(more).filter(([, value]) => !Number.isNaN(value)))
    this.fix = { ...this.fix, ...told }
    this.fix = { ...this.fix, timeMs: (this.day * 86_400 + this.fix.secondsOfDay) * 1000 }
    return this.fix
  }
}
