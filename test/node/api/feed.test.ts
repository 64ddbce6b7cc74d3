/** The event feed: what a reader gets, how it resumes, and what a slow one costs. */
import { connect } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { createApi } from '../../../node/api/api.ts'
import type { FeedEvent } from '../../../node/api/dependencies.ts'
import { NOW, optionsWith, type Running, start, token } from './helper.ts'

let running: Running | undefined
const started = async (...arguments_: Parameters<typeof start>): Promise<Running> => {
  running = await start(...arguments_)
  return running
}
afterEach(async () => {
  await running?.api.close()
  running = undefined
})
const event = (height: number): FeedEvent => ({ id: `${height}.0`, type: 'block', data: { height } })

/** Opens the feed; `until` reads on until the text so far holds `words`, or the stream ends. */
async function follow({ api }: Running, headers: Record<string, string> = {}, query = '') {
  const abort = new AbortController()
  const response = await fetch(`${api.url}/v1/events${query}`, {
    headers: { authorization: `Bearer ${await token()}`, ...headers },
    signal: abort.signal,
  })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    response,
    abort: () => abort.abort(),
    async until(words?: string): Promise<string> {
      while (words === undefined || !text.includes(words)) {
        const { done, value } = await reader.read()
        if (done) break
        text += value
      }
      return text
    },
  }
}

it('feed: without an id, events from now on; with Last-Event-ID or `after`, those that were missed too', async () => {
  const running = await started()
  const { node } = running
  node.emit(event(1))
  node.emit(event(2))
  const now = await follow(running)
  expect(now.response.headers.get('content-type')).toContain('text/event-stream')
  await now.until('welcome')
  node.emit(event(3))
  const seen = await now.until('id: 3.0\nevent: block\ndata: {"height":3}\n\n')
  expect(seen).not.toContain('2.0')
  const resumed = await follow(running, { 'last-event-id': '1.0' })
  expect(await resumed.until('id: 3.0')).toMatch(/id: 2\.0\n[\s\S]*id: 3\.0\n/)
  const after = await follow(running, {}, '?after=2.0')
  expect(await after.until('id: 3.0')).not.toContain('id: 2.0')
})

it('feed: events that are no longer kept, or not here yet, are announced as a gap', async () => {
  const running = await started()
  for (const reason of ['dropped', 'ahead'] as const) {
    running.node.gap = reason
    const reader = await follow(running, { 'last-event-id': '1.0' })
    expect(await reader.until('event: gap')).toContain(`event: gap\ndata: {"reason":"${reason}"}\n\n`)
  }
})

it('feed: a quiet stream is kept alive by comments', async () => {
  const reader = await follow(await started({ feedHeartbeatMs: 10 }))
  expect(await reader.until(': alive')).toContain(': alive\n\n')
})

it('feed: an id that it cannot have given out → 400', async () => {
  const { ask } = await started()
  expect((await ask('/v1/events', { headers: { 'last-event-id': 'a b' } })).json.code).toBe('EVENT_ID_INVALID')
})

it('feed: more readers than allowed → 503; a reader that leaves makes room', async () => {
  const running = await started({ feedReadersMax: 1 })
  const reader = await follow(running)
  await reader.until('welcome')
  expect((await running.ask('/v1/events')).json).toMatchObject({ status: 503, code: 'FEED_FULL' })
  reader.abort()
  await vi.waitUntil(() => running.node.listeners.size === 0)
  expect(await (await follow(running)).until('welcome')).toContain('welcome')
})

it('feed: a reader that does not read is disconnected at the bound of its buffer, and its subscription ends', async () => {
  const running = await started({ feedBufferBytesMax: 64 * 1024 })
  const { port } = new URL(running.api.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.pause()
  socket.on('error', () => {})
  socket.write(`GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${await token()}\r\n\r\n`)
  await vi.waitUntil(() => running.node.listeners.size === 1)
  // The system's own buffers come first: a few MB.
  await vi.waitUntil(
    () => {
      running.node.emit({ id: '1', type: 'block', data: 'x'.repeat(256 * 1024) })
      return running.node.listeners.size === 0
    },
    { timeout: 10_000, interval: 1 },
  )
  socket.destroy()
})

it('feed: a stream ends with its token, and when the API closes', async () => {
  const running = await started()
  const short = await token({ expiresAtS: NOW / 1000 + 1 })
  const expiring = await follow(running, { authorization: `Bearer ${short}` })
  const open = await follow(running)
  await expiring.until()
  expect(running.node.listeners.size).toBe(1)
  await running.api.close()
  await open.until()
  expect(running.node.listeners.size).toBe(0)
})

it('close: ends although a client waits for a block that never comes', async () => {
  const running = await started({ closeTimeoutMs: 50 })
  let waits = false
  running.node.waitFor = () => {
    waits = true
    return new Promise(() => {})
  }
  const waiting = running.ask('/v1/kv/a?wait=committed', { method: 'DELETE' }).catch(() => 'cut off')
  await vi.waitUntil(() => waits)
  await running.api.close()
  expect(await waiting).toBe('cut off')
})

it('feed: what was missed may be more than the buffer: it comes at the reader’s pace, then what happened meanwhile', async () => {
  const running = await started({ feedBufferBytesMax: 64 * 1024 })
  running.node.emit({ id: 'first', type: 'block', data: '' })
  for (let i = 0; i < 200; i++) running.node.emit({ id: `old${i}`, type: 'block', data: 'x'.repeat(64 * 1024) })
  const reader = await follow(running, { 'last-event-id': 'first' })
  await vi.waitUntil(() => running.node.listeners.size === 1)
  running.node.emit({ id: 'new', type: 'block', data: '' })
  const seen = [...(await reader.until('id: new\n')).matchAll(/^id: (.*)$/gm)].map((match) => match[1])
  expect(seen).toEqual([...Array.from({ length: 200 }, (_, i) => `old${i}`), 'new'])
})

it('listen: a port that is taken → API_LISTEN, and closing still ends', async () => {
  const running = await started()
  const port = Number(new URL(running.api.url).port)
  const second = createApi(optionsWith({ listen: { host: '127.0.0.1', port } }), running.node)
  await expect(second.listen()).rejects.toMatchObject({ code: 'API_LISTEN' })
  await second.close()
  expect(() => second.url).toThrow('does not listen')
})
