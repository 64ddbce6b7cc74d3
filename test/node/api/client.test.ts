/** The command line's client against the API: each request that a command makes gets an answer that the command can show. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { answerText } from '../../../cli/answers.ts'
import { type ApiClient, createApiClient } from '../../../cli/client.ts'
import { isAlthingError } from '../../../node/errors.ts'
import { headerAt, namespaceOf, type Running, start, token } from './helper.ts'

let running: Running
let client: ApiClient
beforeAll(async () => {
  running = await start()
  client = createApiClient({ baseUrl: running.api.url, token: await token() })
})
afterAll(() => running.api.close())

it('client: kv put, get and delete name the namespace, and a key with a slash stays one', async () => {
  const segments = ['kv', namespaceOf(1), 'line/ö']
  const body = { bytes: new Uint8Array([1, 2]), type: 'application/octet-stream' }
  expect(await client.json({ method: 'PUT', segments, body })).toMatchObject({ status: 'accepted' })
  expect(answerText(await client.json({ segments }))).toContain('AQI=')
  expect(await client.json({ segments: ['proofs', 'state', namespaceOf(1), 'line/ö'] })).toMatchObject({
    stateKey: `kv/${namespaceOf(1)}/line/ö`,
  })
  expect(await client.json({ method: 'DELETE', segments })).toMatchObject({ status: 'accepted' })
})

it('client: lists become tables with the columns that the commands show', async () => {
  running.node.addDevice(5)
  running.node.headers.push(headerAt(1))
  const devices = await client.json({ segments: ['devices'] })
  expect(answerText(devices, ['id', 'status', 'manufacturer', 'model', 'segment'])).toContain(namespaceOf(5))
  const blocks = await client.json({ segments: ['blocks'] })
  expect(answerText(blocks, ['height', 'hash', 'time', 'transactionCount'])).toMatch(/transactionCount/i)
})

it('client: a refusal arrives with its code', async () => {
  const refusal = await client.json({ segments: ['devices', 'a'.repeat(40)] }).catch((error: unknown) => error)
  expect(isAlthingError(refusal, 'DEVICE_UNKNOWN')).toBe(true)
})
