/**
 * Stage: HTTP API. Refusals as problem documents (RFC 9457) with the extension `code`.
 * Invariants: each code has one status, one title; codes of the state machine come from the table of verdicts, those of HTTP itself stand
 * here; what a failure inside the node says is logged and never sent.
 */
import type { FastifyError, FastifyReply } from 'fastify'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { AlthingError } from '../errors.ts'

type Row = { readonly status: number; readonly title: string; readonly advice: string }
const row = (status: number, title: string, advice: string): Row => ({ status, title, advice })

/** Codes of the API itself; the others are those of `VERDICTS`. */
export const API_PROBLEMS = {
  TOKEN_MISSING: row(401, 'A token is needed.', 'Send Authorization: Bearer with a token of `althing token issue`.'),
  TOKEN_INVALID: row(
    401,
    'The token is not one that this node takes.',
    'Signature (HS256), issuer, audience, subject, scope and expiry must all be there and right. Issue another.',
  ),
  TOKEN_EXPIRED: row(401, 'The token has expired.', 'Issue another.'),
  SCOPE_MISSING: row(403, 'The token lacks a scope.', 'Issue one with the scope that the route names.'),
  SIGNING_KEY_MISSING: row(
    403,
    'This node holds no API key of that name.',
    'The subject of a token is the name of an API key whose secret this node holds.',
  ),
  NAMESPACE_FOREIGN: row(
    403,
    'The namespace belongs to another key.',
    'A key writes to its own namespace only. Leave the namespace out, or name that of the token’s API key.',
  ),
  REQUEST_INVALID: row(400, 'The request does not have the form of this route.', 'Compare it with /openapi.json.'),
  HOST_MISSING: row(400, 'The request names no host.', 'HTTP/1.1 asks for a Host header (RFC 9112 §3.2).'),
  JSON_MALFORMED: row(400, 'The body is not JSON.', 'Send one JSON value in UTF-8.'),
  CBOR_MALFORMED: row(
    400,
    'The body is not deterministic CBOR of a transaction or of a list of transactions.',
    'Send [body, signature], or an array of at most 1000 byte strings that are transactions.',
  ),
  CURSOR_INVALID: row(400, 'The cursor is not one that this route gave out.', 'Begin again without a cursor.'),
  EVENT_ID_INVALID: row(400, 'The id is not one that the feed gave out.', 'Leave Last-Event-ID out to begin with now.'),
  ROUTE_UNKNOWN: row(404, 'There is no such route.', 'Routes are listed in /openapi.json.'),
  ENTRY_UNKNOWN: row(404, 'The namespace has no such key.', 'Look at the keys of the namespace.'),
  BLOCK_UNKNOWN: row(404, 'This node has no such block.', 'Look at the height of its head in /v1/status.'),
  TRANSACTION_UNKNOWN: row(
    404,
    'This node knows no such transaction.',
    'It may have come to another node, or have expired before it was included.',
  ),
  PROOF_UNKNOWN: row(404, 'There is nothing committed to prove.', 'Wait until it is committed.'),
  STIX_NONE: row(404, 'The block says nothing of devices.', 'GET /v1/stix/bundles lists blocks that do.'),
  PRUNED: row(
    410,
    'This node has dropped it, or began above it.',
    'Ask a member that holds it: /v1/status says what a node holds. Whoever has a transaction’s bytes gets its proof from ' +
      'POST /v1/proofs/transactions.',
  ),
  METHOD_NOT_ALLOWED: row(405, 'The route has no such method.', 'The Allow header lists those it has.'),
  BODY_TOO_LARGE: row(413, 'The body is larger than this node takes.', 'Split it, or raise api.body_bytes_max.'),
  MEDIA_TYPE_UNSUPPORTED: row(415, 'The route does not take this media type.', 'See Content-Type in /openapi.json.'),
  EXPECTATION_UNKNOWN: row(417, 'The node cannot do what Expect asks for.', 'Send Expect: 100-continue, or none.'),
  IDEMPOTENCY_MISMATCH: row(
    422,
    'The idempotency key was used for another request.',
    'Use a new key for a new request, and the same body for a repeated one.',
  ),
  RATE_LIMITED: row(429, 'Too many requests.', 'Wait as long as Retry-After says.'),
  HEADERS_TOO_LARGE: row(431, 'The headers are too large.', 'Send fewer.'),
  REQUEST_TIMEOUT: row(408, 'The request took too long to arrive.', 'Send it again, faster.'),
  INTERNAL: row(500, 'The node made a mistake.', 'Its log tells more; please report it.'),
  UNAVAILABLE: row(503, 'The node cannot do this now.', 'Look at /readyz, and try again.'),
  FEED_FULL: row(503, 'As many readers follow the feed as this node takes.', 'Try again later, or another node.'),
} as const satisfies Record<string, Row>

