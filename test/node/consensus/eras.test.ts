/** node/consensus/eras.ts: members over real libp2p and real disks, in one process, while members and parameters change. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Eras, type Seat } from '../../../node/consensus/eras.ts'
import { createDataDirectory } from '../../../node/dataDirectory.ts'
import { MemberNode } from '../../../node/main.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../../protocol/genesis.ts'
import { type Change, consentBytes, readProposal } from '../../../protocol/kinds/governance/record.ts'
import { KINDS } from '../../../protocol/kinds/table.ts'
import { sign } from '../../../protocol/signature.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
import { apiSecret, genesisWith, memberSecret } from '../genesis.ts'
import { HandClock } from '../intake/handClock.ts'
import { cleanUp, quiet, untilWithin } from '../running.ts'

const until = untilWithin(40_000)

/** A consortium that goes on writing while it changes. */
class Consortium {
  readonly folder: string
  readonly genesis: Genesis
  readonly nodes = new Map<number, MemberNode>()
  readonly acknowledged: Uint8Array[] = []
  #nonce = 0
  #writing: NodeJS.Timeout | undefined

  constructor(folder: string, genesis: Genesis) {
    this.folder = folder
    this.genesis = genesis
  }

  node(i: number): MemberNode {
    return this.nodes.get(i) as MemberNode
  }

  /** Starts member `i`, in the data directory `of`, knowing where the running ones listen. */
  async start(i: number, of = i, recover = false): Promise<MemberNode> {
    const directory = join(this.folder, `${of}`)
    if (!existsSync(directory)) await createDataDirectory(directory, this.genesis)
    const node = await MemberNode.start({
      genesis: this.genesis,
      dataDirectory: directory,
      secretKey: memberSecret(i),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      peers: [...this.nodes.values()].flatMap(({ network }) =>
        network.addresses().map((address) => ({ member: network.publicKey, address })),
      ),
      pool: { bytesMax: 16_000_000, countMax: 20_000 },
      diskFreeBytesMin: 0,
      ledger: { keep: { blocks: 0, hours: 0 }, snapshotBlocks: 0, join: 'snapshot' },
      restart() {},
      recover,
      log: quiet,
      fatal: (error) => {
        throw error
      },
    })
    this.nodes.set(i, node)
    cleanUp.push(() => node.stop())
    return node
  }

  async stop(i: number): Promise<void> {
    await this.node(i).stop()
    this.nodes.delete(i)
  }

  #submit(kind: string, payload: unknown, secret: Uint8Array, to: MemberNode): Promise<readonly string[]> {
    const nonce = new Uint8Array(16)
    new DataView(nonce.buffer).setUint32(0, ++this.#nonce)
    const encoded = (KINDS.get(kind) as NonNullable<ReturnType<typeof KINDS.get>>).payload.to(payload)
    const draft = { kind, payload: encoded, nonce, validUntil: Date.now() + 600_000 }
    const { bytes, id } = signTransaction(draft, chainIdOf(this.genesis), secret)
    this.last = id
    return to.intake.submit([bytes])
  }
  last: Uint8Array = new Uint8Array()

