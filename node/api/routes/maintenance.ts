/** Stage: HTTP API. What an operator needs of a running node: a backup of its ledger, the last lines of its log. Scope `operate`. */
import { Readable } from 'node:stream'
import { Type } from 'typebox'
import type { RouteContext, Server } from '../context.ts'
import { ApiRefusal } from '../problem.ts'
import { answers } from '../schemas.ts'

/** Backups that are read at the same time: each keeps the database from letting go what has changed since it began. */
export const BACKUP_READERS_MAX = 2

/** Adds GET /v1/backup and GET /v1/log. */
export function maintenanceRoutes(server: Server, { dependencies, closing }: RouteContext): void {
  let readers = 0
  server.get(
    '/backup',
    {
      config: { scope: 'operate' },
      exposeHeadRoute: false,
      schema: {
        tags: ['node'],
        operationId: 'getBackup',
        summary: 'A backup of the whole ledger as it is at this moment; no key, no signing record (`althing backup`)',
        response: answers(
          {
            200: {
              description: 'The backup, not compressed.',
              content: { 'application/octet-stream': { schema: Type.String({ examples: ['althing backup 1'] }) } },
            },
          },
          ['UNAVAILABLE'],
        ),
      },
    },
    async (_request, reply) => {
      if (readers >= BACKUP_READERS_MAX || closing.aborted) throw new ApiRefusal('UNAVAILABLE')
      readers++
      const pieces = Readable.from(dependencies.backup(), { objectMode: false })
      pieces.once('close', () => {
        readers--
      })
      closing.addEventListener('abort', () => pieces.destroy(), { once: true })
      return reply.type('application/octet-stream').send(pieces)
    },
  )
  server.get(
    '/log',
    {
      config: { scope: 'operate' },
      schema: {
        tags: ['node'],
        operationId: 'getLog',
        summary: 'The last lines of the log of this node',
        response: answers(
          {
            200: Type.Object(
              { lines: Type.Array(Type.String()) },
              { description: 'Lines as they were written, the oldest first.', examples: [{ lines: ['{"level":30}'] }] },
            ),
          },
          [],
        ),
      },
    },
    async () => ({ lines: dependencies.recentLog() }),
  )
}
