/**
 * Stage: the operator. The HTTP client of the daemon's API, and where its address and token come from.
 * Invariants: answers are bounded in size and time; problem documents (RFC 9457) become `AlthingError`s with the server's code; a token
 * goes into one header and into no message.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { type Home, runFileIn } from '../config/home.ts'
import { isAlive } from '../node/alive.ts'
import { AlthingError } from '../node/errors.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT, type ExitCode } from './failure.ts'
import { readText, readTextIfThere } from './files.ts'
import { apiKeyNames } from './keys.ts'
import { printable } from './output.ts'
import { type Scope, secondsNow, signToken, tokenSecret } from './token.ts'

const ANSWER_BYTES_MAX = 16 * 1024 * 1024
const ANSWER_TIMEOUT_MS = 30_000
const RUN_FILE_BYTES_MAX = 64 * 1024
/** A token made for one command lives this long; its clock is the node's own. */
const OWN_TOKEN_LIFETIME_S = 60

/** One request. `segments` are encoded one by one, so that a key with a slash stays one segment. */
export type ApiRequest = {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly segments: readonly string[]
  readonly query?: Readonly<Record<string, string | undefined>>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is, with its media type. */
  readonly body?: { readonly bytes: Uint8Array; readonly type: string }
}

/** What came back from a request that succeeded. */
export type ApiAnswer = { readonly status: number; readonly type: string; readonly bytes: Uint8Array }

/** A client of one node. */
export type ApiClient = {
  /** Any answer with a status of success. */
  send(request: ApiRequest): Promise<ApiAnswer>
  /** The JSON of the answer; null for an empty one. The caller says what it expects and shows it to people only. */
  json(request: ApiRequest): Promise<unknown>
}

/** Exit code of a command that a node refused with this HTTP status. */
export function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.permission
  if (status === 429 || status === 503) return EXIT.retry
  if (status === 400 || status === 413 || status === 415 || status === 422) return EXIT.badData
  return status >= 500 ? EXIT.unavailable : EXIT.failure
}

/** A client for the API at `baseUrl` (`http://127.0.0.1:7380`), with a bearer token where one is given. */
export function createApiClient({
  baseUrl,
  token,
  timeoutMs = ANSWER_TIMEOUT_MS,
}: {
  baseUrl: string
  token?: string | undefined
  timeoutMs?: number
}): ApiClient {
  const send = async (request: ApiRequest): Promise<ApiAnswer> => {
    const url = new URL(`/v1/${request.segments.map(encodeURIComponent).join('/')}`, baseUrl)
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, value)
    const type = request.json === undefined ? request.body?.type : 'application/json'
    const body = request.json === undefined ? request.body?.bytes : JSON.stringify(request.json)
    try {
      const response = await fetch(url, {
        method: request.method ?? 'GET',
        // A redirect would carry the token to wherever it points.
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          accept: 'application/json, application/problem+json, */*;q=0.1',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(type === undefined ? {} : { 'content-type': type }),
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : Buffer.from(body) }),
      })
      const bytes = await readBounded(response)
      if (!response.ok) throw problemOf(response, bytes)
      return { status: response.status, type: response.headers.get('content-type') ?? '', bytes }
    } catch (error) {
      if (error instanceof AlthingError) throw error
      const late = error instanceof Error && error.name === 'TimeoutError'
      const cause = rootCause(error)
      throw late
        ? new CommandError('API_TIMEOUT', EXIT.retry, `${url.origin} gave no answer within ${timeoutMs} ms`, { cause })
        : new CommandError('API_UNREACHABLE', EXIT.unavailable, `no node answers at ${url.origin}`, { cause })
    }
  }
  return {
    send,
    async json(request) {
      const { bytes } = await send(request)
      if (bytes.length === 0) return null
      try {
        return JSON.parse(new TextDecoder().decode(bytes))
      } catch (cause) {
        throw new CommandError('API_ANSWER', EXIT.badData, 'the answer is not JSON; is that an althing node?', {
          cause,
        })
      }
    },
  }
}

