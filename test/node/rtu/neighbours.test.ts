/** RTUs of one segment over real libp2p, with members and without. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { RtuOptions } from '../../../node/rtu/options.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeDevice, deviceStateKey } from '../../../protocol/kinds/device/record.ts'
import { readOpinions } from '../../../protocol/kinds/trust/opinions.ts'
import { type FakeMachine, ordinaryMachine } from './fakeMachine.ts'
import { deviceId, genesisOf, Member, type Rtu, startRtu, temporaryFolder, tidyUp, until } from './world.ts'

afterEach(tidyUp)

const listen = ['/ip4/127.0.0.1/tcp/0']
const fast = {
  retryMs: 100,
  retryMsMax: 400,
  receiptMs: 100,
  resubmitMs: 1000,
  paceMs: 20,
  refreshMs: 500,
  cardsMs: 500,
}

/** An RTU that watches a machine of its own, whose clock is the test's process's. */
async function startOn(n: number, member: Member, machine: FakeMachine, over: Partial<RtuOptions> = {}): Promise<Rtu> {
  machine.monotonicMs = () => performance.now()
  return startRtu(n, [member], { listen, machine, learningCycles: 1, times: fast, ...over })
}

/** RTUs 1 … n of one segment that all know and hear each other. */
async function segmentOf(n: number, member: Member, over: Partial<RtuOptions> = {}) {
  const machines = Array.from({ length: n }, () => ordinaryMachine())
  for (let i = 1; i <= n; i++) await member.register(i)
  const rtus = await Promise.all(machines.map((machine, i) => startOn(i + 1, member, machine, over)))
  await until(
    () => rtus.every(({ status }) => status.peersKnown === n - 1 && status.peersLinked === n - 1),
    'all linked',
  )
  await until(() => rtus.every(({ status }) => !status.learning && judgedBy(status.trust, n - 1)), 'all judged')
  return { rtus, machines }
}

const judgedBy = (trust: Rtu['status']['trust'], n: number): boolean =>
  trust.filter(({ judgements }) => judgements > 0).length === n

const trustIn = (rtu: Rtu, n: number): number =>
  rtu.status.trust.find(({ device }) => device === toHex(deviceId(n)))?.trustPpm ?? Number.NaN

const intrude = (machine: FakeMachine): void =>
  machine.start({ pid: 666, name: 'rogue', executable: '/tmp/rogue', facts: { inode: 666 } })

describe('a segment whose members are gone', () => {
  it('devices go on hearing and judging each other; what they reported and thought is in the chain when the member is back', async () => {
    const member = await Member.start(genesisOf(1))
    const { rtus, machines } = await segmentOf(3, member)
    const [one, two, three] = rtus as [Rtu, Rtu, Rtu]
    await member.stop()
    await until(() => rtus.every((rtu) => rtu.members.status[0]?.state !== 'up'), 'the member is gone')
    const heardBefore = two.peers.segment.heard.get(one.device)?.observedAt ?? 0
    await until(() => (two.peers.segment.heard.get(one.device)?.observedAt ?? 0) > heardBefore, 'heard without members')

    intrude(machines[2] as FakeMachine)
    await until(() => trustIn(one, 3) < 300_000 && trustIn(two, 3) < 300_000, 'both distrust the third')
    expect(trustIn(one, 2)).toBeGreaterThan(600_000)
    expect(trustIn(two, 1)).toBeGreaterThan(600_000)
    // The third, whose own machine has the intruder, does not blame the others for not having one.
    expect(trustIn(three, 1)).toBeGreaterThan(600_000)
    await until(
      () => (one.status.opinionsHeard[two.device]?.[three.device] ?? 1_000_000) < 300_000,
      'the opinion of the second is heard by the first',
    )

    await member.start()
    await until(() => {
      const { reads } = member.node.executor
      const voices = readOpinions({ get: (key) => reads.state(key)?.value }, three.device)
      return voices.filter(({ trustPpm }) => trustPpm < 300_000).length === 2
    }, 'both opinions are in the chain')
    const reported = async (): Promise<boolean> =>
      (await member.reports(3)).some(({ events }) => events.some(({ category }) => category === 'process.unknown'))
    await expect.poll(reported, { timeout: 45_000, message: 'what it reported meanwhile is in the chain' }).toBe(true)
  }, 120_000)

  it('a device that starts while no member can be reached finds the others by what lies on its disk', async () => {
    const member = await Member.start(genesisOf(1))
    const dataDirectory = temporaryFolder()
    const { rtus, machines } = await segmentOf(2, member)
    const third = ordinaryMachine()
    await member.register(3)
    const first = await startOn(3, member, third, { dataDirectory })
    await until(() => first.status.peersLinked === 2 && rtus.every(({ status }) => status.peersLinked === 2), 'linked')
    await until(() => judgedBy(first.status.trust, 2), 'judged')
    await first.stop()
    await member.stop()
    const again = await startOn(3, member, third, { dataDirectory })
    await until(() => again.status.peersLinked === 2, 'linked again, by the roster')
    expect(again.status.trust.every(({ judgements }) => judgements > 0)).toBe(true)
    intrude(machines[0] as FakeMachine)
    await until(() => trustIn(again, 1) < 300_000, 'judges')
  }, 120_000)

  it('a roster or a table of trust that was changed on the disk → RTU_FILE_ALTERED, and it does not start', async () => {
    const member = await Member.start(genesisOf(1))
    await member.register(1)
    for (const name of ['roster', 'trust']) {
      const dataDirectory = temporaryFolder()
      writeFileSync(join(dataDirectory, name), 'mine')
      await expect(startOn(1, member, ordinaryMachine(), { dataDirectory })).rejects.toMatchObject({
        code: 'RTU_FILE_ALTERED',
      })
    }
  })
})

