import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { althing, type Ended, temporaryFolder } from './process.ts'
import { writeProofFiles } from './proofFiles.ts'

const folder = temporaryFolder()
let files: Awaited<ReturnType<typeof writeProofFiles>>
beforeAll(async () => {
  files = await writeProofFiles(folder.path)
})
afterAll(() => folder.remove())

const verify = (file: string, input = '', ...more: string[]): Promise<Ended> =>
  althing(join(folder.path, 'home'), ['proof', 'verify', file, '--genesis', files.genesis, ...more], input)

describe('proof verify', () => {
  it('proof verify: a true proof → each step with what to believe, exit 0; no home and no node are needed', async () => {
    const { code, stdout, stderr } = await verify(files.transaction)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^holds {2}The proof is for the consortium of this genesis\.\n/)
    expect(stdout).toMatch(/\n {7}To believe: .*\nThe proof holds\.\n$/)
    expect(stdout).toContain('3 of 4 signed')
  })

  it('proof verify: from standard input, as JSON', async () => {
    const { code, stdout } = await verify('-', readFileSync(files.entry, 'utf8'), '--json')
    expect(code).toBe(0)
    const { ok, steps } = JSON.parse(stdout)
    expect([ok, steps.every((step: { code: unknown }) => step.code === null)]).toEqual([true, true])
  })

  it('proof verify: a proof with another transaction → exit 2, the step that is false and its code', async () => {
    const proof = JSON.parse(readFileSync(files.transaction, 'utf8'))
    const changed = join(folder.path, 'changed.json')
    writeFileSync(changed, `${JSON.stringify({ ...proof, index: 1 - proof.index }, null, 2)}\n`)
    const { code, stdout } = await verify(changed)
    expect(code).toBe(2)
    expect(stdout).toMatch(
      /\nFALSE {2}The transaction is in the block\.\n.*\(BLOCK_TREES\)\n.*\nThe proof is false\.\n$/,
    )
  })

  it('proof verify: a proof that an editor has changed → PROOF_MALFORMED, exit 65', async () => {
    const { code, stdout, stderr } = await verify('-', readFileSync(files.entry, 'utf8').replace('\n  ', '\n\t'))
    expect([code, stdout]).toEqual([65, ''])
    expect(stderr).toContain('code: PROOF_MALFORMED\n')
  })

  it('proof verify: without --genesis and without a home → FILE_MISSING names the genesis', async () => {
    const { code, stderr } = await althing(join(folder.path, 'none'), ['proof', 'verify', files.entry])
    expect(code).toBe(65)
    expect(stderr).toContain('genesis.json')
  })
})

describe('proof get', () => {
  const get = async (answer: string): Promise<Ended> => {
    const server = createServer((_request, response) =>
      response.setHeader('content-type', 'application/json').end(answer),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    try {
      return await althing(join(folder.path, 'home'), [
        'proof',
        'get',
        'state',
        'x',
        '--url',
        `http://127.0.0.1:${port}`,
      ])
    } finally {
      server.close()
    }
  }

  it('proof get: what the node sent, to the byte, so that it verifies', async () => {
    const text = readFileSync(files.entry, 'utf8')
    expect(await get(text)).toEqual({ code: 0, stdout: text, stderr: '' })
  })

  it('proof get: an answer that is no proof → API_ANSWER, exit 65, and nothing on standard output', async () => {
    const { code, stdout, stderr } = await get('{"format":"althing-proof","\u009b31m":1}')
    expect([code, stdout]).toEqual([65, ''])
    expect(stderr).toContain('code: API_ANSWER\n')
  })
})
