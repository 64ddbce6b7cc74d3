/**
 * Stage: before everything. The file with the secret that signs API tokens, for the API that checks them and the command that issues
 * them. The HMAC key is the UTF-8 text of the file without the line break at its end.
 * Invariants: at least 32 bytes (RFC 7518 §3.2 for HS256); a file that others may read is refused; no message holds any of it.
 */
import { open } from 'node:fs/promises'
import type { Parsed } from './problems.ts'

/** Bytes of secret that HS256 needs (RFC 7518 §3.2). */
export const TOKEN_SECRET_BYTES_MIN = 32
const TOKEN_SECRET_BYTES_MAX = 4096

/** The secret in `file`, at least 32 bytes. Problems: missing, open to others, too short, too long. Other failures are thrown. */
export async function readTokenSecret(file: string): Promise<Parsed<Uint8Array>> {
  const problem = (what: string, hint: string): Parsed<never> => ({
    ok: false,
    problems: [{ where: file, what, hint }],
  })
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (handle === undefined)
    return problem(
      'there is no such file',
      '`althing init` makes one; api.token_secret_file says where it is looked for',
    )
  try {
    // Asked of the open file: nobody can put another in its place in between.
    const { mode, size } = await handle.stat()
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      return problem(`is open to other users (mode ${(mode & 0o777).toString(8)})`, `Run: chmod 600 ${file}`)
    if (size > TOKEN_SECRET_BYTES_MAX)
      return problem(`is longer than ${TOKEN_SECRET_BYTES_MAX} bytes`, 'It is not a token secret')
    const value = new TextEncoder().encode((await handle.readFile('utf8')).replace(/\r?\n$/, ''))
    if (value.length < TOKEN_SECRET_BYTES_MIN)
      return problem(`holds fewer than ${TOKEN_SECRET_BYTES_MIN} bytes`, 'Make one with: openssl rand -hex 32')
    return { ok: true, value }
  } finally {
    await handle.close()
  }
}
