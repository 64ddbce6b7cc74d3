import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApiClient } from '../../cli/client.ts'
import { describeError } from '../../cli/failure.ts'
import { cell, table } from '../../cli/output.ts'
import { runFileIn } from '../../config/home.ts'
import { althing, temporaryFolder } from './process.ts'

type Seen = { method: string; url: string; authorization: string | undefined; type: string | undefined; body: string }

let server: Server
let seen: Seen[]
let respond: (request: IncomingMessage, response: ServerResponse) => void
let baseUrl: string
beforeEach(async () => {
  seen = []
  respond = (_, response) => response.setHeader('content-type', 'application/json').end('{"height":3}')
  server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => (body += text))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      seen.push({ method, url, authorization: headers.authorization, type: headers['content-type'], body })
      respond(request, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const failure = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return { code: (error as { code?: string } | undefined)?.code, ...describeError(error) }
}
const refuseWith = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
  respond = (_, response) =>
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(body))
}

describe('API client', () => {
  it('client: a key with slashes and dots → one segment, the token in the header only', async () => {
    const client = createApiClient({ baseUrl, token: 't' })
    expect(
      await client.json({ segments: ['kv', 'ab', 'a/../b?c#d'], query: { limit: '2', cursor: undefined } }),
    ).toEqual({ height: 3 })
    expect(seen).toEqual([
      {
        method: 'GET',
        url: '/v1/kv/ab/a%2F..%2Fb%3Fc%23d?limit=2',
        authorization: 'Bearer t',
        type: undefined,
        body: '',
      },
    ])
  })

  it('client: a problem document → the code, the detail and the exit code that its status means', async () => {
    const client = createApiClient({ baseUrl })
    const table: [number, Record<string, unknown>, Record<string, string>, string, number][] = [
      [404, { title: 'Not Found', code: 'DEVICE_UNKNOWN', detail: 'no device ab' }, {}, 'DEVICE_UNKNOWN', 1],
      [422, { code: 'TX_EXPIRED', detail: 'too late' }, {}, 'TX_EXPIRED', 65],
      [401, { title: 'Unauthorized' }, {}, 'HTTP_401', 77],
      [429, { code: 'RATE_LIMITED', detail: 'slower' }, { 'retry-after': '7' }, 'RATE_LIMITED', 75],
      [500, { code: 'lower case \u001b[31m' }, {}, 'HTTP_500', 69],
    ]
    for (const [status, body, headers, code, exitCode] of table) {
      refuseWith(status, body, headers)
      expect(await failure(client.json({ segments: ['x'] }))).toMatchObject({ code, exitCode })
    }
    refuseWith(429, { detail: 'slower' }, { 'retry-after': '7' })
    expect((await failure(client.json({ segments: ['x'] }))).text).toBe(
      'althing: the node refused: slower\n  what to do: Try again in 7 s.\n  code: HTTP_429',
    )
  })

  it('client: escape sequences in an answer → shown, not obeyed', async () => {
    refuseWith(404, { detail: '\u001b]0;owned\u0007' })
    const { text } = await failure(createApiClient({ baseUrl }).json({ segments: ['x'] }))
    expect(text).toContain('\\u{1b}]0;owned\\u{7}')
    expect(cell('a\u202eb\nc')).toBe('a\\u{202e}b\\u{a}c')
  })

  it('client: nobody there, no answer, a redirect, no JSON → exit 69, 75, 69, 65', async () => {
    respond = () => undefined
    const slow = createApiClient({ baseUrl, timeoutMs: 50 })
    expect(await failure(slow.json({ segments: ['x'] }))).toMatchObject({ code: 'API_TIMEOUT', exitCode: 75 })
    respond = (_, response) => response.writeHead(302, { location: '/v1/elsewhere' }).end()
    const client = createApiClient({ baseUrl, token: 'secret-token' })
    const redirected = await failure(client.json({ segments: ['x'] }))
    expect(redirected).toMatchObject({ code: 'API_UNREACHABLE', exitCode: 69 })
    expect(redirected.text).not.toContain('secret-token')
    expect(seen.some(({ url }) => url === '/v1/elsewhere')).toBe(false)
    respond = (_, response) => response.end('<html>')
    expect(await failure(client.json({ segments: ['x'] }))).toMatchObject({ code: 'API_ANSWER', exitCode: 65 })
    const gone = createApiClient({ baseUrl: 'http://127.0.0.1:1' })
    expect(await failure(gone.json({ segments: ['x'] }))).toMatchObject({ code: 'API_UNREACHABLE', exitCode: 69 })
  })

  it('client: an endless answer → cut off at the bound', async () => {
    respond = (_, response) => {
      const chunk = Buffer.alloc(1024 * 1024)
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
      }
      response.on('drain', more).on('error', () => undefined)
      more()
    }
    expect(await failure(createApiClient({ baseUrl }).json({ segments: ['x'] }))).toMatchObject({ code: 'API_ANSWER' })
  })
})

