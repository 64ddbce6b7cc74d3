import { describe, expect, it } from 'vitest'
import { deviceIdOf, peerRoleOf } from '../../../node/light/roles.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { memberIndex } from '../../../protocol/members.ts'
import {
  address,
  blacklisting,
  Chain,
  deviceBytes,
  GENESIS,
  key,
  registration,
} from '../../protocol/kinds/consortium.ts'

const members = memberIndex(GENESIS.memberSet)
const hex = (n: number): string => toHex(key(n))

describe('roles at the door', () => {
  it('a member is a member; an API key, a stranger and a key that is none are nobody', () => {
    const chain = new Chain()
    expect(peerRoleOf(hex(1), members, chain)).toBe('member')
    expect(peerRoleOf(hex(11), members, chain)).toBeNull()
    expect(peerRoleOf(hex(99), members, chain)).toBeNull()
    expect(peerRoleOf('02', members, chain)).toBeNull()
  })

  it('a device: let in once registered, out while blacklisted, out for good once retired', () => {
    const chain = new Chain()
    const role = () => peerRoleOf(hex(21), members, chain)
    expect(role()).toBeNull()
    chain.run('device.register', 11, registration(21))
    expect(role()).toBe('device')
    chain.run('access.blacklist', 11, blacklisting(21))
    expect(role()).toBeNull()
    const other = new Chain()
    other.run('device.register', 11, registration(21))
    other.run('device.retire', 11, { device: deviceBytes(21) })
    expect(peerRoleOf(hex(21), members, other)).toBeNull()
  })

  it('a device whose owner is no member any more is nobody', () => {
    const chain = new Chain()
    chain.run('device.register', 11, registration(21))
    const others = new Map([...members].filter(([name]) => name !== hex(1)))
    expect(peerRoleOf(hex(21), others, chain)).toBeNull()
  })

  it('the id of a device is the address of its key', () => {
    expect(deviceIdOf(hex(21))).toBe(address(21))
  })
})
