/** The rule of trust: from opinions to suspicion and the blacklist, and what can neither cause nor prevent it. */
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../../../protocol/bytes.ts'
import { approvalBytes, readBlacklist } from '../../../../protocol/kinds/access/record.ts'
import { readDevice } from '../../../../protocol/kinds/device/record.ts'
import { readOpinions } from '../../../../protocol/kinds/trust/opinions.ts'
import {
  readTrust,
  readTrustPage,
  TRUST_PAGE_POINTS,
  type TrustPoint,
} from '../../../../protocol/kinds/trust/record.ts'
import { sign } from '../../../../protocol/signature.ts'
import {
  address,
  blacklisting,
  CHAIN,
  Chain,
  deviceBytes,
  key,
  make,
  opinions,
  registration,
  report,
  score,
  secretKey,
} from '../consortium.ts'

const [A, B] = [11, 12] // API keys of members 1 and 2
const [D, ...RATERS] = [50, 51, 52, 53, 54] as [number, number, number, number, number]
const statusOf = (chain: Chain, n = D) => readDevice(chain, address(n))?.status
const trustOf = (chain: Chain, n = D) => readTrust(chain, address(n))

/** Device 50 and four raters of one segment. Threshold 500 000, patience 3, 3 voices, fresh for a minute. */
function segment(mode: 'enforce' | 'observe' = 'enforce'): Chain {
  const chain = new Chain()
  expect(chain.run('device.register', A, registration(D, mode))).toBeNull()
  for (const n of RATERS) expect(chain.run('device.register', A, registration(n))).toBeNull()
  return chain
}

/** A second later, each rater says in one block what it thinks of device 50. */
function rate(chain: Chain, values: readonly number[]): void {
  chain.time += 1000
  const life = { validUntil: chain.time + 1000 }
  const said = values.map((ppm, i) =>
    make('trust.opinion', RATERS[i] as number, opinions({ [D]: ppm }, chain.time), life),
  )
  expect(chain.block(...said)).toEqual(values.map(() => null))
}

const historyOf = (chain: Chain, n = D): TrustPoint[] => {
  const points = trustOf(chain, n)?.points ?? 0
  const found: TrustPoint[] = []
  for (let first = 0; first < points; first += TRUST_PAGE_POINTS) found.push(...readTrustPage(chain, address(n), first))
  return found
}

