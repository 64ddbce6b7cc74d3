/**
 * The data sets, each with the one method that it is judged by. A set gives rows of the table; a set that is not here gives none.
 * Invariants: nothing is learnt from what is judged; the numbers of a method stand in protocol/detect/configuration.ts and are the same for all.
 */
import { trainForest } from '../../node/detect/forestTraining.ts'
import { pasadThreshold, trainPasad } from '../../node/detect/pasadTraining.ts'
import { trainPrincipal } from '../../node/detect/principalTraining.ts'
import { ALARM_PPM, PASAD } from '../../protocol/detect/configuration.ts'
import { FEEDER_CLASSES, feederFeatures } from '../../protocol/detect/feeder.ts'
import { classOf } from '../../protocol/detect/forest.ts'
import { departure } from '../../protocol/detect/pasad.ts'
import { Principal } from '../../protocol/detect/principal.ts'
import { SENSOR_CLASSES, SENSOR_FEATURES, sensorClass, sensorFeatures } from '../../protocol/detect/sensorFault.ts'
import { Univariate } from '../../protocol/detect/univariate.ts'
import { Confusion } from './confusion.ts'
import { filesOf, linesOf, rowsOf, textOf } from './data.ts'
import { normalise, type Profile, probationOf, scoreSeries, type Window } from './nabScore.ts'

