/**
 * A look at a running node: what status, health and metrics are made of, taken at one moment.
 */
import { statfs } from 'node:fs/promises'
import type { MemberNode } from '../main.ts'
import type { CommitFigures } from './figures.ts'
import type { Roster } from './roster.ts'
import { restMs, span } from './standstill.ts'
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

/** From this difference on a clock is called wrong, ms: well above what it takes to commit a block, well below what makes tokens invalid. */
const CLOCK_OFF_MS_MIN = 30_000

/**
 * What to say of this member's clock, if anything: it read `committedAtMs` when a block of the time `blockTimeMs` was committed that no other
 * member was beyond. Its own blocks wait until others reach their time, and blocks of others wait for it.
 */
export function clockWarning(blockTimeMs: number, committedAtMs: number): string | undefined {
  const offMs = committedAtMs - blockTimeMs
  if (Math.abs(offMs) < CLOCK_OFF_MS_MIN) return undefined
  const side = offMs > 0 ? 'ahead of' : 'behind'
  return `The clock of this machine is ${span(Math.abs(offMs))} ${side} the time of the newest block: check it, and those of the others.`
}

/** Looks at `node` now. `lastCommitMs`: monotonic time of the last commit, or of the start where there was none since (`hasCommitted`). */
export function observe(
  node: MemberNode,
  figures: CommitFigures,
  timing: TimingWatch,
  {
    nowMs,
    monotonicMs,
    lastCommitMs,
    hasCommitted,
    followers,
  }: { nowMs: number; monotonicMs: number; lastCommitMs: number; hasCommitted: boolean; followers: number },
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
      if (last?.until === null) found.push(violationSentence(last, era.deltaMs, assured, node.memberSet))
      else if (slow !== null && slow > SLOW_SHARE * era.deltaMs)
        found.push(`Messages take ${Math.round(slow)} ms, more than half of Δ = ${era.deltaMs} ms.`)
      const away = roster.entries.filter(({ linked }) => !linked)
      if (away.length > 0) {
        const margin = era.n - away.length - era.q
        const left =
          margin > 0 ? `${margin} more may go` : margin === 0 ? 'no other may go' : 'too few are left to decide'
        found.push(`No link to ${away.map(({ name }) => name).join(', ')}; ${left}.`)
      }
      const { height, time } = node.executor.head
      const isLevel = hasCommitted && roster.entries.every((entry) => (entry.height ?? 0) <= height + 2)
      const clock = isLevel ? clockWarning(time, nowMs - sinceCommitMs()) : undefined
      if (clock !== undefined) found.push(clock)
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