describe('the rule of trust', () => {
  let chain: Chain
  beforeEach(() => {
    chain = segment()
  })

  it('below trustMinRaters voices the trust stands as it was', () => {
    rate(chain, [0, 0])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 800_000, basis: 'initial', evaluations: 0 })
    expect(statusOf(chain)).toBe('registered')
  })

  it('the weighted median becomes the trust: trusted at the threshold, suspect below it, and back', () => {
    rate(chain, [500_000, 100_000, 500_000, 900_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 500_000, basis: 'opinions', raters: 4, below: 0 })
    expect(statusOf(chain)).toBe('trusted')
    rate(chain, [499_999, 100_000, 499_999, 900_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 499_999, below: 1 })
    expect(statusOf(chain)).toBe('suspect')
    rate(chain, [600_000, 600_000, 600_000, 600_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 600_000, below: 0 })
    expect(statusOf(chain)).toBe('trusted')
  })

  it('after trustPatience rounds it is cut off, with the record of why, and its transactions are refused', () => {
    const reported = make('device.report', D, report(D))
    expect(chain.apply(reported)).toBeNull()
    for (const low of [300_000, 200_000]) rate(chain, [low, low, low, 900_000])
    expect(statusOf(chain)).toBe('suspect')
    rate(chain, [100_000, 100_000, 150_000, 900_000])
    expect(statusOf(chain)).toBe('blacklisted')
    const record = readBlacklist(chain, address(D))
    expect(record).toMatchObject({
      cause: 'opinions',
      finalScorePpm: 100_000,
      thresholdPpm: 500_000,
      anomalies: [reported.transaction.id],
      lowScores: [],
      member: null,
      height: chain.height,
      transaction: null,
    })
    const said = [100_000, 100_000, 150_000, 900_000]
    const counted = new Map(record?.opinions.map(({ rater, ...rest }) => [toHex(rater), rest]))
    for (const [i, n] of RATERS.entries())
      expect(counted.get(address(n))).toEqual({
        trustPpm: said[i],
        weightPpm: 800_000,
        observedAt: chain.time,
        height: chain.height,
      })
    expect(chain.run('kv.put', D, { key: 'k', value: new Uint8Array(1) })).toBe('DEVICE_BLACKLISTED')
  })

  it('one rater that speaks in every block does not use up the patience of the others', () => {
    rate(chain, [100_000, 100_000, 100_000, 900_000])
    for (let i = 1; i <= 10; i++) rate(chain, [100_000 + i])
    expect(trustOf(chain)).toMatchObject({ below: 1, evaluations: 11 })
    rate(chain, [100_000, 100_000])
    expect(trustOf(chain)).toMatchObject({ below: 2 })
  })

  it('a rater that says its word once and then keeps silent does not stop the count', () => {
    rate(chain, [0, 0, 1_000_000, 1_000_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 0, below: 1 })
    for (let i = 1; i < 3; i++) rate(chain, [i, i])
    expect(statusOf(chain)).toBe('blacklisted')
  })

  it('voices that are too old, blacklisted, retired, moved away or of weight zero do not count', () => {
    rate(chain, [100_000, 100_000, 100_000, 100_000])
    expect(chain.run('access.blacklist', A, blacklisting(51))).toBeNull()
    expect(chain.run('device.retire', A, { device: deviceBytes(52) })).toBeNull()
    rate(chain, [])
    chain.time += 1000
    const move = { device: deviceBytes(53), firmware: '1', capabilities: [], segment: 'elsewhere', mode: 'enforce' }
    expect(chain.run('device.update', A, move)).toBeNull()
    const before = trustOf(chain)
    const life = { validUntil: chain.time + 1000 }
    expect(chain.block(make('trust.opinion', 54, opinions({ [D]: 7 }, chain.time), life))).toEqual([null])
    expect(trustOf(chain)).toEqual(before)
  })

  it('opinions count until they are no longer fresh', () => {
    rate(chain, [100_000, 100_000, 100_000])
    chain.time += 59_000
    rate(chain, [900_000])
    expect(trustOf(chain)).toMatchObject({ raters: 3, trustPpm: 100_000 })
    chain.time += 1000
    rate(chain, [950_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 100_000, evaluations: 2 })
  })

  it('a device that is only observed becomes suspect and is never cut off', () => {
    const observed = segment('observe')
    for (let i = 0; i < 20; i++) rate(observed, [i, i, i, i])
    expect(statusOf(observed)).toBe('suspect')
    expect(trustOf(observed)).toMatchObject({ below: 20 })
    expect(readBlacklist(observed, address(D))).toBeUndefined()
  })

  it('after a reinstatement nothing of what was said before counts', () => {
    for (const low of [1, 2, 3]) rate(chain, [low, low, low, low])
    const height = readBlacklist(chain, address(D))?.height as number
    const approvals = [1, 2, 3].map((m) =>
      sign('reinstatement', CHAIN, approvalBytes(deviceBytes(D), height), secretKey(m)),
    )
    expect(chain.run('access.reinstate', A, { device: deviceBytes(D), approvals })).toBeNull()
    expect(readOpinions(chain, address(D))).toEqual([])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 800_000, basis: 'initial', below: 0 })
    rate(chain, [900_000, 900_000, 900_000])
    expect(statusOf(chain)).toBe('trusted')
  })

  it('weights are the raters’ own trust: distrusted ones are outweighed', () => {
    // 53 and 54 lose their trust in the eyes of 50, 51 and 52, and then speak against 50.
    chain.time += 1000
    const life = { validUntil: chain.time + 1000 }
    const against = [D, 51, 52].map((n) =>
      make('trust.opinion', n, opinions({ 53: 100_000, 54: 100_000 }, chain.time), life),
    )
    expect(chain.block(...against)).toEqual([null, null, null])
    expect(trustOf(chain, 53)).toMatchObject({ trustPpm: 100_000 })
    rate(chain, [900_000, 900_000, 0, 0])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 900_000, raters: 4 })
  })

  it('devices that judge each other in one block are judged by the weights from before it', () => {
    const outcomes = [RATERS, [...RATERS].reverse()].map((order) => {
      const fresh = segment()
      fresh.time += 1000
      const life = { validUntil: fresh.time + 1000 }
      const all = [D, ...order].map((n) => {
        const others = [D, ...RATERS].filter((other) => other !== n)
        const values = Object.fromEntries(others.map((other) => [other, (other * 7919 * n) % 1_000_001]))
        return make('trust.opinion', n, opinions(values, fresh.time), life)
      })
      expect(fresh.block(...all).every((code) => code === null)).toBe(true)
      return fresh.picture()
    })
    expect(outcomes[0]).toEqual(outcomes[1])
  })
})

