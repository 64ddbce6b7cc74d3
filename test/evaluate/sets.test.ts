/** A small part of `npm run evaluate`: one or two files of each set, with the methods and numbers that the whole uses. */
import { describe, expect, it } from 'vitest'
import { hasData } from './data.ts'
import { scoreLog } from './receivers.ts'
import { feederFaults, nab, sensorFaults, skab } from './sets.ts'

describe('evaluate (parts are skipped where their data is absent)', () => {
  it.skipIf(!hasData('nab'))(
    'NAB: a day without its peak is found (skipped where the data is absent)',
    () => {
      const [row] = nab(/art_daily_flatmiddle/)
      expect(row?.reached).toBe(true)
    },
    60_000,
  )

  it.skipIf(!hasData('skab'))(
    'SKAB: closed valves are found at few false alarms (skipped where the data is absent)',
    () => {
      const [row] = skab(/valve1\/[3-6]\.csv/)
      expect(row?.reached).toBe(true)
    },
  )

  it.skipIf(!hasData('sensor-faults-debruijn'))(
    'sensor faults: two sites teach each other (skipped where the data is absent)',
    () => {
      const [row] = sensorFaults(/santander(?:20|21)_.*\.gz$/)
      expect(row?.score).toMatch(/macro-F1 0\.[6-9]/)
    },
    60_000,
  )

  it.skipIf(!hasData('sgah-grid-faults'))(
    'feeder faults: two classes are told apart (skipped where the data is absent)',
    () => {
      const [row] = feederFaults(/^[25]-data/)
      expect(row?.falseAlarms).toBe('0.0 %')
    },
  )

  it.skipIf(!hasData('gpsd-nmea'))(
    'receivers: the fixes of one log come out exactly (skipped where the data is absent)',
    () => {
      const score = scoreLog('bu353s4.log.chk')
      expect(score.positions).toBeGreaterThan(20)
      expect(score.positionsRight).toBe(score.positions)
      expect(score.othersRight).toBe(score.others)
    },
  )
})
