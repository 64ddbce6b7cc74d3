import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeAnswer } from '../../../node/light/messages.ts'
import { createNetwork } from '../../../node/network/host.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { chainIdOf } from '../../../protocol/genesis.ts'
import { approvalBytes, blacklistStateKey, decodeBlacklist } from '../../../protocol/kinds/access/record.ts'
import { sign } from '../../../protocol/signature.ts'
import { decodeTransaction } from '../../../protocol/transaction.ts'
import { memberSecret } from '../genesis.ts'
import {
  deviceId,
  deviceKey,
  genesisOf,
  introduce,
  Member,
  signed,
  startRtu,
  temporaryFolder,
  tidyUp,
  until,
} from './world.ts'

afterEach(tidyUp)

const times = (reports: readonly { observedAt: number }[]): number[] => reports.map(({ observedAt }) => observedAt)

/** In order, and none twice. */
function expectInOrder(observed: readonly number[]): void {
  expect(observed).toEqual([...new Set(observed)].sort((a, b) => a - b))
}

describe('an RTU and its members', () => {
  it('its reports reach the chain and the other devices of its segment, and no device of another; headers are followed', async () => {
    const member = await Member.start(genesisOf(1))
    for (const [n, segment] of [
      [1, 'plant-1'],
      [2, 'plant-1'],
      [3, 'plant-2'],
    ] as const)
      await member.register(n, segment)
    const [one, two, three] = await Promise.all([1, 2, 3].map((n) => startRtu(n, [member])))
    await until(
      () => (two?.peers.segment.heard.size ?? 0) === 1 && (one?.outbox.status().delivered ?? 0) >= 2,
      'heard and delivered',
    )
    expect([...(two?.peers.segment.heard.keys() ?? [])]).toEqual([one?.device])
    await until(() => (three?.outbox.status().delivered ?? 0) >= 2, 'the third reports')
    expect(three?.peers.segment.heard.size).toBe(0)
    const reports = await member.reports(1)
    expect(reports.length).toBeGreaterThanOrEqual(2)
    expectInOrder(times(reports))
    const height = one?.headers.newest?.sealed.header.height ?? 0
    expect(toHex(one?.headers.newest?.sealed.hash ?? new Uint8Array())).toBe(
      toHex(member.node.executor.reads.headerAt(height)?.hash ?? new Uint8Array()),
    )
    await until(() => (one?.headers.newest?.sealed.header.height ?? 0) > height, 'the next header')
    expect(one?.status).toMatchObject({
      members: [{ name: 'Org 0', state: 'up' }],
      standing: { record: { status: 'registered', segment: 'plant-1' } },
      isDisputed: false,
    })
    expect(three?.lines.some((line) => line.includes('registered in another segment'))).toBe(true)
  }, 120_000)

  it('a report handed in at one member is heard by devices of the segment at another', async () => {
    const genesis = genesisOf(2)
    const first = await Member.start(genesis, 0)
    const second = await Member.start(genesis, 1, [first])
    introduce(first, second)
    await first.register(1)
    await first.register(2)
    const [one, two] = await Promise.all([startRtu(1, [first]), startRtu(2, [second])])
    await until(() => one.peers.segment.heard.size === 1 && two.peers.segment.heard.size === 1, 'each hears the other')
    expect([...one.peers.segment.heard.keys()]).toEqual([two.device])
    expect([...two.peers.segment.heard.keys()]).toEqual([one.device])
  }, 120_000)

  it('the only member is away → reports are held on disk; it returns → all are in the chain, in order, each once', async () => {
    const member = await Member.start(genesisOf(1))
    await member.register(1)
    const dataDirectory = temporaryFolder()
    const rtu = await startRtu(1, [member], { dataDirectory })
    await until(() => rtu.outbox.status().delivered >= 2, 'delivered')
    await member.stop()
    const before = rtu.outbox.status().delivered
    await until(() => readdirSync(join(dataDirectory, 'outbox')).length >= 8, 'held')
    expect(rtu.outbox.status().delivered).toBe(before)
    await member.start()
    await until(() => rtu.outbox.status().delivered >= before + 8, 'delivered after the return')
    await rtu.stop()
    const inChain = times(await member.reports(1))
    expectInOrder(inChain)
    const { delivered, reportsHeld } = rtu.outbox.status()
    expect(inChain.length).toBeGreaterThanOrEqual(delivered)
    expect(inChain.length).toBeLessThanOrEqual(delivered + reportsHeld)
  }, 120_000)

  it('one of two members is away → the other takes the reports; a member that forgets what it took costs nothing', async () => {
    const genesis = genesisOf(2)
    const first = await Member.start(genesis, 0)
    const second = await Member.start(genesis, 1, [first])
    introduce(first, second)
    await first.register(1)
    const rtu = await startRtu(1, [first, second])
    await until(() => rtu.outbox.status().delivered >= 2, 'delivered')
    await second.stop()
    // With one of two there is no quorum: the other takes reports into its pool and cannot put them into a block.
    await until(() => rtu.outbox.status().reportsTaken >= 3, 'taken')
    await first.stop()
    await until(() => rtu.outbox.status().reportsHeld >= 6, 'held')
    await second.start()
    await first.start()
    introduce(first, second)
    const held = rtu.outbox.status().reportsHeld + rtu.outbox.status().delivered
    await until(() => rtu.outbox.status().delivered >= held, 'all delivered')
    await rtu.stop()
    const inChain = times(await second.reports(1))
    expect(new Set(inChain).size).toBe(inChain.length)
    expect(inChain.length).toBeGreaterThanOrEqual(held)
  }, 180_000)
})

