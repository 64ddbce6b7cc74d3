/**
 * Metrics for Prometheus: `althing_…`, base units, counters end with `_total`. Gauges are read at the scrape, so that nothing is counted twice.
 * Cardinality is bounded: labels are members, topics, codes and causes.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Code } from '../../protocol/verdict.ts'
import type { Observed } from './observed.ts'

const SECONDS = [0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10, 30]

/** Metrics of one node. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #loop = monitorEventLoopDelay({ resolution: 10 })
  readonly #look: () => Observed
  readonly #blockInterval: Histogram
  readonly #latency: Histogram
  readonly #refused: Counter
  readonly #blocks: Counter
  readonly #transactions: Counter

  /** `look` gives the node at the moment of a scrape. `ofProcess`: with the figures of the whole process, of which there is one. */
  constructor(look: () => Observed, version: string, ofProcess = true) {
    this.#look = look
    const registers = [this.#registry]
    if (ofProcess) {
      collectDefaultMetrics({ register: this.#registry })
      this.#loop.enable()
    }
    this.#blockInterval = new Histogram({
      name: 'althing_consensus_block_interval_seconds',
      help: 'Time between two commits here.',
      buckets: SECONDS,
      registers,
    })
    this.#latency = new Histogram({
      name: 'althing_transaction_commit_seconds',
      help: 'Time from the arrival of a transaction here to its commit.',
      buckets: SECONDS,
      registers,
    })
    this.#refused = new Counter({
      name: 'althing_transactions_refused_total',
      help: 'Transactions that were accepted here and then dropped, by code.',
      labelNames: ['code'],
      registers,
    })
    this.#blocks = new Counter({ name: 'althing_consensus_blocks_total', help: 'Blocks committed here.', registers })
    this.#transactions = new Counter({
      name: 'althing_transactions_committed_total',
      help: 'Transactions in blocks committed here.',
      registers,
    })
    new Gauge({ name: 'althing_build_info', help: 'Version.', labelNames: ['version'], registers }).set({ version }, 1)
    for (const [name, help, read] of GAUGES) this.#gauge(name, help, read)
    this.#perMember()
    this.#labelled('althing_consensus_refused_messages_total', 'Consensus messages refused, by code.', 'code', (o) =>
      Object.fromEntries(o.node.driver.figures.refused),
    )
    this.#labelled(
      'althing_network_cuts_total',
      'Connections ended by this node, by cause.',
      'cause',
      (o) => o.node.network.traffic().cuts,
    )
    this.#eventLoop()
  }

  /** A block was committed `intervalMs` after the one before. */
  block(transactions: number, intervalMs: number): void {
    this.#blocks.inc()
    this.#transactions.inc(transactions)
    this.#blockInterval.observe(intervalMs / 1000)
  }

  /** A transaction was committed after `waitedMs` in the pool. */
  committed(waitedMs: number): void {
    this.#latency.observe(waitedMs / 1000)
  }

  /** A transaction left the pool with `code`. */
  dropped(code: Code): void {
    this.#refused.inc({ code })
  }

  /** The text of a scrape. */
  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() }
  }

  stop(): void {
    this.#loop.disable()
    this.#registry.clear()
  }

  #gauge(name: string, help: string, read: (observed: Observed) => number | null): void {
    const look = this.#look
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read(look()) ?? Number.NaN)
      },
    })
  }

  #labelled(
    name: string,
    help: string,
    label: string,
    read: (observed: Observed) => Readonly<Record<string, number>>,
  ): void {
    const look = this.#look
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const [key, value] of Object.entries(read(look()))) this.set({ [label]: key }, value)
      },
    })
  }

  #perMember(): void {
    const ofMembers = (name: string, help: string, read: (observed: Observed, member: number) => number | null): void =>
      this.#labelled(name, help, 'member', (observed) =>
        Object.fromEntries(
          observed.roster.entries.flatMap((entry, i) => {
            const value = read(observed, i)
            return value === null ? [] : [[entry.name, value]]
          }),
        ),
      )
    ofMembers('althing_member_linked', 'Whether there is a link to the member (1) or not (0).', (o, i) =>
      o.roster.entries[i]?.linked ? 1 : 0,
    )
    ofMembers(
      'althing_member_last_signed_height',
      'Highest block whose commit certificate holds the signature of the member.',
      (o, i) => o.roster.entries[i]?.lastSignedHeight ?? null,
    )
    ofMembers(
      'althing_member_height',
      'Height that the member told last.',
      (o, i) => o.roster.entries[i]?.height ?? null,
    )
    ofMembers('althing_member_message_delay_seconds', 'Delay of a small message to the member, one way.', (o, i) => {
      const delay = o.node.driver.figures.delays.get(i)
      const ms = Math.max(delay?.roundTripMs ?? -1, delay?.waitingMs ?? -1)
      return ms < 0 ? null : ms / 2000
    })
  }

  #eventLoop(): void {
    const loop = this.#loop
    new Gauge({
      name: 'althing_event_loop_lag_seconds',
      help: 'Lag of the event loop since the last scrape, by quantile; stalls of more than Δ/4 make a member wait.',
      labelNames: ['quantile'],
      registers: [this.#registry],
      collect() {
        for (const quantile of [50, 99, 100])
          this.set({ quantile: `${quantile / 100}` }, Math.max(0, loop.percentile(quantile) / 1e9 - 0.01))
        loop.reset()
      },
    })
  }
}

