import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { ownFile } from '../../../node/rtu/ownFile.ts'
import { readTrustTable, writeTrustTable } from '../../../node/rtu/trustTable.ts'

installNativePrimitives()
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'althing-own-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const owner = { chainId: new Uint8Array(32), secretKey: new Uint8Array(32).fill(5) }
const at = (name: string, over: Partial<typeof owner> = {}, path = join(directory, 'file')) =>
  ownFile(path, name, 1000, { ...owner, ...over })
const content = new TextEncoder().encode('{"learnt": true}')

describe('a file that only this device can write', () => {
  it('what was written is read; a missing one is undefined', async () => {
    expect(await at('baseline').read()).toBeUndefined()
    await at('baseline').write(content)
    expect(await at('baseline').read()).toEqual(content)
  })

  it.each([
    ['another byte', (text: string) => text.replace('true', 'trve')],
    ['no signature', (text: string) => text.split('\n')[0] ?? ''],
    ['nothing at all', () => ''],
    ['another end', (text: string) => `${text}x`],
  ])('%s → RTU_FILE_ALTERED', async (_, change) => {
    await at('baseline').write(content)
    const path = join(directory, 'file')
    writeFileSync(path, change(readFileSync(path, 'utf8')))
    await expect(at('baseline').read()).rejects.toMatchObject({ code: 'RTU_FILE_ALTERED' })
  })

  it('of another device, another chain, or in the place of another file → RTU_FILE_ALTERED', async () => {
    await at('baseline').write(content)
    for (const other of [
      at('trust'),
      at('baseline', { secretKey: new Uint8Array(32).fill(6) }),
      at('baseline', { chainId: new Uint8Array(32).fill(1) }),
    ])
      await expect(other.read()).rejects.toMatchObject({ code: 'RTU_FILE_ALTERED' })
  })

  it('a huge one → RTU_FILE_TOO_LARGE, without being read', async () => {
    writeFileSync(join(directory, 'file'), new Uint8Array(5000))
    await expect(at('baseline').read()).rejects.toMatchObject({ code: 'RTU_FILE_TOO_LARGE' })
  })
})

describe('the table of trust on disk', () => {
  it('rows come back as they were; what is signed and no table → RTU_FILE_ALTERED', async () => {
    const rows = [{ device: 'ab'.repeat(20), trustPpm: 1, memoryPpm: 2, judgements: 3, phiPpm: null }]
    await writeTrustTable(at('trust'), rows)
    expect(await readTrustTable(at('trust'))).toEqual(rows)
    await at('trust').write(content)
    await expect(readTrustTable(at('trust'))).rejects.toMatchObject({ code: 'RTU_FILE_ALTERED' })
  })
})
