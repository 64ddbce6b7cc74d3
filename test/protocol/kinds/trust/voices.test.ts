/** Which opinions count, and what they weigh. */
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../../protocol/bytes.ts'
import { type DeviceRecord, readDevice } from '../../../../protocol/kinds/device/record.ts'
import { keepOpinion } from '../../../../protocol/kinds/trust/opinions.ts'
import { readTrust, writeTrust } from '../../../../protocol/kinds/trust/record.ts'
import { Voices } from '../../../../protocol/kinds/trust/voices.ts'
import { address, blockAt, Chain, deviceBytes, registration, TIME } from '../consortium.ts'

describe('voices', () => {
  it('weigh the trust in their rater, up to that of a new device; a member’s weighs as much as that', () => {
    const chain = new Chain()
    const raters = { 52: 1_000_000, 53: 799_999, 54: 1, 55: 0 }
    for (const n of [51, 52, 53, 54, 55]) expect(chain.run('device.register', 11, registration(n))).toBeNull()
    const state = chain.overlay()
    for (const [n, trustPpm] of Object.entries(raters)) {
      const id = address(Number(n))
      writeTrust(state, id, { ...readTrust(state, id)!, trustPpm })
    }
    for (const n of [51, 52, 53, 54, 55, 2, 9])
      keepOpinion(state, address(51), { rater: deviceBytes(n), trustPpm: n, observedAt: TIME, height: 1 }, 0)
    const about = new Voices(blockAt(9), state).about(address(51), readDevice(state, address(51)) as DeviceRecord)
    const weights = Object.fromEntries(about.map(({ rater, weightPpm }) => [toHex(rater), weightPpm]))
    // Neither the device itself, nor one that nobody trusts, nor a stranger.
    expect(weights).toEqual({
      [address(52)]: 800_000,
      [address(53)]: 799_999,
      [address(54)]: 1,
      [address(2)]: 800_000,
    })
  })
})
