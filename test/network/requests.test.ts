import { afterEach, describe, expect, it } from 'vitest'
import type { PushSubscription } from '../../node/network/network.ts'
import { dial, keyOf, open, type Party, party, rolesOf, stopAll, stranger, until } from './helper.ts'

afterEach(stopAll)

/** A member and a device that knows where it is. */
async function memberAndDevice(limits = {}): Promise<[Party, Party]> {
  const roles = rolesOf(1)
  roles.set(keyOf(2), 'device')
  const member = await party(1, { roles, limits })
  const device = await party(2, { roles, role: 'device', limits })
  device.network.setMembers([{ publicKey: member.key, addresses: [member.address] }])
  return [member, device]
}
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe('requests and pushes', () => {
  it('request: a device asks a member → the answer, and the member knows who asked', async () => {
    const [member, device] = await memberAndDevice()
    member.network.serve('submit', async (peer, bytes) => Buffer.from(`${peer}:${text(bytes)}`))
    const answer = await device.network.request(member.key, 'submit', Buffer.from('report'))
    expect(text(answer)).toBe(`${device.key}:report`)
    const large = new Uint8Array(1024 * 1024).fill(7)
    member.network.serve('echo', async (_, bytes) => bytes)
    expect((await device.network.request(member.key, 'echo', large)).length).toBe(large.length)
    expect(member.network.peers()[0]).toMatchObject({ publicKey: device.key, role: 'device', linked: false })
  })

  it('request: unknown name, failed handler, wrong role, silence, too large, nobody there → a code of its own each', async () => {
    const [member, device] = await memberAndDevice()
    const ask = (name: string, bytes = new Uint8Array(1), limits = {}) =>
      expect(device.network.request(member.key, name, bytes, limits)).rejects
    await ask('nothing').toMatchObject({ code: 'NETWORK_UNSUPPORTED' })
    member.network.serve('fails', async () => {
      throw new Error('secret detail')
    })
    await ask('fails').toMatchObject({ code: 'NETWORK_REFUSED', message: expect.not.stringContaining('secret') })
    expect(member.logs.some((line) => line.startsWith('a request could not be answered'))).toBe(true)
    member.network.serve('members-only', async (_, bytes) => bytes, { roles: ['member'] })
    await ask('members-only').toMatchObject({ code: 'NETWORK_REFUSED' })
    member.network.serve('silent', () => new Promise(() => {}))
    await ask('silent', new Uint8Array(1), { timeoutMs: 200 }).toMatchObject({ code: 'NETWORK_TIMEOUT' })
    member.network.serve('small', async () => new Uint8Array(1000), { bytesMax: 100 })
    await ask('small', new Uint8Array(101)).toMatchObject({ code: 'NETWORK_TOO_LARGE' })
    await ask('small', new Uint8Array(1), { bytesMax: 999 }).toMatchObject({ code: 'NETWORK_TOO_LARGE' })
    await expect(device.network.request(keyOf(3), 'small', new Uint8Array(1))).rejects.toMatchObject({
      code: 'NETWORK_UNREACHABLE',
    })
    await expect(device.network.publish('reports', new Uint8Array(1))).rejects.toMatchObject({
      code: 'NETWORK_UNSUPPORTED',
    })
  })

  it('request: more at once than allowed → NETWORK_BUSY for the rest, and free again afterwards', async () => {
    const [member, device] = await memberAndDevice()
    const release = Promise.withResolvers<void>()
    let running = 0
    member.network.serve(
      'slow',
      async (_, bytes) => {
        running++
        await release.promise
        return bytes
      },
      { concurrencyMax: 2 },
    )
    const ask = () => device.network.request(member.key, 'slow', Uint8Array.of(1))
    const first = [ask(), ask()]
    await until(() => running === 2, 'both running')
    const rest = await Promise.allSettled([ask(), ask(), ask()])
    for (const one of rest) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'NETWORK_BUSY' } })
    release.resolve()
    await Promise.all(first)
    expect(await ask()).toEqual(Uint8Array.of(1))
    expect(running).toBe(3)
  })

  it('request: more per second than allowed → NETWORK_BUSY; another peer is not affected', async () => {
    const [member, device] = await memberAndDevice()
    member.network.serve('rated', async (_, bytes) => bytes, { burst: 3, ratePerSecond: 0.001 })
    const ask = () => device.network.request(member.key, 'rated', Uint8Array.of(1))
    for (let i = 0; i < 3; i++) await ask()
    await expect(ask()).rejects.toMatchObject({ code: 'NETWORK_BUSY' })
  })

  it('push: subscribers get the first frame and all later ones; closing or stopping ends the subscription', async () => {
    const [member, device] = await memberAndDevice()
    member.network.onSubscribe((peer) => void member.network.pushTo(peer, Buffer.from('newest')))
    const heard: string[] = []
    const hear = (_: string, bytes: Uint8Array): void => {
      heard.push(text(bytes))
    }
    const first = await device.network.openPush(member.key, hear)
    await until(() => heard.length === 1, 'first frame')
    expect(member.network.peers()[0]).toMatchObject({ linked: true })
    for (const i of [1, 2, 3]) expect(member.network.pushToSubscribers(Buffer.from(`header ${i}`))).toBe(1)
    await until(() => heard.length === 4, 'headers')
    expect(heard).toEqual(['newest', 'header 1', 'header 2', 'header 3'])
    first.close()
    expect(await first.ended).toBeUndefined()
    await until(() => member.network.pushToSubscribers(Buffer.from('x')) === 0, 'unsubscribed')
    const second: PushSubscription = await device.network.openPush(member.key, hear)
    await member.network.stop()
    expect(await second.ended).toMatchObject({ code: 'NETWORK_BROKEN' })
  })

  it('push: a subscriber that is slow → the oldest frames go, the newest arrive', async () => {
    const [member, device] = await memberAndDevice({ subscriberQueueFramesMax: 4, writeTimeoutMs: 5000 })
    const resume = Promise.withResolvers<void>()
    const heard: number[] = []
    await device.network.openPush(member.key, async (_, bytes) => {
      await resume.promise
      heard.push(bytes[0]! * 256 + bytes[1]!)
    })
    const frame = (i: number): Uint8Array => {
      const bytes = new Uint8Array(200 * 1024)
      bytes.set([i >> 8, i & 255])
      return bytes
    }
    for (let i = 0; i < 200; i++) {
      member.network.pushToSubscribers(frame(i))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(member.network.traffic().framesDropped).toBeGreaterThan(100)
    resume.resolve()
    await until(() => heard.at(-1) === 199, 'the newest')
    expect(heard).toEqual(heard.toSorted((a, b) => a - b))
    expect(heard.length).toBeLessThan(100)
  })

  it('push: a device on another chain or without a hello → not subscribed', async () => {
    const roles = rolesOf(1)
    roles.set(keyOf(2), 'device')
    roles.set(keyOf(3), 'device')
    const member = await party(1, { roles, limits: { helloTimeoutMs: 200 } })
    const device = await party(2, { roles, role: 'device', chainId: new Uint8Array(32) })
    device.network.setMembers([{ publicKey: member.key, addresses: [member.address] }])
    await expect(device.network.openPush(member.key, () => {})).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
    const connection = await dial(await stranger(3), member)
    const stream = await open(connection, '/althing/pushes/1').catch(() => undefined)
    if (stream !== undefined) await until(() => stream.status !== 'open', 'ended')
    expect(member.network.pushToSubscribers(new Uint8Array(1))).toBe(0)
  })

  it('push: a device that opens the consensus channel → its stream is refused', async () => {
    const roles = rolesOf(1)
    roles.set(keyOf(3), 'device')
    const member = await party(1, { roles })
    const connection = await dial(await stranger(3), member)
    for (const protocol of ['/althing/consensus/1', '/althing/proposals/1', '/meshsub/1.1.0']) {
      const stream = await open(connection, protocol).catch(() => undefined)
      if (stream !== undefined) await until(() => stream.status !== 'open', `${protocol} refused`)
    }
    expect(member.network.linkedPeers()).toEqual([])
  })
})
