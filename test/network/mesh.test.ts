import { afterEach, describe, expect, it } from 'vitest'
import { dial, gone, introduce, keyOf, linked, party, rolesOf, stopAll, stranger, until } from './helper.ts'

afterEach(stopAll)

describe('members on loopback', () => {
  it('network: a port that is taken → NETWORK_LISTEN with its exit code, and stopping still ends', async () => {
    const a = await party(1, { roles: rolesOf(1) })
    const listen = a.address.replace(/\/p2p\/.*$/, '')
    await expect(party(2, { roles: rolesOf(2), listen })).rejects.toMatchObject({
      code: 'NETWORK_LISTEN',
      exitCode: 69,
    })
  })

  it('network: three members → a full mesh of hellos, messages and large frames both ways, gossip to all', async () => {
    const roles = rolesOf(1, 2, 3)
    const [a, b, c] = await Promise.all([party(1, { roles }), party(2, { roles }), party(3, { roles })])
    introduce(a, b, c)
    await linked(a, b, c)
    const runs = new Set([b, c].map((one) => one.links.find(({ peer, up }) => peer === a.key && up)?.run))
    expect(runs.size).toBe(1)

    for (const from of [a, b, c])
      for (const to of [a, b, c]) if (from !== to) expect(from.network.send(to.key, Buffer.from(from.key))).toBe(true)
    await until(() => [a, b, c].every(({ messages }) => messages.length === 2), 'messages')
    for (const one of [a, b, c])
      for (const { peer, bytes } of one.messages) expect(Buffer.from(bytes).toString()).toBe(peer)

    const body = new Uint8Array(3 * 1024 * 1024).map((_, i) => i * 7)
    await until(() => a.network.peers().every(({ linked }) => linked), 'peers linked')
    expect(await a.network.push(b.key, body)).toBe(true)
    expect(await b.network.push(a.key, body.subarray(0, 5))).toBe(true)
    await until(() => b.pushed.length === 1 && a.pushed.length === 1, 'large frames')
    expect(Buffer.compare(b.pushed[0]!.bytes, body)).toBe(0)

    await until(() => [a, b, c].every(({ network }) => network.peers().length === 2), 'peers')
    let i = 0
    await expect
      .poll(() => a.network.publish('transactions', Buffer.from(`try ${i++}`)), { timeout: 10_000, interval: 50 })
      .toBe(2)
    await a.network.publish('reports', Buffer.from('fire'))
    await until(() => [b, c].every(({ gossip }) => gossip.some(({ text }) => text === 'fire')), 'gossip')
    expect(b.gossip.find(({ text }) => text === 'fire')).toEqual({ topic: 'reports', text: 'fire', from: a.key })

    const [seen] = a.network.peers().filter(({ publicKey }) => publicKey === b.key)
    expect(seen).toMatchObject({ role: 'member', linked: true })
    expect(seen!.bytesOut).toBeGreaterThan(body.length)
    expect(a.network.traffic().bytesOut).toBeGreaterThanOrEqual(seen!.bytesOut)
  })

  it('network: a piece that all members hear from its publisher → nobody passes it on', async () => {
    const roles = rolesOf(1, 2, 3)
    const [a, b, c] = await Promise.all([party(1, { roles }), party(2, { roles }), party(3, { roles })])
    introduce(a, b, c)
    await linked(a, b, c)
    let i = 0
    const piece = (): Buffer => Buffer.from(`${i++}`.padEnd(400, '.'))
    await expect.poll(() => a.network.publish('transactions', piece(), 2), { timeout: 10_000 }).toBe(2)
    // 200 pieces of 400 bytes: 80 kB, were they passed on.
    const before = b.network.traffic().bytesOut
    for (let n = 0; n < 200; n++) await a.network.publish('transactions', piece(), 2)
    await until(() => [b, c].every(({ gossip }) => gossip.at(-1)?.text === `${i - 1}`.padEnd(400, '.')), 'gossip')
    expect(b.network.traffic().bytesOut - before).toBeLessThan(20_000)
    expect(b.gossip.at(-1)).toMatchObject({ topic: 'transactions', from: a.key })
  })

  it('network: a member that the publisher has no link to → hears the piece from another', async () => {
    const roles = rolesOf(1, 2, 3)
    const [a, b, c] = await Promise.all([party(1, { roles }), party(2, { roles }), party(3, { roles })])
    introduce(a, b)
    introduce(b, c)
    await until(() => b.network.linkedPeers().length === 2, 'the middle one is linked')
    let i = 0
    await expect
      .poll(
        async () => {
          expect(await a.network.publish('reports', Buffer.from(`far ${i++}`), 2)).toBeLessThan(2)
          return c.gossip.length
        },
        { timeout: 10_000, interval: 50 },
      )
      .toBeGreaterThan(0)
    expect(a.network.linkedPeers()).toEqual([b.key])
    expect(c.gossip[0]).toMatchObject({ topic: 'reports', from: b.key })
  })

  it('network: an outsider → no connection stays, no link; with a role it gets in', async () => {
    const roles = rolesOf(1)
    const a = await party(1, { roles })
    const outsider = await stranger(9)
    const connection = await dial(outsider, a).catch(() => undefined)
    if (connection !== undefined) await gone(connection, 'outsider refused')
    expect(a.network.peers()).toEqual([])
    roles.set(keyOf(9), 'device')
    expect((await dial(outsider, a)).status).toBe('open')
    await until(() => a.network.peers().length === 1, 'device connected')
  })

  it('network: a role taken away → disconnected and told so, and not let in again', async () => {
    const roles = rolesOf(1, 2)
    const [a, b] = await Promise.all([party(1, { roles }), party(2, { roles: rolesOf(1, 2) })])
    introduce(a, b)
    await linked(a, b)
    roles.delete(b.key)
    a.network.enforceRoles()
    await until(() => a.links.at(-1)?.up === false && b.network.linkedPeers().length === 0, 'link down')
    await until(() => b.logs.some((line) => line.startsWith('link down')), 'b noticed')
    expect(a.network.send(b.key, new Uint8Array(1))).toBe(false)
    expect(await a.network.push(b.key, new Uint8Array(1))).toBe(false)
    const dials = a.network.traffic().cuts
    expect(dials['role lost']).toBe(1)
    await until(() => a.network.peers().length === 0, 'no peers')
  })

  it('network: a member stopped and started again → link down, then up with a new run', async () => {
    const roles = rolesOf(1, 2)
    const a = await party(1, { roles })
    const first = await party(2, { roles })
    introduce(a, first)
    await linked(a, first)
    await first.network.stop()
    await until(() => a.links.at(-1)?.up === false, 'down')
    const second = await party(2, { roles, listen: first.address.replace(/\/p2p\/.*/, '') })
    introduce(a, second)
    await linked(a, second)
    const runs = a.links.filter(({ up }) => up).map(({ run }) => run)
    expect(runs).toHaveLength(2)
    expect(runs[0]).not.toBe(runs[1])
    second.network.send(a.key, Buffer.from('back'))
    await until(() => a.messages.some(({ bytes }) => Buffer.from(bytes).toString() === 'back'), 'message')
    await expect
      .poll(() => a.network.publish('reports', Buffer.from(`again ${Math.random()}`)), { timeout: 10_000 })
      .toBe(1)
    await until(() => second.gossip.length > 0, 'gossip')
  })

  it('network: a member of another chain → refused with the reason in the log', async () => {
    const roles = rolesOf(1, 2)
    const a = await party(1, { roles })
    const b = await party(2, { roles, chainId: new Uint8Array(32).fill(1) })
    introduce(a, b)
    await until(() => [a, b].some(({ logs }) => logs.some((line) => line.includes('wrong chain'))), 'reason')
    expect(a.network.linkedPeers()).toEqual([])
    expect(b.network.linkedPeers()).toEqual([])
  })

  it('network: stop → within three seconds, twice is fine, and requests afterwards → NETWORK_STOPPED', async () => {
    const roles = rolesOf(1, 2)
    const [a, b] = await Promise.all([party(1, { roles }), party(2, { roles })])
    introduce(a, b)
    await linked(a, b)
    const startMs = performance.now()
    await a.network.stop()
    await a.network.stop()
    expect(performance.now() - startMs).toBeLessThan(3000)
    await expect(a.network.request(b.key, 'x', new Uint8Array())).rejects.toMatchObject({ code: 'NETWORK_STOPPED' })
    await until(() => b.network.linkedPeers().length === 0, 'b noticed')
  })
})
