/** `althing device trust` and `althing device history` as processes, against an API of canned answers. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { althing, temporaryFolder } from './process.ts'

const ID = 'd'.repeat(40)
const opinion = {
  rater: 'e'.repeat(40),
  member: null,
  trustPpm: 210_000,
  weightPpm: 700_000,
  observedAt: 1,
  height: 812,
}
const TRUST = {
  trustPpm: 210_000,
  basis: 'opinions',
  below: 1,
  status: 'suspect',
  opinions: [opinion],
  blacklist: null,
}
const POINT = {
  sequence: 7,
  height: 812,
  time: 1,
  trustPpm: 210_000,
  thresholdPpm: 300_000,
  raters: 3,
  below: 1,
  status: 'suspect',
}

let folder: ReturnType<typeof temporaryFolder>
let server: Server
let asked: string[]
const cli = (...words: string[]) => {
  const { port } = server.address() as AddressInfo
  return althing(folder.path, words, '', { ALTHING_URL: `http://127.0.0.1:${port}` })
}

beforeEach(async () => {
  folder = temporaryFolder()
  asked = []
  server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const answer = request.url?.includes('/history') ? { items: [POINT], next: 'abc' } : TRUST
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(() => {
  server.close()
  folder.remove()
})

describe('device', () => {
  it('trust: how it stands, and a table of who thinks what', async () => {
    const { code, stdout } = await cli('device', 'trust', ID)
    expect(code).toBe(0)
    expect(stdout).toContain('suspect')
    expect(stdout).toMatch(/rater +member +trustPpm +weightPpm +height/i)
    expect(stdout).toContain(opinion.rater)
    expect(JSON.parse((await cli('device', 'trust', ID, '--json')).stdout)).toEqual(TRUST)
    expect(asked).toEqual([`/v1/devices/${ID}/trust`, `/v1/devices/${ID}/trust`])
  })

  it('history: a page of points, from where the page before ended', async () => {
    const { code, stdout } = await cli('device', 'history', ID, '--limit', '1', '--cursor', 'xyz')
    expect(code).toBe(0)
    expect(stdout).toContain('812')
    expect(asked).toEqual([`/v1/devices/${ID}/trust/history?limit=1&cursor=xyz`])
    expect(JSON.parse((await cli('device', 'history', ID, '--json')).stdout)).toEqual({ items: [POINT], next: 'abc' })
  })
})
