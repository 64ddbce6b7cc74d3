/**
 * Stage: HTTP API. Who asks: bearer tokens (JWT, RFC 7519) as `althing token issue` makes them.
 * Invariants: HS256 only, so that no token chooses its algorithm; iss, aud, exp, sub and scope are required; a token that is refused
 * tells nothing about why beyond "expired"; no token is logged or kept: what is remembered of one that passed, and what rate limits count
 * under, stands under its hash.
 */
import { hash } from 'node:crypto'
import { errors, jwtVerify } from 'jose'
import { TOKEN_SECRET_BYTES_MIN } from '../../config/tokenSecret.ts'
import { AlthingError } from '../errors.ts'
import { ApiRefusal } from './problem.ts'

/** read: look. write: sign in the name of the subject's API key. operate: operate the node. */
export type Scope = 'read' | 'write' | 'operate'
const SCOPES: readonly string[] = ['read', 'write', 'operate'] satisfies Scope[]

/** Tokens whose check is remembered, the one checked first forgotten first. */
export const TOKENS_REMEMBERED_MAX = 256

/** Longest token that is looked at, characters. */
export const TOKEN_CHARACTERS_MAX = 8192

/** The bearer of a valid token. */
export type Bearer = {
  /** Name of the API key in whose name writes are signed. */
  readonly subject: string
  readonly scopes: ReadonlySet<Scope>
  /** ms since 1970-01-01T00:00Z. */
  readonly expiresAt: number
  /** SHA-256 of the token, hexadecimal: names the token where the token itself must not stand. */
  readonly tokenHash: string
}

/** What tokens are checked against. */
export type TokenRules = {
  /** At least 32 bytes. */
  readonly tokenSecret: Uint8Array
  readonly issuer: string
  readonly audience: string
}

/**
 * A checker of Authorization headers: resolves to the bearer; rejects with `ApiRefusal` TOKEN_MISSING, TOKEN_INVALID or TOKEN_EXPIRED.
 * Throws AlthingError TOKEN_SECRET_SHORT at once if the secret is shorter than HS256 needs (RFC 7518 §3.2).
 */
export function createTokenChecker(
  { tokenSecret, issuer, audience }: TokenRules,
  now: () => number,
): (authorization: string | undefined) => Promise<Bearer> {
  if (tokenSecret.length < TOKEN_SECRET_BYTES_MIN)
    throw new AlthingError('TOKEN_SECRET_SHORT', `the token secret has fewer than ${TOKEN_SECRET_BYTES_MIN} bytes`)
  const secret = Uint8Array.from(tokenSecret)
  const remembered = new Map<string, Bearer>()
  return async (authorization) => {
    if (authorization === undefined) throw new ApiRefusal('TOKEN_MISSING')
    const token = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(authorization)?.[1]
    if (token === undefined || token.length > TOKEN_CHARACTERS_MAX) throw new ApiRefusal('TOKEN_INVALID')
    // Signature and claims of the same bytes stay what they are, and so does the moment at which they expire.
    const tokenHash = hash('sha256', token)
    const known = remembered.get(tokenHash)
    if (known !== undefined && Math.floor(now() / 1000) * 1000 < known.expiresAt) return known
    remembered.delete(tokenHash)
    const { notBefore, ...bearer } = await verify(token, tokenHash)
    // One that is not valid at all times until it expires is looked at each time: a clock may be set back.
    if (!notBefore) {
      if (remembered.size >= TOKENS_REMEMBERED_MAX) remembered.delete(remembered.keys().next().value as string)
      remembered.set(tokenHash, bearer)
    }
    return bearer
  }

  async function verify(token: string, tokenHash: string): Promise<Bearer & { readonly notBefore: boolean }> {
    try {
      const { payload } = await jwtVerify(token, secret, {
        algorithms: ['HS256'],
        issuer,
        audience,
        requiredClaims: ['iss', 'aud', 'exp', 'sub', 'scope'],
        currentDate: new Date(now()),
      })
      const { sub, exp, scope, nbf } = payload
      if (typeof sub !== 'string' || sub === '' || typeof exp !== 'number' || typeof scope !== 'string')
        throw new ApiRefusal('TOKEN_INVALID')
      return {
        subject: sub,
        scopes: new Set(scope.split(' ').filter((word): word is Scope => SCOPES.includes(word))),
        expiresAt: exp * 1000,
        tokenHash,
        notBefore: nbf !== undefined,
      }
    } catch (error) {
      throw error instanceof errors.JWTExpired ? new ApiRefusal('TOKEN_EXPIRED') : new ApiRefusal('TOKEN_INVALID')
    }
  }
}
