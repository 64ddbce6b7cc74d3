import { describe, expect, it } from 'vitest'
import { Accusing, EVIDENCE_WAITING_MAX } from '../../../node/intake/accusing.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { statementBytes } from '../../../protocol/certificate.ts'
import type { Evidence } from '../../../protocol/consensus/events.ts'
import { sign } from '../../../protocol/signature.ts'
import { decodeTransaction } from '../../../protocol/transaction.ts'
import type { Code } from '../../../protocol/verdict.ts'
import { CHAIN, Chain, key, secretKey } from '../../protocol/kinds/consortium.ts'
import { HandClock } from './handClock.ts'

/** Member 2 led view 1 and signed two blocks at (1, 0). */
const equivocation = (height = 5): Evidence => {
  const [first, second] = [7, 8].map((fill) => {
    const statement = { era: 0, view: 1, seq: 0, height, hash: new Uint8Array(32).fill(fill) }
    const leaderSignature = sign('proposal', CHAIN, statementBytes(statement), secretKey(2))
    return { view: 1, seq: 0, height, hash: toHex(statement.hash), leaderSignature }
  })
  return { kind: 'equivocation', member: 1, equivocation: { first: first!, second: second! } }
}

/** Member `me` of a consortium whose clock is moved by hand. */
class World {
  readonly clock = new HandClock(1_000)
  era = 0
  answer: Code = 'OK'
  readonly submitted: Uint8Array[] = []
  readonly accusing: Accusing

  constructor(me: number) {
    this.accusing = new Accusing({
      chainId: CHAIN,
      secretKey: secretKey(me + 1),
      clock: this.clock,
      present: () => ({ era: this.era, me }),
      headerBytes: () => undefined,
      submit: async (encoded) => {
        this.submitted.push(...encoded)
        return encoded.map(() => this.answer)
      },
      log: { info() {}, warn() {} },
    })
  }
}

describe('accusing', () => {
  it('the first member brings it at once, in a transaction that the ledger takes', async () => {
    const world = new World(0)
    world.accusing.found(0, equivocation())
    await world.clock.pass(0)
    expect(world.submitted).toHaveLength(1)
    const transaction = decodeTransaction(world.submitted[0] as Uint8Array)
    expect(new Chain().apply({ transaction: { ...transaction, validUntil: 10_060_000 }, signer: key(1) })).toBeNull()
  })

  it('another one waits for its turn, and does nothing more once it is recorded', async () => {
    const world = new World(2)
    world.answer = 'EVIDENCE_KNOWN'
    world.accusing.found(0, equivocation())
    await world.clock.pass(1_999)
    expect(world.submitted).toHaveLength(0)
    await world.clock.pass(60_000)
    expect(world.submitted).toHaveLength(1)
    expect(world.clock.timers).toBe(0)
  })

  it('a full pool → tried again, with one nonce, until it is recorded', async () => {
    const world = new World(0)
    world.answer = 'POOL_FULL'
    world.accusing.found(0, equivocation())
    await world.clock.pass(40_000)
    expect(world.submitted.length).toBeGreaterThan(1)
    expect(new Set(world.submitted.map((bytes) => toHex(decodeTransaction(bytes).nonce))).size).toBe(1)
    world.answer = 'EVIDENCE_KNOWN'
    await world.clock.pass(20_000)
    const count = world.submitted.length
    await world.clock.pass(3_600_000)
    expect(world.submitted).toHaveLength(count)
  })

  it('an era that has ended meanwhile, a fork, a node that is no member → nothing is brought', async () => {
    const world = new World(1)
    world.accusing.found(0, equivocation())
    world.era = 1
    world.accusing.found(1, { kind: 'fork' } as Evidence)
    await world.clock.pass(60_000)
    expect(world.submitted).toHaveLength(0)
    const stranger = new World(-1)
    stranger.accusing.found(0, equivocation())
    expect(stranger.clock.timers).toBe(0)
  })

  it('a flood of it is bounded, and ends when the node stops', async () => {
    const world = new World(0)
    world.answer = 'POOL_FULL'
    for (let i = 0; i < 3 * EVIDENCE_WAITING_MAX; i++) world.accusing.found(0, equivocation(i + 1))
    expect(world.clock.timers).toBe(EVIDENCE_WAITING_MAX)
    world.accusing.stop()
    expect(world.clock.timers).toBe(0)
    await world.clock.pass(60_000)
    expect(world.submitted).toHaveLength(0)
  })

  it('it is given up when it cannot be brought for long', async () => {
    const world = new World(0)
    world.answer = 'INTAKE_BUSY'
    world.accusing.found(0, equivocation())
    await world.clock.pass(24 * 3_600_000)
    expect(world.clock.timers).toBe(0)
    expect(world.submitted.length).toBeLessThan(100)
  })
})