describe('commands that ask a node', () => {
  it('status: a home → a short-lived token of its own for the first API key, scope read', async () => {
    const folder = temporaryFolder()
    try {
      const home = join(folder.path, 'home')
      await althing(home, ['init'])
      const ended = await althing(home, ['status', '--set', `api.listen=${baseUrl.slice('http://'.length)}`])
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      expect(ended.stdout).toContain('height     3, last block - ago')
      const claims = JSON.parse(Buffer.from(seen[0]!.authorization!.split('.')[1]!, 'base64url').toString())
      expect(claims).toMatchObject({ iss: 'althing', aud: 'althing-api', sub: 'admin', scope: 'read' })
      expect(claims.exp - claims.iat).toBe(60)

      // Another node's address gets no token of ours.
      await althing(home, ['status', '--url', baseUrl])
      expect(seen[1]!.authorization).toBeUndefined()

      const listed = await althing(home, ['block', 'list', '--json'], '', { ALTHING_URL: baseUrl })
      expect(JSON.parse(listed.stdout)).toEqual({ height: 3 })
      expect(seen[2]).toMatchObject({ method: 'GET', url: '/v1/blocks' })
    } finally {
      folder.remove()
    }
  })

  it('status: api.listen with port 0 → the port that the running node wrote down; none runs → said, and no token is sent', async () => {
    const folder = temporaryFolder()
    try {
      const home = join(folder.path, 'home')
      await althing(home, ['init'])
      const status = () => althing(home, ['status', '--set', 'api.listen=127.0.0.1:0'])
      expect(await status()).toMatchObject({
        code: 69,
        stderr: expect.stringContaining(`no node of ${home} is running`),
      })
      const runs = (pid: number): void => writeFileSync(runFileIn(home), JSON.stringify({ pid, api: baseUrl }))
      const dead = spawnSync('true').pid
      runs(dead)
      expect(await status()).toMatchObject({ code: 69, stderr: expect.stringContaining('code: API_UNREACHABLE') })
      expect(seen).toEqual([])
      runs(process.pid)
      expect(await status()).toMatchObject({ code: 0, stderr: '' })
      expect(seen[0]?.authorization).toMatch(/^Bearer /)
    } finally {
      folder.remove()
    }
  })

  it('tx submit: a file that is no transaction → exit 65, nothing sent', async () => {
    const folder = temporaryFolder()
    try {
      const ended = await althing(folder.path, ['tx', 'submit', process.execPath, '--url', baseUrl])
      expect(ended).toMatchObject({ code: 65, stdout: '' })
      expect(seen).toEqual([])
    } finally {
      folder.remove()
    }
  })
})

it('table: cells of different widths → columns aligned, no spaces at the end of lines', () => {
  expect(
    table(
      ['name', 'n'],
      [
        ['longer name', 1],
        ['x', null],
      ],
    ),
  ).toBe('NAME         N\nlonger name  1\nx            -')
})