describe('a device that is not in service', () => {
  it('not registered → it says so, holds its reports and keeps trying; once registered all are delivered', async () => {
    const member = await Member.start(genesisOf(1))
    const rtu = await startRtu(1, [member])
    await until(() => rtu.lines.some((line) => line.includes('RTU_NOT_ADMITTED')), 'said')
    expect(rtu.lines.some((line) => line.includes('register it'))).toBe(true)
    await until(() => rtu.outbox.status().reportsHeld >= 3, 'held')
    expect(member.node.network.peers()).toEqual([])
    await member.register(1)
    await until(() => rtu.outbox.status().delivered >= 4, 'delivered')
    expectInOrder(times(await member.reports(1)))
  }, 120_000)

  it('blacklisted → cut off at that commit, and let in again once a quorum has reinstated it', async () => {
    const genesis = genesisOf(1)
    const member = await Member.start(genesis)
    await member.register(1)
    const rtu = await startRtu(1, [member])
    await until(() => rtu.outbox.status().delivered >= 1, 'delivered')
    const blacklisting = { device: deviceId(1), finalScorePpm: 1, thresholdPpm: 2, anomalies: [], reason: 'test' }
    await member.commit(signed(genesis, 'access.blacklist', blacklisting))
    await until(() => rtu.members.status[0]?.state === 'refused', 'cut off')
    expect(member.node.network.peers()).toEqual([])
    await until(() => rtu.outbox.status().reportsHeld >= 3, 'held')
    const record = member.node.executor.reads.state(blacklistStateKey(toHex(deviceId(1))))?.value
    const { height } = decodeBlacklist(record ?? new Uint8Array())
    const approvals = [sign('reinstatement', chainIdOf(genesis), approvalBytes(deviceId(1), height), memberSecret(0))]
    const before = rtu.outbox.status().delivered
    await member.commit(signed(genesis, 'access.reinstate', { device: deviceId(1), approvals }))
    await until(() => rtu.outbox.status().delivered >= before + 3, 'delivered again')
    await until(() => rtu.standing.standing?.record?.status === 'reinstated', 'knows it')
  }, 120_000)

  it('retired → cut off for good; another device is not touched', async () => {
    const genesis = genesisOf(1)
    const member = await Member.start(genesis)
    await member.register(1)
    await member.register(2)
    const [gone, stays] = await Promise.all([startRtu(1, [member]), startRtu(2, [member])])
    await until(() => gone.members.isUp && stays.members.isUp, 'both are up')
    await member.commit(signed(genesis, 'device.retire', { device: deviceId(1) }))
    await until(() => gone.members.status[0]?.state === 'refused', 'cut off')
    expect(stays.members.isUp).toBe(true)
    expect(member.node.network.peers().map(({ publicKey }) => publicKey)).toEqual([deviceKey(2)])
  }, 120_000)
})

