/**
 * Stage: HTTP API. The server: what stands before every route (token, rate, size, time), errors, documentation, opening and closing.
 * Invariants: a route answers without a token only if it says so; every refusal is a problem document; headers and bodies, which may hold
 * secrets, are never logged; closing ends, whatever clients do.
 */
import type { ServerResponse } from 'node:http'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Ajv } from 'ajv'
import fastify, { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { AlthingError } from '../errors.ts'
import type { ApiBounds, RouteContext, Server } from './context.ts'
import type { ApiDependencies } from './dependencies.ts'
import { ApiRefusal, PROBLEM_TYPE, problemOf, problemOfError, sendProblem } from './problem.ts'
import { deviceRoutes } from './routes/devices.ts'
import { feedRoutes } from './routes/feed.ts'
import { governanceRoutes } from './routes/governance.ts'
import { kvRoutes } from './routes/kv.ts'
import { ledgerRoutes } from './routes/ledger.ts'
import { maintenanceRoutes } from './routes/maintenance.ts'
import { moduleRoutes } from './routes/modules.ts'
import { operationRoutes } from './routes/operations.ts'
import { stixRoutes } from './routes/stix.ts'
import { transactionRoutes } from './routes/transactions.ts'
import { problemSchema } from './schemas.ts'
import { createTokenChecker, type TokenRules } from './token.ts'

/** The section `api` of the configuration with the secret read, and bounds that tests make smaller. */
export type ApiOptions = TokenRules &
  Partial<ApiBounds> & {
    readonly listen: { readonly host: string; readonly port: number }
    readonly requestsPerMinuteMax: number
    readonly bodyBytesMax: number
    readonly requestTimeoutMs: number
    /** Without one, nothing is logged. */
    readonly logger?: FastifyBaseLogger
  }

/** The HTTP API of a node. */
export type Api = {
  /** Opens the port. AlthingError API_LISTEN where that fails. Once only. */
  listen(): Promise<void>
  /** Ends event streams, lets open requests finish for a bounded time, closes the port. */
  close(): Promise<void>
  /** `http://host:port`, with the port that was given where 0 was asked for. Throws before `listen`. */
  readonly url: string
}

/** Bounds of the API that are no settings; docs/limits.md says what happens at each. */
export const API_LIMITS = {
  waitTimeoutMs: 20_000,
  connectionsMax: 512,
  feedReadersMax: 64,
  feedBufferBytesMax: 1024 * 1024,
  feedHeartbeatMs: 15_000,
  closeTimeoutMs: 5000,
  headersTimeoutMsMax: 10_000,
  /** Requests on one connection, after which it is closed: those that arrive together are answered in one go. */
  requestsPerConnectionMax: 256,
  /** A connection on which nothing moves for as long is closed; heartbeats of the feed and waiting writes come sooner. */
  idleTimeoutMs: 120_000,
  /** Tokens and addresses whose requests are counted at the same time. */
  countedMax: 10_000,
  /** Some times what any route takes. Brackets within brackets cost a tenth of a second a MiB, in which nothing else runs. */
  jsonBytesMax: 64 * 1024,
  /** Percent-encoded, a key of 256 characters of 3 bytes. */
  parameterCharactersMax: 4096,
} as const satisfies ApiBounds & Readonly<Record<string, number>>

/** Makes the API; `listen` opens it. Throws AlthingError TOKEN_SECRET_SHORT. */
export function createApi(options: ApiOptions, dependencies: ApiDependencies): Api {
  const bounds: ApiBounds = { ...API_LIMITS, ...boundsOf(options) }
  const checkToken = createTokenChecker(options, () => dependencies.now())
  const closing = new AbortController()
  const server = createServer(options, bounds)
  const context: RouteContext = { dependencies, bounds, closing: closing.signal }
  let url: string | undefined

  // Schemas decide about types: text of paths and queries may become a number, a member of a body may not become another.
  const strict = new Ajv({ allErrors: false, strict: false })
  const lenient = new Ajv({ allErrors: false, strict: false, coerceTypes: true, useDefaults: true })
  server.setValidatorCompiler(({ schema, httpPart }) =>
    (httpPart === 'body' ? strict : lenient).compile(schema as object),
  )
  // Answers are what the handlers give; tests hold them against the schemas.
  server.setSerializerCompiler(() => (data) => JSON.stringify(data))

  const methods = collectMethods(server)
  server.addSchema(problemSchema)
  server.decorateRequest('bearer', null)
  server.removeContentTypeParser(['text/plain', 'application/json'])
  server.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: Math.min(options.bodyBytesMax, API_LIMITS.jsonBytesMax) },
    server.getDefaultJsonParser('error', 'error'),
  )
  server.setErrorHandler((error, request, reply) => {
    const problem = problemOfError(error)
    if (problem.status >= 500) request.log.error({ err: error, code: problem.code }, 'a request failed')
    return sendProblem(reply, problem)
  })
  server.setNotFoundHandler((request, reply) => {
    const allowed = methods(request.url.split('?', 1)[0] as string)
    if (allowed.length === 0) return sendProblem(reply, problemOf('ROUTE_UNKNOWN'))
    return sendProblem(reply.header('allow', allowed.join(', ')), problemOf('METHOD_NOT_ALLOWED'))
  })

  const ready = register(server, context, options, checkToken)
  // It is awaited in `listen`; until then nobody would hear of it.
  ready.catch(() => {})

  return {
    async listen() {
      await ready
      try {
        await server.listen({ ...options.listen })
      } catch (cause) {
        throw new AlthingError('API_LISTEN', 'the HTTP API cannot listen at api.listen', { cause })
      }
      const address = server.server.address()
      if (address === null || typeof address === 'string') throw new Error('a TCP listener has no port')
      const { host } = options.listen
      url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
    },
    async close() {
      closing.abort()
      const late = setTimeout(() => server.server.closeAllConnections(), bounds.closeTimeoutMs)
      try {
        await server.close()
      } finally {
        clearTimeout(late)
      }
    },
    get url() {
      if (url === undefined) throw new Error('the API does not listen yet')
      return url
    },
  }
}

