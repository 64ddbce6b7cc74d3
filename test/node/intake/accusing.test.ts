import { describe, expect, it } from 'vitest'
import { Accusing, EVIDENCE_WAITING_MAX } from '../../../node/intake/accusing.ts'
import { KeptEvidence } from '../../../node/store/keptEvidence.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { statementBytes } from '../../../protocol/certificate.ts'
import type { Evidence } from '../../../protocol/consensus/events.ts'
import { sign } from '../../../protocol/signature.ts'
import { decodeTransaction } from '../../../protocol/transaction.ts'
import type { Code } from '../../../protocol/verdict.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
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
  answer: Code = 'OK'
  readonly submitted: Uint8Array[] = []
  readonly failures: unknown[] = []
  header: Uint8Array | undefined
  readonly accusing: Accusing

  me: number
  readonly store: MemoryStore

  constructor(me: number, store = new MemoryStore()) {
    this.me = me
    this.store = store
    this.accusing = new Accusing({
      chainId: CHAIN,
      secretKey: secretKey(me + 1),
      clock: this.clock,
      kept: new KeptEvidence(store),
      me: () => this.me,
      headerBytes: () => this.header,
      fatal: (error) => void this.failures.push(error),
      submit: async (encoded) => {
        this.submitted.push(...encoded)
        return encoded.map(() => this.answer)
      },
      log: { info() {}, warn() {} },
    })
  }

  /** Time passes once what is under way with the disk is done, and again. */
  async pass(ms: number): Promise<void> {
    for (const part of [0, ms, 0]) {
      await new Promise((resolve) => setImmediate(resolve))
      await this.clock.pass(part)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('accusing', () => {
  it('the first member brings it at once, in a transaction that the ledger takes', async () => {
    const world = new World(0)
    world.accusing.found(0, equivocation())
    await world.pass(0)
    expect(world.submitted).toHaveLength(1)
    const transaction = decodeTransaction(world.submitted[0] as Uint8Array)
    expect(new Chain().apply({ transaction: { ...transaction, validUntil: 10_060_000 }, signer: key(1) })).toBeNull()
  })

  it('another one waits for its turn, and does nothing more once it is recorded', async () => {
    const world = new World(2)
    world.answer = 'EVIDENCE_KNOWN'
    world.accusing.found(0, equivocation())
    await world.pass(1_999)
    expect(world.submitted).toHaveLength(0)
    await world.pass(60_000)
    expect(world.submitted).toHaveLength(1)
    expect(world.clock.timers).toBe(0)
  })

  it('a full pool → tried again, with one nonce, until it is recorded', async () => {
    const world = new World(0)
    world.answer = 'POOL_FULL'
    world.accusing.found(0, equivocation())
    await world.pass(40_000)
    expect(world.submitted.length).toBeGreaterThan(1)
    expect(new Set(world.submitted.map((bytes) => toHex(decodeTransaction(bytes).nonce))).size).toBe(1)
    world.answer = 'EVIDENCE_KNOWN'
    await world.pass(20_000)
    const count = world.submitted.length
    await world.pass(3_600_000)
    expect(world.submitted).toHaveLength(count)
  })

  it('a fork, a node that is no member → nothing is brought', async () => {
    const world = new World(1)
    world.accusing.found(1, { kind: 'fork' } as Evidence)
    const stranger = new World(-1)
    stranger.accusing.found(0, equivocation())
    for (const { clock } of [world, stranger]) expect(clock.timers).toBe(0)
    expect(await new KeptEvidence(stranger.store).stored()).toEqual([])
  })

  it('a restart: what was found is brought again, the same bytes but for their time, until it is recorded; then it is let go', async () => {
    const world = new World(0)
    world.accusing.found(0, equivocation())
    await world.pass(0)
    world.accusing.stop()
    const again = new World(0, world.store)
    await again.accusing.resume()
    again.answer = 'EVIDENCE_KNOWN'
    await again.pass(0)
    const [first, second] = [world, again].map(({ submitted }) => decodeTransaction(submitted[0] as Uint8Array))
    expect([second?.nonce, second?.payload]).toEqual([first?.nonce, first?.payload])
    const third = new World(0, world.store)
    await third.accusing.resume()
    expect(third.clock.timers).toBe(0)
  })

  it('a member that is none any more keeps it, and brings it once it is one again', async () => {
    const world = new World(0)
    world.accusing.found(0, equivocation())
    world.me = -1
    await world.pass(3_600_000)
    expect(world.submitted).toHaveLength(0)
    world.me = 0
    await world.pass(15_000)
    expect(world.submitted).toHaveLength(1)
  })

  it('what is refused for good is let go, and a write that fails is fatal', async () => {
    const world = new World(0)
    world.answer = 'EVIDENCE_ERA'
    world.accusing.found(0, equivocation())
    await world.pass(0)
    expect(await new KeptEvidence(world.store).stored()).toEqual([])
    expect(world.clock.timers).toBe(0)
    const broken = new World(0)
    broken.store.batch = async () => Promise.reject(new Error('full'))
    broken.accusing.found(0, equivocation())
    await broken.pass(0)
    expect(broken.failures).toHaveLength(1)
  })

  it('a flood of it is bounded, and ends when the node stops', async () => {
    const world = new World(0)
    world.answer = 'POOL_FULL'
    for (let i = 0; i < 3 * EVIDENCE_WAITING_MAX; i++) {
      world.accusing.found(0, equivocation(i + 1))
      await world.pass(0)
    }
    expect(world.clock.timers).toBe(EVIDENCE_WAITING_MAX)
    world.accusing.stop()
    expect(world.clock.timers).toBe(0)
    const count = world.submitted.length
    await world.pass(60_000)
    expect(world.submitted).toHaveLength(count)
  })

  it('a chain that takes it up late gets it late, at a bounded rate', async () => {
    const world = new World(0)
    world.answer = 'INTAKE_BUSY'
    world.accusing.found(0, equivocation())
    await world.pass(3_600_000)
    expect(world.submitted.length).toBeLessThanOrEqual(241)
    world.answer = 'EVIDENCE_KNOWN'
    await world.pass(15_000)
    expect(world.clock.timers).toBe(0)
  })
})