describe('a device that was taken over', () => {
  it('is blacklisted in the chain within three of its reports, by what its peers think of it; nobody else is', async () => {
    const member = await Member.start(genesisOf(1))
    const { rtus, machines } = await segmentOf(4, member, { intervalMs: 2000 })
    const { reads } = member.node.executor
    const statusOf = (n: number): string => {
      const value = reads.state(deviceStateKey(toHex(deviceId(n))))?.value
      return value === undefined ? 'none' : decodeDevice(value).status
    }
    // Each has told what it thinks of each: from then on there are enough voices.
    await until(() => [1, 2, 3, 4].every((n) => statusOf(n) === 'trusted'), 'all are trusted')
    intrude(machines[3] as FakeMachine)
    await until(() => statusOf(4) === 'blacklisted', 'blacklisted')
    const reports = await member.reports(4)
    const first = reports.findIndex(({ events }) => events.some(({ category }) => category === 'process.unknown'))
    expect(first).toBeGreaterThanOrEqual(0)
    expect(reports.length - first).toBeLessThanOrEqual(3)
    expect([1, 2, 3].map(statusOf)).toEqual(['trusted', 'trusted', 'trusted'])
    await until(() => rtus.slice(0, 3).every(({ status }) => status.peersKnown === 2), 'it is in the roster no longer')
  }, 120_000)
})

describe('who is in the segment', () => {
  it('a device of another segment, and one that is registered nowhere, are neither linked nor judged; a retired one is out', async () => {
    const member = await Member.start(genesisOf(1))
    const { rtus } = await segmentOf(2, member)
    const [one, two] = rtus as [Rtu, Rtu]
    await member.register(3, 'plant-2')
    const other = await startOn(3, member, ordinaryMachine(), { segment: 'plant-2' })
    const nobody = await startOn(4, member, ordinaryMachine(), {
      neighbours: [{ publicKey: one.network.publicKey, addresses: one.network.addresses() }],
    })
    await until(() => other.outbox.status().delivered > 1, 'the other segment reports')
    expect(nobody.status).toMatchObject({ peersKnown: 0, peersLinked: 0 })
    expect(one.status).toMatchObject({ peersKnown: 1, peersLinked: 1 })
    expect(other.status).toMatchObject({ peersKnown: 0, peersHeard: 0 })
    await member.retire(2)
    await until(() => one.status.peersKnown === 0 && one.status.peersLinked === 0, 'the retired one is out')
    expect(two.lines.length).toBeGreaterThan(0)
  }, 120_000)
})