function boundsOf(options: Partial<ApiBounds>): Partial<ApiBounds> {
  const names = Object.keys(API_LIMITS) as (keyof ApiBounds)[]
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])))
}

function createServer(options: ApiOptions, bounds: ApiBounds): Server {
  const server = fastify({
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyBytesMax,
    requestTimeout: options.requestTimeoutMs,
    maxRequestsPerSocket: API_LIMITS.requestsPerConnectionMax,
    connectionTimeout: API_LIMITS.idleTimeoutMs,
    forceCloseConnections: 'idle',
    // Its answer would be no problem document; requests on open connections are answered until those are closed.
    return503OnClosing: false,
    http: {
      // Its answer would be no problem document; ours stands in front of all routes.
      requireHostHeader: false,
      headersTimeout: Math.min(options.requestTimeoutMs, API_LIMITS.headersTimeoutMsMax),
      requestTimeout: options.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(options.requestTimeoutMs, 1000),
    },
    routerOptions: { maxParamLength: API_LIMITS.parameterCharactersMax },
    // Such as a path that is not percent-encoded UTF-8.
    frameworkErrors: (_error: unknown, _request: FastifyRequest, reply: FastifyReply) => {
      sendProblem(reply, problemOf('REQUEST_INVALID', 'The path is not well formed.'))
    },
    clientErrorHandler(error, socket) {
      if (!socket.writable || error.code === 'ECONNRESET') {
        socket.destroy()
        return
      }
      const code =
        error.code === 'HPE_HEADER_OVERFLOW'
          ? 'HEADERS_TOO_LARGE'
          : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
            ? 'REQUEST_TIMEOUT'
            : 'REQUEST_INVALID'
      const problem = problemOf(code)
      const body = JSON.stringify(problem)
      socket.end(
        `HTTP/1.1 ${problem.status} Refused\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    },
  }) as unknown as Server
  server.server.maxConnections = bounds.connectionsMax
  // Whoever sends on after the connection was announced to close.
  server.server.on('dropRequest', (_request, socket) => socket.destroy())
  server.server.on('checkExpectation', (_request, response: ServerResponse) => {
    const problem = problemOf('EXPECTATION_UNKNOWN')
    response
      .writeHead(problem.status, { 'content-type': PROBLEM_TYPE, connection: 'close' })
      .end(JSON.stringify(problem))
  })
  server.addHook('onRequest', async ({ raw }) => {
    if (raw.httpVersion === '1.1' && raw.headers.host === undefined) throw new ApiRefusal('HOST_MISSING')
  })
  return server
}

async function register(
  server: Server,
  context: RouteContext,
  options: ApiOptions,
  checkToken: ReturnType<typeof createTokenChecker>,
): Promise<void> {
  const { dependencies } = context
  await server.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        connectSrc: ["'self'"],
        fontSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        scriptSrc: ["'self'"],
        // The documentation's page brings its own style elements.
        styleSrc: ["'self'", "'unsafe-inline'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    // Whether there is TLS in front is for what stands there to say.
    hsts: false,
  })
  await server.register(rateLimit, {
    global: false,
    max: options.requestsPerMinuteMax,
    timeWindow: 60_000,
    cache: API_LIMITS.countedMax,
    keyGenerator: (request) =>
      request.bearer === null ? `address ${request.ip}` : `token ${request.bearer.tokenHash}`,
    errorResponseBuilder: () => new ApiRefusal('RATE_LIMITED'),
  })
  const count = server.rateLimit()
  // In this order: a valid token counts by itself, all else by address, and guesses at tokens are counted before they are refused.
  server.addHook('onRequest', async function (request, reply) {
    const { scope, open, uncounted } = request.routeOptions.config
    let refusal: unknown
    if (open === undefined)
      try {
        request.bearer = await checkToken(request.headers.authorization)
      } catch (error) {
        refusal = error
      }
    if (uncounted === undefined) await count.call(this, request, reply)
    if (refusal !== undefined) throw refusal
    if (scope !== undefined && request.bearer?.scopes.has(scope) !== true)
      throw new ApiRefusal('SCOPE_MISSING', `This needs a token with the scope ${scope}.`)
  })
  server.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request
    const timeMs = Math.round(reply.elapsedTime)
    request.log.debug({ method, route: routeOptions.url, status: reply.statusCode, timeMs }, 'answered')
  })
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Althing metadata API',
        version: dependencies.version,
        description:
          'Devices, trust, events and key-value entries on the ledger of a consortium. Refusals are RFC 9457.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      security: [{ token: [] }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    },
    // OpenAPI has no wildcards: the rest of a path is one parameter there.
    transform: ({ schema, url }) => {
      const { params } = schema as { params?: { properties?: Record<string, unknown> } }
      if (params?.properties?.['*'] === undefined) return { schema, url }
      const rest = { type: 'object', required: ['key'], properties: { key: params.properties['*'] } }
      return { schema: { ...schema, params: rest }, url: url.replace('*', ':key') }
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) => (json['$id'] as string | undefined) ?? `def-${i}`,
    },
  })
  await server.register(async (docs) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true }
    })
    await docs.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: false,
      theme: { title: 'Althing metadata API' },
      uiConfig: { validatorUrl: null, url: '/openapi.json' },
    })
  })
  server.get('/openapi.json', { config: { open: true }, schema: { hide: true } }, async () => server.swagger())
  operationRoutes(server, context)
  await server.register(
    async (v1) => {
      const part = v1 as unknown as Server
      deviceRoutes(part, context)
      ledgerRoutes(part, context)
      governanceRoutes(part, context)
      stixRoutes(part, context)
      moduleRoutes(part, context)
      feedRoutes(part, context)
      maintenanceRoutes(part, context)
      await part.register(async (own) => kvRoutes(own as unknown as Server, context))
      await part.register(async (own) => transactionRoutes(own as unknown as Server, context))
    },
    { prefix: '/v1' },
  )
  await server.ready()
}

// The router does not say which methods a path has, so that 405 needs its own list.
function collectMethods(server: Server): (path: string) => string[] {
  const routes: { pattern: RegExp; methods: readonly string[] }[] = []
  server.addHook('onRoute', ({ url, method }) => {
    const source = url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:[A-Za-z]+/g, '[^/]+')
      .replace(/\*/g, '.*')
    routes.push({ pattern: new RegExp(`^${source}$`), methods: [method].flat() })
  })
  return (path) => {
    const found = routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods)
    return [...new Set(found)].sort()
  }
}
