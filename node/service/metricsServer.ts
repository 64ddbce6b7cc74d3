/**
 * The listener for probes and Prometheus, apart from the API: it asks for no token, changes nothing and belongs on loopback or a
 * management network. GET /metrics, /livez, /readyz, /healthz; anything else is 404.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { ApiDependencies } from '../api/dependencies.ts'
import { PROBES, type ProbePath, probeAnswer } from '../api/probes.ts'
import { AlthingError } from '../errors.ts'

/** Connections at once; a request is a few hundred bytes and must come within this time. */
const CONNECTIONS_MAX = 64
const REQUEST_TIMEOUT_MS = 5000

/** A listening server; `close` ends open connections. */
export type MetricsServer = { readonly url: string; close(): Promise<void> }

/** Opens the listener. AlthingError METRICS_LISTEN where that fails. */
export async function openMetricsServer(
  listen: { readonly host: string; readonly port: number },
  dependencies: Pick<ApiDependencies, 'metrics' | 'health'>,
): Promise<MetricsServer> {
  const server = createServer(
    { headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(dependencies, request.method ?? '', request.url ?? '', response).catch(() => {
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  await opened(server, listen)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no port')
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
  return {
    url: `http://${host}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function opened(server: Server, listen: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AlthingError('METRICS_LISTEN', 'metrics cannot be served at metrics.listen', { cause, exitCode: 69 })),
    )
    server.listen(listen.port, listen.host, resolve)
  })
}

async function answer(
  dependencies: Pick<ApiDependencies, 'metrics' | 'health'>,
  method: string,
  url: string,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('cache-control', 'no-store')
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
  const path = url.split('?', 1)[0] as string
  if (path === '/metrics') {
    const { contentType, text } = await dependencies.metrics()
    return void response.writeHead(200, { 'content-type': contentType }).end(text)
  }
  if (!Object.hasOwn(PROBES, path)) return void response.writeHead(404).end()
  const { status, body } = probeAnswer(path as ProbePath, await dependencies.health())
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
