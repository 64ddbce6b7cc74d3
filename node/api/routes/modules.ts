/** Stage: HTTP API. Security modules that were published, and which of them run. Reads only: members sign at home. */
import { Readable } from 'node:stream'
import { Type } from 'typebox'
import type { RouteContext, Server } from '../context.ts'
import { PAGE_ITEMS, pageOf, placeOf } from '../paging.ts'
import { ApiRefusal } from '../problem.ts'
import { answers, anyObject, closed, hex, pageQuery, pageSchema } from '../schemas.ts'
import { moduleView } from '../views.ts'

const READ = { config: { scope: 'read' } } as const
const moduleSchema = anyObject('A security module, from when it runs, and who wants it to.', {
  hash: 'd'.repeat(64),
  kind: 'anomaly',
  version: '1.0.0',
  byteCount: 707,
  member: `02${'c'.repeat(64)}`,
  height: 812,
  active: true,
  activeFrom: 900,
  votes: [{ member: `02${'c'.repeat(64)}`, height: 950 }],
  needed: 3,
})
const params = closed({ hash: hex(32, 'SHA3-256 of the binary.', 'd') })

/** Adds the routes below /v1/modules. */
export function moduleRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/modules',
    {
      ...READ,
      schema: {
        tags: ['security modules'],
        operationId: 'listModules',
        summary: 'Lists the security modules that were published',
        querystring: pageQuery,
        response: answers({ 200: pageSchema(moduleSchema, 'Modules in the order of their hashes.') }, [
          'CURSOR_INVALID',
        ]),
      },
    },
    async ({ query: { cursor, limit = PAGE_ITEMS } }) => {
      const after = placeOf('modules', cursor, /^[0-9a-f]{64}$/)
      const found = await dependencies.modules({ after, limit: limit + 1 })
      return pageOf(found, limit, 'modules', ({ hash }) => hash, moduleView)
    },
  )
  server.get(
    '/modules/:hash',
    {
      ...READ,
      schema: {
        tags: ['security modules'],
        operationId: 'getModule',
        summary: 'Shows a security module',
        params,
        response: answers({ 200: moduleSchema }, ['MODULE_UNKNOWN']),
      },
    },
    async ({ params: { hash } }) => {
      const module = await dependencies.module(hash)
      if (module === undefined) throw new ApiRefusal('MODULE_UNKNOWN')
      return moduleView(module)
    },
  )
  server.get(
    '/modules/:hash/code',
    {
      ...READ,
      schema: {
        tags: ['security modules'],
        operationId: 'getModuleCode',
        summary: 'Sends the binary of a security module as application/wasm: check its hash',
        params,
        response: answers(
          {
            200: {
              description: 'WebAssembly.',
              content: { 'application/wasm': { schema: Type.String({ examples: ['asm'] }) } },
            },
          },
          ['MODULE_UNKNOWN'],
        ),
      },
    },
    async ({ params: { hash } }, reply) => {
      const code = await dependencies.moduleCode(hash)
      if (code === undefined) throw new ApiRefusal('MODULE_UNKNOWN')
      return reply.type('application/wasm').send(Readable.from([code], { objectMode: false }))
    },
  )
}