// fetch says only "fetch failed"; what happened is one level down.
const rootCause = (error: unknown): unknown =>
  error instanceof Error && error.cause instanceof Error ? error.cause : error

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > ANSWER_BYTES_MAX)
      throw new CommandError('API_ANSWER', EXIT.badData, `the answer has more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// RFC 9457 §3: type, title, status, detail; `code` is our extension, the stable code of the verdict or error.
function problemOf(response: Response, bytes: Uint8Array): AlthingError {
  const exitCode = exitCodeOf(response.status)
  let problem: Record<string, unknown> = {}
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof parsed === 'object' && parsed !== null) problem = parsed as Record<string, unknown>
  } catch {
    // A proxy's page, say. The status has to do.
  }
  const textOf = (name: string): string | undefined =>
    typeof problem[name] === 'string' && problem[name] !== '' ? printable(problem[name].slice(0, 500)) : undefined
  const code = textOf('code')
  const wait = response.headers.get('retry-after')
  const advice =
    response.status === 401
      ? 'The token is missing, wrong or expired: `althing token issue` gives another, --token-file names it.'
      : response.status === 403
        ? 'The token lacks a scope: issue one with --scope read,write or operate.'
        : exitCode === EXIT.retry
          ? `Try again ${wait !== null && /^[0-9]{1,6}$/.test(wait) ? `in ${wait} s` : 'later'}.`
          : undefined
  return new CommandError(
    code !== undefined && /^[A-Z][A-Z0-9_]{2,63}$/.test(code) ? code : `HTTP_${response.status}`,
    exitCode,
    `the node refused: ${textOf('detail') ?? textOf('title') ?? `HTTP status ${response.status}`}`,
    { advice },
  )
}

/** Options of every command that asks a node. */
export type ClientOptions = { url?: string; tokenFile?: string; as?: string }

/** A subcommand of `parent` that asks a node: has the options of `ClientOptions`. */
export const clientCommand = (parent: Command, name: string): Command =>
  parent
    .command(name)
    .option('--url <url>', 'address of the API (default: $ALTHING_URL, else api.listen of the home)', parseUrl)
    .option(
      '--token-file <file>',
      'file with an API token (default: $ALTHING_TOKEN_FILE, else one made for this command)',
    )
    .option('--as <key>', 'API key in whose name to act, where this home makes the token')

/** Option of commands that write. */
export type WaitOptions = { wait?: boolean }

/** Adds `--wait` to a command that writes. */
export const addWait = (command: Command): Command =>
  command.option('--wait', 'wait until the transaction is committed, 20 s at most')

/** The part of the query that `--wait` stands for. */
export const waitQuery = ({ wait }: WaitOptions): { wait: string | undefined } => ({
  wait: wait === true ? 'committed' : undefined,
})

function parseUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new InvalidArgumentError('It must be http://… or https://…, without a password.')
  return url.origin
}

/**
 * The client for a command: `--url`, else ALTHING_URL, else where this home's node answers. The token is that of `--token-file`, else
 * ALTHING_TOKEN_FILE, else one made for the moment from the secret of this home; none if there is no such secret.
 */
export async function clientOf(context: CommandContext, options: ClientOptions, scope: Scope): Promise<ApiClient> {
  const { environment } = context
  const tokenFile = options.tokenFile ?? environment['ALTHING_TOKEN_FILE']
  const url = options.url ?? environmentUrl(environment['ALTHING_URL'])
  if (url !== undefined && tokenFile !== undefined)
    return createApiClient({ baseUrl: url, token: await tokenFrom(tokenFile) })
  if (url !== undefined && options.as === undefined)
    // A token made here means nothing to another node, and is none of its business.
    return createApiClient({ baseUrl: url })
  const { config } = await context.config()
  // Before a token is made: without an address there is nobody to send it to.
  const baseUrl = url ?? (await ownUrl(context, config.api.listen))
  const token =
    tokenFile !== undefined
      ? await tokenFrom(tokenFile)
      : await signToken(await tokenSecret(context, config), config, {
          subject: await subjectOf(context, options.as),
          scopes: scope === 'read' ? ['read'] : ['read', scope],
          lifetimeS: OWN_TOKEN_LIFETIME_S,
          nowS: secondsNow(),
        })
  return createApiClient({ baseUrl, token })
}

/** Where the node of this home answers: as configured, or where the system chose the port (0), as the running node has written down. */
async function ownUrl({ home }: CommandContext, listen: { host: string; port: number }): Promise<string> {
  const port = listen.port === 0 ? await runningPort(home) : listen.port
  // Who listens everywhere is reached at home.
  const near = listen.host === '0.0.0.0' ? '127.0.0.1' : listen.host === '::' ? '::1' : listen.host
  return `http://${near.includes(':') ? `[${near}]` : near}:${port}`
}

async function runningPort({ folder }: Home): Promise<string> {
  const file = runFileIn(folder)
  const text = await readTextIfThere(file, RUN_FILE_BYTES_MAX)
  if (text !== undefined)
    try {
      const { pid, api } = JSON.parse(text) as { pid?: unknown; api?: unknown }
      // One left by a node that was killed names a port that may be anybody's by now, who would be sent a token.
      if (typeof pid === 'number' && typeof api === 'string' && isAlive(pid)) return new URL(api).port
    } catch {
      throw new CommandError('API_UNREACHABLE', EXIT.unavailable, `${file} does not say where the node answers`)
    }
  throw new CommandError('API_UNREACHABLE', EXIT.unavailable, `no node of ${folder} is running`)
}

function environmentUrl(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return parseUrl(text)
  } catch {
    throw new CommandError('URL_INVALID', EXIT.usage, 'ALTHING_URL must be http://… or https://…, without a password')
  }
}

async function tokenFrom(file: string): Promise<string> {
  const token = (await readText(file, 8192)).trim()
  if (/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token)) return token
  throw new CommandError('TOKEN_MALFORMED', EXIT.badData, `${file} does not hold a token`)
}

/** Name of the API key `wanted`, else of the one that stands for this home. CommandError KEY_FILE_MISSING. */
export async function subjectOf(context: CommandContext, wanted: string | undefined): Promise<string> {
  const names = await apiKeyNames(context.home)
  const name = wanted ?? (names.includes('admin') ? 'admin' : names[0])
  if (name !== undefined && names.includes(name)) return name
  throw new CommandError('KEY_FILE_MISSING', EXIT.configuration, `this home has no API key ${name ?? 'at all'}`, {
    advice: `Its API keys are: ${names.join(', ') || '(none)'}. \`althing keys new <name>\` makes one.`,
  })
}
