/**
 * Health checks: each by name, with what it found. `alive` failing: restart the process; `ready` failing: send no requests here.
 */
import type { HealthCheck } from '../api/dependencies.ts'
import { removalSentence } from '../removal.ts'
import { freeBytesOf, type Observed } from './observed.ts'
import { span } from './standstill.ts'
import type { Violation } from './timing.ts'

/** Blocks that a ready node may be behind the highest member it hears of. */
const BEHIND_MAX = 20

/** All checks of a node. `disk`: the data directory and the bytes that must stay free in it. */
export async function healthOf(
  observed: Observed,
  disk: { readonly directory: string; readonly freeBytesMin: number },
): Promise<readonly HealthCheck[]> {
  const { node, roster } = observed
  const { state } = node.driver
  const { removal } = node
  const { era } = state
  const height = node.executor.head.height
  const linked = roster.entries.filter((entry) => entry.linked).length
  const highest = Math.max(height, ...roster.entries.map((entry) => entry.height ?? 0))
  const failure = node.executor.failure
  const free = await freeBytesOf(disk.directory)
  const slowest = observed.slowestMs()
  const violation = observed.timing.last ?? undefined
  const check = (name: string, needed: HealthCheck['needed'], ok: boolean, detail: string): HealthCheck => ({
    name,
    needed,
    ok,
    detail,
  })
  return [
    check('database', 'alive', failure === undefined, failure === undefined ? 'open' : failure.message),
    check(
      'disk',
      'ready',
      free >= disk.freeBytesMin && !node.blockFigures.diskFull,
      `${free} bytes free, ${disk.freeBytesMin} must stay free; below that the node reads only`,
    ),
    check('quorum', 'ready', linked >= era.q, `${linked} of ${era.n} members here, ${era.q} decide`),
    check('sync', 'ready', highest - height <= BEHIND_MAX, `height ${height}, the highest told is ${highest}`),
    check('progress', 'ready', !observed.isStill(), `last block ${span(observed.sinceCommitMs())} ago`),
    check('consensus', 'ready', state.phase === 'running', state.phase),
    check(
      'membership',
      'ready',
      node.me >= 0 && removal === undefined,
      removal !== undefined
        ? removalSentence(removal)
        : node.me >= 0
          ? `member in era ${era.era}`
          : 'this node is no member: it follows, signs nothing and takes no writes',
    ),
    check('members', 'never', linked === era.n, `${linked} of ${era.n} linked`),
    check('delays', 'never', violation?.until !== null, delaysDetail(slowest, era.deltaMs, violation)),
    check('evidence', 'never', node.evidence.length === 0, `${node.evidence.length} pieces`),
  ]
}

function delaysDetail(slowestMs: number | null, deltaMs: number, violation: Violation | undefined): string {
  const measured =
    slowestMs === null ? 'not measured' : `slowest message ${Math.round(slowestMs)} ms, Δ is ${deltaMs} ms`
  return violation?.until === null
    ? `timing assumption violated since ${new Date(violation.since).toISOString()}, by up to ${Math.round(violation.largestMs)} ms; ${measured}`
    : measured
}
