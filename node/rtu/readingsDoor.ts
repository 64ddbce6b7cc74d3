/**
 * RTU as a gateway: where sensors hand in signed readings, `POST /readings` over HTTP, one reading a line.
 * Invariants: a body is bounded before it is read; nothing is acknowledged that is not on disk; a reading's signature is its credential, so
 * there is nothing here to log in to, and nothing to read.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VERDICTS } from '../../protocol/verdict.ts'
import { AlthingError } from '../errors.ts'
import type { Readings } from './readings.ts'

/** Bounds of the door. Beyond: 413, 503, or the connection is closed. */
export const READINGS_DOOR_LIMITS = {
  /** Bytes of one body. */
  bodyBytesMax: 1024 * 1024,
  /** Lines of one body. */
  linesMax: 1024,
  /** Connections at once; more are closed. */
  connectionsMax: 64,
  /** Bodies that are being judged or wait for the disk; more are told to come back. */
  bodiesMax: 16,
  /** How long one request may take to arrive, ms. */
  requestMs: 10_000,
} as const

/** An open door. */
export type ReadingsDoor = { readonly host: string; readonly port: number; close(): Promise<void> }

/** Opens it. `failed` hears of a disk that took nothing. Throws AlthingError RTU_LISTEN_FAILED. */
export async function openReadingsDoor(
  { host, port }: { readonly host: string; readonly port: number },
  readings: Readings,
  failed: (error: unknown) => void,
): Promise<ReadingsDoor> {
  const { requestMs, connectionsMax } = READINGS_DOOR_LIMITS
  let underWay = 0
  const server = createServer(
    {
      requestTimeout: requestMs,
      headersTimeout: requestMs,
      keepAliveTimeout: requestMs,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      if (underWay >= READINGS_DOOR_LIMITS.bodiesMax)
        return answer(response, 503, { title: 'Too many at once. Come back in a second.' }, { 'retry-after': '1' })
      underWay++
      serve(request, response, readings, failed).finally(() => underWay--)
    },
  )
  server.maxConnections = connectionsMax
  await listening(server, host, port)
  return {
    host,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const listening = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AlthingError('RTU_LISTEN_FAILED', `cannot take readings at ${host}:${port}`, { cause })),
    )
    server.listen(port, host, resolve)
  })

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  readings: Readings,
  failed: (error: unknown) => void,
): Promise<void> {
  try {
    if (request.url !== '/readings')
      return answer(response, 404, { title: 'There is POST /readings, and nothing else.' })
    if (request.method !== 'POST') return answer(response, 405, { title: 'Use POST.' }, { allow: 'POST' })
    const body = await bodyOf(request)
    if (body === undefined)
      return answer(response, 413, {
        title: `At most ${READINGS_DOOR_LIMITS.bodyBytesMax} bytes and ${READINGS_DOOR_LIMITS.linesMax} lines. Send fewer at a time.`,
      })
    const lines = body.split('\n').filter((line) => line.trim() !== '')
    if (lines.length > READINGS_DOOR_LIMITS.linesMax)
      return answer(response, 413, { title: `At most ${READINGS_DOOR_LIMITS.linesMax} lines. Send fewer at a time.` })
    const taken = await readings.take(lines)
    const refused = taken.flatMap((one, i) =>
      'problem' in one ? [{ line: i + 1, code: one.code, problem: one.problem, title: VERDICTS[one.code].text }] : [],
    )
    const count = (code: string): number => taken.filter((one) => one.code === code).length
    answer(response, refused.length === 0 ? 200 : 422, {
      accepted: count('OK'),
      duplicates: count('READING_DUPLICATE'),
      refused,
    })
  } catch (error) {
    failed(error)
    answer(response, 507, { title: 'The disk took nothing. Send them again later.' }, { 'retry-after': '10' })
  }
}

/** The body as text, or undefined if it is too large. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > READINGS_DOOR_LIMITS.bodyBytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function answer(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  if (response.destroyed) return
  // What is left of a request that was refused early is not read: the connection ends with the answer.
  const end = status === 413 || status === 404 || status === 405 ? { connection: 'close' } : {}
  response.writeHead(status, { 'content-type': 'application/json', ...headers, ...end })
  response.end(`${JSON.stringify(body)}\n`)
}
