/**
 * The study of liars, small: what docs/trust.md promises of the median, that the study could show the contrary, and that it computes what the
 * state machine computes.
 */
import { describe, expect, it } from 'vitest'
import { DEFAULT_PARAMETERS } from '../../config/genesisFile.ts'
import { readDevice } from '../../protocol/kinds/device/record.ts'
import { ERA_STATE_KEY, encodeEra, firstEra } from '../../protocol/kinds/governance/record.ts'
import { readTrust } from '../../protocol/kinds/trust/record.ts'
import { address, Chain, GENESIS, make, opinions, registration } from '../protocol/kinds/consortium.ts'
import type { AggregationName } from './aggregations.ts'
import { plotOf, tableOf } from './report.ts'
import { type Plan, planOf, type Result, RULE, runSegment, STRATEGIES, type Strategy } from './segment.ts'
import { study } from './study.ts'

const SEGMENTS = 60
const runs = (strategy: Strategy, share: number, aggregation: AggregationName = 'median'): Result[] =>
  Array.from({ length: SEGMENTS }, (_, i) => runSegment(planOf(i + 1, strategy, share), aggregation))
const sum = (results: readonly Result[], what: keyof Result): number =>
  results.reduce((total, result) => total + result[what], 0)
const detected = (results: readonly Result[]): number => sum(results, 'guiltyCut') / sum(results, 'guilty')

describe('segments with liars', () => {
  it.each(STRATEGIES)('median: with 40 %% of the raters lying (%s), no honest device is cut off', (strategy) => {
    expect(runs(strategy, 0.4).map(({ honestCut }) => honestCut)).toEqual(new Array(SEGMENTS).fill(0))
  })

  it.each(['bad-mouthing', 'ballot-stuffing', 'collusion', 'whitewashing'] as const)(
    'median: with 40 %% of the raters lying (%s), the guilty device is cut off',
    (strategy) => {
      expect(detected(runs(strategy, 0.4))).toBeGreaterThan(0.95)
    },
  )

  it('mean and EigenTrust: the same liars save the guilty, or have the honest cut off', () => {
    expect(detected(runs('ballot-stuffing', 0.4, 'mean'))).toBeLessThan(0.5)
    expect(detected(runs('ballot-stuffing', 0.4, 'EigenTrust'))).toBeLessThan(0.5)
    expect(sum(runs('collusion', 0.4, 'EigenTrust'), 'honestCut')).toBeGreaterThan(0)
  })

  it('beyond half of the raters, the liars are the segment: honest devices are cut off and the guilty is not', () => {
    const lost = runs('collusion', 0.6)
    expect(sum(lost, 'honestCut') / sum(lost, 'honest')).toBeGreaterThan(0.9)
    expect(detected(lost)).toBeLessThan(0.1)
  })

  it('a seed stands for one segment', () => {
    expect(runs('on-off', 0.3)).toEqual(runs('on-off', 0.3))
    expect(planOf(1, 'on-off', 0.3)).not.toEqual(planOf(2, 'on-off', 0.3))
  })
})

describe('against the state machine', () => {
  it.each(['bad-mouthing', 'ballot-stuffing', 'collusion', 'on-off'] as const)(
    '%s: blocks with the same opinions lead to the same trust and the same blacklist, round by round',
    (strategy) => {
      const plan: Plan = { ...planOf(7, strategy, 0), devices: 7, liars: 2, begins: 2, noise: 0.05 }
      const chain = new Chain()
      const memberSet = { ...GENESIS.memberSet, parameters: DEFAULT_PARAMETERS }
      chain.entries.set(ERA_STATE_KEY, encodeEra(firstEra(memberSet)))
      const keyOf = (device: number): number => 51 + device
      const devices = Array.from({ length: plan.devices }, (_, device) => device)
      for (const device of devices) expect(chain.run('device.register', 11, registration(keyOf(device)))).toBeNull()
      let isCut: readonly boolean[] = devices.map(() => false)
      runSegment(plan, 'median', (round) => {
        chain.time += 5000
        const life = { validUntil: chain.time + 1000 }
        const inService = devices.filter((device) => !isCut[device])
        const said = inService.map((rater) => {
          const others = inService.filter((device) => device !== rater)
          const values = others.map((device) => [keyOf(device), round.said[rater]?.[device] as number])
          return make('trust.opinion', keyOf(rater), opinions(Object.fromEntries(values), chain.time), life)
        })
        expect(chain.block(...said)).toEqual(said.map(() => null))
        for (const device of devices) {
          const id = address(keyOf(device))
          expect(readTrust(chain, id)?.trustPpm).toBe(round.trust[device])
          expect(readDevice(chain, id)?.status === 'blacklisted').toBe(round.isCut[device])
        }
        isCut = round.isCut
      })
      expect(isCut[0]).toBe(true)
    },
  )

  it('its rule is that of a new consortium', () => {
    expect(RULE).toEqual({
      thresholdPpm: DEFAULT_PARAMETERS.trustThresholdPpm,
      patience: DEFAULT_PARAMETERS.trustPatience,
      minRaters: DEFAULT_PARAMETERS.trustMinRaters,
      initialPpm: DEFAULT_PARAMETERS.trustInitialPpm,
    })
  })
})

describe('report', () => {
  it('has a row for each strategy and aggregation, and a plot with a line for each in both rows of panels', () => {
    const cells = study(STRATEGIES.length, [0, 40])
    expect(tableOf(cells).split('\n')).toHaveLength(2 + STRATEGIES.length * 3)
    expect(plotOf(cells, 'x').match(/<polyline/g)).toHaveLength(2 * STRATEGIES.length * 3)
  })
})
