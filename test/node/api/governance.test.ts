/** node/api/routes/governance.ts over real HTTP. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { NOW, type Running, secretKeyOf, start, toHex } from './helper.ts'

let running: Running
beforeEach(async () => {
  running = await start()
})
afterEach(() => running.api.close())

const key = publicKeyOf(secretKeyOf(1))
const proposalOf = (fill: string) => ({
  id: fill.repeat(64),
  proposal: {
    era: 2,
    change: { kind: 'remove' as const, publicKey: key },
    expiresAt: NOW,
    reason: 'gone',
    proposer: toHex(key),
    height: 8,
    approvals: [toHex(key)],
  },
  needed: 3,
  expired: false,
})

describe('members and proposals', () => {
  it('members of the present era, with parameters and sizes', async () => {
    const { status, json } = await running.ask('/v1/members')
    expect(status).toBe(200)
    expect(json).toMatchObject({
      ...{ era: 2, since: 7, proposal: '0a'.repeat(32) },
      quorum: { members: 1, needed: 1, tolerated: 0, strong: 1 },
      items: [{ name: 'Org A', publicKey: toHex(key), addresses: ['/dns4/a.example.org/tcp/7379'] }],
    })
    expect(json.parameters.deltaMs).toBe(500)
  })

  it('proposals come in pages, and one by its id; one that is not open → GOVERNANCE_UNKNOWN', async () => {
    running.node.open.push(proposalOf('a'), proposalOf('b'))
    const first = await running.ask('/v1/proposals?limit=1')
    expect(first.json.items).toHaveLength(1)
    const second = await running.ask(`/v1/proposals?limit=1&cursor=${first.json.next}`)
    expect(second.json).toMatchObject({ items: [{ id: 'b'.repeat(64) }], next: null })
    const one = await running.ask(`/v1/proposals/${'a'.repeat(64)}`)
    expect(one.json).toMatchObject({ change: { kind: 'remove', publicKey: toHex(key) }, needed: 3, expired: false })
    expect(await running.ask(`/v1/proposals/${'c'.repeat(64)}`)).toMatchObject({
      status: 404,
      json: { code: 'GOVERNANCE_UNKNOWN' },
    })
  })

  it('recorded offences come in pages, of one member if asked', async () => {
    const offence = (member: string, view: number) => ({
      ...{ key: `evidence/${member}/0/${view}`, member, name: 'Org A', era: 0, view },
      record: { kind: 'conflict' as const, by: toHex(key), height: 9, transaction: new Uint8Array(32).fill(1) },
    })
    const [one, other] = [`02${'a'.repeat(64)}`, `03${'b'.repeat(64)}`] as const
    running.node.recorded.push(offence(one, 1), offence(one, 2), offence(other, 1))
    const first = await running.ask('/v1/evidence?limit=2')
    expect(first.json.items).toMatchObject([{ member: one, view: 1, kind: 'conflict', height: 9 }, { view: 2 }])
    const rest = await running.ask(`/v1/evidence?limit=2&cursor=${first.json.next}`)
    expect(rest.json).toMatchObject({ items: [{ member: other, transaction: '01'.repeat(32) }], next: null })
    expect((await running.ask(`/v1/evidence?member=${other}`)).json.items).toHaveLength(1)
    expect((await running.ask('/v1/evidence?member=org')).status).toBe(400)
  })

  it('without a token → 401', async () => {
    for (const path of ['/v1/members', '/v1/proposals', '/v1/evidence'])
      expect((await running.ask(path, { token: null })).status).toBe(401)
  })
})