describe('scores of outside modules', () => {
  it('are one voice of the member, however often it scores and whichever key it uses', () => {
    const chain = segment()
    expect(chain.run('key.authorize', 2, { publicKey: key(22), label: 'second' })).toBeNull()
    for (const by of [B, 22, B, 22]) expect(chain.run('trust.score', by, score(D, 0))).toBeNull()
    expect(readOpinions(chain, address(D))).toHaveLength(1)
    expect(trustOf(chain)).toMatchObject({ trustPpm: 800_000, scores: 4, basis: 'initial' })
    expect(statusOf(chain)).toBe('registered')
  })

  it('a lying member, alone, neither scores nor asks another’s device off the network', () => {
    const chain = segment()
    rate(chain, [900_000, 900_000, 900_000])
    for (let i = 0; i < 50; i++) expect(chain.run('trust.score', B, score(D, 0))).toBeNull()
    expect(chain.run('access.blacklist', B, blacklisting(D))).toBe('DEVICE_TRUSTED')
    expect(statusOf(chain)).toBe('trusted')
    expect(trustOf(chain)).toMatchObject({ trustPpm: 900_000 })
  })

  it('a request about another’s device that is suspect spares it the patience, and records the trust in it', () => {
    const chain = segment()
    rate(chain, [300_000, 300_000, 300_000])
    const asked = make('access.blacklist', B, blacklisting(D, 1, 2))
    expect(chain.apply(asked)).toBeNull()
    expect(readBlacklist(chain, address(D))).toMatchObject({
      cause: 'request',
      finalScorePpm: 300_000,
      thresholdPpm: 500_000,
      member: toHex(key(2)),
      transaction: asked.transaction.id,
    })
    expect(readBlacklist(chain, address(D))?.opinions).toHaveLength(3)
  })

  it('the owner’s stand while too few are there to judge, and are one voice among others then', () => {
    const chain = segment()
    expect(chain.run('trust.score', A, score(D, 650_000))).toBeNull()
    expect(trustOf(chain)).toMatchObject({ trustPpm: 650_000, basis: 'score' })
    rate(chain, [100_000, 100_000, 100_000])
    expect(trustOf(chain)).toMatchObject({ trustPpm: 100_000, basis: 'opinions', raters: 4 })
  })
})

describe('history', () => {
  it('has a point for each step of trust and each move in the device’s life, the trust below, nothing for trembling', () => {
    const chain = segment()
    rate(chain, [900_000, 900_000, 900_000])
    for (let i = 1; i < 10; i++) rate(chain, [900_000 + i, 900_000 + i, 900_000 + i])
    for (const low of [1, 2, 3]) rate(chain, [low, low, low])
    expect(chain.run('device.retire', A, { device: deviceBytes(D) })).toBeNull()
    expect(historyOf(chain).map(({ sequence, status, trustPpm }) => [sequence, status, trustPpm])).toEqual([
      [0, 'trusted', 900_000],
      [1, 'suspect', 1],
      [2, 'blacklisted', 3],
      [3, 'retired', 3],
    ])
    expect(historyOf(chain)[2]).toMatchObject({ height: chain.height - 1, time: chain.time, thresholdPpm: 500_000 })
  })
})

describe('properties', () => {
  it('with less than half of the weight lying, whatever it says and whenever, the honest are not cut off and the guilty is', () => {
    const lie = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 2, maxLength: 2 })
    fc.assert(
      fc.property(fc.array(lie, { minLength: 3, maxLength: 6 }), fc.boolean(), (lies, isGuilty) => {
        // Three honest raters and two liars of equal weight.
        const chain = segment()
        expect(chain.run('device.register', A, registration(55))).toBeNull()
        for (const [a, b] of lies) {
          chain.time += 1000
          const life = { validUntil: chain.time + 1000 }
          const truth = isGuilty ? 100_000 : 900_000
          const said = [
            [51, truth],
            [52, truth],
            [53, truth],
            [54, a],
            [55, b],
          ] as [number, number][]
          const codes = chain.block(
            ...said.map(([n, ppm]) => make('trust.opinion', n, opinions({ [D]: ppm }, chain.time), life)),
          )
          if (!codes.includes('DEVICE_BLACKLISTED')) expect(codes).toEqual([null, null, null, null, null])
        }
        expect(statusOf(chain)).toBe(isGuilty ? 'blacklisted' : 'trusted')
      }),
      { numRuns: 40 },
    )
  })
})