  /** Writes to the first three members, which no test stops, until `rest`: what only a stopped member had was never promised. */
  write(): void {
    this.#writing = setInterval(() => {
      const to = this.node(this.#nonce % 3)
      const writing = this.#submit('kv.put', { key: `k${this.#nonce}`, value: Uint8Array.of(1) }, apiSecret, to)
      const id = this.last
      void writing.then(([code]) => {
        if (code === 'OK') this.acknowledged.push(id)
      })
    }, 25)
    cleanUp.push(async () => clearInterval(this.#writing))
  }

  rest(): void {
    clearInterval(this.#writing)
  }

  async propose(by: number, change: Change): Promise<Uint8Array> {
    const era = this.node(by).executor.era.era
    const payload = { era, change, expiresAt: Date.now() + 3_600_000, reason: 'test' }
    const submitted = this.#submit('governance.propose', payload, memberSecret(by), this.node(by))
    // Before others write.
    const id = this.last
    expect(await submitted).toEqual(['OK'])
    // By what the next transaction is judged on: the store has a block a moment before the head has moved to it.
    await until('the proposal is open for all members', () =>
      this.members().every(
        ({ executor }) => readProposal(executor.surroundings(Date.now()).state, toHex(id)) !== undefined,
      ),
    )
    return id
  }

  async approve(by: number, proposal: Uint8Array): Promise<void> {
    expect(await this.#submit('governance.approve', { proposal }, memberSecret(by), this.node(by))).toEqual(['OK'])
  }

  members(): MemberNode[] {
    return [...this.nodes.values()].filter(({ me }) => me >= 0)
  }

  async untilEra(era: number): Promise<void> {
    await until(`era ${era} has begun and grows for all who are in it`, () =>
      [...this.nodes.values()].every(
        ({ eras, executor, me }) =>
          me < 0 || (eras.present.ledger.era === era && executor.head.height >= eras.present.ledger.height + 3),
      ),
    )
  }

  /** Every acknowledged write is in one and the same chain of all members. */
  async check(): Promise<void> {
    this.rest()
    await until('everything acknowledged is committed by all', () =>
      this.members().every(({ executor }) =>
        this.acknowledged.every((id) => executor.reads.transaction(id) !== undefined),
      ),
    )
    const height = Math.min(...this.members().map(({ executor }) => executor.head.height))
    const hashes = this.members().map(({ executor }) => toHex(executor.reads.headerAt(height)?.hash as Uint8Array))
    expect(new Set(hashes).size).toBe(1)
    expect(this.acknowledged.length).toBeGreaterThan(5)
    expect(this.members().flatMap(({ evidence }) => evidence)).toEqual([])
  }
}

const keyOf = (i: number): Uint8Array => publicKeyOf(memberSecret(i))
const consentOf = (genesis: Genesis, i: number, name: string, addresses: readonly string[]): Uint8Array =>
  sign('membership', chainIdOf(genesis), consentBytes(name, addresses), memberSecret(i))

async function consortium(n: number): Promise<Consortium> {
  const folder = await mkdtemp(join(tmpdir(), 'althing-eras-'))
  cleanUp.push(() => rm(folder, { recursive: true, force: true }))
  const genesis = genesisWith(n, { createdAt: Date.now(), deltaMs: 250, heartbeatMs: 300 })
  const made = new Consortium(folder, genesis)
  for (let i = 0; i < n; i++) await made.start(i)
  for (const node of made.nodes.values())
    node.network.setMembers(
      [...made.nodes.values()].map(({ network }) => ({ publicKey: network.publicKey, addresses: network.addresses() })),
    )
  await until('a block is committed by all', () => made.members().every(({ executor }) => executor.head.height >= 1))
  made.write()
  return made
}

describe('a member that is left in an era', () => {
  /** Member of an era whose chain is at `head`, or a node that is none (−1). */
  const seated = (me: number) => {
    const clock = new HandClock(0)
    const head = { height: 6 }
    const looks: number[] = []
    const nothing = (): void => undefined
    const lookBeyond = async (): Promise<void> => void looks.push(clock.monotonic())
    const blocks = { lookBeyond, follow: async () => nothing(), stop: nothing }
    const driver = { start: nothing, stop: nothing, link: nothing }
    const seat = { ledger: { era: 0, members: new Map() }, keys: [], me, driver, blocks, fork: null } as unknown as Seat
    const executor = { era: { era: 0 }, head, reads: {} } as never
    const eras = new Eras({
      ...{ clock, executor, log: quiet, makeSeat: () => seat },
      ...{ send: nothing, entered: nothing, closed: nothing },
    })
    return { clock, head, looks, eras }
  }

  test('while blocks are committed it asks nobody; while none is it looks for the end of the era, again and again', async () => {
    const { clock, head, looks, eras } = seated(2)
    eras.start()
    head.height = 7
    await clock.pass(5_000)
    expect(looks).toEqual([])
    await clock.pass(10_000)
    expect(looks).toEqual([10_000, 15_000])
    eras.stop()
    await clock.pass(60_000)
    expect(looks).toHaveLength(2)
  })

  test('a node that is no member follows as it is, and does not look besides', async () => {
    const { clock, looks, eras } = seated(-1)
    eras.start()
    await clock.pass(20_000)
    expect(looks).toEqual([])
    eras.stop()
  })
})

describe('eras of running members, while they write', () => {
  test('a fifth member joins: it follows once it is named, and votes from the first block of the next era', async () => {
    const made = await consortium(4)
    const fifth = await made.start(4)
    expect(fifth.me).toBe(-1)
    const addresses = fifth.network.addresses().map((address) => address.replace(/\/p2p\/.*/, ''))
    const change: Change = {
      kind: 'add',
      publicKey: keyOf(4),
      name: 'Org 4',
      addresses,
      consent: consentOf(made.genesis, 4, 'Org 4', addresses),
    }
    const id = await made.propose(0, change)
    await until('the fifth has followed to the proposal', () => fifth.executor.reads.transaction(id) !== undefined)
    expect(fifth.me).toBe(-1)
    await made.approve(1, id)
    await made.approve(2, id)
    await made.untilEra(1)
    await until('the fifth is a member', () => fifth.me === 4)
    await until(
      'a block of the new era bears the signature of the fifth',
      () =>
        (made.node(0).driver.state.highest?.signatures.has(4) ?? false) && made.node(0).eras.present.ledger.era === 1,
    )
    expect(made.node(0).roster.entries.map(({ name }) => name)).toContain('Org 4')
    expect(fifth.executor.reads.eraEnd(0)).toBe(fifth.eras.present.ledger.height)
    await made.check()
  }, 120_000)

  test('a member is removed: its links end, it signs nothing more, and the others go on', async () => {
    const made = await consortium(5)
    const removed = made.node(4)
    const id = await made.propose(0, { kind: 'remove', publicKey: keyOf(4) })
    await made.approve(1, id)
    await made.approve(2, id)
    await until('the removed member knows', () => removed.me === -1)
    await made.untilEra(1)
    await until('its links end', () =>
      made
        .members()
        .every((node) => !node.network.peers().some(({ publicKey }) => publicKey === removed.network.publicKey)),
    )
    expect(made.members()).toHaveLength(4)
    const before = made.node(0).executor.head.height
    await until('the others go on', () => made.node(0).executor.head.height > before + 3)
    expect(await removed.intake.submit([new Uint8Array()])).toEqual(['INTAKE_BUSY'])
    await made.check()
  }, 120_000)

  test('a member replaces its key: the same data directory, the new secret, the same place', async () => {
    const made = await consortium(4)
    const addresses = made
      .node(3)
      .network.addresses()
      .map((address) => address.replace(/\/p2p\/.*/, ''))
    const id = await made.propose(3, {
      kind: 'replace',
      publicKey: keyOf(3),
      by: keyOf(13),
      addresses,
      consent: consentOf(made.genesis, 13, 'Org 3', addresses),
    })
    await made.approve(1, id)
    await made.approve(2, id)
    await until('the old key is no member any more', () => made.node(3).me === -1)
    await made.stop(3)
    const again = await made.start(13, 3)
    for (const node of made.nodes.values())
      node.network.setMembers(
        [...made.nodes.values()].map(({ network }) => ({
          publicKey: network.publicKey,
          addresses: network.addresses(),
        })),
      )
    expect(again.me).toBe(3)
    await made.untilEra(1)
    await until('the new key signs', () => made.node(0).driver.state.highest?.signatures.has(3) ?? false)
    await made.check()
  }, 120_000)

  test('Δ and the heartbeat change; a member that was down meanwhile comes back into the new era', async () => {
    const made = await consortium(4)
    const values = {
      ...{ percent: null, termBlocks: 20, bodyAllowanceMs: null, timeoutDoublingsMax: null },
      ...{ deltaMs: 400, heartbeatMs: 200, inclusionTimeoutMs: null, clockDriftMs: null },
      ...{
        trustThresholdPpm: null,
        trustPatience: null,
        trustInitialPpm: null,
        trustMinRaters: null,
        trustFreshnessMs: null,
      },
    }
    await made.stop(3)
    const id = await made.propose(0, { kind: 'parameters', values })
    await made.approve(1, id)
    await made.approve(2, id)
    await made.untilEra(1)
    expect(made.node(0).driver.state.era).toMatchObject({ era: 1, deltaMs: 400, heartbeatMs: 200, termBlocks: 20 })
    const back = await made.start(3)
    await until(
      'it is in the new era',
      () => back.eras.present.ledger.era === 1 && back.driver.state.phase === 'running',
    )
    await until('it signs', () => made.node(0).driver.state.highest?.signatures.has(3) ?? false)
    // And once more with its record of the new era.
    await made.stop(3)
    const third = await made.start(3)
    await until('it signs again', () => third.driver.state.phase === 'running' && third.driver.state.era.era === 1)
    // And without its record, which was lost.
    await made.stop(3)
    await rm(join(made.folder, '3', 'signing'), { recursive: true })
    const fourth = await made.start(3, 3, true)
    await until('it listens and then takes part', () => fourth.driver.state.phase === 'running')
    expect(fourth.driver.state.reason.certificate).not.toBe(null)
    await made.check()
  }, 120_000)
})
