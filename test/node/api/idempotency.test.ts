/** Repeated requests: the same answer without a memory of requests, on other nodes too. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createApi } from '../../../node/api/api.ts'
import { idempotentNonce, VALIDITY_WINDOW_MS } from '../../../node/api/write.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { FakeNode, optionsWith, type Running, start, token } from './helper.ts'

let running: Running
beforeEach(async () => {
  running = await start()
})
afterEach(() => running.api.close())
const put = (body: string, key = 'order-1') => ({
  method: 'PUT',
  body,
  type: 'application/octet-stream',
  headers: { 'idempotency-key': key },
})

it('idempotency: the same key and body → the same answer, handed in once', async () => {
  const { ask, node } = running
  const first = await ask('/v1/kv/a', put('x'))
  node.time += 60_000
  const second = await ask('/v1/kv/a', put('x'))
  expect([second.status, second.json]).toEqual([first.status, first.json])
  const waited = await ask('/v1/kv/a?wait=committed', put('x'))
  expect(waited.json).toMatchObject({ id: first.json.id, status: 'committed', height: 1 })
  expect(node.submitted).toHaveLength(1)
})

it('idempotency: the same key and another body or route → IDEMPOTENCY_MISMATCH', async () => {
  const { ask, node } = running
  await ask('/v1/kv/a', put('x'))
  for (const answer of [await ask('/v1/kv/a', put('y')), await ask('/v1/kv/b', put('x'))])
    expect(answer.json).toMatchObject({ status: 422, code: 'IDEMPOTENCY_MISMATCH' })
  expect(node.submitted).toHaveLength(1)
})

it('idempotency: holds when the window of validity changes between two requests', async () => {
  const { ask, node } = running
  node.time = 100 * VALIDITY_WINDOW_MS - 1
  const first = await ask('/v1/kv/a', put('x'))
  node.time += VALIDITY_WINDOW_MS
  expect((await ask('/v1/kv/a', put('x'))).json).toEqual(first.json)
  expect((await ask('/v1/kv/a', put('y'))).json.code).toBe('IDEMPOTENCY_MISMATCH')
  expect(node.submitted).toHaveLength(1)
})

it('idempotency: another node with the same API key, and this one after a restart, make the same transaction', async () => {
  const first = await running.ask('/v1/kv/a', put('x'))
  const elsewhere = new FakeNode()
  const api = createApi(optionsWith(), elsewhere)
  await api.listen()
  try {
    const response = await fetch(`${api.url}/v1/kv/a`, {
      method: 'PUT',
      body: 'x',
      headers: {
        authorization: `Bearer ${await token()}`,
        'content-type': 'application/octet-stream',
        'idempotency-key': 'order-1',
      },
    })
    expect(await response.json()).toEqual(first.json)
  } finally {
    await api.close()
  }
})

it('idempotency: another subject with the same key is not affected; without a key each request is its own', async () => {
  const { ask, node } = running
  await ask('/v1/kv/a', put('x'))
  const bearer = await token({ subject: 'other' })
  expect((await ask('/v1/kv/a', { ...put('y'), token: bearer })).status).toBe(202)
  for (let i = 0; i < 2; i++) expect((await ask('/v1/kv/a', { ...put('x'), headers: {} })).status).toBe(202)
  expect(node.submitted).toHaveLength(4)
})

it('idempotency: the nonce is the beginning of SHA3-256 over name, zero byte and key; the zero byte keeps names apart', () => {
  const expected = sha3(new TextEncoder().encode('admin\0order-1')).slice(0, 16)
  expect(idempotentNonce('admin', 'order-1')).toEqual(expected)
  expect(toHex(idempotentNonce('a', 'bc'))).not.toBe(toHex(idempotentNonce('ab', 'c')))
})

it('idempotency: a key with spaces or of more than 255 characters → 400', async () => {
  const { ask } = running
  for (const key of ['a b', 'x'.repeat(256)])
    expect((await ask('/v1/kv/a', put('x', key))).json.code).toBe('REQUEST_INVALID')
})