describe('restarts', () => {
  it('a stop in the middle loses nothing: the newest header and what is held are there at the next start', async () => {
    const member = await Member.start(genesisOf(1))
    await member.register(1)
    const dataDirectory = temporaryFolder()
    const first = await startRtu(1, [member], { dataDirectory })
    await until(() => first.outbox.status().delivered >= 2, 'delivered')
    await member.stop()
    await until(() => first.outbox.status().reportsHeld >= 4, 'held')
    const height = first.headers.newest?.sealed.header.height as number
    await first.stop()
    const { reportsHeld } = first.outbox.status()
    const second = await startRtu(1, [member], { dataDirectory, intervalMs: 1_000_000 })
    expect(second.headers.newest?.sealed.header.height).toBe(height)
    expect(second.outbox.status().reportsHeld).toBeGreaterThanOrEqual(reportsHeld)
    await member.start()
    await until(() => second.outbox.status().reportsHeld === 0, 'all delivered')
    expectInOrder(times(await member.reports(1)))
  }, 120_000)

  it('a second RTU on the same folder → STORE_LOCKED, and the first one goes on', async () => {
    const member = await Member.start(genesisOf(1))
    const dataDirectory = temporaryFolder()
    const rtu = await startRtu(1, [member], { dataDirectory })
    await expect(startRtu(1, [member], { dataDirectory })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    const { reportsHeld } = rtu.outbox.status()
    await until(() => rtu.outbox.status().reportsHeld > reportsHeld, 'goes on')
  }, 120_000)
})

describe('a member that lies', () => {
  /** One that holds a member's key, takes every report and drops it, and answers questions with `answer`; its network, and what it took. */
  async function liarWith(honest: Member, answer: { code: string; proof: string | null }) {
    const network = await createNetwork(
      {
        secretKey: memberSecret(1),
        chainId: chainIdOf(honest.genesis),
        role: 'member',
        listen: ['/ip4/127.0.0.1/tcp/0'],
        members: [],
      },
      { roleOf: (key) => (key === deviceKey(1) ? 'device' : null), log: { debug() {}, info() {}, warn() {} } },
    )
    const taken: Uint8Array[] = []
    network.serve('submit', async (_, bytes) => {
      taken.push(bytes)
      return encodeAnswer({ code: 'OK', proof: null })
    })
    for (const question of ['state', 'receipt']) network.serve(question, async () => encodeAnswer(answer))
    await network.start()
    const members = [
      { name: 'liar', publicKey: network.publicKey, addresses: network.addresses() },
      { name: 'Org 0', publicKey: honest.key, addresses: [honest.address] },
    ]
    return { network, members, taken }
  }

  it('proofs that show nothing → it is set aside, and the honest one is enough', async () => {
    const honest = await Member.start(genesisOf(1))
    await honest.register(1)
    const { network, members, taken } = await liarWith(honest, { code: 'OK', proof: '{}' })
    const rtu = await startRtu(1, [honest], { members })
    await until(() => rtu.members.status[0]?.state === 'set aside', 'set aside')
    await until(() => rtu.outbox.status().delivered >= 3, 'delivered by the honest one')
    expectInOrder(times(await honest.reports(1)))
    expect(rtu.lines.some((line) => line.includes('no honest one does'))).toBe(true)
    expect(taken.length).toBeLessThan(10)
    await network.stop()
  }, 120_000)

  it('it takes reports and drops them without a word → they reach the chain by the honest one, each once', async () => {
    const honest = await Member.start(genesisOf(1))
    await honest.register(1)
    const { network, members, taken } = await liarWith(honest, { code: 'LIGHT_UNPROVABLE', proof: null })
    const rtu = await startRtu(1, [honest], { members })
    await until(() => taken.length >= 2, 'dropped')
    const dropped = taken.map((bytes) => decodeTransaction(bytes).id)
    await until(
      () => dropped.every((id) => honest.node.executor.reads.transaction(id) !== undefined),
      'in the chain all the same',
    )
    const inChain = times(await honest.reports(1))
    expect(new Set(inChain).size).toBe(inChain.length)
    expect(rtu.members.status[0]?.state).toBe('up')
    await network.stop()
  }, 120_000)
})
