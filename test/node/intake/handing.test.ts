import { afterEach, describe, expect, it } from 'vitest'
import { Handing, type HandingDependencies } from '../../../node/intake/handing.ts'
import { decodeCbor } from '../../../protocol/cbor.ts'
import { encodeAs, list, oneOf } from '../../../protocol/codec.ts'
import { signTransaction, type Transaction } from '../../../protocol/transaction.ts'
import type { Code } from '../../../protocol/verdict.ts'
import { CHAIN_ID, NOW, secretKeyOf } from '../api/helper.ts'
import { HandClock } from './handClock.ts'

const TIMEOUT_MS = 800
const answer = (codes: readonly Code[]): Uint8Array =>
  encodeAs(list(oneOf('OK', 'POOL_DUPLICATE', 'POOL_FULL'), 1000), codes as ('OK' | 'POOL_DUPLICATE' | 'POOL_FULL')[])

/** A member whose leader is another one, under a clock that is moved by hand. */
class World {
  readonly clock = new HandClock(0)
  view = 3
  isLeader = false
  codes: Code[] | Error = ['OK']
  valid = true
  readonly waiting = new Map<string, Transaction>()
  readonly handedOver: unknown[] = []
  readonly censored: number[] = []
  readonly handing: Handing

  constructor() {
    const deps: HandingDependencies = {
      clock: this.clock,
      network: {
        serve() {},
        request: async (_peer, _name, piece) => {
          this.handedOver.push(decodeCbor(piece))
          if (this.codes instanceof Error) throw this.codes
          return answer(this.codes)
        },
      },
      waiting: (id) => this.waiting.get(id),
      receive: async () => [],
      leader: () => ({ view: this.view, publicKey: 'leader', isThisMember: this.isLeader }),
      isValid: () => this.valid,
      censored: (view) => this.censored.push(view),
    }
    this.handing = new Handing(() => TIMEOUT_MS, deps)
  }

  submit(id: string): void {
    const draft = { kind: 'kv.put', payload: [id, new Uint8Array(1)], nonce: new Uint8Array(16), validUntil: NOW }
    this.waiting.set(id, signTransaction(draft, CHAIN_ID, secretKeyOf(1)))
    this.handing.submitted(id)
  }
}

let world: World
afterEach(() => world.handing.stop())

describe('handing (agreement.md §4.4)', () => {
  it('handing: what waits for longer than a look → handed to the leader once in its view, and again in the next', async () => {
    world = new World()
    world.submit('a')
    await world.clock.pass(350)
    expect(world.handedOver).toHaveLength(1)
    world.view = 4
    await world.clock.pass(150)
    expect(world.handedOver).toHaveLength(2)
  })

  it('handing: what leaves the pool, or waits at the leader itself → not handed over', async () => {
    world = new World()
    world.submit('a')
    world.handing.left('a')
    await world.clock.pass(400)
    world.isLeader = true
    world.submit('b')
    await world.clock.pass(400)
    expect(world.handedOver).toEqual([])
  })

  it('censorship: passed over for the timeout while one first seen more than that later went in → once', async () => {
    world = new World()
    world.submit('a')
    await world.clock.pass(300)
    const handedAt = 100
    await world.clock.pass(TIMEOUT_MS + 100)
    world.handing.included(3, handedAt + TIMEOUT_MS + 50)
    expect(world.censored).toEqual([3])
  })

  it.each([
    ['the other one was seen within the timeout', (w: World) => w.handing.included(3, 100 + TIMEOUT_MS)],
    ['the block is of another view', (w: World) => w.handing.included(2, w.clock.now())],
    [
      'it would not apply any more',
      (w: World) => {
        w.valid = false
        w.handing.included(3, w.clock.now())
      },
    ],
    [
      'it was included',
      (w: World) => {
        w.handing.left('a')
        w.handing.included(3, w.clock.now())
      },
    ],
  ])('censorship: %s → nobody is accused', async (_, happens) => {
    world = new World()
    world.submit('a')
    await world.clock.pass(300 + TIMEOUT_MS + 200)
    happens(world)
    expect(world.censored).toEqual([])
  })

  it.each([
    ['did not answer', new Error('no answer')],
    ['had no room', ['POOL_FULL'] as Code[]],
  ])('censorship: the leader %s → it is tried again, and nothing counts as handed', async (_, codes) => {
    world = new World()
    world.codes = codes
    world.submit('a')
    await world.clock.pass(300 + TIMEOUT_MS + 200)
    expect(world.handedOver.length).toBeGreaterThan(3)
    world.handing.included(3, world.clock.now())
    expect(world.censored).toEqual([])
  })
})
