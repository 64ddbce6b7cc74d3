/**
 * Stage: HTTP API. The key-value store: entries of any namespace are read, those of the token's own are written.
 * Invariant: a value is bytes; the body of a PUT is the value as it is, and an answer in JSON holds it in base64.
 */
import { Type } from 'typebox'
import { toHex } from '../../../protocol/bytes.ts'
import { kvStateKey } from '../../../protocol/kinds/kv/kv.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { isStateKey } from '../../../protocol/state/entry.ts'
import { answerWrite, type RouteContext, type Server, subjectOf } from '../context.ts'
import { PAGE_ITEMS, pageOf, placeOf } from '../paging.ts'
import { ApiRefusal } from '../problem.ts'
import {
  accepted,
  address,
  answers,
  committed,
  pageQuery,
  pageSchema,
  stateKey,
  WRITE_CODES,
  writeHeaders,
  writeQuery,
} from '../schemas.ts'
import { keyOf } from '../write.ts'

const BYTES_TYPE = 'application/octet-stream'
const ownParams = Type.Object({ key: stateKey })
const entryParams = Type.Object({ namespace: address, key: stateKey })
const entrySchema = Type.Object(
  { namespace: address, key: Type.String(), value: Type.String({ description: 'base64' }), height: Type.Integer() },
  {
    description: 'The entry; `height` is that of its last change.',
    examples: [{ namespace: 'd'.repeat(40), key: 'line-3/setpoint', value: 'NDIuNQ==', height: 812 }],
  },
)
const keySchema = Type.Object(
  { key: Type.String(), height: Type.Integer(), valueBytes: Type.Integer() },
  { examples: [{ key: 'line-3/setpoint', height: 812, valueBytes: 4 }] },
)
const writes = { tags: ['key-value store'], querystring: writeQuery, headers: writeHeaders } as const
const READ = { config: { scope: 'read' } } as const
const WRITE = { config: { scope: 'write' } } as const
const valueBody = {
  content: { [BYTES_TYPE]: { schema: Type.Any({ description: 'The value.', examples: ['42.5'] }) } },
}

/** Adds the routes below /v1/kv. `server` is theirs alone: it takes no JSON. */
export function kvRoutes(server: Server, context: RouteContext): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(BYTES_TYPE, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  readRoutes(server, context)
  writeRoutes(server, context)
}

function readRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/kv/:namespace/:key',
    {
      ...READ,
      schema: {
        tags: ['key-value store'],
        operationId: 'getEntry',
        summary: `Shows an entry; its bytes alone with Accept: ${BYTES_TYPE}. The ETag is the height of its last change`,
        params: entryParams,
        response: answers(
          { 200: entrySchema, 304: Type.Null({ description: 'Unchanged since the ETag in If-None-Match.' }) },
          ['ENTRY_UNKNOWN'],
        ),
      },
    },
    async ({ params: { namespace, key }, headers }, reply) => {
      if (!isStateKey(key)) throw new ApiRefusal('ENTRY_UNKNOWN')
      const entry = await dependencies.stateEntry(kvStateKey(namespace, key))
      if (entry === undefined) throw new ApiRefusal('ENTRY_UNKNOWN')
      const raw = headers.accept?.split(/[,;]/)[0]?.trim() === BYTES_TYPE
      // One entry has two representations, which must not share a strong validator (RFC 9110 §8.8.3).
      const tag = raw ? `"${entry.height}.raw"` : `"${entry.height}"`
      reply.header('etag', tag).header('vary', 'accept').header('cache-control', 'private, no-cache')
      if (matches(headers['if-none-match'], tag)) return reply.code(304).send()
      if (raw) return reply.type(BYTES_TYPE).send(Buffer.from(entry.value))
      return { namespace, key, value: Buffer.from(entry.value).toString('base64'), height: entry.height }
    },
  )
  server.get(
    '/kv/:namespace',
    {
      ...READ,
      schema: {
        tags: ['key-value store'],
        operationId: 'listKeys',
        summary: 'Lists the keys of a namespace',
        params: Type.Object({ namespace: address }),
        querystring: pageQuery,
        response: answers({ 200: pageSchema(keySchema, 'Keys in ascending order.') }, ['CURSOR_INVALID']),
      },
    },
    async ({ params: { namespace }, query: { cursor, limit = PAGE_ITEMS } }) => {
      const list = `kv.${namespace}`
      const after = placeOf(list, cursor, /^[^\p{Cc}]{1,256}$/u)
      const found = await dependencies.namespaceKeys(namespace, { after, limit: limit + 1 })
      return pageOf(
        found,
        limit,
        list,
        (entry) => entry.key,
        ({ key, height, valueBytes }) => ({ key, height, valueBytes }),
      )
    },
  )
}

function writeRoutes(server: Server, context: RouteContext): void {
  const { dependencies } = context
  const own = (subject: string, namespace: string): void => {
    if (toHex(addressOf(keyOf(dependencies, subject).publicKey)) !== namespace)
      throw new ApiRefusal('NAMESPACE_FOREIGN')
  }
  const putResponse = answers({ 202: accepted, 200: committed }, [...WRITE_CODES, 'NAMESPACE_FOREIGN'])
  const deleteResponse = answers({ 202: accepted, 200: committed }, [...WRITE_CODES, 'NAMESPACE_FOREIGN', 'KV_UNKNOWN'])
  const bytesOf = (body: unknown): Uint8Array => {
    // A PUT without body and media type never reached the parser.
    if (!(body instanceof Uint8Array)) throw new ApiRefusal('MEDIA_TYPE_UNSUPPORTED', `Send ${BYTES_TYPE}.`)
    return Uint8Array.from(body)
  }
  const put = { ...writes, body: valueBody, summary: 'Writes an entry of the own namespace (kv.put)' }
  const drop = { ...writes, summary: 'Deletes an entry of the own namespace (kv.delete)' }
  server.put(
    '/kv/:key',
    { ...WRITE, schema: { ...put, operationId: 'putOwnEntry', params: ownParams, response: putResponse } },
    async (request, reply) => {
      const payload = { key: request.params.key, value: bytesOf(request.body) }
      return answerWrite(context, request, reply, 'kv.put', payload)
    },
  )
  server.delete(
    '/kv/:key',
    { ...WRITE, schema: { ...drop, operationId: 'deleteOwnEntry', params: ownParams, response: deleteResponse } },
    async (request, reply) => answerWrite(context, request, reply, 'kv.delete', { key: request.params.key }),
  )
  server.put(
    '/kv/:namespace/:key',
    { ...WRITE, schema: { ...put, operationId: 'putEntry', params: entryParams, response: putResponse } },
    async (request, reply) => {
      own(subjectOf(request), request.params.namespace)
      const payload = { key: request.params.key, value: bytesOf(request.body) }
      return answerWrite(context, request, reply, 'kv.put', payload)
    },
  )
  server.delete(
    '/kv/:namespace/:key',
    { ...WRITE, schema: { ...drop, operationId: 'deleteEntry', params: entryParams, response: deleteResponse } },
    async (request, reply) => {
      own(subjectOf(request), request.params.namespace)
      return answerWrite(context, request, reply, 'kv.delete', { key: request.params.key })
    },
  )
}

// RFC 9110 §13.1.2: weak comparison against each of a list.
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((item) => item.trim() === '*' || item.trim().replace(/^W\//, '') === tag)
}
