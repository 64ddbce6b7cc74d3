/**
 * Stage: HTTP API. What the routes share: options, dependencies, the types of the framework with schemas of typebox, and the answer to a
 * write.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifyTypeProvider,
  RawServerDefault,
} from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { ApiDependencies } from './dependencies.ts'
import { ApiRefusal } from './problem.ts'
import type { Bearer, Scope } from './token.ts'
import type { Written } from './write.ts'
import { write } from './write.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set where the token was valid. */
    bearer: Bearer | null
  }
  interface FastifyContextConfig {
    /** Scope that the route needs; absent on routes that need no token. */
    scope?: Scope
    /** The route needs no token. */
    open?: true
    /** Requests to the route are not counted. */
    uncounted?: true
  }
}

/** Types of requests follow from their schemas; answers are checked in tests. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  readonly serializer: unknown
}

/** The framework's instance as the routes see it. */
export type Server = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, SchemaTypes>

/** Bounds of the API that are no settings. */
export type ApiBounds = {
  /** How long `?wait=committed` waits, ms. Less than the 30 s after which clients give up. */
  readonly waitTimeoutMs: number
  /** Open connections; more are closed at once. */
  readonly connectionsMax: number
  /** Readers of the event feed at the same time. */
  readonly feedReadersMax: number
  /** Bytes that a slow reader of the feed may be behind before it is disconnected. */
  readonly feedBufferBytesMax: number
  /** Time between comments that keep the feed's connection alive, ms. */
  readonly feedHeartbeatMs: number
  /** How long open requests may go on when the API closes, ms. */
  readonly closeTimeoutMs: number
}

/** What a file of routes is given. `closing` aborts when the API closes, for answers that would not end by themselves. */
export type RouteContext = {
  readonly dependencies: ApiDependencies
  readonly bounds: ApiBounds
  readonly closing: AbortSignal
}

/** Name of the API key of the request's token. The scope was checked before. */
export function subjectOf(request: Pick<FastifyRequest, 'bearer'>): string {
  if (request.bearer === null) throw new ApiRefusal('TOKEN_MISSING')
  return request.bearer.subject
}

/** What all requests that write have. */
type WriteRequest = Pick<FastifyRequest, 'bearer'> & {
  readonly query: { readonly wait?: 'accepted' | 'committed' }
  readonly headers: { readonly 'idempotency-key'?: string | undefined }
}

/** Signs, hands in and answers: 202, or 200 (201 with `created`) where the client waits and a block came. `more` joins the answer. */
export async function answerWrite(
  { dependencies, bounds }: RouteContext,
  request: WriteRequest,
  reply: FastifyReply,
  kind: string,
  payload: unknown,
  more: { readonly created?: string; readonly device?: string } = {},
): Promise<FastifyReply> {
  const written = await write(dependencies, kind, payload, {
    subject: subjectOf(request),
    idempotencyKey: request.headers['idempotency-key'],
    waitMs: request.query.wait === 'committed' ? bounds.waitTimeoutMs : 0,
  })
  return answerWritten(reply, written, more)
}

/** The answer to a write that came to `written`. */
export function answerWritten(
  reply: FastifyReply,
  written: Written,
  { created, device }: { readonly created?: string; readonly device?: string } = {},
): FastifyReply {
  const done = written.status === 'committed'
  return reply
    .code(done ? (created === undefined ? 200 : 201) : 202)
    .header('location', done && created !== undefined ? created : `/v1/transactions/${written.id}`)
    .send({ ...written, ...(device === undefined ? {} : { device }) })
}
