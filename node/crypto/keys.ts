/**
 * Key files: one secp256k1 secret as 64 hexadecimal characters, readable by its owner only.
 * Invariants: a file that others may read is refused, an existing one is never overwritten, and the secret is in nothing that prints.
 */
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { AlthingError } from '../errors.ts'
import { writeNewFile } from '../wholeFile.ts'

const KEY_FILE_BYTES_MAX = 256

/** A key pair. The secret is a private field: JSON, `util.inspect` and loggers show the public key only. */
export class NodeKey {
  readonly #secret: Uint8Array
  /** Compressed, 33 bytes. */
  readonly publicKey: Uint8Array
  /** The same in lower-case hexadecimal. */
  readonly publicKeyHex: PublicKeyHex

  /** Throws if `secret` is not 32 bytes in the range of the curve. */
  constructor(secret: Uint8Array) {
    this.#secret = Uint8Array.from(secret)
    this.publicKey = publicKeyOf(this.#secret)
    this.publicKeyHex = toHex(this.publicKey)
  }

  /** The 32-byte secret. For signing and for libp2p's identity; never log or store it. */
  secretKey(): Uint8Array {
    return this.#secret
  }
}

/** A new random key. */
export function generateKey(): NodeKey {
  for (;;) {
    try {
      return new NodeKey(Uint8Array.from(randomBytes(32)))
    } catch {
      // Outside the range of the curve: once in about 2^128 draws. Draw again.
    }
  }
}

/** The key in the file at `path`. AlthingError: KEY_FILE_MISSING, KEY_FILE_EXPOSED, KEY_FILE_MALFORMED, KEY_FILE_UNREADABLE. */
export async function readKeyFile(path: string): Promise<NodeKey> {
  const fault = (code: string, message: string, cause?: unknown): AlthingError =>
    new AlthingError(code, message, { cause })
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT'
      ? fault('KEY_FILE_MISSING', `no key file at ${path}`, cause)
      : fault('KEY_FILE_UNREADABLE', `cannot read the key file ${path}`, cause)
  })
  try {
    // Asked of the open file, so that nobody can put another in its place between the question and the reading.
    const { mode, size } = await file.stat()
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw fault(
        'KEY_FILE_EXPOSED',
        `the key file ${path} is open to other users (mode ${(mode & 0o777).toString(8)}); run: chmod 600 ${path}`,
      )
    if (size > KEY_FILE_BYTES_MAX) throw fault('KEY_FILE_MALFORMED', `${path} is too large for a key file`)
    const text = (await file.readFile('utf8')).trim()
    if (!/^[0-9a-fA-F]{64}$/.test(text))
      throw fault('KEY_FILE_MALFORMED', `${path} does not hold 64 hexadecimal characters`)
    try {
      return new NodeKey(fromHex(text))
    } catch {
      // Without the cause: it may quote the number.
      throw fault('KEY_FILE_MALFORMED', `${path} holds a number outside the range of secp256k1`)
    }
  } finally {
    await file.close()
  }
}

/**
 * Writes `key` to a new file at `path` (0600, in a directory made 0700 if it is missing), on disk when it resolves.
 * AlthingError KEY_FILE_EXISTS if there is one, KEY_FILE_UNWRITABLE otherwise.
 */
export async function writeKeyFile(path: string, key: NodeKey): Promise<void> {
  const text = `${toHex(key.secretKey())}\n`
  const written = await writeNewFile(path, text, 0o600).catch((cause) => {
    throw new AlthingError('KEY_FILE_UNWRITABLE', `cannot write the key file ${path}`, { cause })
  })
  if (!written) throw new AlthingError('KEY_FILE_EXISTS', `${path} exists and is not overwritten`)
}

/** The key at `path`, made and written first where there is none. Errors as `readKeyFile` and `writeKeyFile`. */
export async function readOrCreateKeyFile(path: string): Promise<NodeKey> {
  try {
    return await readKeyFile(path)
  } catch (error) {
    if (!(error instanceof AlthingError) || error.code !== 'KEY_FILE_MISSING') throw error
  }
  const key = generateKey()
  await writeKeyFile(path, key)
  return key
}
