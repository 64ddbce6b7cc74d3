/**
 * Believability: false alarms on clean bus data, and what windows of faulty sensors are believed.
 * Invariant: what is usual is learnt from the first third of a series, which is not judged.
 */
import { readFileSync } from 'node:fs'
import { believabilityRules } from '../../config/believability.ts'
import {
  aspectScores,
  type BelievabilityRules,
  levelScore,
  type Readings,
  SeriesBelief,
  usualOf,
  windowMeasures,
} from '../../protocol/detect/believability.ts'
import { filesOf, rowsOf } from './data.ts'
import { vehiclesOf } from './fleet.ts'
import type { Row } from './sets.ts'

/** The rules that are in the project. */
export function projectRules(): BelievabilityRules {
  const rules = believabilityRules(readFileSync(new URL('../../config/believability.toml', import.meta.url), 'utf8'))
  if ('aspects' in rules) return rules
  throw new Error(rules.join('; '))
}

const WINDOW = 12

/** Windows of `readings` behind the first third, with their scores and the alarms that began. */
function judge(readings: Readings, rules: BelievabilityRules): { from: number; score: number; alarms: number }[] {
  const learnt = Math.floor(readings.values.length / 3)
  const part = (from: number, to: number): Readings => ({
    times: Float64Array.from(readings.times).subarray(from, to),
    values: Float64Array.from(readings.values).subarray(from, to),
  })
  const usual = usualOf(part(0, learnt))
  const belief = new SeriesBelief(rules)
  const windows = []
  for (let from = learnt; from + WINDOW <= readings.values.length; from += WINDOW) {
    const scores = aspectScores(windowMeasures(part(from, from + WINDOW), usual), rules)
    windows.push({ from, score: levelScore(scores, rules), alarms: belief.step(scores).length })
  }
  return windows
}

/** Speeds of the buses. */
export function beliefOfBuses(): Row[] {
  const rules = projectRules()
  return filesOf('capmetrics-gtfsrt', /\.csv(?:\.gz)?$/).map((file): Row => {
    const vehicles = vehiclesOf(file).filter(({ fixes }) => fixes.length >= 3 * WINDOW)
    const windows = vehicles.flatMap(({ fixes }) =>
      judge({ times: fixes.map(({ time }) => time), values: fixes.map(({ speed }) => speed) }, rules),
    )
    const rate = windows.reduce((sum, { alarms }) => sum + alarms, 0) / vehicles.length
    const mean = windows.reduce((sum, { score }) => sum + score, 0) / windows.length
    return {
      set: `bus speeds ${file.slice(0, 10)}, ${vehicles.length} vehicles`,
      method: 'believability of windows',
      score: `mean ${mean.toFixed(2)} on clean data`,
      toBeat: '≤ 1 false a vehicle-day',
      reached: rate <= 1,
      falseAlarms: `${rate.toFixed(2)} a vehicle-day`,
    }
  })
}

/** Windows of the sensors: clean ones and those in which a fault lies. */
export function beliefOfSensors(): Row[] {
  const rules = projectRules()
  const clean: number[] = []
  const faulty: number[] = []
  let [falseAlarms, cleanDays] = [0, 0]
  for (const file of filesOf('sensor-faults-debruijn', /interpolated\/.*\.txt\.gz$/)) {
    const rows = rowsOf(['sensor-faults-debruijn', file])
      .slice(1)
      .filter((cells) => Number.isFinite(Number.parseFloat(cells[3] as string)))
    const times = rows.map(([time]) => Date.parse(`${(time as string).replaceAll("'", '')}Z`) / 1000)
    const readings = { times, values: rows.map((cells) => Number(cells[3])) }
    for (const { from, score, alarms } of judge(readings, rules)) {
      const isFaulty = rows.slice(from, from + WINDOW).some((cells) => cells[2] !== '0')
      ;(isFaulty ? faulty : clean).push(score)
      if (file.includes('/clean/')) falseAlarms += alarms
    }
    if (file.includes('/clean/')) cleanDays += ((2 / 3) * ((times.at(-1) as number) - (times[0] as number))) / 86_400
  }
  if (faulty.length === 0) return []
  const mean = (scores: readonly number[]): number => scores.reduce((sum, score) => sum + score, 0) / scores.length
  return [
    {
      set: 'sensor faults, windows of 12',
      method: 'believability of windows',
      score: `mean ${mean(clean).toFixed(2)} clean, ${mean(faulty).toFixed(2)} faulty`,
      toBeat: '(none set)',
      reached: mean(faulty) < mean(clean),
      falseAlarms: `${(falseAlarms / cleanDays).toFixed(2)} a sensor-day`,
    },
  ]
}
