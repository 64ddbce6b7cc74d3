/** What the API answers about the past that a node has dropped, and what an operator asks of a running one. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Running, start, token } from './helper.ts'

let running: Running
beforeAll(async () => {
  running = await start()
  const { node } = running
  node.held = () => ({ firstHeight: 100, firstBody: 500 })
  Object.assign(node, {
    transaction: async () => ({
      state: 'pruned',
      height: 120,
      index: 7,
      blockHash: 'b'.repeat(64),
      committedAt: 1,
    }),
    transactionProof: async (id: string, kept?: Uint8Array) => (kept === undefined ? undefined : `{"id":"${id}"}\n`),
  })
})
afterAll(() => running.api.close())

it('pruned: a transaction whose bytes were dropped, and its proof → 410 PRUNED, with its place and the lowest body held', async () => {
  for (const path of ['transactions', 'proofs/transactions']) {
    const { status, json } = await running.ask(`/v1/${path}/${'a'.repeat(64)}`)
    expect([status, json.code]).toEqual([410, 'PRUNED'])
    expect(json.detail).toContain('block 120, number 7')
    expect(json.detail).toContain('from block 500 on')
  }
})

it('pruned: who has kept the bytes gets the proof; without bytes, or with too many, not', async () => {
  const proof = { method: 'POST', type: 'application/cbor' }
  const given = await running.ask('/v1/proofs/transactions', { ...proof, body: Uint8Array.of(1, 2, 3) })
  expect(given.status).toBe(200)
  expect(given.json.id).toMatch(/^[0-9a-f]{64}$/)
  const large = await running.ask('/v1/proofs/transactions', { ...proof, body: new Uint8Array(64 * 1024 + 1) })
  expect(large.status).toBe(413)
  const json = await running.ask('/v1/proofs/transactions', { method: 'POST', json: {} })
  expect(json.status).toBe(415)
  const writer = await token({ scope: 'write' })
  expect((await running.ask('/v1/proofs/transactions', { ...proof, body: 'x', token: writer })).status).toBe(403)
})

it('pruned: a block below where the node began → 410 PRUNED with the lowest it holds; one above its head → 404', async () => {
  for (const path of ['blocks/99', 'blocks/99/certificate']) {
    const { status, json } = await running.ask(`/v1/${path}`)
    expect([status, json.code]).toEqual([410, 'PRUNED'])
    expect(json.detail).toContain('block 100 is the lowest')
  }
  expect((await running.ask('/v1/blocks/100000')).json.code).toBe('BLOCK_UNKNOWN')
})

it('maintenance: the backup and the log need the scope operate, and come as they are', async () => {
  const backup = await running.ask('/v1/backup')
  expect([backup.status, backup.headers.get('content-type')]).toEqual([200, 'application/octet-stream'])
  expect(backup.text).toBe('althing backup 1\n')
  expect((await running.ask('/v1/log')).json.lines).toHaveLength(1)
  const reader = await token({ scope: 'read write' })
  for (const path of ['/v1/backup', '/v1/log']) expect((await running.ask(path, { token: reader })).status).toBe(403)
})
