/**
 * What the core found → the payload that shows it to anyone. Headers are given by their hash, since the core knows only where blocks stand.
 */
import { fromHex } from '../../bytes.ts'
import type { Statement } from '../../certificate.ts'
import type { Evidence, Signed } from '../../consensus/events.ts'
import type { Block, Hash, Slot } from '../../consensus/types.ts'
import { toWireCertificate } from '../../consensus/wire.ts'
import { LIMITS } from '../../limits.ts'
import type { EvidencePayload } from './evidence.ts'

/**
 * The payload of what was found in `era`; undefined for the sight of a fork, which is evidence against nobody, and where a header is missing or
 * the way between the two blocks is longer than a payload may be.
 */
export function payloadOf(
  era: number,
  found: Evidence,
  headerBytes: (hash: Hash) => Uint8Array | undefined,
): EvidencePayload | undefined {
  const about = ({ view, seq, height, hash }: Slot): Statement => ({ era, view, seq, height, hash: fromHex(hash) })
  const shown = (one: Signed) => ({ kind: one.kind, statement: about(one), signature: one.signature })
  switch (found.kind) {
    case 'fork':
      return undefined
    case 'equivocation': {
      const { first, second } = found.equivocation
      return {
        kind: 'equivocation',
        first: { statement: about(first), signature: first.leaderSignature },
        second: { statement: about(second), signature: second.leaderSignature },
      }
    }
    case 'conflict': {
      const headers = headersBetween(found.first, found.second, found.headers, headerBytes)
      if (headers === undefined) return undefined
      return { kind: 'conflict', first: shown(found.first), second: shown(found.second), headers }
    }
    case 'unlocked': {
      const { commit, vote, proposal } = found
      const headers = headersBetween(commit, vote, found.headers, headerBytes)
      const block = headerBytes(vote.hash)
      if (headers === undefined || block === undefined) return undefined
      const tip = proposal.justification?.tip ?? null
      return {
        kind: 'unlocked',
        commit: { statement: about(commit), signature: commit.signature },
        vote: { statement: about(vote), signature: vote.signature },
        block,
        tip: tip === null ? null : toWireCertificate(era, tip),
        headers,
      }
    }
  }
}

/** The headers of the higher block and those below it, down to just above the other's height. */
function headersBetween(
  a: Slot,
  b: Slot,
  blocks: readonly Block[],
  headerBytes: (hash: Hash) => Uint8Array | undefined,
): Uint8Array[] | undefined {
  const [higher, lower] = a.height >= b.height ? [a, b] : [b, a]
  const byHash = new Map(blocks.map((block) => [block.hash, block]))
  const found: Uint8Array[] = []
  let { hash } = higher
  for (let height = higher.height; height > lower.height; height--) {
    const block = byHash.get(hash)
    const header = headerBytes(hash)
    if (block === undefined || header === undefined || found.length >= LIMITS.evidenceHeadersMax) return undefined
    found.push(header)
    hash = block.parent
  }
  return found
}
