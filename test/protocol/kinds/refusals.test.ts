/** Every refusal of every kind: its code, and a state that is left as it was. */
import { beforeEach, describe, expect, it } from 'vitest'
import { approvalBytes } from '../../../protocol/kinds/access/record.ts'
import { sign } from '../../../protocol/signature.ts'
import type { Code } from '../../../protocol/verdict.ts'
import {
  blacklisting,
  CHAIN,
  Chain,
  deviceBytes,
  key,
  make,
  registration,
  report,
  score,
  secretKey,
} from './consortium.ts'

const [A, B] = [11, 12] // API keys of members 1 and 2
const [ACTIVE, OBSERVED, CUT, GONE, ABSENT] = [51, 52, 53, 54, 55]
const update = (n: number, mode = 'enforce') => ({
  device: deviceBytes(n),
  firmware: '2.0',
  capabilities: [],
  segment: 'zone 2',
  mode,
})
const approve = (members: number[], n: number, height: number, chain = CHAIN) => ({
  device: deviceBytes(n),
  approvals: members.map((m) => sign('reinstatement', chain, approvalBytes(deviceBytes(n), height), secretKey(m))),
})

/** Devices of member 1: 51 in service, 52 observed, 53 blacklisted at height 5, 54 retired. Key 21 is an API key of member 1. */
function prepared(): Chain {
  const chain = new Chain()
  const steps: [string, number, unknown][] = [
    ['device.register', A, registration(ACTIVE)],
    ['device.register', A, registration(OBSERVED, 'observe')],
    ['device.register', A, registration(CUT)],
    ['device.register', A, registration(GONE)],
    ['access.blacklist', A, blacklisting(CUT)],
    ['device.retire', A, { device: deviceBytes(GONE) }],
    ['key.authorize', 1, { publicKey: key(21), label: 'second' }],
    ['kv.put', A, { key: 'k', value: new Uint8Array(2) }],
  ]
  for (const [kind, signer, payload] of steps) expect(chain.run(kind, signer, payload)).toBeNull()
  return chain
}

const REFUSALS: [what: string, kind: string, signer: number, payload: unknown, code: Code][] = [
  ['an unknown key', 'kv.put', 99, { key: 'k', value: new Uint8Array(1) }, 'TX_UNKNOWN_SIGNER'],
  ['an API key, as only members may', 'key.authorize', A, { publicKey: key(30), label: 'x' }, 'TX_FORBIDDEN'],
  ['an API key that is authorised already', 'key.authorize', 2, { publicKey: key(21), label: 'x' }, 'KEY_EXISTS'],
  ['a member’s key as API key', 'key.authorize', 1, { publicKey: key(2), label: 'x' }, 'KEY_EXISTS'],
  ['a device’s key as API key', 'key.authorize', 1, { publicKey: key(ACTIVE), label: 'x' }, 'KEY_EXISTS'],
  ['an unknown API key', 'key.revoke', 1, { publicKey: key(30) }, 'KEY_UNKNOWN'],
  ['another member’s API key', 'key.revoke', 2, { publicKey: key(21) }, 'TX_FORBIDDEN'],
  ['a device, as only members may', 'key.revoke', ACTIVE, { publicKey: key(21) }, 'TX_FORBIDDEN'],
  ['an absent entry', 'kv.delete', A, { key: 'absent' }, 'KV_UNKNOWN'],
  ['another signer’s entry', 'kv.delete', B, { key: 'k' }, 'KV_UNKNOWN'],
  ['a blacklisted device', 'kv.put', CUT, { key: 'k', value: new Uint8Array(1) }, 'DEVICE_BLACKLISTED'],
  ['a retired device', 'kv.put', GONE, { key: 'k', value: new Uint8Array(1) }, 'DEVICE_RETIRED'],
  ['a member key, as only API keys may', 'device.register', 1, registration(60), 'TX_FORBIDDEN'],
  ['a registered device', 'device.register', B, registration(ACTIVE), 'DEVICE_EXISTS'],
  ['a retired device, again', 'device.register', A, registration(GONE), 'DEVICE_EXISTS'],
  ['another member’s API key as device', 'device.register', B, registration(A), 'KEY_EXISTS'],
  ['a member’s key as device', 'device.register', B, registration(1), 'KEY_EXISTS'],
  ['an unknown device', 'device.update', A, update(ABSENT), 'DEVICE_UNKNOWN'],
  ['another member’s device', 'device.update', B, update(ACTIVE), 'TX_FORBIDDEN'],
  ['a retired device', 'device.update', A, update(GONE), 'DEVICE_RETIRED'],
  ['the mode of a blacklisted device', 'device.update', A, update(CUT, 'observe'), 'DEVICE_BLACKLISTED'],
  ['an unknown device', 'device.retire', A, { device: deviceBytes(ABSENT) }, 'DEVICE_UNKNOWN'],
  ['another member’s device', 'device.retire', B, { device: deviceBytes(ACTIVE) }, 'TX_FORBIDDEN'],
  ['a retired device', 'device.retire', A, { device: deviceBytes(GONE) }, 'DEVICE_RETIRED'],
  ['a member key', 'device.report', 1, report(ACTIVE), 'TX_FORBIDDEN'],
  ['one device about another', 'device.report', ACTIVE, report(OBSERVED), 'TX_FORBIDDEN'],
  ['a score one too high', 'device.report', ACTIVE, report(ACTIVE, 250_001), 'REPORT_SCORE'],
  ['a score one too low', 'device.report', A, report(ACTIVE, 249_999), 'REPORT_SCORE'],
  ['an unknown device', 'device.report', A, report(ABSENT), 'DEVICE_UNKNOWN'],
  ['a retired device', 'device.report', A, report(GONE), 'DEVICE_RETIRED'],
  ['about a blacklisted device', 'device.report', A, report(CUT), 'DEVICE_BLACKLISTED'],
  ['by a blacklisted device', 'device.report', CUT, report(CUT), 'DEVICE_BLACKLISTED'],
  ['a device, as only API keys may', 'trust.score', ACTIVE, score(ACTIVE, 1), 'TX_FORBIDDEN'],
  ['an unknown device', 'trust.score', A, score(ABSENT, 1), 'DEVICE_UNKNOWN'],
  ['a retired device', 'trust.score', A, score(GONE, 1), 'DEVICE_RETIRED'],
  ['a blacklisted device', 'trust.score', A, score(CUT, 1), 'DEVICE_BLACKLISTED'],
  ['a device, as only API keys may', 'access.blacklist', ACTIVE, blacklisting(OBSERVED), 'TX_FORBIDDEN'],
  ['a final score at the threshold', 'access.blacklist', A, blacklisting(ACTIVE, 5, 5), 'TX_PAYLOAD'],
  ['an unknown device', 'access.blacklist', A, blacklisting(ABSENT), 'DEVICE_UNKNOWN'],
  ['an observed device', 'access.blacklist', A, blacklisting(OBSERVED), 'DEVICE_OBSERVED'],
  ['a blacklisted device', 'access.blacklist', A, blacklisting(CUT), 'DEVICE_BLACKLISTED'],
  ['a retired device', 'access.blacklist', A, blacklisting(GONE), 'DEVICE_RETIRED'],
  ['another member’s device that is trusted', 'access.blacklist', B, blacklisting(ACTIVE), 'DEVICE_TRUSTED'],
  ['a member, as only API keys may', 'access.reinstate', 1, approve([1, 2, 3], CUT, 5), 'TX_FORBIDDEN'],
  ['an unknown device', 'access.reinstate', A, approve([1, 2, 3], ABSENT, 5), 'DEVICE_UNKNOWN'],
  ['a retired device', 'access.reinstate', A, approve([1, 2, 3], GONE, 5), 'DEVICE_RETIRED'],
  ['a device in service', 'access.reinstate', A, approve([1, 2, 3], ACTIVE, 5), 'DEVICE_NOT_BLACKLISTED'],
  ['no approvals', 'access.reinstate', A, approve([], CUT, 5), 'APPROVALS_MISSING'],
  ['one approval less than a quorum', 'access.reinstate', A, approve([1, 2], CUT, 5), 'APPROVALS_MISSING'],
  ['one member twice', 'access.reinstate', A, approve([1, 2, 2], CUT, 5), 'APPROVAL_DUPLICATE_SIGNER'],
  ['an API key among the approvals', 'access.reinstate', A, approve([1, 2, A], CUT, 5), 'APPROVAL_FOREIGN_SIGNER'],
  ['approvals of another height', 'access.reinstate', A, approve([1, 2, 3], CUT, 4), 'APPROVAL_FOREIGN_SIGNER'],
  [
    'approvals of another chain',
    'access.reinstate',
    A,
    approve([1, 2, 3], CUT, 5, new Uint8Array(32)),
    'APPROVAL_FOREIGN_SIGNER',
  ],
]

