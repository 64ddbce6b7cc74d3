import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderGenesis } from '../../config/genesisFile.ts'
import { generateKey, readKeyFile, writeKeyFile } from '../../node/crypto/keys.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { consentBytes } from '../../protocol/kinds/governance/record.ts'
import { recover } from '../../protocol/signature.ts'
import { genesisWith } from '../node/genesis.ts'
import { althing, temporaryFolder } from './process.ts'

const GENESIS = genesisWith(1, { createdAt: 1, deltaMs: 250, heartbeatMs: 500 })
const ADDRESS = '/dns4/five.example/tcp/7379'
let folder: ReturnType<typeof temporaryFolder>
let home: string
beforeEach(async () => {
  folder = temporaryFolder()
  home = join(folder.path, 'five')
  mkdirSync(join(home, 'keys'), { recursive: true, mode: 0o700 })
  writeFileSync(join(home, 'genesis.json'), renderGenesis(GENESIS))
  await writeKeyFile(join(home, 'keys', 'node.key'), generateKey())
})
afterEach(() => folder.remove())

describe('member request', () => {
  it('is signed by the key of the home, over name, addresses and chain, and holds no secret', async () => {
    const words = ['member', 'request', '--name', 'Five', '--address', ADDRESS]
    const { code, stdout } = await althing(home, words)
    expect(code).toBe(0)
    const request = JSON.parse(stdout)
    const key = await readKeyFile(join(home, 'keys', 'node.key'))
    expect(request).toMatchObject({ name: 'Five', publicKey: key.publicKeyHex, addresses: [ADDRESS] })
    const signer = recover('membership', chainIdOf(GENESIS), consentBytes('Five', [ADDRESS]), fromHex(request.consent))
    expect(toHex(signer as Uint8Array)).toBe(key.publicKeyHex)
    expect(stdout).not.toContain(toHex(key.secretKey()))
  })

  it('a name that no member can have → PAYLOAD_INVALID, exit 64', async () => {
    const { code, stderr } = await althing(home, ['member', 'request', '--name', '-'])
    expect(code).toBe(64)
    expect(stderr).toContain('PAYLOAD_INVALID')
  })
})

describe('proposing', () => {
  it.each([
    [['param', 'set', 'deltaMs'], 'PAYLOAD_INVALID', 64],
    [['param', 'set', 'speed=1'], 'PAYLOAD_INVALID', 64],
    [['param', 'set', 'deltaMs=1', 'deltaMs=2'], 'PAYLOAD_INVALID', 64],
    [['param', 'set', 'deltaMs=1', '--days', '31'], '--days', 64],
    [['proposal', 'approve', 'abc'], '64 lower-case', 64],
    [['proposal', 'withdraw', 'abc'], '64 lower-case', 64],
    [['member', 'add', 'nothing.json'], 'FILE_MISSING', 65],
  ])('%j → %s, exit %i', async (words, said, exit) => {
    const { code, stdout, stderr } = await althing(home, words)
    expect({ code, stdout }).toEqual({ code: exit, stdout: '' })
    expect(stderr).toContain(said)
  })

  it('a request of another network, or one that was cut short → INPUT_MALFORMED, exit 65', async () => {
    const { stdout } = await althing(home, ['member', 'request', '--name', 'Five'])
    const request = JSON.parse(stdout)
    for (const [name, text] of [
      ['other', JSON.stringify({ ...request, chainId: '0'.repeat(64) })],
      ['short', stdout.slice(0, -20)],
      ['less', JSON.stringify({ ...request, consent: '00' })],
    ] as const) {
      const file = join(folder.path, name)
      writeFileSync(file, text)
      const { code, stderr } = await althing(home, ['member', 'add', file])
      expect(code, name).toBe(65)
      expect(stderr).toContain('INPUT_MALFORMED')
    }
  })
})

describe('keys activate', () => {
  it('puts the next key in the place of the present one, keeps that, and goes on where it was interrupted', async () => {
    const [file, nextFile] = [join(home, 'keys', 'node.key'), join(home, 'keys', 'node.next.key')]
    const old = await readKeyFile(file)
    const next = generateKey()
    await writeKeyFile(nextFile, next)
    expect((await althing(home, ['keys', 'activate'])).code).toBe(0)
    expect((await readKeyFile(file)).publicKeyHex).toBe(next.publicKeyHex)
    const kept = `node.${old.publicKeyHex.slice(0, 16)}.old.key`
    expect(readdirSync(join(home, 'keys')).sort()).toEqual([kept, 'node.key'].sort())
    expect((await readKeyFile(join(home, 'keys', kept))).publicKeyHex).toBe(old.publicKeyHex)
    const again = await althing(home, ['keys', 'activate'])
    expect(again.code).not.toBe(0)
    expect(again.stderr).toContain('KEY_FILE_MISSING')
  })
})
