import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { generateKey, NodeKey, readKeyFile, readOrCreateKeyFile, writeKeyFile } from '../../../node/crypto/keys.ts'
import { toHex } from '../../../protocol/bytes.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'althing-keys-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true })
})

describe('key files', () => {
  it('keys: created once with mode 600 in a directory of mode 700, and the same key is read again', async () => {
    const path = join(directory, 'secrets', 'node.key')
    const key = await readOrCreateKeyFile(path)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(directory, 'secrets'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(directory, 'secrets'))).toEqual(['node.key'])
    expect((await readOrCreateKeyFile(path)).publicKeyHex).toBe(key.publicKeyHex)
  })

  it('keys: a file that the group or others may read → KEY_FILE_EXPOSED, with the command that mends it', async () => {
    const path = join(directory, 'node.key')
    await writeKeyFile(path, generateKey())
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(path, mode)
      await expect(readKeyFile(path)).rejects.toMatchObject({
        code: 'KEY_FILE_EXPOSED',
        exitCode: 78,
        message: expect.stringContaining('chmod 600'),
      })
    }
  })

  it('keys: an existing file → KEY_FILE_EXISTS, untouched', async () => {
    const path = join(directory, 'node.key')
    await writeKeyFile(path, generateKey())
    const before = await readFile(path, 'utf8')
    await expect(writeKeyFile(path, generateKey())).rejects.toMatchObject({ code: 'KEY_FILE_EXISTS' })
    expect(await readFile(path, 'utf8')).toBe(before)
    expect(await readdir(directory)).toEqual(['node.key'])
  })

  it('keys: no file → KEY_FILE_MISSING; other text, a zero key or a huge file → KEY_FILE_MALFORMED', async () => {
    const path = join(directory, 'node.key')
    await expect(readKeyFile(path)).rejects.toMatchObject({ code: 'KEY_FILE_MISSING' })
    for (const text of ['', 'abc', 'z'.repeat(64), '0'.repeat(64), 'f'.repeat(64), 'a'.repeat(100_000)]) {
      await writeFile(path, text, { mode: 0o600 })
      await expect(readKeyFile(path)).rejects.toMatchObject({ code: 'KEY_FILE_MALFORMED' })
    }
  })

  it('keys: printing a key, as text or as JSON, shows nothing of the secret', () => {
    const key = new NodeKey(new Uint8Array(32).fill(0xab))
    const secret = toHex(key.secretKey())
    for (const shown of [inspect(key, { depth: 5, showHidden: true }), JSON.stringify(key), `${key}`]) {
      expect(shown.includes(secret)).toBe(false)
      expect(shown.includes('171, 171, 171')).toBe(false)
    }
  })
})
