/** What each kind of transaction does to the state, over the life of keys, entries and devices. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../../protocol/bytes.ts'
import { BlockExecution } from '../../../protocol/execution.ts'
import { approvalBytes, readBlacklist, readReinstatement } from '../../../protocol/kinds/access/record.ts'
import { readDevice } from '../../../protocol/kinds/device/record.ts'
import { genesisEntries, readApiKey } from '../../../protocol/kinds/key/record.ts'
import { kvStateKey } from '../../../protocol/kinds/kv/kv.ts'
import { CATEGORIES } from '../../../protocol/kinds/report/categories.ts'
import { readAllEvents, readEvents } from '../../../protocol/kinds/report/record.ts'
import { scoreOf } from '../../../protocol/kinds/report/report.ts'
import { KINDS } from '../../../protocol/kinds/table.ts'
import { readTrust } from '../../../protocol/kinds/trust/record.ts'
import { sign } from '../../../protocol/signature.ts'
import { VERDICTS, verdictOf } from '../../../protocol/verdict.ts'
import {
  API_KEYS,
  address,
  blacklisting,
  blockAt,
  CHAIN,
  Chain,
  deviceBytes,
  GENESIS,
  key,
  make,
  registration,
  report,
  score,
  secretKey,
} from './consortium.ts'

const [A, D] = [11, 51]
const approvals = (members: number[], n: number, height: number) => ({
  device: deviceBytes(n),
  approvals: members.map((m) => sign('reinstatement', CHAIN, approvalBytes(deviceBytes(n), height), secretKey(m))),
})
const withDevice = (mode: 'enforce' | 'observe' = 'enforce'): Chain => {
  const chain = new Chain()
  expect(chain.run('device.register', A, registration(D, mode))).toBeNull()
  return chain
}
const statusOf = (chain: Chain, n = D) => readDevice(chain, address(n))?.status

describe('key', () => {
  it('the genesis’ API keys are authorised for the member at their place', () => {
    const chain = new Chain()
    expect(readApiKey(chain, address(12))).toEqual({ member: toHex(key(2)), label: 'genesis 0' })
    expect([...chain.entries.keys()].filter((name) => name.startsWith('apikey/'))).toHaveLength(API_KEYS.length)
  })

  it.each([
    ['more lists than members', [[], [], [], [], []]],
    ['one key twice', [[toHex(key(11))], [toHex(key(11))]]],
    ['a member’s key', [[toHex(key(1))]]],
  ])('a genesis with %s → RangeError', (_what, apiKeys) => {
    expect(() => genesisEntries({ ...GENESIS, apiKeys })).toThrow(RangeError)
  })

  it('an authorised key acts for its member until it is revoked', () => {
    const chain = new Chain()
    const put = { key: 'k', value: new Uint8Array(1) }
    expect(chain.run('kv.put', 21, put)).toBe('TX_UNKNOWN_SIGNER')
    expect(chain.run('key.authorize', 3, { publicKey: key(21), label: 'plant' })).toBeNull()
    expect(readApiKey(chain, address(21))).toEqual({ member: toHex(key(3)), label: 'plant' })
    expect(chain.run('kv.put', 21, put)).toBeNull()
    expect(chain.run('key.revoke', 3, { publicKey: key(21) })).toBeNull()
    expect(chain.run('kv.put', 21, put)).toBe('TX_UNKNOWN_SIGNER')
  })
})

describe('kv', () => {
  it('member, API key and device write each in their own namespace, and delete there', () => {
    const chain = withDevice()
    for (const signer of [1, A, D]) {
      expect(chain.run('kv.put', signer, { key: 'a/b', value: Uint8Array.of(signer) })).toBeNull()
      expect(chain.get(kvStateKey(address(signer), 'a/b'))).toEqual(Uint8Array.of(signer))
    }
    expect(chain.run('kv.delete', A, { key: 'a/b' })).toBeNull()
    expect(chain.get(kvStateKey(address(A), 'a/b'))).toBeUndefined()
    expect(chain.get(kvStateKey(address(D), 'a/b'))).toEqual(Uint8Array.of(D))
  })
})

describe('device', () => {
  it('a registered device has its owner, its height and the initial trust', () => {
    const chain = withDevice()
    expect(readDevice(chain, address(D))).toMatchObject({
      owner: toHex(key(1)),
      status: 'registered',
      registeredAt: 1,
      hardwareId: 'hw-51',
    })
    expect(readTrust(chain, address(D))).toMatchObject({ trustPpm: 800_000, scores: 0, lastTransaction: null })
  })

  it('an update changes what it names and keeps key, owner and status', () => {
    const chain = withDevice()
    const payload = { device: deviceBytes(D), firmware: '2', capabilities: ['x'], segment: 's', mode: 'observe' }
    expect(chain.run('device.update', A, payload)).toBeNull()
    const { device: _device, ...changed } = payload
    expect(readDevice(chain, address(D))).toMatchObject({ ...changed, publicKey: key(D), status: 'registered' })
  })

  it('a blacklisted device can be retired and stays on the list', () => {
    const chain = withDevice()
    expect(chain.run('access.blacklist', A, blacklisting(D))).toBeNull()
    expect(chain.run('device.retire', A, { device: deviceBytes(D) })).toBeNull()
    expect(statusOf(chain)).toBe('retired')
    expect(readBlacklist(chain, address(D))).toBeDefined()
  })
})

describe('report', () => {
  it('events are counted per category, by the device or on its behalf', () => {
    const chain = withDevice()
    expect(chain.run('device.report', D, report(D))).toBeNull()
    const two = report(D)
    two.events.push({ ...two.events[0]! }, { ...two.events[0]!, category: 'clock.skew' })
    const transaction = make('device.report', 12, two)
    expect(chain.apply(transaction)).toBeNull()
    expect(readEvents(chain, address(D), 'process.unknown')).toEqual({
      count: 3,
      lastHeight: 3,
      lastTransaction: transaction.transaction.id,
    })
    expect([...readAllEvents(chain, address(D)).keys()]).toEqual(['process.unknown', 'clock.skew'])
  })

  it('scoreOf is the floor of the exact product, as with unbounded integers', () => {
    const ppm = fc.integer({ min: 0, max: 1_000_000 })
    fc.assert(
      fc.property(ppm, ppm, (severity, confidence) => {
        expect(BigInt(scoreOf(severity, confidence))).toBe((BigInt(severity) * BigInt(confidence)) / 1_000_000n)
      }),
      { numRuns: 2000 },
    )
    expect(scoreOf(1_000_000, 1_000_000)).toBe(1_000_000)
    expect(scoreOf(999_999, 999_999)).toBe(999_998)
  })

  it('every category has an ICS technique and a sentence', () => {
    for (const category of Object.values(CATEGORIES)) {
      expect(category.technique).toMatch(/^T0[89]\d\d$|^T1\d\d\d\d?$/)
      expect(category.description).toMatch(/\.$/)
    }
  })
})

describe('trust and access', () => {
  it('scores move a device between trusted and suspect; a score at the threshold is trusted', () => {
    const chain = withDevice()
    for (const [ppm, status] of [
      [500_000, 'trusted'],
      [499_999, 'suspect'],
      [900_000, 'trusted'],
    ] as const) {
      expect(chain.run('trust.score', A, score(D, ppm))).toBeNull()
      expect(statusOf(chain)).toBe(status)
    }
    expect(readTrust(chain, address(D))).toMatchObject({ trustPpm: 900_000, scores: 3, below: 0 })
  })

  it('`patience` low scores in a row blacklist, with the record of why', () => {
    const chain = withDevice()
    const scores = [1, 2, 600_000, 3, 4, 5].map((ppm) => make('trust.score', A, score(D, ppm)))
    for (const transaction of scores.slice(0, 5)) expect(chain.apply(transaction)).toBeNull()
    expect(statusOf(chain)).toBe('suspect')
    expect(chain.apply(scores[5]!)).toBeNull()
    expect(statusOf(chain)).toBe('blacklisted')
    expect(readBlacklist(chain, address(D))).toMatchObject({
      cause: 'score',
      finalScorePpm: 5,
      thresholdPpm: 500_000,
      opinions: [{ rater: deviceBytes(1), trustPpm: 5, weightPpm: 1_000_000, height: 7 }],
      lowScores: scores.slice(3).map(({ transaction }) => transaction.id),
      member: null,
      height: 7,
      transaction: null,
    })
  })

  it('an observed device is scored and never blacklisted', () => {
    const chain = withDevice('observe')
    for (let i = 0; i < 40; i++) expect(chain.run('trust.score', A, score(D, i))).toBeNull()
    expect(statusOf(chain)).toBe('suspect')
    const trust = readTrust(chain, address(D))
    expect(trust).toMatchObject({ below: 40, scores: 40 })
    expect(trust?.lowScores).toHaveLength(16)
  })

  it('a quorum of members lets a blacklisted device return, with fresh trust, and it may write again', () => {
    const chain = withDevice()
    expect(chain.run('access.blacklist', A, blacklisting(D))).toBeNull()
    expect(readBlacklist(chain, address(D))).toMatchObject({ cause: 'request', finalScorePpm: 100_000, height: 2 })
    expect(chain.run('kv.put', D, { key: 'k', value: new Uint8Array(1) })).toBe('DEVICE_BLACKLISTED')
    expect(chain.run('access.reinstate', A, approvals([4, 2, 1], D, 2))).toBeNull()
    expect(statusOf(chain)).toBe('reinstated')
    expect(readBlacklist(chain, address(D))).toBeUndefined()
    expect(readReinstatement(chain, address(D))).toMatchObject({
      blacklistedAt: 2,
      height: 4,
      approvers: [4, 2, 1].map((m) => toHex(key(m))),
    })
    expect(readTrust(chain, address(D))).toMatchObject({ trustPpm: 800_000, below: 0 })
    expect(chain.run('kv.put', D, { key: 'k', value: new Uint8Array(1) })).toBeNull()
  })

  it('approvals of one blacklisting do not undo the next', () => {
    const chain = withDevice()
    chain.run('access.blacklist', A, blacklisting(D))
    expect(chain.run('access.reinstate', A, approvals([1, 2, 3], D, 2))).toBeNull()
    chain.run('access.blacklist', A, blacklisting(D))
    expect(chain.run('access.reinstate', A, approvals([1, 2, 3], D, 2))).toBe('APPROVAL_FOREIGN_SIGNER')
  })
})

describe('members that have left', () => {
  it('their API keys and devices act for nobody, and a present member may authorise the key', () => {
    const chain = withDevice()
    const members = new Map(blockAt(2).members)
    members.delete(toHex(key(1)))
    const surroundings = { ...chain.surroundings(), block: { ...blockAt(2), members } }
    const execution = new BlockExecution(surroundings)
    const put = { key: 'k', value: new Uint8Array(1) }
    expect(execution.apply(make('kv.put', 1, put))).toBe('TX_UNKNOWN_SIGNER')
    expect(execution.apply(make('kv.put', A, put))).toBe('TX_UNKNOWN_SIGNER')
    expect(execution.apply(make('kv.put', D, put))).toBe('TX_UNKNOWN_SIGNER')
    expect(execution.apply(make('key.authorize', 2, { publicKey: key(A), label: 'taken over' }))).toBeNull()
    expect(execution.apply(make('kv.put', A, put))).toBeNull()
  })
})

describe('one block', () => {
  it('cannot blacklist and reinstate a device, even with approvals made in advance', () => {
    const chain = withDevice()
    const execution = new BlockExecution(chain.surroundings())
    expect(execution.apply(make('access.blacklist', A, blacklisting(D)))).toBeNull()
    expect(execution.apply(make('access.reinstate', A, approvals([1, 2, 3], D, 2)))).toBe('APPROVALS_MISSING')
  })
})

describe('invariants', () => {
  it('random sequences: writes stay within the prefixes that the signer may touch, and nothing of a blacklisted device applies', () => {
    const device = fc.constantFrom(51, 52, 53)
    const signer = fc.constantFrom(1, 2, 11, 12, 51, 52, 53, 99)
    const step = fc.oneof(
      fc.tuple(
        fc.constant('device.register'),
        signer,
        device.map((n) => registration(n)),
      ),
      fc.tuple(
        fc.constant('device.report'),
        signer,
        device.map((n) => report(n)),
      ),
      fc.tuple(
        fc.constant('trust.score'),
        signer,
        fc.tuple(device, fc.integer({ min: 0, max: 700_000 })).map(([n, s]) => score(n, s)),
      ),
      fc.tuple(
        fc.constant('access.blacklist'),
        signer,
        device.map((n) => blacklisting(n)),
      ),
      fc.tuple(
        fc.constant('kv.put'),
        signer,
        fc.record({ key: fc.constantFrom('a', '../x', 'device/1'), value: fc.uint8Array({ maxLength: 4 }) }),
      ),
      fc.tuple(fc.constant('kv.delete'), signer, fc.record({ key: fc.constantFrom('a', '../x') })),
      fc.tuple(fc.constant('key.authorize'), signer, fc.constant({ publicKey: key(51), label: 'x' })),
      fc.tuple(fc.constant('key.revoke'), signer, fc.constant({ publicKey: key(51) })),
      fc.tuple(
        fc.constant('device.retire'),
        signer,
        device.map((n) => ({ device: deviceBytes(n) })),
      ),
      fc.tuple(fc.constant('access.reinstate'), signer, fc.constant({ device: deviceBytes(51), approvals: [] })),
    )
    const owned: Record<string, string[]> = {
      key: ['apikey/'],
      device: ['device/', 'trust/', 'trusthistory/', 'opinions/', 'report/', 'event/'],
      trust: ['trust/', 'trusthistory/', 'opinions/', 'device/', 'blacklist/'],
      access: ['device/', 'trust/', 'trusthistory/', 'opinions/', 'blacklist/', 'reinstatement/'],
    }
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const chain = new Chain()
        for (const [kind, by, payload] of steps) {
          const before = new Map(chain.entries)
          const wasCut = statusOf(chain, by) === 'blacklisted'
          const code = chain.run(kind, by, payload)
          const touched = [...new Set([...before.keys(), ...chain.entries.keys()])].filter(
            (name) => before.get(name) !== chain.entries.get(name),
          )
          if (code !== null) expect(touched).toEqual([])
          if (wasCut) expect(code).not.toBeNull()
          if (by === 99) expect(code).not.toBeNull()
          const family = kind.split('.')[0] as string
          const allowed = family === 'kv' ? [`kv/${address(by)}/`] : owned[family]!
          for (const name of touched) expect(allowed.some((prefix) => name.startsWith(prefix))).toBe(true)
        }
        for (const n of [51, 52, 53]) {
          // A record of why exists exactly while a device is cut off; one key never has two roles.
          const status = statusOf(chain, n)
          if (status !== 'retired')
            expect(readBlacklist(chain, address(n)) !== undefined).toBe(status === 'blacklisted')
          expect(status !== undefined && readApiKey(chain, address(n)) !== undefined).toBe(false)
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('tables', () => {
  it('every kind stands under its own name, says what it does and who may sign', () => {
    for (const [name, kind] of KINDS) {
      expect(name).toMatch(/^[a-z]+(\.[a-z]+)?$/)
      expect(kind.describe).toMatch(/\.$/)
      expect(kind.signers.length).toBeGreaterThan(0)
    }
    expect(KINDS.size).toBe(20)
  })

  it('every verdict has a penalty of 0 to 100, an HTTP status and a text; only rejections cost more than a few points', () => {
    for (const [code, row] of Object.entries(VERDICTS)) {
      expect(row.penalty, code).toBeGreaterThanOrEqual(0)
      expect(row.penalty, code).toBeLessThanOrEqual(row.verdict === 'reject' ? 100 : 5)
      expect(row.httpStatus, code).toBeGreaterThanOrEqual(code === 'OK' ? 200 : 400)
      expect(row.text, code).toMatch(/\.$/)
    }
    expect(verdictOf(null).verdict).toBe('accept')
    expect(verdictOf('TX_REPLAYED').httpStatus).toBe(409)
  })

  it('hexadecimal ids and bytes name the same device', () => {
    expect(fromHex(address(51))).toEqual(deviceBytes(51))
  })
})