/** A line of the table. */
export type Row = {
  readonly set: string
  readonly method: string
  readonly score: string
  /** What the score is to reach, and whether it did. */
  readonly toBeat: string
  readonly reached: boolean
  readonly falseAlarms: string
}

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`
const STANDARD: Profile = { tpWeight: 1, fnWeight: 1, fpWeight: 0.11 }

/** NAB. `pattern` chooses among the series. */
export function nab(pattern = /\.csv$/): Row[] {
  const files = filesOf('nab/data', pattern)
  if (files.length === 0) return []
  const labels = JSON.parse(textOf('nab', 'labels/combined_windows.json')) as Record<string, [string, string][]>
  let [raw, count, found, falseAlarms] = [0, 0, 0, 0]
  for (const file of files) {
    const rows = rowsOf(['nab/data', file]).slice(1)
    // Labels have microseconds, the series seconds.
    const times = rows.map(([time]) => (time as string).slice(0, 19))
    const windows = (labels[file] ?? []).map(
      ([first, last]): Window => [times.indexOf(first.slice(0, 19)), times.indexOf(last.slice(0, 19))],
    )
    const detector = new Univariate(probationOf(rows.length))
    const score = scoreSeries(
      rows.map(([, value]) => detector.step(Number(value)).alarm),
      windows,
      STANDARD,
    )
    raw += score.raw
    count += windows.length
    found += score.found
    falseAlarms += score.falseAlarms
  }
  const score = count === 0 ? Number.NaN : normalise(raw, count, STANDARD)
  return [
    {
      set: `NAB, ${files.length} series`,
      method: 'conformal nearest neighbours',
      score: `${score.toFixed(1)} standard profile, ${found} of ${count} windows`,
      toBeat: '58',
      reached: score >= 58,
      falseAlarms: `${falseAlarms}, ${(falseAlarms / files.length).toFixed(1)} a series`,
    },
  ]
}

/** SKAB: learns from the first 400 rows of a file, is judged on the others. */
export function skab(pattern = /^(?!anomaly-free).*\.csv$/): Row[] {
  const files = filesOf('skab/data', pattern)
  if (files.length === 0) return []
  const confusion = new Confusion(2)
  for (const file of files) {
    const [head, ...rows] = rowsOf(['skab/data', file], ';') as [string[], ...string[][]]
    const label = head.indexOf('anomaly')
    const vectors = rows.map((cells) => cells.slice(1, label).map(Number))
    const detector = new Principal(trainPrincipal(vectors.slice(0, 400)))
    for (const [i, vector] of vectors.entries()) {
      const alarm = detector.step(vector) >= ALARM_PPM
      if (i >= 400) confusion.add(Number(rows[i]?.[label]), alarm ? 1 : 0)
    }
  }
  const score = confusion.f1(1)
  return [
    {
      set: `SKAB, ${files.length} files`,
      method: 'PCA, T² and Q of a moving average',
      score: `F1 ${score.toFixed(3)}`,
      toBeat: '.78 at ≤ 20 %',
      reached: score >= 0.78 && confusion.missed(0) <= 0.2,
      falseAlarms: percent(confusion.missed(0)),
    },
  ]
}

/** First row of the attacks of the Tennessee Eastman captures. */
const ATTACK = 4000

/** PASAD: the cases of oracle/README.txt whose files are here. */
export function pasad(): Row[] {
  const cases = filesOf('pasad-te', /^oracle\/README\.txt$/).flatMap((file) => linesOf('pasad-te', file))
  const here = filesOf('pasad-te', /./)
  return cases.flatMap((line): Row[] => {
    const [name, file, column, training, lag, dimensions] = line.split(/\s+/)
    if (!here.includes(`oracle/${name}.departure.txt`) || !here.includes(file as string)) return []
    const series = Float64Array.from(rowsOf(['pasad-te', file as string]), (cells) => Number(cells[Number(column) - 1]))
    const learnt = Number(training)
    const model = trainPasad(series.slice(0, learnt), Number(lag), Number(dimensions))
    const oracle = linesOf('pasad-te', `oracle/${name}.departure.txt`).map(Number)
    const scores = Float64Array.from(oracle, (_, k) => departure(model, series, learnt + k))
    const worst = Math.max(...oracle.map((score, k) => Math.abs(score - (scores[k] as number))))
    const validated = learnt + Math.floor(PASAD.validation * (ATTACK - learnt))
    const threshold = pasadThreshold(model, series, learnt, validated)
    const alarms = (from: number, to: number): number[] =>
      Array.from({ length: to - from }, (_, i) => from + i).filter((at) => (scores[at - learnt] as number) > threshold)
    const wrong = alarms(validated, ATTACK).length / (ATTACK - validated)
    const attacked = alarms(ATTACK, series.length)
    return [
      {
        set: `Tennessee Eastman, ${name}`,
        method: 'PASAD',
        score: `differs from the oracle by ${worst.toExponential(1)}`,
        toBeat: '1e-6',
        reached: worst <= 1e-6,
        falseAlarms: `${percent(wrong)}; found ${attacked.length === 0 ? 'never' : `${(attacked[0] as number) - ATTACK} rows after it began`}`,
      },
    ]
  })
}

/** Codes of the faults in the files → classes of `SENSOR_CLASSES`. */
const SENSOR_CODES = ['0', '1', '2', '4', '8', '16', '32']

/** Sensor faults: whoever is judged was not at a site that was learnt from. */
export function sensorFaults(pattern = /interpolated\/.*\.txt\.gz$/): Row[] {
  const files = filesOf('sensor-faults-debruijn', pattern).map((file) => {
    const [head, ...rows] = rowsOf(['sensor-faults-debruijn', file]) as [string[], ...string[][]]
    const [mote, value, label] = ['mote_id', 'temperature', 'has_fault_type'].map((name) => head.indexOf(name)) as [
      number,
      number,
      number,
    ]
    const whole = rows.filter((cells) => Number.isFinite(Number.parseFloat(cells[value] as string)))
    const labels = whole.map((cells) => SENSOR_CODES.indexOf(cells[label] as string))
    const features = sensorFeatures(Float64Array.from(whole, (cells) => Number(cells[value])))
    return { site: whole[0]?.[mote] as string, labels, features }
  })
  const sites = [...new Set(files.map(({ site }) => site))].sort()
  if (sites.length < 2) return []
  const confusion = new Confusion(SENSOR_CLASSES.length)
  const vectors = ({ features, labels }: (typeof files)[number]) =>
    labels.map((label, i) => ({
      features: features.subarray(i * SENSOR_FEATURES, (i + 1) * SENSOR_FEATURES),
      label,
    }))
  const folds = Math.min(sites.length, 5)
  const votes = new Int32Array(SENSOR_CLASSES.length)
  for (let fold = 0; fold < folds; fold++) {
    const isJudged = (site: string): boolean => sites.indexOf(site) % folds === fold
    const learnt = files.filter(({ site }) => !isJudged(site)).flatMap(vectors)
    const forest = trainForest(learnt, SENSOR_CLASSES.length)
    for (const file of files.filter(({ site }) => isJudged(site)))
      for (const { features, label } of vectors(file)) confusion.add(label, sensorClass(forest, features, votes).winner)
  }
  const score = confusion.macroF1(SENSOR_CLASSES.map((_, c) => c).slice(1))
  return [
    {
      set: `sensor faults, ${sites.length} sites`,
      method: 'window features, random forest, unseen sites',
      score: `macro-F1 ${score.toFixed(3)} of faults`,
      toBeat: '.60 at ≤ 3 %',
      reached: score >= 0.6 && confusion.missed(0) <= 0.03,
      falseAlarms: percent(confusion.missed(0)),
    },
  ]
}

const FEEDER_ROWS = 100
const FEEDER_FOLDS = 5

/** Feeder faults: five folds of records that lie together in a file, so that neighbours are never on both sides. */
export function feederFaults(pattern = /^\d-data\.csv(?:\.gz)?$/): Row[] {
  const records = filesOf('sgah-grid-faults', pattern).flatMap((file) => {
    // 5 is normal, which is class 0.
    const label = Number(file[0]) % 5
    const rows = rowsOf(['sgah-grid-faults', file])
      .map((cells) => cells.map(Number))
      .filter((cells) => cells.length >= 6 && cells.every(Number.isFinite))
    const count = Math.floor(rows.length / FEEDER_ROWS)
    return Array.from({ length: count }, (_, k) => ({
      label,
      fold: Math.floor((k * FEEDER_FOLDS) / count),
      features: feederFeatures(
        Float64Array.from(rows.slice(k * FEEDER_ROWS, (k + 1) * FEEDER_ROWS).flatMap((row) => row.slice(0, 6))),
      ),
    }))
  })
  if (records.length === 0) return []
  const confusion = new Confusion(FEEDER_CLASSES.length)
  for (let fold = 0; fold < FEEDER_FOLDS; fold++) {
    const forest = trainForest(
      records.filter((record) => record.fold !== fold),
      FEEDER_CLASSES.length,
    )
    for (const record of records.filter((one) => one.fold === fold))
      confusion.add(record.label, classOf(forest, record.features).winner)
  }
  const score = confusion.macroF1(FEEDER_CLASSES.map((_, c) => c))
  return [
    {
      set: `feeder faults, ${records.length} records`,
      method: 'symmetrical components, random forest',
      score: `macro-F1 ${score.toFixed(3)}`,
      toBeat: '.95',
      reached: score >= 0.95,
      falseAlarms: percent(confusion.missed(0)),
    },
  ]
}
