/**
 * Receiver logs: whether the fixes that gpsd must emit come out. The .chk files echo each sentence and, behind it, what gpsd says after it.
 * Invariant: what is compared is every position, altitude, speed, track and time that gpsd reports behind a sentence that we know; a speed that it
 * works out from positions, and an altitude of a maker's own sentence, are not asked for.
 */
import { NmeaDecoder, type NmeaFix } from '../../protocol/detect/nmea.ts'
import { filesOf, linesOf } from './data.ts'
import type { Row } from './sets.ts'

type Report = {
  readonly class: string
  readonly time?: string
  readonly lat?: number
  readonly lon?: number
  readonly altMSL?: number
  readonly speed?: number
  readonly track?: number
}

/** Half of the last digit that gpsd prints, and what binary fractions add. */
const PRINTED = { position: 1e-9, altitude: 6e-5, speed: 6e-4, track: 6e-5 }

/** What one log gave: positions that agree of those there are, and likewise for all other fields. */
export type LogScore = { positions: number; positionsRight: number; others: number; othersRight: number }

/** Compares one log. */
export function scoreLog(file: string): LogScore {
  const decoder = new NmeaDecoder()
  const score: LogScore = { positions: 0, positionsRight: 0, others: 0, othersRight: 0 }
  let fix: NmeaFix | null = null
  let isProprietary = false
  for (const line of linesOf('gpsd-nmea', file)) {
    if (/^[$!]/.test(line)) {
      fix = decoder.step(line) ?? fix
      isProprietary = line.startsWith('$P')
    }
    if (!line.startsWith('{"class":"TPV"') || fix === null) continue
    const told = JSON.parse(line) as Report
    if (told.lat !== undefined && told.lon !== undefined) {
      score.positions++
      const apart = Math.max(Math.abs(told.lat - fix.latitude), Math.abs(told.lon - fix.longitude))
      if (apart <= PRINTED.position) score.positionsRight++
    }
    const others: [number | undefined, number, number][] = [
      [isProprietary ? undefined : told.altMSL, fix.altitude, PRINTED.altitude],
      [Number.isNaN(fix.speed) ? undefined : told.speed, fix.speed, PRINTED.speed],
      [told.track, fix.track, PRINTED.track],
      [fix.mode < 2 || told.time === undefined ? undefined : Date.parse(told.time), fix.timeMs, 1],
    ]
    for (const [theirs, ours, tolerance] of others) {
      if (theirs === undefined) continue
      score.others++
      if (Math.abs(theirs - ours) <= tolerance) score.othersRight++
    }
  }
  return score
}

/** All logs that are here. */
export function receivers(): Row[] {
  const files = filesOf('gpsd-nmea', /\.chk$/)
  if (files.length === 0) return []
  const scores = files.map(scoreLog)
  const sum = (key: keyof LogScore): number => scores.reduce((total, score) => total + score[key], 0)
  const [right, all] = [sum('positionsRight'), sum('positions')]
  return [
    {
      set: `receiver logs, ${files.length} files`,
      method: 'NMEA parser',
      score: `${right} of ${all} positions exact, ${sum('othersRight')} of ${sum('others')} other fields`,
      toBeat: 'exact',
      // The one other field in the files at hand is a date of 2007 that gpsd takes for one of 1024 weeks later.
      reached: right === all,
      falseAlarms: '–',
    },
  ]
}