type Row = readonly [name: string, help: string, read: (observed: Observed) => number | null]
const GAUGES: readonly Row[] = [
  ['althing_consensus_height', 'Height of the last committed block.', ({ node }) => node.executor.head.height],
  ['althing_consensus_view', 'View of consensus.', ({ node }) => node.driver.state.view],
  ['althing_consensus_era', 'Era of consensus.', ({ node }) => node.driver.state.era.era],
  [
    'althing_consensus_is_leader',
    'Whether this member leads the view.',
    ({ node }) => (node.driver.state.view % node.driver.state.era.n === node.me ? 1 : 0),
  ],
  ['althing_consensus_members', 'Members of the era.', ({ node }) => node.driver.state.era.n],
  [
    'althing_consensus_missing_members',
    'Members to which there is no link.',
    ({ roster }) => roster.entries.filter(({ linked }) => !linked).length,
  ],
  ['althing_consensus_quorum', 'Members that decide.', ({ node }) => node.driver.state.era.q],
  [
    'althing_consensus_delta_seconds',
    'Δ: bound on the delay of a small message.',
    ({ node }) => node.driver.state.era.deltaMs / 1000,
  ],
  [
    'althing_consensus_slowest_message_seconds',
    'Slowest small message measured lately, one way.',
    (observed) => {
      const slowest = observed.slowestMs()
      return slowest === null ? null : slowest / 1000
    },
  ],
  [
    'althing_consensus_timing_violated',
    'Whether messages take longer than Δ, so that the timing assumption does not hold now.',
    ({ timing }) => (timing.last?.until === null ? 1 : 0),
  ],
  [
    'althing_consensus_timing_violations_total',
    'How often the timing assumption began to be violated since the start.',
    ({ timing }) => timing.count,
  ],
  [
    'althing_consensus_assurance_liars',
    'How many members may lie on an arbitrarily slow network without the last block being contradicted (agreement.md §7).',
    ({ node }) => {
      const { highest, era } = node.driver.state
      return highest === null ? null : highest.signatures.size + era.q - era.n - 1
    },
  ],
  [
    'althing_consensus_head_age_seconds',
    'Time since the last commit here.',
    (observed) => observed.sinceCommitMs() / 1000,
  ],
  [
    'althing_consensus_standstill',
    'Whether the chain has rested for longer than it should.',
    (observed) => (observed.isStill() ? 1 : 0),
  ],
  [
    'althing_consensus_stalls_total',
    'Stalls of this process of more than Δ/4.',
    ({ node }) => node.driver.figures.stalls,
  ],
  ['althing_consensus_evidence_total', 'Pieces of evidence of misbehaviour.', ({ node }) => node.evidence.length],
  ['althing_pool_transactions', 'Transactions that wait for a block.', ({ node }) => node.pool.stats.count],
  ['althing_pool_bytes', 'Bytes of the transactions that wait for a block.', ({ node }) => node.pool.stats.bytes],
  ['althing_state_entries', 'Entries of the BKVS.', ({ node }) => node.executor.usage.entries],
  [
    'althing_executor_speculations',
    'Executed blocks that are not committed.',
    ({ node }) => node.executor.usage.speculations,
  ],
  [
    'althing_network_peers_members',
    'Members connected.',
    ({ node }) => node.network.peers().filter(({ role }) => role === 'member').length,
  ],
  [
    'althing_network_peers_devices',
    'Devices connected.',
    ({ node }) => node.network.peers().filter(({ role }) => role === 'device').length,
  ],
  [
    'althing_sync_bodies_fetched_total',
    'Transactions that were fetched for a proposed block, since gossip had not brought them.',
    ({ node }) => node.blockFigures.bodiesFetched,
  ],
  ['althing_network_received_bytes_total', 'Bytes received from peers.', ({ node }) => node.network.traffic().bytesIn],
  ['althing_network_sent_bytes_total', 'Bytes sent to peers.', ({ node }) => node.network.traffic().bytesOut],
  [
    'althing_network_dropped_frames_total',
    'Frames dropped because a queue was full.',
    ({ node }) => node.network.traffic().framesDropped,
  ],
  ['althing_feed_followers', 'Followers of the event feed.', ({ followers }) => followers],
]