/** A code of an answer: of the API itself or of the table of verdicts. */
export type ProblemCode = keyof typeof API_PROBLEMS | Exclude<Code, 'OK'>

/** Media type of problem documents. */
export const PROBLEM_TYPE = 'application/problem+json'

/** One member of `errors`: where (JSON pointer) and what. */
export type FieldError = { readonly pointer: string; readonly detail: string }

/** The body of a refusal. */
export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ProblemCode
  readonly errors?: readonly FieldError[]
}

/** A refusal on its way to the client. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal'
  readonly code: ProblemCode
  readonly detail: string | undefined
  readonly errors: readonly FieldError[] | undefined

  constructor(code: ProblemCode, detail?: string, errors?: readonly FieldError[]) {
    super(code)
    this.code = code
    this.detail = detail
    this.errors = errors
  }
}

/** The problem document of `code`. `detail` replaces the advice of the table and must hold nothing secret. */
export function problemOf(code: ProblemCode, detail?: string, errors?: readonly FieldError[]): Problem {
  const own = (API_PROBLEMS as Record<string, Row>)[code]
  const verdict = own === undefined ? VERDICTS[code as Code] : undefined
  const [first] = /^.*?[.](?= |$)/.exec(verdict?.text ?? '') ?? ['']
  return {
    type: `urn:althing:problem:${code}`,
    title: own?.title ?? first,
    status: own?.status ?? (verdict as { httpStatus: number }).httpStatus,
    detail: detail ?? own?.advice ?? (verdict as { text: string }).text,
    code,
    ...(errors === undefined ? {} : { errors }),
  }
}

/** Sends the problem document of `code`. */
export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.status === 401)
    reply.header('www-authenticate', problem.code === 'TOKEN_MISSING' ? 'Bearer' : 'Bearer error="invalid_token"')
  if (problem.code === 'SCOPE_MISSING') reply.header('www-authenticate', 'Bearer error="insufficient_scope"')
  if ((problem.status === 503 || problem.status === 429) && !reply.hasHeader('retry-after'))
    reply.header('retry-after', '1')
  return reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(problem)
}

const FRAMEWORK_CODES: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE_UNSUPPORTED',
  FST_ERR_CTP_INVALID_JSON_BODY: 'JSON_MALFORMED',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'JSON_MALFORMED',
  FST_ERR_RATE_LIMIT: 'RATE_LIMITED',
}

/** The problem that an error of a handler, of the framework or of the node amounts to. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof ApiRefusal) return problemOf(error.code, error.detail, error.errors)
  if (error instanceof AlthingError) return problemOf('UNAVAILABLE')
  const { code = '', statusCode, validation, validationContext } = error as Partial<FastifyError>
  if (validation !== undefined) {
    const errors = validation.slice(0, 16).map(({ instancePath, message, params }) => ({
      pointer: `/${validationContext ?? 'body'}${instancePath}`.slice(0, 256),
      detail: [message ?? 'is wrong', ...extraName(params)].join(': ').slice(0, 256),
    }))
    return problemOf('REQUEST_INVALID', errors.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; '), errors)
  }
  const known = FRAMEWORK_CODES[code]
  if (known !== undefined) return problemOf(known)
  if (error instanceof SyntaxError && statusCode === 400) return problemOf('JSON_MALFORMED')
  if (statusCode === 413) return problemOf('BODY_TOO_LARGE')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return problemOf('REQUEST_INVALID')
  return problemOf('INTERNAL')
}

function extraName(parameters: Record<string, unknown> | undefined): string[] {
  const name = parameters?.['additionalProperty']
  return typeof name === 'string' ? [name] : []
}
