/**
 * Stage: HTTP API. Operations: liveness, readiness, health, metrics, version. They need no token: probes have none. The listener is on
 * loopback unless the operator says otherwise.
 */
import { Type } from 'typebox'
import { toHex } from '../../../protocol/bytes.ts'
import type { RouteContext, Server } from '../context.ts'
import { PROBES, type ProbePath, probeAnswer } from '../probes.ts'
import { answers } from '../schemas.ts'

const healthSchema = (description: string, ok: boolean) =>
  Type.Object(
    {
      status: Type.Union([Type.Literal('ok'), Type.Literal('failing')]),
      checks: Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.String() })),
    },
    {
      description,
      examples: [{ status: ok ? 'ok' : 'failing', checks: [{ name: 'database', ok, detail: ok ? 'open' : 'locked' }] }],
    },
  )
const open = { tags: ['operations'], security: [] }

const SUMMARIES: Readonly<Record<ProbePath, { readonly operationId: string; readonly summary: string }>> = {
  '/livez': { operationId: 'getLiveness', summary: 'Whether the process is alive' },
  '/readyz': { operationId: 'getReadiness', summary: 'Whether the node can serve' },
  '/healthz': { operationId: 'getHealth', summary: 'Every check of the node; 503 if one fails that serving needs' },
}

/** Adds /livez, /readyz, /healthz, /metrics and /version. */
export function operationRoutes(server: Server, { dependencies }: RouteContext): void {
  for (const path of Object.keys(PROBES) as ProbePath[])
    server.get(
      path,
      {
        config: { open: true, uncounted: true },
        schema: {
          ...open,
          ...SUMMARIES[path],
          response: answers(
            {
              200: healthSchema('All needed checks pass.', true),
              503: healthSchema('The checks say what fails.', false),
            },
            [],
            { open: true },
          ),
        },
      },
      async (_request, reply) => {
        const { status, body } = probeAnswer(path, await dependencies.health())
        return reply.code(status).header('cache-control', 'no-store').send(body)
      },
    )
  server.get(
    '/metrics',
    {
      config: { open: true },
      schema: {
        ...open,
        operationId: 'getMetrics',
        summary: 'Metrics for Prometheus',
        response: answers(
          {
            200: {
              description: 'Metrics in the text format of Prometheus.',
              content: { 'text/plain': { schema: Type.String({ examples: ['althing_height 812\n'] }) } },
            },
          },
          [],
          { open: true },
        ),
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await dependencies.metrics()
      return reply.type(contentType).header('cache-control', 'no-store').send(text)
    },
  )
  server.get(
    '/version',
    {
      config: { open: true },
      schema: {
        ...open,
        operationId: 'getVersion',
        summary: 'Version of the program, and the chain',
        response: answers(
          {
            200: Type.Object(
              { version: Type.String(), chainId: Type.String() },
              { description: 'Version and chain.', examples: [{ version: '0.1.0', chainId: '1'.repeat(64) }] },
            ),
          },
          [],
          { open: true },
        ),
      },
    },
    async () => ({ version: dependencies.version, chainId: toHex(dependencies.chainId) }),
  )
}
