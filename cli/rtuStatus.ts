/**
 * Stage: the operator. What a running RTU tells of itself, over the socket in its folder.
 * Invariant: what comes back is bounded in bytes and time, whoever answers there.
 */
import { createConnection } from 'node:net'
import type { RtuStatus } from '../node/rtu/options.ts'
import { CommandError, EXIT } from './failure.ts'
import { record, table } from './output.ts'

const ANSWER_BYTES_MAX = 4 * 1024 * 1024
const ANSWER_MS = 1000

/** Asks the RTU whose data directory this is. CommandError RTU_NOT_RUNNING (exit 69). */
export async function askRtu(dataDirectory: string): Promise<RtuStatus> {
  const { statusSocketIn } = await import('../node/rtu/statusSocket.ts')
  try {
    return JSON.parse(await readAll(statusSocketIn(dataDirectory))) as RtuStatus
  } catch (cause) {
    throw new CommandError('RTU_NOT_RUNNING', EXIT.unavailable, `no RTU answers in ${dataDirectory}`, {
      cause,
      advice: 'Start it: `althing rtu`.',
    })
  }
}

function readAll(path: string): Promise<string> {
  const socket = createConnection(path)
  const answer = Promise.withResolvers<string>()
  let text = ''
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('no answer in time')))
  socket.setEncoding('utf8')
  socket.on('data', (more: string) => {
    text += more
    if (text.length > ANSWER_BYTES_MAX) socket.destroy(new Error('the answer is too long'))
  })
  socket.on('error', answer.reject)
  socket.on('end', () => answer.resolve(text))
  return answer.promise
}

const percent = (ppm: number): string => `${(ppm / 10_000).toFixed(1)} %`

/** The same for people. */
export function renderRtuStatus(status: RtuStatus): string {
  const { device, segment, members, height, standing, outbox, learning, findings, blind, trust } = status
  const said = standing === undefined ? 'not known yet' : (standing.record?.status ?? 'not registered')
  const head = record({
    device,
    segment,
    'in the chain': said,
    height,
    members: members.map(({ name, state }) => `${name} ${state}`).join(', ') || 'none',
    reports: `${outbox.delivered} delivered, ${outbox.reportsHeld} held`,
    baseline: learning ? 'learning' : 'learnt',
    blind: blind.join('; ') || 'to nothing',
    peers: `${status.peersKnown} known, ${status.peersLinked} linked, ${status.peersHeard} heard`,
  })
  return [
    head,
    '',
    table(
      ['finding', 'score', 'detail'],
      findings.map(({ category, scorePpm, detail }) => [category, percent(scorePpm), detail]),
    ),
    '',
    table(
      ['device', 'trust', 'memory', 'last φ', 'judgements'],
      trust.map((row) => [
        row.device,
        percent(row.trustPpm),
        percent(row.memoryPpm),
        row.phiPpm === null ? '-' : percent(row.phiPpm),
        row.judgements,
      ]),
    ),
  ].join('\n')
}
