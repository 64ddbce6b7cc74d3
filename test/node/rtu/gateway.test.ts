import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { renderGenesis } from '../../../config/genesisFile.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { chainIdOf } from '../../../protocol/genesis.ts'
import { readReadings } from '../../../protocol/kinds/reading/record.ts'
import { type Proof, renderProof } from '../../../protocol/proof.ts'
import { renderReading, signReading } from '../../../protocol/reading.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { althing } from '../../cli/process.ts'
import { deviceId, genesisOf, introduce, Member, startRtu, temporaryFolder, tidyUp, until } from './world.ts'

afterEach(tidyUp)
const secret = new Uint8Array(32).fill(77)

describe('a gateway and its members', () => {
  it('readings of a sensor are anchored by two members; each is proved offline, and an altered one is pointed out', async () => {
    const genesis = genesisOf(2)
    const first = await Member.start(genesis, 0)
    const second = await Member.start(genesis, 1, [first])
    introduce(first, second)
    await first.register(1)
    const dataDirectory = temporaryFolder()
    const gateway = await startRtu(1, [first, second], {
      dataDirectory,
      gateway: {
        listen: { host: '127.0.0.1', port: 0 },
        sensors: new Set([toHex(addressOf(publicKeyOf(secret)))]),
        bytesMax: 1e6,
        openMs: 200,
      },
    })
    const lines = Array.from({ length: 5 }, (_, i) =>
      renderReading(
        signReading(`[{"n":"tunnel/co","u":"ppm","t":${1_700_000_000 + i},"v":${i}}]`, chainIdOf(genesis), secret),
      ),
    )
    const response = await fetch(`http://127.0.0.1:${gateway.readingsPort}/readings`, {
      method: 'POST',
      body: lines.join('\n'),
    })
    expect(await response.json()).toEqual({ accepted: 5, duplicates: 0, refused: [] })
    const record = () => {
      const { reads } = second.node.executor
      return readReadings({ get: (key) => reads.state(key)?.value }, toHex(deviceId(1)))
    }
    await until(() => record() !== undefined, 'anchored')
    expect(record()).toMatchObject({ batches: 1, readings: 5 })

    // What an auditor does with the gateway's file, a proof of the transaction and the genesis.
    const folder = temporaryFolder()
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const genesisFile = write('genesis.json', renderGenesis(genesis))
    const id = record()?.lastTransaction as Uint8Array
    const batch = write('batch.json', renderProof((await second.node.executor.reads.proveTransaction(id)) as Proof))
    const name = readdirSync(join(dataDirectory, 'readings')).find((name) =>
      name.includes(toHex(record()?.lastRoot as Uint8Array)),
    )
    const readings = write('readings.jsonl', readFileSync(join(dataDirectory, 'readings', name as string), 'utf8'))
    const run = (...words: string[]) => althing(join(folder, 'home'), [...words, '--genesis', genesisFile])
    const verified = await run('reading', 'verify', readings, '--batch', batch)
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringContaining('They are the readings of the batch.'),
    ])

    const proof = join(folder, 'third.proof.json')
    expect((await run('reading', 'prove', readings, '3', '--batch', batch, '--out', proof)).code).toBe(0)
    const good = await run('proof', 'verify', proof)
    expect([good.code, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toContain('It is number 3 of 5.')
    expect(good.stdout).toMatch(/The proof holds\.\n$/)

    const altered = write('altered.json', readFileSync(proof, 'utf8').replace('\\"v\\":2', '\\"v\\":3'))
    const bad = await run('proof', 'verify', altered)
    expect(bad.code).toBe(2)
    expect(bad.stdout).toMatch(/FALSE {2}The reading stands in that batch, unaltered\.\n.*\(READING_BATCH\)/)
    const forged = write('forged.jsonl', readFileSync(readings, 'utf8').replace('\\"v\\":4', '\\"v\\":5'))
    expect((await run('reading', 'verify', forged, '--batch', batch)).code).toBe(2)
  }, 120_000)
})