describe('refusals', () => {
  let chain: Chain
  beforeEach(() => {
    chain = prepared()
  })

  it.each(REFUSALS)('%s: %s by key %i → refused, state unchanged', (_what, kind, signer, payload, code) => {
    const before = chain.picture()
    expect(chain.run(kind, signer, payload)).toBe(code)
    expect(chain.picture()).toEqual(before)
  })

  it.each([
    ['kv.put', ['', new Uint8Array(1)]],
    ['kv.put', ['a\u0000b', new Uint8Array(1)]],
    ['kv.put', ['k', new Uint8Array(60 * 1024 + 1)]],
    ['kv.put', ['k', new Uint8Array(1), 'another namespace']],
    ['kv.put', null],
    ['device.report', [deviceBytes(ACTIVE), 1, [['mood.bad', 0, 0, 0, '']], new Uint8Array(0), null]],
    [
      'device.report',
      [deviceBytes(ACTIVE), 1, new Array(65).fill(['clock.skew', 0, 0, 0, '']), new Uint8Array(0), null],
    ],
    ['device.report', [deviceBytes(ACTIVE), 1, [['clock.skew', 1_000_001, 0, 0, '']], new Uint8Array(0), null]],
    ['trust.score', [deviceBytes(ACTIVE), -1, [], 'm']],
    ['device.register', [new Uint8Array(33), 'h', 'm', 'm', 'f', [], 's', 'enforce']],
    ['access.reinstate', [deviceBytes(CUT), [new Uint8Array(64)]]],
  ] as const)('%s with a payload outside its shape (%#) → TX_PAYLOAD, state unchanged', (kind, payload) => {
    const before = chain.picture()
    const transaction = make('no.kind', A, null, { kind, payload: payload as never })
    expect(chain.apply(transaction)).toBe('TX_PAYLOAD')
    expect(chain.picture()).toEqual(before)
  })

  it('a kind that is not in the table → TX_UNKNOWN_KIND', () => {
    expect(chain.apply(make('no.kind', A, null))).toBe('TX_UNKNOWN_KIND')
  })
})
