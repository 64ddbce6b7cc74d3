import { beforeEach, describe, expect, it } from 'vitest'
import { Door } from '../../../node/light/door.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { consentBytes, readEra } from '../../../protocol/kinds/governance/record.ts'
import { memberIndex } from '../../../protocol/members.ts'
import { sign } from '../../../protocol/signature.ts'
import { key, secretKey } from '../../protocol/kinds/consortium.ts'
import { adding, CHAIN_ID, endEra, grow, type Node, open, signed, TIME } from '../executor/world.ts'

const hex = (n: number): string => toHex(key(n))
let node: Node
const state = { get: (name: string) => node.executor.reads.state(name)?.value }
const doorOf = (own: number, configured: readonly string[] = []): Door => {
  const door = new Door(hex(own), state, configured)
  enter(door)
  return door
}
const enter = (door: Door, before: readonly string[] = []): void => {
  const { memberSet } = readEra(state)
  door.entered(memberSet, memberIndex(memberSet), before)
}
beforeEach(async () => {
  node = await open()
})

describe('door', () => {
  it('members are members; strangers and API keys get no connection', () => {
    const door = doorOf(1)
    expect([2, 5, 11].map((n) => door.roleOf(hex(n)))).toEqual(['member', null, null])
  })

  it('a key that is named in an open proposal may fetch blocks, and is a member once it is one', async () => {
    const door = doorOf(1)
    const payload = { era: 0, change: adding(5), expiresAt: TIME + 1_000_000, reason: '' }
    const proposal = signed('governance.propose', 1, payload)
    await grow(node, [proposal])
    expect(door.roleOf(hex(5))).toBe(null)
    expect(door.look(readEra(state).memberSet)).toBe(true)
    expect(door.look(readEra(state).memberSet)).toBe(false)
    expect([...door.named]).toEqual([hex(5)])
    expect(door.roleOf(hex(5))).toBe('sync')
    await grow(
      node,
      [2, 3].map((by) => signed('governance.approve', by, { proposal: proposal.transaction.id })),
    )
    enter(door, [1, 2, 3, 4].map(hex))
    expect(door.roleOf(hex(5))).toBe('member')
  })

  it('a member that was removed stays until it has had time to hear of it', async () => {
    const door = doorOf(1)
    await endEra(node, { kind: 'remove', publicKey: key(4) })
    enter(door, [1, 2, 3, 4].map(hex))
    expect(door.roleOf(hex(4))).toBe('member')
    door.closed()
    // From then on it may ask how it ended, and nothing else.
    expect(door.roleOf(hex(4))).toBe('former')
    await endEra(node, adding(4), [1, 2, 3])
    enter(door)
    expect(door.roleOf(hex(4))).toBe('member')
  })

  it('a node that is removed keeps its links as long: it may be the only one that saw the era end', async () => {
    const door = doorOf(4)
    const consent = sign('membership', CHAIN_ID, consentBytes('m4', []), secretKey(5))
    await endEra(node, { kind: 'replace', publicKey: key(4), by: key(5), addresses: [], consent })
    enter(door, [1, 2, 3, 4].map(hex))
    expect([1, 5, 11].map((n) => door.roleOf(hex(n)))).toEqual(['member', 'sync', null])
    door.closed()
    expect([1, 5, 11].map((n) => door.roleOf(hex(n)))).toEqual(['sync', 'sync', null])
    // A node that was none before either has no links to keep.
    const follower = doorOf(6)
    enter(follower, [1, 2, 3, 4].map(hex))
    expect([1, 4].map((n) => follower.roleOf(hex(n)))).toEqual(['sync', null])
  })

  it('a node that is no member has members and configured keys to fetch from, and lets nobody else in', () => {
    const door = doorOf(5, [hex(6)])
    expect([1, 6, 7, 11].map((n) => door.roleOf(hex(n)))).toEqual(['sync', 'sync', null, null])
  })
})
