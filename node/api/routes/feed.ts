/**
 * Stage: HTTP API. The event feed as server-sent events (WHATWG HTML, "Server-sent events").
 * Invariants: memory per reader is bounded: who reads too slowly is disconnected and resumes with Last-Event-ID; readers are counted;
 * a stream ends with its token; a gap that the node can no longer fill is announced and never hidden.
 */
import type { ServerResponse } from 'node:http'
import { Type } from 'typebox'
import type { RouteContext, Server } from '../context.ts'
import type { FeedEvent, Subscription } from '../dependencies.ts'
import { ApiRefusal } from '../problem.ts'
import { answers } from '../schemas.ts'

const EVENT_ID = /^[A-Za-z0-9._-]{1,64}$/
/** Largest delay that a timer takes, ms. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** One event in the text of the stream. JSON has no line breaks, so that one `data` line is enough. */
const frame = ({ id, type, data }: FeedEvent): string => `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`

/** Adds GET /v1/events. */
export function feedRoutes(server: Server, { dependencies, bounds, closing }: RouteContext): void {
  let readers = 0
  server.get(
    '/events',
    {
      config: { scope: 'read' },
      exposeHeadRoute: false,
      schema: {
        tags: ['events'],
        operationId: 'followEvents',
        summary: 'Follows what happens, as server-sent events; resumes after Last-Event-ID (or `after`)',
        querystring: Type.Object(
          { after: Type.Optional(Type.String({ maxLength: 64, examples: ['812.0'] })) },
          { additionalProperties: false },
        ),
        headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64, examples: ['812.0'] })) }),
        response: answers(
          {
            200: {
              description:
                'A stream. An event `gap` says that what came after the id asked for may not all follow: `dropped`, it is no longer kept ' +
                'here; `ahead`, this node has not come so far, and begins after that id once it has.',
              content: {
                'text/event-stream': {
                  schema: Type.String({ examples: ['id: 812.0\nevent: block\ndata: {"height":812}\n\n'] }),
                },
              },
            },
          },
          ['EVENT_ID_INVALID', 'FEED_FULL'],
        ),
      },
    },
    async (request, reply) => {
      const after = request.headers['last-event-id'] ?? request.query.after
      if (after !== undefined && !EVENT_ID.test(after)) throw new ApiRefusal('EVENT_ID_INVALID')
      if (readers >= bounds.feedReadersMax || closing.aborted) throw new ApiRefusal('FEED_FULL')
      const { raw } = reply
      let over = false
      // Later events wait until those that were missed are through, which go as fast as the reader reads.
      let later: string[] | undefined = []
      let laterBytes = 0
      // Before the answer begins, so that what it throws is still a problem document.
      const subscription: Subscription = dependencies.subscribe(after, (event) => put(frame(event)))
      readers++
      const heartbeat = setInterval(() => put(': alive\n\n'), bounds.feedHeartbeatMs)
      const expiry = setTimeout(end, Math.min((request.bearer?.expiresAt ?? 0) - dependencies.now(), TIMER_MS_MAX))

      function stop(): void {
        if (over) return
        over = true
        readers--
        clearInterval(heartbeat)
        clearTimeout(expiry)
        closing.removeEventListener('abort', end)
        subscription.close()
      }
      function end(): void {
        stop()
        raw.end()
      }
      function put(text: string): void {
        if (over) return
        if (later === undefined) raw.write(text)
        else {
          later.push(text)
          laterBytes += Buffer.byteLength(text)
        }
        // While what was missed is under way, the stream holds one event of it at most.
        if ((later === undefined ? raw.writableLength : laterBytes) <= bounds.feedBufferBytesMax) return
        request.log.info('a slow reader of the event feed was disconnected')
        stop()
        raw.destroy()
      }

      raw.once('close', stop)
      closing.addEventListener('abort', end)
      reply.hijack()
      raw.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      const { gap } = subscription
      raw.write(`: welcome\n\n${gap === null ? '' : `event: gap\ndata: ${JSON.stringify({ reason: gap })}\n\n`}`)
      for (const event of subscription.replay) {
        if (over || raw.destroyed) break
        if (!raw.write(frame(event))) await drained(raw)
      }
      // Who left while the request was looked at is heard of no more.
      if (raw.destroyed) stop()
      if (!over && later.length > 0) raw.write(later.join(''))
      later = undefined
      laterBytes = 0
    },
  )
}

const drained = (stream: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
    // Closed already: neither will come.
    if (stream.destroyed) settle()
  })
