/**
 * Stage: HTTP API. Operations: liveness, readiness, health, metrics, version. They need no token: probes have none. The listener is on
 * loopback unless the operator says otherwise.
 */
import { Type } from 'typebox'
import { toHex } from '../../../protocol/bytes.ts'
import type { RouteContext, Server } from '../context.ts'
import type { HealthCheck } from '../dependencies.ts'
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

const PROBES = [
  { path: '/livez', operationId: 'getLiveness', needed: ['alive'], summary: 'Whether the process is alive' },
  { path: '/readyz', operationId: 'getReadiness', needed: ['alive', 'ready'], summary: 'Whether the node can serve' },
  {
    path: '/healthz',
    operationId: 'getHealth',
    needed: ['alive', 'ready', 'never'],
    summary: 'Every check of the node; 503 if one fails that serving needs',
  },
] as const

/** Adds /livez, /readyz, /healthz, /metrics and /version. */
export function operationRoutes(server: Server, { dependencies }: RouteContext): void {
  for (const { path, operationId, needed, summary } of PROBES)
    server.get(
      path,
      {
        config: { open: true, uncounted: true },
        schema: {
          ...open,
          operationId,
          summary,
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
        const wanted: readonly HealthCheck['needed'][] = needed
        const checks = (await dependencies.health()).filter((check) => wanted.includes(check.needed))
        const ok = checks.every((check) => check.ok || check.needed === 'never')
        return reply
          .code(ok ? 200 : 503)
          .header('cache-control', 'no-store')
          .send({
            status: ok ? 'ok' : 'failing',
            checks: checks.map(({ name, ok, detail }) => ({ name, ok, detail })),
          })
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
