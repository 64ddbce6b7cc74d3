/**
 * Stage: HTTP API. STIX 2.1 bundles: what each block says of devices, for those who share threat intelligence, and the hashes of them that are on
 * the chain. Reads only.
 */
import { Type } from 'typebox'
import type { RouteContext, Server } from '../context.ts'
import { numberOf, PAGE_ITEMS, pageOf } from '../paging.ts'
import { ApiRefusal } from '../problem.ts'
import { answers, anyObject, pageQuery, pageSchema } from '../schemas.ts'
import { bundleView } from '../views.ts'

const READ = { config: { scope: 'read' } } as const
/** Media type of STIX (TAXII 2.1 §1.6.8.3). */
const STIX_TYPE = 'application/stix+json;version=2.1'
const bundleSchema = anyObject(
  'What members said of the bundle of one block. `hash`: SHA3-256 of its canonical text (RFC 8785).',
  {
    height: 812,
    claims: [{ hash: 'a'.repeat(64), member: `02${'c'.repeat(64)}`, height: 813, transaction: 'b'.repeat(64) }],
  },
)

/** Adds the routes below /v1/stix. */
export function stixRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/stix/bundles',
    {
      ...READ,
      schema: {
        tags: ['stix'],
        operationId: 'listStixBundles',
        summary: 'Lists the STIX bundles that are anchored on the chain',
        description:
          'In the order of the blocks that they are about. More than one hash for a block is a disagreement of members.',
        querystring: pageQuery,
        response: answers({ 200: pageSchema(bundleSchema, 'Bundles.') }, ['CURSOR_INVALID']),
      },
    },
    async ({ query: { cursor, limit = PAGE_ITEMS } }) => {
      const after = numberOf('stix', cursor)
      const found = await dependencies.stixBundles({ after, limit: limit + 1 })
      return pageOf(found, limit, 'stix', ({ height }) => String(height), bundleView)
    },
  )
  server.get(
    '/stix/bundles/:height',
    {
      ...READ,
      schema: {
        tags: ['stix'],
        operationId: 'getStixBundle',
        summary: 'The STIX 2.1 bundle of what a block says of devices',
        description:
          'This node makes it from the block, in its canonical text, so that its SHA3-256 is the hash on the chain. ' +
          '`STIX_NONE` where the block says nothing of devices.',
        params: Type.Object({
          height: Type.String({
            pattern: '^[1-9][0-9]{0,14}$',
            description: 'Height of the block.',
            examples: ['812'],
          }),
        }),
        response: answers(
          {
            200: {
              description: 'The bundle.',
              content: {
                [STIX_TYPE]: { schema: Type.String({ examples: ['{"id":"bundle--…","objects":[],"type":"bundle"}'] }) },
              },
            },
          },
          ['BLOCK_UNKNOWN', 'PRUNED', 'STIX_NONE'],
        ),
      },
    },
    async ({ params: { height } }, reply) => {
      const bundle = await dependencies.stixBundle(Number(height))
      if (bundle === 'unknown') throw new ApiRefusal('BLOCK_UNKNOWN')
      if (bundle === 'pruned') throw new ApiRefusal('PRUNED')
      if (bundle === 'none') throw new ApiRefusal('STIX_NONE')
      // As bytes: of text, Fastify would write the type anew, with a charset that clients of STIX do not know.
      return reply.header('content-type', STIX_TYPE).send(Buffer.from(bundle.text))
    },
  )
}
