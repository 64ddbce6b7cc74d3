/**
 * A look at a running node: what status, health and metrics are made of, taken at one moment.
 */
import { statfs } from 'node:fs/promises'
import type { MemberNode } from '../main.ts'
import type { CommitFigures } from './figures.ts'
import type { Roster } from './roster.ts'
import { restMs } from './standstill.ts'
import { type TimingWatch, violationSentence } from './timing.ts'

/** One moment of a node. */
export type Observed = {
  readonly node: MemberNode
  readonly roster: Roster
  readonly figures: CommitFigures
  readonly nowMs: number
  readonly monotonicMs: number
  /** Followers of the event feed. */
  readonly followers: number
  /** ms since the last commit here, or since the start. */
  sinceCommitMs(): number
  /** Whether the chain has rested for longer than it should. */
  isStill(): boolean
  /** Slowest small message measured lately, ms one way, unanswered ones included; null without a link. */
  slowestMs(): number | null
  /** Violations of the timing assumption. */
  readonly timing: TimingWatch
  /** What an operator should know though it is no failure, each a sentence. */
  warnings(): string[]
}

/** How long no message should take, as a share of Δ, before there is a warning. */
const SLOW_SHARE = 0.5

/** Looks at `node` now. `lastCommitMs`: monotonic time of the last commit or of the start. */
export function observe(
  node: MemberNode,
  figures: CommitFigures,
  timing: TimingWatch,
  {
    nowMs,
    monotonicMs,
    lastCommitMs,
    followers,
  }: { nowMs: number; monotonicMs: number; lastCommitMs: number; followers: number },
): Observed {
  const { roster } = node
  const { era, highest } = node.driver.state
  const sinceCommitMs = (): number => monotonicMs - lastCommitMs
  const slowestMs = (): number | null => {
    const spans = [...node.driver.figures.delays.values()].flatMap(({ roundTripMs, waitingMs }) =>
      [roundTripMs, waitingMs].filter((ms) => ms !== null),
    )
    return spans.length === 0 ? null : Math.max(...spans) / 2
  }
  timing.measured(slowestMs(), era.deltaMs, nowMs)
  return {
    node,
    roster,
    figures,
    timing,
    nowMs,
    monotonicMs,
    followers,
    sinceCommitMs,
    isStill: () => sinceCommitMs() > restMs(era),
    slowestMs,
    warnings() {
      const found: string[] = []
      const slow = slowestMs()
      const { last } = timing
      const assured = highest === null ? null : { height: highest.height, signed: highest.signatures.size }
      if (last?.until === null) found.push(violationSentence(last, era.deltaMs, assured, node.genesis.memberSet))
      else if (slow !== null && slow > SLOW_SHARE * era.deltaMs)
        found.push(`Messages take ${Math.round(slow)} ms, more than half of Δ = ${era.deltaMs} ms.`)
      const away = roster.entries.filter(({ linked }) => !linked)
      if (away.length > 0) {
        const margin = era.n - away.length - era.q
        const left =
          margin > 0 ? `${margin} more may go` : margin === 0 ? 'no other may go' : 'too few are left to decide'
        found.push(`No link to ${away.map(({ name }) => name).join(', ')}; ${left}.`)
      }
      if (node.evidence.length > 0) found.push(`There is evidence of misbehaviour: ${node.evidence.length} pieces.`)
      return found
    },
  }
}

/** Free bytes of the file system of `directory`, for an unprivileged process. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}
