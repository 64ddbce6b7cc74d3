import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../../../protocol/bytes.ts'
import { BlockExecution } from '../../../../protocol/execution.ts'
import {
  type Change,
  consentBytes,
  PROPOSAL_PREFIX,
  readAddresses,
  readEra,
  readOpen,
  readProposal,
  readSuccession,
} from '../../../../protocol/kinds/governance/record.ts'
import { LIMITS } from '../../../../protocol/limits.ts'
import { memberIndex, type ParameterChanges, quorumSizes } from '../../../../protocol/members.ts'
import { sign } from '../../../../protocol/signature.ts'
import type { Code } from '../../../../protocol/verdict.ts'
import { CHAIN, Chain, deviceBytes, key, make, registration, secretKey, TIME } from '../consortium.ts'

const DAY_MS = 24 * 3_600_000
const ADDRESSES = ['/dns4/five.example/tcp/4001']
const UNCHANGED: ParameterChanges = {
  percent: null,
  deltaMs: null,
  termBlocks: null,
  heartbeatMs: null,
  bodyAllowanceMs: null,
  timeoutDoublingsMax: null,
  inclusionTimeoutMs: null,
  clockDriftMs: null,
  trustThresholdPpm: null,
  trustPatience: null,
  trustInitialPpm: null,
  trustMinRaters: null,
  trustFreshnessMs: null,
}
const consentOf = (n: number, name: string, addresses: readonly string[] = ADDRESSES): Uint8Array =>
  sign('membership', CHAIN, consentBytes(name, addresses), secretKey(n))
const add = (n: number, name = `m${n}`): Change => ({
  kind: 'add',
  publicKey: key(n),
  name,
  addresses: ADDRESSES,
  consent: consentOf(n, name),
})
const remove = (n: number): Change => ({ kind: 'remove', publicKey: key(n) })
const replace = (n: number, by: number, name = `m${n}`): Change => ({
  kind: 'replace',
  publicKey: key(n),
  by: key(by),
  addresses: ADDRESSES,
  consent: consentOf(by, name),
})
const set = (values: Partial<ParameterChanges>): Change => ({ kind: 'parameters', values: { ...UNCHANGED, ...values } })

const draft = (chain: Chain, change: Change, over: object = {}) => ({
  era: readEra(chain.entries).era,
  change,
  expiresAt: chain.time + DAY_MS,
  reason: '',
  ...over,
})
/** Proposes as key `by`; the proposal's id, or why not. */
function propose(chain: Chain, by: number, change: Change, over: object = {}): Uint8Array | Code {
  const transaction = make('governance.propose', by, draft(chain, change, over), { validUntil: chain.time + 1000 })
  return chain.apply(transaction) ?? transaction.transaction.id
}
const approve = (chain: Chain, by: number, proposal: Uint8Array | Code): Code | null =>
  chain.apply(make('governance.approve', by, { proposal }, { validUntil: chain.time + 1000 }))
const withdraw = (chain: Chain, by: number, proposal: Uint8Array | Code): Code | null =>
  chain.apply(make('governance.withdraw', by, { proposal }, { validUntil: chain.time + 1000 }))
/** Proposes and approves by as many members as it takes. */
function carryOut(chain: Chain, change: Change, members: readonly number[] = [1, 2, 3]): void {
  const [first, ...others] = members as [number, ...number[]]
  const id = propose(chain, first, change)
  expect(id).toBeInstanceOf(Uint8Array)
  for (const member of others) expect(approve(chain, member, id)).toBe(null)
}
const membersOf = (chain: Chain): string[] => readEra(chain.entries).memberSet.members.map(({ name }) => name)
const openIn = (chain: Chain): number =>
  [...chain.entries.keys()].filter((name) => name.startsWith('governance/')).length

