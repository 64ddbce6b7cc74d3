/**
 * Stage: the operator. `althing token issue | inspect`: bearer tokens of the API (JWT, HS256 only, RFC 7519).
 * Claims: iss and aud of the configuration, sub = name of the API key in whose name the node acts, scope = words divided by spaces
 * (RFC 8693 §4.2), iat, exp, jti.
 * Invariants: a token is never read from the command line; it is printed by `issue` only, which is its purpose.
 */
import { randomUUID } from 'node:crypto'
import { type Command, InvalidArgumentError } from 'commander'
import { errors, jwtVerify, SignJWT } from 'jose'
import { inHome } from '../config/home.ts'
import type { NodeConfig } from '../config/settings.ts'
import { readTokenSecret } from '../config/tokenSecret.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText, writeNewFile } from './files.ts'
import { apiKeyNames, keyFileOf } from './keys.ts'
import { printable, record, show } from './output.ts'

const SCOPES = ['read', 'write', 'operate'] as const
/** What a token allows: to read; to write in its key's name; to operate the node. */
export type Scope = (typeof SCOPES)[number]

const TOKEN_BYTES_MAX = 8192
const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

const parseScopes = (text: string): Scope[] => {
  const words = text.split(/[ ,]+/).filter((word) => word !== '')
  if (words.length === 0 || words.some((word) => !(SCOPES as readonly string[]).includes(word)))
    throw new InvalidArgumentError(`Scopes are ${SCOPES.join(', ')}, divided by commas.`)
  return SCOPES.filter((scope) => words.includes(scope))
}

const parseLifetime = (text: string): number => {
  const match = /^([1-9][0-9]{0,7})([smhd])$/.exec(text)
  if (match === null) throw new InvalidArgumentError('A lifetime is a number and a unit: 90s, 15m, 12h or 30d.')
  return Number(match[1]) * UNITS_S[match[2]!]!
}

/** The secret that signs tokens. CommandError TOKEN_SECRET_UNUSABLE. */
export async function tokenSecret(context: CommandContext, config: NodeConfig): Promise<Uint8Array> {
  const secret = await readTokenSecret(inHome(context.home, config.api.tokenSecretFile))
  if (secret.ok) return secret.value
  throw new CommandError('TOKEN_SECRET_UNUSABLE', EXIT.configuration, 'the secret that signs tokens cannot be used', {
    problems: secret.problems,
  })
}

/** A signed token for the API key `subject`. Times in seconds; `nowS` is the current time. */
export async function signToken(
  secret: Uint8Array,
  { api }: NodeConfig,
  { subject, scopes, lifetimeS, nowS }: { subject: string; scopes: readonly Scope[]; lifetimeS: number; nowS: number },
): Promise<string> {
  return new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(api.issuer)
    .setAudience(api.audience)
    .setSubject(subject)
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + lifetimeS)
    .setJti(randomUUID())
    .sign(secret)
}

/** The current time in whole seconds, as tokens count. */
export const secondsNow = (): number => Math.floor(Date.now() / 1000)

/** `althing token`. */
export function registerToken(program: Command, context: CommandContext): void {
  const token = program.command('token').description('issue and inspect API tokens')
  token
    .command('issue')
    .argument('<key>', 'name of the API key in whose name the bearer acts')
    .option('--scope <scopes>', `${SCOPES.join(', ')}, divided by commas`, parseScopes, ['read'])
    .option('--lifetime <time>', 'how long it is valid: 90s, 15m, 12h, 30d', parseLifetime, 3600)
    .option('--out <file>', 'new file to write the token to (mode 0600) instead of standard output')
    .description('issue a token')
    .action((name: string, options: { scope: Scope[]; lifetime: number; out?: string }) =>
      issue(context, name, options),
    )
  token
    .command('inspect')
    .argument('<file>', 'file with the token; - for standard input')
    .description('show what a token says and whether this node would take it')
    .action((file: string) => inspect(context, file))
}

async function issue(
  context: CommandContext,
  name: string,
  options: { scope: Scope[]; lifetime: number; out?: string },
): Promise<void> {
  const { home, output } = context
  const { config } = await context.config()
  const names = await apiKeyNames(home)
  keyFileOf(home, name)
  if (!names.includes(name))
    throw new CommandError('KEY_FILE_MISSING', EXIT.configuration, `this home has no API key ${name}`, {
      advice: `Its API keys are: ${names.join(', ') || '(none)'}. \`althing keys new ${name}\` makes one.`,
    })
  if (options.lifetime > config.api.tokenLifetimeMaxS)
    throw new CommandError(
      'TOKEN_LIFETIME',
      EXIT.usage,
      `a token may live for ${config.api.tokenLifetimeMaxS} s at most`,
    )
  const secret = await tokenSecret(context, config)
  const nowS = secondsNow()
  const text = await signToken(secret, config, {
    subject: name,
    scopes: options.scope,
    lifetimeS: options.lifetime,
    nowS,
  })
  const view = {
    subject: name,
    scopes: options.scope,
    expiresAt: new Date((nowS + options.lifetime) * 1000).toISOString(),
  }
  if (options.out !== undefined) {
    await writeNewFile(options.out, `${text}\n`, 0o600)
    show(output, { ...view, file: options.out }, record)
  } else show(output, { ...view, token: text }, () => text)
}

async function inspect(context: CommandContext, file: string): Promise<void> {
  const text = (file === '-' ? await context.readStdin(TOKEN_BYTES_MAX) : await readText(file, TOKEN_BYTES_MAX)).trim()
  const { config } = await context.config()
  const secret = await tokenSecret(context, config)
  const verdict = await jwtVerify(text, secret, {
    algorithms: ['HS256'],
    issuer: config.api.issuer,
    audience: config.api.audience,
    requiredClaims: ['iss', 'aud', 'exp', 'sub', 'scope'],
  }).then(
    ({ payload }) => ({ payload, reason: null }),
    (error: unknown) => {
      if (!(error instanceof errors.JOSEError)) throw error
      const payload =
        error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired
          ? error.payload
          : undefined
      return { payload, reason: error.message }
    },
  )
  const { payload, reason } = verdict
  const time = (seconds: number | undefined): string | null =>
    seconds === undefined || !(Math.abs(seconds) < 8.64e12) ? null : new Date(seconds * 1000).toISOString()
  // Claims of a token whose signature is wrong are anybody's words: they are not shown.
  const view = {
    valid: reason === null,
    reason: reason === null ? null : printable(reason),
    subject: payload?.sub ?? null,
    scopes: typeof payload?.['scope'] === 'string' ? payload['scope'].split(' ') : null,
    issuer: payload?.iss ?? null,
    audience: payload?.aud ?? null,
    issuedAt: time(payload?.iat),
    expiresAt: time(payload?.exp),
  }
  if (reason !== null) context.exitCode = EXIT.no
  show(context.output, view, record)
}
