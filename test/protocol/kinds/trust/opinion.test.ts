/** `trust.opinion`: what is taken in, and every refusal with a state that is left as it was. */
import { beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../../../protocol/bytes.ts'
import { CborError } from '../../../../protocol/cbor.ts'
import { encodeAs } from '../../../../protocol/codec.ts'
import { opinionPayload } from '../../../../protocol/kinds/trust/opinionPayload.ts'
import { decodeOpinions, opinionsStateKey, readOpinions } from '../../../../protocol/kinds/trust/opinions.ts'
import type { Code } from '../../../../protocol/verdict.ts'
import { address, blacklisting, Chain, deviceBytes, make, opinions, registration, TIME } from '../consortium.ts'

const A = 11
const [RATER, PEER, OTHER, CUT, GONE, FAR, ABSENT] = [51, 52, 53, 54, 55, 56, 57]

/** 51 … 53 in one segment and service, 54 blacklisted, 55 retired, 56 in another segment. */
function prepared(): Chain {
  const chain = new Chain()
  for (const n of [RATER, PEER, OTHER, CUT, GONE]) expect(chain.run('device.register', A, registration(n))).toBeNull()
  expect(chain.run('device.register', A, { ...registration(FAR), segment: 'zone 9' })).toBeNull()
  expect(chain.run('access.blacklist', A, blacklisting(CUT))).toBeNull()
  expect(chain.run('device.retire', A, { device: deviceBytes(GONE) })).toBeNull()
  expect(chain.run('trust.opinion', RATER, opinions({ [PEER]: 900_000 }, TIME - 5000))).toBeNull()
  return chain
}

describe('trust.opinion', () => {
  let chain: Chain
  beforeEach(() => {
    chain = prepared()
  })

  const refusals: [what: string, signer: number, payload: object, code: Code][] = [
    ['about itself', RATER, opinions({ [RATER]: 1 }, TIME), 'OPINION_SELF'],
    ['about a device that nobody registered', RATER, opinions({ [ABSENT]: 1 }, TIME), 'DEVICE_UNKNOWN'],
    ['about a retired device', RATER, opinions({ [GONE]: 1 }, TIME), 'DEVICE_RETIRED'],
    ['about a device of another segment', RATER, opinions({ [FAR]: 1 }, TIME), 'OPINION_SEGMENT'],
    ['older than opinions count', RATER, opinions({ [PEER]: 1 }, TIME - 60_001), 'OPINION_STALE'],
    ['no newer than its last', RATER, opinions({ [PEER]: 1 }, TIME - 5000), 'OPINION_STALE'],
    ['of a clock more than a minute ahead', RATER, opinions({ [PEER]: 1 }, TIME + 60_001), 'OPINION_AHEAD'],
    ['by a blacklisted device', CUT, opinions({ [PEER]: 1 }, TIME), 'DEVICE_BLACKLISTED'],
    ['by a retired device', GONE, opinions({ [PEER]: 1 }, TIME), 'DEVICE_RETIRED'],
    ['by an API key', A, opinions({ [PEER]: 1 }, TIME), 'TX_FORBIDDEN'],
    ['by a member', 1, opinions({ [PEER]: 1 }, TIME), 'TX_FORBIDDEN'],
    ['with a good one and a bad one', RATER, opinions({ [OTHER]: 1, [FAR]: 1 }, TIME), 'OPINION_SEGMENT'],
  ]
  it.each(refusals)('an opinion %s → refused, state unchanged', (_what, signer, payload, code) => {
    const before = chain.picture()
    expect(chain.run('trust.opinion', signer, payload)).toBe(code)
    expect(chain.picture()).toEqual(before)
  })

  const [low, high] = [PEER, OTHER].map(deviceBytes).sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1)) as [
    Uint8Array,
    Uint8Array,
  ]
  it.each([
    ['none', []],
    ['trust above one', [[low, 1_000_001, TIME]]],
    ['trust below zero', [[low, -1, TIME]]],
    ['a fraction of trust', [[low, 'half', TIME]]],
    ['an id of 32 bytes', [[new Uint8Array(32), 1, TIME]]],
    [
      'one device twice',
      [
        [low, 1, TIME],
        [low, 2, TIME],
      ],
    ],
    [
      'another order',
      [
        [high, 1, TIME],
        [low, 1, TIME],
      ],
    ],
    ['65 of them', Array.from({ length: 65 }, (_, i) => [new Uint8Array(20).fill(i), 1, TIME])],
  ])('a payload with %s → TX_PAYLOAD', (_what, list) => {
    const before = chain.picture()
    const transaction = make('no.kind', RATER, null, { kind: 'trust.opinion', payload: [list] as never })
    expect(chain.apply(transaction)).toBe('TX_PAYLOAD')
    expect(chain.picture()).toEqual(before)
  })

  it('a payload out of order is not encoded either', () => {
    const wrong = { opinions: [high, low].map((device) => ({ device, trustPpm: 1, observedAt: 1 })) }
    expect(() => encodeAs(opinionPayload, wrong)).toThrow(CborError)
  })

  it('the newest opinion of a rater takes the place of its last; its height is that of the block', () => {
    expect(chain.run('trust.opinion', RATER, opinions({ [PEER]: 7, [OTHER]: 8 }, TIME))).toBeNull()
    const expected = [{ rater: deviceBytes(RATER), trustPpm: 7, observedAt: TIME, height: chain.height }]
    expect(readOpinions(chain, address(PEER))).toEqual(expected)
    expect(decodeOpinions(chain.get(opinionsStateKey(address(PEER))) as Uint8Array)).toEqual(expected)
    expect(() => decodeOpinions(Uint8Array.of(0x41, 0))).toThrow(CborError)
  })

  it('an opinion about a device that is cut off is passed over, and the others of its transaction count', () => {
    expect(chain.run('trust.opinion', RATER, opinions({ [CUT]: 1, [OTHER]: 8 }, TIME))).toBeNull()
    expect(readOpinions(chain, address(CUT))).toEqual([])
    expect(readOpinions(chain, address(OTHER))).toHaveLength(1)
  })
})
