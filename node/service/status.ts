/**
 * `status`: the node at a glance, as JSON for the API, the command line and the explorer. Names and units are part of the API.
 */
import { toHex } from '../../protocol/bytes.ts'
import { assuranceSentence } from '../../protocol/light.ts'
import { leaderOf } from '../../protocol/members.ts'
import type { JsonObject } from '../api/dependencies.ts'
import { removalSentence } from '../removal.ts'
import { round } from './figures.ts'
import type { Observed } from './observed.ts'
import { standstillOf } from './standstill.ts'

/** What the chain has recorded against members: how often, and whom, by name or key. */
export type Recorded = { readonly count: number; readonly members: readonly string[] }

/** The status of a node. Times ms since 1970-01-01T00:00Z, spans ms. */
export function statusOf(observed: Observed, recorded: Recorded): JsonObject {
  const { node, roster, figures, nowMs, monotonicMs } = observed
  const { state } = node.driver
  const { era, view, phase, highest } = state
  const { memberSet } = node
  const { network } = node.genesis
  const { head } = node.executor
  const { removal } = node
  const delays = node.driver.figures.delays
  const names = memberSet.members.map(({ name }) => name)
  const leader = leaderOf(view, era.n)
  const slowestMs = observed.slowestMs()
  // A node that is no member misses nobody's vote.
  const standstill =
    node.me < 0 || removal !== undefined
      ? null
      : standstillOf({
          state,
          roster: roster.entries,
          height: head.height,
          sinceMs: observed.sinceCommitMs(),
          nowMs,
          slowestMs,
        })
  const signed = highest?.signatures.size ?? 0
  return {
    version: node.version,
    network,
    chainId: toHex(node.chainId),
    member: { name: names[node.me] ?? null, publicKey: node.network.publicKey, index: node.me },
    startedAt: node.startedAt,
    uptimeMs: nowMs - node.startedAt,
    height: head.height,
    headHash: toHex(head.hash),
    headTime: head.time,
    headAgeMs: Math.round(observed.sinceCommitMs()),
    ledger: node.growth,
    era: era.era,
    view,
    phase: removal !== undefined ? 'removed' : node.me < 0 ? 'following' : phase,
    removed: removal ?? null,
    leader: {
      name: names[leader],
      publicKey: toHex(memberSet.members[leader]?.publicKey ?? new Uint8Array()),
      isThisMember: leader === node.me,
    },
    quorum: { members: era.n, needed: era.q, tolerated: era.f, strong: era.s },
    members: roster.entries.map((entry, i) => {
      const roundTripMs = delays.get(i)?.roundTripMs ?? null
      return { ...entry, roundTripMs: roundTripMs === null ? null : round(roundTripMs) }
    }),
    assurance:
      highest === null
        ? null
        : {
            height: highest.height,
            signed,
            signers: [...highest.signatures.keys()].sort((a, b) => a - b).map((member) => names[member]),
            liarsTolerated: signed + era.q - era.n - 1,
            sentence: assuranceSentence(signed, memberSet),
          },
    standstill,
    delays: {
      deltaMs: era.deltaMs,
      slowestMs: slowestMs === null ? null : round(slowestMs),
      violated: observed.timing.last?.until === null,
      violations: observed.timing.count,
      lastViolation: observed.timing.last,
    },
    pool: { count: node.pool.stats.count, bytes: node.pool.stats.bytes },
    transactions: { committed: figures.committed, perSecond: figures.perSecond(monotonicMs) },
    latency: figures.latency(),
    devices: { connected: node.network.peers().filter(({ role }) => role === 'device').length },
    evidence: node.evidence.length,
    offences: { recorded: recorded.count, members: [...recorded.members] },
    warnings: [
      ...(removal === undefined ? [] : [removalSentence(removal)]),
      ...observed.warnings(),
      ...(recorded.count === 0 ? [] : [offencesSentence(recorded)]),
    ],
  }
}

const offencesSentence = ({ count, members }: Recorded): string =>
  `The chain has recorded evidence against ${members.join(', ')} (${count} ${count === 1 ? 'offence' : 'offences'}): \`althing member evidence\` ` +
  'shows it; what follows is decided by the members.'