describe('governance: from a proposal to the next era', () => {
  test('a proposal waits for a quorum; the approval that makes one carries it out', () => {
    const chain = new Chain()
    const id = propose(chain, 1, add(5)) as Uint8Array
    expect(readProposal(chain.entries, toHex(id))?.approvals).toEqual([toHex(key(1))])
    expect(approve(chain, 2, id)).toBe(null)
    expect(readEra(chain.entries).era).toBe(0)
    expect(approve(chain, 3, id)).toBe(null)
    const era = readEra(chain.entries)
    expect(era).toMatchObject({ era: 1, height: chain.height, proposal: id })
    expect(membersOf(chain)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
    expect(readAddresses(chain.entries, toHex(key(5)))).toEqual(ADDRESSES)
    expect([...chain.entries.keys()].some((name) => name.startsWith(PROPOSAL_PREFIX))).toBe(false)
  })

  test('the new member votes on the next change; the one removed does not', () => {
    const chain = new Chain()
    carryOut(chain, add(5))
    const id = propose(chain, 5, remove(4)) as Uint8Array
    expect(approve(chain, 1, id)).toBe(null)
    expect(approve(chain, 4, id)).toBe(null)
    expect(membersOf(chain)).toEqual(['m1', 'm2', 'm3', 'm5'])
    expect(propose(chain, 4, add(6))).toBe('TX_UNKNOWN_SIGNER')
  })

  test('nothing follows the completing transaction in its block', () => {
    const chain = new Chain()
    const id = propose(chain, 1, remove(4))
    approve(chain, 2, id)
    const execution = new BlockExecution(chain.surroundings())
    expect(execution.nextEra).toBe(null)
    expect(execution.apply(make('kv.put', 11, { key: 'before', value: Uint8Array.of(1) }))).toBe(null)
    expect(execution.apply(make('governance.approve', 3, { proposal: id }))).toBe(null)
    expect(execution.nextEra?.era).toBe(1)
    const picture = [...execution.state.changes().keys()]
    expect(execution.apply(make('kv.put', 11, { key: 'after', value: Uint8Array.of(1) }))).toBe('ERA_ENDED')
    expect(execution.apply(make('governance.approve', 3, { proposal: id }))).toBe('ERA_ENDED')
    expect([...execution.state.changes().keys()]).toEqual(picture)
  })

  test('its proposer takes it back: it is gone with its approvals, and its place is free', () => {
    const chain = new Chain()
    const before = chain.picture()
    const id = propose(chain, 1, add(5)) as Uint8Array
    expect(approve(chain, 2, id)).toBe(null)
    expect(withdraw(chain, 1, id)).toBe(null)
    expect(chain.picture()).toEqual(before)
    expect(approve(chain, 3, id)).toBe('GOVERNANCE_UNKNOWN')
    expect(withdraw(chain, 1, id)).toBe('GOVERNANCE_UNKNOWN')
    for (let n = 0; n < LIMITS.proposalsOpenMax; n++) propose(chain, 1, set({ heartbeatMs: 200 + n }))
    expect(propose(chain, 1, add(5))).toBe('GOVERNANCE_FULL')
    const [open] = readOpen(chain.entries, toHex(key(1))) as [Uint8Array]
    chain.time += 2 * DAY_MS
    expect(withdraw(chain, 1, open)).toBe(null)
    expect(readOpen(chain.entries, toHex(key(1)))).toHaveLength(LIMITS.proposalsOpenMax - 1)
  })

  test('nobody else takes it back, and nobody one that was carried out', () => {
    const chain = new Chain()
    const id = propose(chain, 1, remove(4)) as Uint8Array
    expect(withdraw(chain, 2, id)).toBe('GOVERNANCE_FOREIGN')
    expect(withdraw(chain, 11, id)).toBe('TX_FORBIDDEN')
    expect(approve(chain, 2, id)).toBe(null)
    expect(approve(chain, 3, id)).toBe(null)
    expect(withdraw(chain, 1, id)).toBe('GOVERNANCE_UNKNOWN')
    expect(membersOf(chain)).toEqual(['m1', 'm2', 'm3'])
  })

  test('a proposal of an era that is over is gone with it', () => {
    const chain = new Chain()
    const other = propose(chain, 2, set({ heartbeatMs: 200 }))
    carryOut(chain, set({ heartbeatMs: 300 }))
    expect(approve(chain, 1, other)).toBe('GOVERNANCE_UNKNOWN')
    expect(openIn(chain)).toBe(0)
    expect(propose(chain, 1, set({ heartbeatMs: 400 }), { era: 0 })).toBe('GOVERNANCE_ERA')
  })

  test('a consortium of one decides by proposing', () => {
    const chain = new Chain()
    carryOut(chain, remove(4))
    carryOut(chain, remove(3), [1, 2])
    carryOut(chain, remove(2), [1, 2])
    expect(propose(chain, 1, remove(1))).toBe('MEMBERS_TOO_FEW')
    expect(propose(chain, 1, set({ termBlocks: 5 }))).toBeInstanceOf(Uint8Array)
    expect(readEra(chain.entries)).toMatchObject({ era: 4, memberSet: { parameters: { termBlocks: 5 } } })
  })

  test('an expired proposal cannot be approved, and makes room for another', () => {
    const chain = new Chain()
    const ids = Array.from({ length: LIMITS.proposalsOpenMax }, () => propose(chain, 1, add(5)))
    expect(propose(chain, 1, add(5))).toBe('GOVERNANCE_FULL')
    expect(propose(chain, 2, add(5))).toBeInstanceOf(Uint8Array)
    chain.time += DAY_MS + 1
    expect(approve(chain, 2, ids[0] as Uint8Array)).toBe('GOVERNANCE_EXPIRED')
    expect(propose(chain, 1, add(5))).toBeInstanceOf(Uint8Array)
    expect(readProposal(chain.entries, toHex(ids[0] as Uint8Array))).toBe(undefined)
  })
})

describe('governance: refusals leave no trace', () => {
  const cases: readonly [string, (chain: Chain) => Uint8Array | Code | null, Code][] = [
    ['an API key proposes', (chain) => propose(chain, 11, add(5)), 'TX_FORBIDDEN'],
    ['an expiry in the past', (chain) => propose(chain, 1, add(5), { expiresAt: TIME }), 'GOVERNANCE_EXPIRY'],
    [
      'an expiry too far ahead',
      (chain) => propose(chain, 1, add(5), { expiresAt: TIME + LIMITS.proposalMsMax + 1 }),
      'GOVERNANCE_EXPIRY',
    ],
    ['an unknown proposal', (chain) => approve(chain, 1, new Uint8Array(32)), 'GOVERNANCE_UNKNOWN'],
    ['a key that is a member', (chain) => propose(chain, 1, add(2, 'new')), 'MEMBER_EXISTS'],
    ['a name that is taken', (chain) => propose(chain, 1, add(5, 'm2')), 'MEMBER_EXISTS'],
    [
      'a key without consent',
      (chain) => propose(chain, 1, { ...add(5), consent: consentOf(6, 'm5') } as Change),
      'MEMBER_CONSENT',
    ],
    [
      'a consent under another name',
      (chain) => propose(chain, 1, { ...add(5), name: 'other' } as Change),
      'MEMBER_CONSENT',
    ],
    [
      'a consent with other addresses',
      (chain) => propose(chain, 1, { ...add(5), addresses: [] } as Change),
      'MEMBER_CONSENT',
    ],
    ['an API key as member', (chain) => propose(chain, 1, add(12)), 'KEY_EXISTS'],
    ['removing a stranger', (chain) => propose(chain, 1, remove(5)), 'MEMBER_UNKNOWN'],
    ['replacing a stranger', (chain) => propose(chain, 1, replace(5, 6)), 'MEMBER_UNKNOWN'],
    ['replacing by a member', (chain) => propose(chain, 1, replace(1, 2)), 'MEMBER_EXISTS'],
    ['no change', (chain) => propose(chain, 1, set({ deltaMs: 100 })), 'GOVERNANCE_NO_CHANGE'],
    ['no parameter at all', (chain) => propose(chain, 1, set({})), 'GOVERNANCE_NO_CHANGE'],
    ['Δ less than half', (chain) => propose(chain, 1, set({ deltaMs: 49 })), 'PARAMETER_UNSAFE'],
    [
      'Δ more than tenfold',
      (chain) => propose(chain, 1, set({ deltaMs: 1001, inclusionTimeoutMs: 60_000, clockDriftMs: 5000 })),
      'PARAMETER_UNSAFE',
    ],
    ['a percentage that spares nobody', (chain) => propose(chain, 1, set({ percent: 100 })), 'PARAMETER_UNSAFE'],
    [
      'an inclusion timeout too short',
      (chain) => propose(chain, 1, set({ inclusionTimeoutMs: 799 })),
      'PARAMETER_UNSAFE',
    ],
    ['a drift below Δ', (chain) => propose(chain, 1, set({ clockDriftMs: 99 })), 'PARAMETER_UNSAFE'],
    ['too few doublings', (chain) => propose(chain, 1, set({ timeoutDoublingsMax: 2 })), 'PARAMETER_UNSAFE'],
  ]
  test.each(cases)('%s', (_, act, code) => {
    const chain = new Chain()
    const before = chain.picture()
    expect(act(chain)).toBe(code)
    expect(chain.picture()).toEqual(before)
  })

  test('a second approval of one member', () => {
    const chain = new Chain()
    const id = propose(chain, 1, add(5))
    expect(approve(chain, 1, id)).toBe('GOVERNANCE_APPROVED')
    expect(approve(chain, 2, id)).toBe(null)
    expect(approve(chain, 2, id)).toBe('GOVERNANCE_APPROVED')
  })

  test('a key that got another role while its proposal was open', () => {
    const chain = new Chain()
    const id = propose(chain, 1, add(5))
    expect(chain.run('key.authorize', 2, { publicKey: key(5), label: 'sly' })).toBe(null)
    expect(approve(chain, 2, id)).toBe(null)
    const before = chain.picture()
    expect(approve(chain, 3, id)).toBe('KEY_EXISTS')
    expect(chain.picture()).toEqual(before)
  })

  test('a member too many', () => {
    const chain = new Chain()
    let members = [1, 2, 3, 4]
    for (let n = 100; members.length < LIMITS.membersMax; n++) {
      const { q } = quorumSizes(members.length, 51)
      carryOut(chain, add(n), members.slice(0, q))
      members = [...members, n]
    }
    expect(propose(chain, 1, add(250))).toBe('MEMBERS_FULL')
  })
})

describe('governance: a key is replaced', () => {
  test('name, place, API keys and devices stay with the member; the old key acts for nobody', () => {
    const chain = new Chain()
    expect(chain.run('device.register', 12, registration(31))).toBe(null)
    carryOut(chain, replace(2, 22))
    expect(membersOf(chain)).toEqual(['m1', 'm2', 'm3', 'm4'])
    expect(memberIndex(readEra(chain.entries).memberSet).get(toHex(key(22)))).toBe(1)
    const update = { device: deviceBytes(31), firmware: '2', capabilities: [], segment: 'zone 2', mode: 'enforce' }
    expect(chain.run('device.update', 12, update)).toBe(null)
    expect(chain.run('device.update', 13, update)).toBe('TX_FORBIDDEN')
    expect(chain.run('key.authorize', 2, { publicKey: key(42), label: 'x' })).toBe('TX_UNKNOWN_SIGNER')
    expect(chain.run('key.authorize', 22, { publicKey: key(42), label: 'x' })).toBe(null)
    expect(chain.run('key.revoke', 22, { publicKey: key(12) })).toBe(null)
  })

  test('again and again: whatever names the first key means the last', () => {
    const chain = new Chain()
    carryOut(chain, replace(2, 22))
    carryOut(chain, replace(22, 32, 'm2'), [1, 22, 3])
    expect(readSuccession(chain.entries, toHex(key(2)))?.now).toBe(toHex(key(32)))
    expect(readSuccession(chain.entries, toHex(key(32)))?.former).toEqual([toHex(key(2)), toHex(key(22))])
    expect(chain.run('kv.put', 12, { key: 'a', value: Uint8Array.of(1) })).toBe(null)
  })

  test('a key that was given up never comes back, as whatever', () => {
    const chain = new Chain()
    carryOut(chain, replace(2, 22))
    expect(propose(chain, 1, add(2, 'two again'))).toBe('KEY_EXISTS')
    expect(propose(chain, 1, replace(22, 2))).toBe('KEY_EXISTS')
    expect(chain.run('key.authorize', 1, { publicKey: key(2), label: 'x' })).toBe('KEY_EXISTS')
    expect(chain.run('device.register', 11, registration(2))).toBe('KEY_EXISTS')
  })

  test('a member that left takes its devices out of service, and back when it returns', () => {
    const chain = new Chain()
    carryOut(chain, remove(4))
    expect(chain.run('kv.put', 14, { key: 'a', value: Uint8Array.of(1) })).toBe('TX_UNKNOWN_SIGNER')
    carryOut(chain, add(4), [1, 2])
    expect(chain.run('kv.put', 14, { key: 'a', value: Uint8Array.of(1) })).toBe(null)
  })
})

describe('governance: whatever members do', () => {
  const action = fc.record({
    by: fc.integer({ min: 1, max: 8 }),
    what: fc.oneof(
      fc.integer({ min: 1, max: 8 }).map((n) => add(n)),
      fc.integer({ min: 1, max: 8 }).map(remove),
      fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 })).map(([n, by]) => replace(n, by)),
      fc.integer({ min: 40, max: 300 }).map((deltaMs) => set({ deltaMs })),
      fc.integer({ min: 51, max: 100 }).map((percent) => set({ percent })),
      fc.constant('approve' as const),
    ),
  })
  test('the set is never empty, keys and names stay distinct, q members exist, and an era begins with a quorum only', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const chain = new Chain()
        let last: Uint8Array = new Uint8Array(32)
        for (const { by, what } of actions) {
          const before = readEra(chain.entries)
          const approvals = readProposal(chain.entries, toHex(last))?.approvals.length ?? 0
          if (what === 'approve') approve(chain, by, last)
          else {
            const id = propose(chain, by, what)
            if (id instanceof Uint8Array) last = id
          }
          const { era, memberSet, height } = readEra(chain.entries)
          const { members, parameters } = memberSet
          const { n, q } = quorumSizes(members.length, parameters.percent)
          expect(n).toBeGreaterThan(0)
          expect(q).toBeLessThanOrEqual(n)
          expect(memberIndex(memberSet).size).toBe(n)
          expect(new Set(members.map(({ name }) => name)).size).toBe(n)
          expect(era - before.era === 0 || era - before.era === 1).toBe(true)
          if (era > before.era) {
            const needed = quorumSizes(before.memberSet.members.length, before.memberSet.parameters.percent).q
            expect(what === 'approve' ? approvals + 1 : 1).toBe(needed)
            expect(height).toBe(chain.height)
            expect([...chain.entries.keys()].some((name) => name.startsWith('governance/proposal/'))).toBe(false)
          }
        }
      }),
      { numRuns: 150 },
    )
  })
})
