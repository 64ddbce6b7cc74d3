/**
 * What a member tells and gives to one that joins: what it holds, manifests, chunks. Stage: BKVS → a member that joins.
 * Invariant: only members and those who are to become some ask, and each question costs a bounded read.
 */
import { decodeAs, encodeAs, integer, list, record, type TypeOf } from '../../protocol/codec.ts'
import type { LedgerReads } from '../executor/reads.ts'
import type { Network } from '../network/network.ts'
import type { SnapshotLibrary } from './library.ts'
import { SNAPSHOT_LIMITS } from './manifest.ts'

/** `ledger`: an empty question. */
export const ledgerQuestion = record({})
/** Answer to `ledger`: height of the head, of the lowest block held with its body, and of the snapshots. */
export const ledgerAnswer = record({
  height: integer(),
  firstBody: integer(),
  snapshots: list(integer(1), SNAPSHOT_LIMITS.keptMax),
})
/** What a member says it holds. */
export type Holding = TypeOf<typeof ledgerAnswer>
/** `snapshot`: the manifest of the snapshot at a height; an empty answer where there is none. */
export const snapshotQuestion = record({ height: integer(1) })
/** `snapshot-chunk`: one chunk of it; an empty answer where there is none. */
export const chunkQuestion = record({ height: integer(1), part: integer(0, 65_535) })

/** Serves what `library` and the ledger hold. */
export function serveSnapshots(
  network: Pick<Network, 'serve'>,
  library: SnapshotLibrary,
  reads: Pick<LedgerReads, 'held'>,
  height: () => number,
): void {
  // Whoever is to become a member joins beforehand.
  const members = {
    roles: ['member' as const, 'sync' as const],
    concurrencyMax: 4,
    ratePerSecond: 100,
    burst: 200,
    bytesMax: 64,
  }
  network.serve(
    'ledger',
    async (_peer, data) => {
      decodeAs(ledgerQuestion, data)
      return encodeAs(ledgerAnswer, {
        height: height(),
        firstBody: reads.held.firstBody,
        snapshots: library.heights,
      })
    },
    members,
  )
  network.serve(
    'snapshot',
    async (_peer, data) => library.manifest(decodeAs(snapshotQuestion, data).height) ?? new Uint8Array(0),
    members,
  )
  network.serve(
    'snapshot-chunk',
    async (_peer, data) => {
      const { height: of, part } = decodeAs(chunkQuestion, data)
      return (await library.chunk(of, part)) ?? new Uint8Array(0)
    },
    { ...members, timeoutMs: 30_000 },
  )
}

/** Answers of a peer that are no answer. */
export const isMissing = (answer: Uint8Array): boolean => answer.length === 0
