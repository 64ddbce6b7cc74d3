/** What the API refuses, and that each refusal is a problem document that tells no secret. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { pino } from 'pino'
import { afterEach, expect, it } from 'vitest'
import { createApi } from '../../../node/api/api.ts'
import { PROBLEM_TYPE, problemOf } from '../../../node/api/problem.ts'
import { AlthingError } from '../../../node/errors.ts'
import { encodeCbor } from '../../../protocol/cbor.ts'
import {
  type Answered,
  FakeNode,
  NOW,
  namespaceOf,
  optionsWith,
  type Running,
  SECRET,
  secretKeyOf,
  start,
  toHex,
  token,
} from './helper.ts'

let running: Running | undefined
const started = async (...arguments_: Parameters<typeof start>): Promise<Running> => {
  running = await start(...arguments_)
  return running
}
afterEach(async () => {
  await running?.api.close()
  running = undefined
})
const refused = (answer: Answered, status: number, code: string): void => {
  expect(answer.json).toMatchObject({ status, code })
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toContain(PROBLEM_TYPE)
  expect(answer.json.title).toMatch(/\S/)
  expect(answer.json.detail).toMatch(/\S/)
}
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

it('token: missing, of another scheme, wrong, altered → 401 with a challenge', async () => {
  const { ask } = await started()
  const missing = await ask('/v1/status', { token: null })
  refused(missing, 401, 'TOKEN_MISSING')
  expect(missing.headers.get('www-authenticate')).toBe('Bearer')
  refused(await ask('/v1/status', { token: null, headers: { authorization: 'Basic YTpi' } }), 401, 'TOKEN_INVALID')
  const wrong = await ask('/v1/status', { token: 'a.b.c' })
  refused(wrong, 401, 'TOKEN_INVALID')
  expect(wrong.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  const [head, , signature] = (await token()).split('.')
  const claims = { iss: 'althing', aud: 'althing-api', sub: 'admin', scope: 'operate', exp: NOW }
  refused(await ask('/v1/status', { token: `${head}.${base64(claims)}.${signature}` }), 401, 'TOKEN_INVALID')
})

it('token: alg none and other algorithms → 401', async () => {
  const { ask } = await started()
  const claims = { iss: 'althing', aud: 'althing-api', sub: 'admin', scope: 'read', exp: NOW }
  const body = base64(claims)
  for (const unsigned of [`${base64({ alg: 'none' })}.${body}.`, `${base64({ alg: 'none' })}.${body}.AAAA`])
    refused(await ask('/v1/status', { token: unsigned }), 401, 'TOKEN_INVALID')
  const { createHmac } = await import('node:crypto')
  const head = base64({ alg: 'HS512' })
  const signature = createHmac('sha512', SECRET).update(`${head}.${body}`).digest('base64url')
  refused(await ask('/v1/status', { token: `${head}.${body}.${signature}` }), 401, 'TOKEN_INVALID')
})

it('token: expired, or without expiry, of another issuer, audience or secret → 401', async () => {
  const { ask } = await started()
  refused(await ask('/v1/status', { token: await token({ expiresAtS: NOW / 1000 - 1 }) }), 401, 'TOKEN_EXPIRED')
  const short = new TextEncoder().encode('short')
  for (const changes of [{ expiresAtS: null }, { issuer: 'x' }, { audience: 'x' }, { subject: '' }, { secret: short }])
    refused(await ask('/v1/status', { token: await token(changes) }), 401, 'TOKEN_INVALID')
})

it('token: a secret of fewer than 32 bytes is not taken to check tokens with', () => {
  expect(() => createApi(optionsWith({ tokenSecret: new Uint8Array(31) }), new FakeNode())).toThrow(
    expect.objectContaining({ code: 'TOKEN_SECRET_SHORT' }),
  )
})

it('token: a scope says nothing about another → 403, and nothing is handed in', async () => {
  const { ask, node } = await started()
  const reader = await token({ scope: 'read operate' })
  const answer = await ask('/v1/kv/a', { method: 'DELETE', token: reader })
  refused(answer, 403, 'SCOPE_MISSING')
  expect(answer.headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope"')
  refused(await ask('/v1/status', { token: await token({ scope: 'write readx' }) }), 403, 'SCOPE_MISSING')
  expect(node.submitted).toEqual([])
})

it('token: a subject whose key this node does not hold → 403', async () => {
  const { ask } = await started()
  refused(await ask('/v1/kv/a', { method: 'DELETE', token: await token({ subject: 'x' }) }), 403, 'SIGNING_KEY_MISSING')
})

it('routes: unknown → 404, wrong method → 405 with Allow, both only with a token', async () => {
  const { ask } = await started()
  refused(await ask('/v1/nothing'), 404, 'ROUTE_UNKNOWN')
  refused(await ask('/nothing'), 404, 'ROUTE_UNKNOWN')
  const answer = await ask('/v1/devices', { method: 'PUT', json: {} })
  refused(answer, 405, 'METHOD_NOT_ALLOWED')
  expect(answer.headers.get('allow')).toBe('GET, HEAD, POST')
  refused(await ask('/v1/nothing', { token: null }), 401, 'TOKEN_MISSING')
})

it('routes: a path that is not percent-encoded UTF-8 → 400', async () => {
  const { ask } = await started()
  refused(await ask(`/v1/kv/${namespaceOf(1)}/%ff`), 400, 'REQUEST_INVALID')
})

it('bodies: malformed JSON, another media type, unknown members, wrong types → refused with the place', async () => {
  const { ask, node } = await started()
  const path = `/v1/devices/${node.addDevice(5)}/trust`
  refused(await ask(path, { method: 'POST', body: '{', type: 'application/json' }), 400, 'JSON_MALFORMED')
  refused(await ask(path, { method: 'POST', body: 'a', type: 'text/plain' }), 415, 'MEDIA_TYPE_UNSUPPORTED')
  const good = { scorePpm: 1, evidence: [], model: 'm' }
  const extra = await ask(path, { method: 'POST', json: { ...good, more: 1 } })
  refused(extra, 400, 'REQUEST_INVALID')
  expect(extra.json.errors[0].detail).toContain('more')
  const typed = await ask(path, { method: 'POST', json: { ...good, scorePpm: '1' } })
  refused(typed, 400, 'REQUEST_INVALID')
  expect(typed.json.errors[0].pointer).toBe('/body/scorePpm')
  refused(await ask(path, { method: 'POST' }), 400, 'REQUEST_INVALID')
  refused(await ask('/v1/transactions', { method: 'POST', json: {} }), 415, 'MEDIA_TYPE_UNSUPPORTED')
  refused(await ask('/v1/kv/a', { method: 'PUT' }), 415, 'MEDIA_TYPE_UNSUPPORTED')
})

it('bodies: what the schema lets pass and the payload does not → TX_PAYLOAD', async () => {
  const { ask, node } = await started()
  const json = { scorePpm: 1, evidence: [], model: 'a\u202eb' }
  refused(await ask(`/v1/devices/${node.addDevice(5)}/trust`, { method: 'POST', json }), 422, 'TX_PAYLOAD')
})

it('bodies: larger than the limit → 413', async () => {
  const { ask } = await started({ bodyBytesMax: 2048 })
  const type = 'application/octet-stream'
  refused(await ask('/v1/kv/a', { method: 'PUT', body: new Uint8Array(2049), type }), 413, 'BODY_TOO_LARGE')
})

it('bodies: malformed CBOR, too many transactions, and waiting for a list → 400', async () => {
  const { ask } = await started()
  const post = (body: Uint8Array, path = '/v1/transactions') =>
    ask(path, { method: 'POST', body, type: 'application/cbor' })
  const bodies = [
    Uint8Array.of(),
    Uint8Array.of(0xff),
    Uint8Array.of(0x98, 0x00),
    encodeCbor([]),
    encodeCbor('x'),
    encodeCbor([1]),
  ]
  for (const body of bodies) refused(await post(body), 400, 'CBOR_MALFORMED')
  refused(await post(encodeCbor(Array.from({ length: 1001 }, () => new Uint8Array(1)))), 400, 'CBOR_MALFORMED')
  refused(await post(encodeCbor([new Uint8Array(1)]), '/v1/transactions?wait=committed'), 400, 'REQUEST_INVALID')
  refused(await post(encodeCbor([new Uint8Array(1), new Uint8Array(65)])), 400, 'TX_MALFORMED')
})

it('lists: a cursor that is made up, altered or of another list → CURSOR_INVALID', async () => {
  const { ask, node } = await started()
  for (const fill of [3, 4]) node.addDevice(fill)
  const { next } = (await ask('/v1/devices?limit=1')).json
  for (const path of [
    `/v1/blocks?cursor=${next}`,
    `/v1/devices?cursor=${next}A`,
    '/v1/devices?cursor=%ff%fe',
    '/v1/blocks?cursor=x',
  ])
    expect((await ask(path)).status, path).toBe(400)
  refused(await ask(`/v1/blocks?cursor=${next}`), 400, 'CURSOR_INVALID')
  refused(await ask('/v1/devices?limit=101'), 400, 'REQUEST_INVALID')
  refused(await ask('/v1/devices?limit=0'), 400, 'REQUEST_INVALID')
  refused(await ask('/v1/devices?unknown=1'), 400, 'REQUEST_INVALID')
})

it('reads: what is not there → 404 with a code that says what', async () => {
  const { ask } = await started()
  const none = 'a'.repeat(40)
  refused(await ask(`/v1/devices/${none}`), 404, 'DEVICE_UNKNOWN')
  refused(await ask(`/v1/devices/${none}/events`), 404, 'DEVICE_UNKNOWN')
  refused(await ask(`/v1/kv/${none}/x`), 404, 'ENTRY_UNKNOWN')
  for (const path of ['9', 'a'.repeat(64), 'head', '9/certificate'])
    refused(await ask(`/v1/blocks/${path}`), 404, 'BLOCK_UNKNOWN')
  refused(await ask(`/v1/transactions/${'a'.repeat(64)}`), 404, 'TRANSACTION_UNKNOWN')
  refused(await ask(`/v1/proofs/transactions/${'a'.repeat(64)}`), 404, 'PROOF_UNKNOWN')
  refused(await ask('/v1/blocks/-1'), 400, 'REQUEST_INVALID')
  refused(await ask(`/v1/devices/${none.toUpperCase()}`), 400, 'REQUEST_INVALID')
})

it('kv: another key’s namespace → 403, nothing is handed in', async () => {
  const { ask, node } = await started()
  refused(await ask(`/v1/kv/${namespaceOf(2)}/a`, { method: 'DELETE' }), 403, 'NAMESPACE_FOREIGN')
  expect(node.submitted).toEqual([])
})

it('pool: its code and status come from the table of verdicts', async () => {
  const { ask, node } = await started()
  for (const [code, status] of [
    ['POOL_FULL', 503],
    ['POOL_SIGNER_QUOTA', 429],
    ['TX_FORBIDDEN', 403],
    ['STATE_FULL', 507],
  ] as const) {
    node.refuseWith = code
    refused(await ask('/v1/kv/a', { method: 'DELETE' }), status, code)
  }
})

it('rate: more requests than allowed → 429 with Retry-After, counted per token and per address', async () => {
  const { ask } = await started({ requestsPerMinuteMax: 2 })
  for (let i = 0; i < 2; i++) expect((await ask('/v1/status')).status).toBe(200)
  const late = await ask('/v1/status')
  refused(late, 429, 'RATE_LIMITED')
  expect(Number(late.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await ask('/v1/status', { token: await token({ subject: 'other' }) })).status).toBe(200)
  for (let i = 0; i < 2; i++) refused(await ask('/v1/nothing', { token: 'a.b.c' }), 401, 'TOKEN_INVALID')
  refused(await ask('/v1/nothing', { token: 'a.b.c' }), 429, 'RATE_LIMITED')
  for (let i = 0; i < 3; i++) expect((await ask('/livez', { token: null })).status).toBe(200)
})

it('failures: of the world → 503, of the program → 500, and neither tells what happened inside', async () => {
  const { ask, node } = await started()
  node.failure = new AlthingError('STORE_CLOSED', 'the file /secret/place is closed')
  const unavailable = await ask('/v1/status')
  refused(unavailable, 503, 'UNAVAILABLE')
  expect(unavailable.headers.get('retry-after')).toBe('1')
  node.failure = new Error('the file /secret/place is closed')
  const internal = await ask('/v1/status')
  refused(internal, 500, 'INTERNAL')
  expect(unavailable.text + internal.text).not.toContain('secret')
})

it('log: no token, secret or key is in it, even at its most talkative', async () => {
  const lines: string[] = []
  const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const { ask, node } = await started({ logger })
  const bearer = await token()
  node.failure = new Error('broken')
  await ask('/v1/status')
  await ask('/v1/kv/a', { method: 'PUT', body: 'value-of-it', type: 'application/octet-stream' })
  await ask('/v1/status', { token: `${bearer}x` })
  await ask('/v1/devices?cursor=x')
  const log = lines.join('')
  expect(log).toContain('broken')
  for (const secret of [
    bearer,
    bearer.split('.')[2]!,
    toHex(secretKeyOf(1)),
    'value-of-it',
    'Bearer',
    new TextDecoder().decode(SECRET),
  ])
    expect(log).not.toContain(secret)
})

it('connections: what is not HTTP, headers that are too large or never end → a problem, and the connection closes', async () => {
  const { api } = await started({ requestTimeoutMs: 200 })
  const { port } = new URL(api.url)
  const say = async (words: string): Promise<string> => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(words)
    return text(socket)
  }
  expect(await say('nonsense\r\n\r\n')).toContain('"code":"REQUEST_INVALID"')
  expect(await say(`GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)).toContain('"code":"HEADERS_TOO_LARGE"')
  expect(await say('GET / HTTP/1.1\r\nx: a')).toContain('"code":"REQUEST_TIMEOUT"')
})

it('problems: every title is a sentence of its own', () => {
  for (const code of ['TX_UNKNOWN_SIGNER', 'TX_MALFORMED', 'STATE_FULL'] as const)
    expect(problemOf(code).title).toMatch(/^[A-Z].{10,}\.$/)
})

it('request: no Host, or an Expect that nobody knows → problem documents, like every refusal', async () => {
  const { api } = await started()
  const { port } = new URL(api.url)
  const good = await token()
  const say = async (head: string): Promise<string> => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`${head}\r\nauthorization: Bearer ${good}\r\nconnection: close\r\n\r\n`)
    return text(socket)
  }
  const problem = (answer: string, status: number, code: string): void => {
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer).toContain(`content-type: ${PROBLEM_TYPE}`)
    expect(answer).toContain(`"code":"${code}"`)
  }
  for (const path of ['/v1/status', '/docs', '/nowhere'])
    problem(await say(`GET ${path} HTTP/1.1`), 400, 'HOST_MISSING')
  problem(await say('GET /v1/status HTTP/1.1\r\nhost: x\r\nexpect: miracles'), 417, 'EXPECTATION_UNKNOWN')
  expect(await say('GET /v1/status HTTP/1.0')).toMatch(/^HTTP\/1.1 200 /)
})
