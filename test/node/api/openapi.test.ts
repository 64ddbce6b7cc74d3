/** The published description of the API, and the answers held against it. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { API_PROBLEMS } from '../../../node/api/problem.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { headerAt, namespaceOf, type Running, start } from './helper.ts'

// biome-ignore lint/suspicious/noExplicitAny: a document that is looked into as it comes
type Json = any
let running: Running
let document: Json
let operations: { path: string; method: string; operation: Json }[]
beforeAll(async () => {
  running = await start()
  document = (await running.ask('/openapi.json', { token: null })).json
  operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
})
afterAll(() => running.api.close())

it('openapi: is 3.1 and every operation has its own id, a summary and a tag', () => {
  expect(document.openapi).toMatch(/^3\.1\.\d+$/)
  const ids = operations.map(({ operation }) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids).toHaveLength(44)
  for (const { operation } of operations) {
    expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/)
    expect(operation.summary).toBeTypeOf('string')
    expect(operation.tags).toHaveLength(1)
  }
})

it('openapi: path parameters are those of the path, and each is described with an example', () => {
  for (const { path, operation } of operations) {
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]).sort()
    const parameters: Json[] = operation.parameters ?? []
    expect(named.every((name) => /^[a-z]+$/i.test(name ?? ''))).toBe(true)
    expect(
      parameters
        .filter((one) => one.in === 'path')
        .map((one) => one.name)
        .sort(),
    ).toEqual(named)
    for (const one of parameters) expect(one.example ?? one.schema.examples, `${path} ${one.name}`).toBeDefined()
  }
})

it('openapi: every reference resolves and every schema is a JSON Schema of 2020-12', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] as string)
  expect(new Set(references)).toEqual(new Set(['#/components/schemas/Problem']))
  const ajv = new Ajv2020({ strict: false })
  ajv.addSchema(document, 'document')
  for (const schema of Object.values<Json>(document.components.schemas)) ajv.compile(schema)
  for (const { operation } of operations)
    for (const place of [operation.requestBody, ...Object.values<Json>(operation.responses)])
      for (const media of Object.values<Json>(place?.content ?? {}))
        if (media.schema.$ref === undefined) ajv.compile(media.schema)
})

it('openapi: every body and answer has an example that fits its schema, and every route its refusals', () => {
  const ajv = new Ajv2020({ strict: false })
  const problem = ajv.compile(document.components.schemas.Problem)
  for (const { path, method, operation } of operations) {
    const where = `${method} ${path}`
    if (['post', 'put', 'patch'].includes(method)) expect(operation.requestBody, where).toBeDefined()
    for (const media of Object.values<Json>(operation.requestBody?.content ?? {}))
      expect(
        ajv.validate(media.schema, media.example ?? media.schema.examples[0]),
        `${where} ${ajv.errorsText()}`,
      ).toBe(true)
    const statuses = Object.keys(operation.responses)
    const open = Array.isArray(operation.security) && operation.security.length === 0
    for (const status of open ? ['429', '500'] : ['400', '401', '403', '429', '500', '503'])
      expect(statuses, where).toContain(status)
    for (const [status, response] of Object.entries<Json>(operation.responses))
      for (const [type, media] of Object.entries<Json>(response.content ?? {})) {
        if (type === 'application/problem+json')
          for (const { value } of Object.values<Json>(media.examples)) {
            expect(problem(value), where).toBe(true)
            expect(`${value.status}`).toBe(status)
          }
        else
          expect(
            ajv.validate(media.schema, media.example ?? media.schema.examples[0]),
            `${where} ${status} ${ajv.errorsText()}`,
          ).toBe(true)
      }
  }
})

it('openapi: answers of the running API fit their schemas', async () => {
  const { ask, node } = running
  node.addDevice(5)
  node.headers.push(headerAt(1))
  await ask('/v1/kv/a', { method: 'PUT', body: 'x', type: 'application/octet-stream' })
  const transaction = [...node.known.keys()][0]
  const asked: [string, string][] = [
    ['/v1/devices', '/v1/devices'],
    ['/v1/devices/{id}', `/v1/devices/${namespaceOf(5)}`],
    ['/v1/devices/{id}/events', `/v1/devices/${namespaceOf(5)}/events`],
    ['/v1/blocks', '/v1/blocks'],
    ['/v1/blocks/{name}', '/v1/blocks/1'],
    ['/v1/blocks/{name}/certificate', '/v1/blocks/1/certificate'],
    ['/v1/transactions/{id}', `/v1/transactions/${transaction}`],
    ['/v1/kv/{namespace}', `/v1/kv/${namespaceOf(1)}`],
    ['/v1/kv/{namespace}/{key}', `/v1/kv/${namespaceOf(1)}/a`],
    ['/v1/proofs/transactions/{id}', `/v1/proofs/transactions/${transaction}`],
    ['/v1/proofs/state/{key}', '/v1/proofs/state/device/x'],
    ['/v1/status', '/v1/status'],
    ['/v1/log', '/v1/log'],
    ['/version', '/version'],
    ['/healthz', '/healthz'],
  ]
  const ajv = new Ajv2020({ strict: false })
  for (const [path, url] of asked) {
    const answer = await ask(url)
    expect(answer.status, url).toBe(200)
    const { schema } = document.paths[path].get.responses['200'].content['application/json']
    expect(ajv.validate(schema, answer.json), `${url} ${ajv.errorsText()}`).toBe(true)
  }
})

it('openapi: no code of the API is also one of the table of verdicts', () => {
  expect(Object.keys(API_PROBLEMS).filter((code) => code in VERDICTS)).toEqual([])
})

it('docs: the page and its scripts come from the node itself, under a policy that allows no other place', async () => {
  const { ask } = running
  const page = await ask('/docs/', { token: null })
  expect(page.status).toBe(200)
  const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string)
  expect(sources.length).toBeGreaterThan(3)
  for (const source of sources) {
    expect(source).toMatch(/^\.\/static\//)
    expect((await ask(`/docs/${source.slice(2)}`, { token: null })).status).toBe(200)
  }
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(page.headers.get('x-content-type-options')).toBe('nosniff')
})
