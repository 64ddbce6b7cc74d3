/**
 * Proposing (agreement.md §§4.1, 5.3, 5.5): the leader builds as soon as the last proposal of its view is certified; its seq 0 stands on its pick.
 */
import { takesPart } from './conditions.ts'
import { enqueue, isUnderWay } from './disk.ts'
import { anyCertificateFor, type Draft, isLeader, viewRecord } from './draft.ts'
import { pickTip } from './lock.ts'
import { learnBlock } from './reception.ts'
import type { Block, Certificate, Justification } from './types.ts'

type Next = {
  readonly seq: number
  readonly parent: Block
  /** The block to propose as it is, because it ends the era (§5.5). */
  readonly again: Block | null
  readonly parentCertificate: Certificate | null
  readonly justification: Justification | null
}

/** Proposes what is built, or asks for the next block to be built. */
export function propose(d: Draft): void {
  const { s } = d
  if (!isLeader(s) || !takesPart(d) || s.quit !== null || isUnderWay(s, 'propose')) return
  if (viewRecord(s, s.view).equivocation !== null) return
  const next = s.proposal === null ? first(d) : following(d, s.proposal)
  if (next === null) return
  const { seq, parent, again } = next
  const isFor = s.building?.view === s.view && s.building.seq === seq && s.building.parent === parent.hash
  const block = again ?? (isFor ? s.built : null)
  if (block === null) {
    if (!isFor) s.building = { view: s.view, seq, parent: parent.hash, height: parent.height + 1 }
    if (!isFor) s.built = null
    return
  }
  s.building = null
  s.built = null
  s.proposal = { view: s.view, seq, height: block.height, hash: block.hash }
  const { parentCertificate, justification } = next
  const proposal = {
    kind: 'proposal' as const,
    era: s.era.era,
    view: s.view,
    seq,
    block,
    parentCertificate,
    justification,
  }
  enqueue(d, { kind: 'propose', proposal })
}

/** §5.3: seq 0, on the pick. */
function first(d: Draft): Next | null {
  const { s } = d
  const statuses = [...s.statuses.values()].filter(({ view, from }) => view === s.view && from !== s.era.me)
  const here = statuses.length + 1
  if (s.reason.kind === 'blamed' && here < s.era.n && !(s.leaderWaited && here >= s.era.q)) return null
  const { tip, strong, unresolved } = pickTip(d, statuses)
  if (unresolved.length > 0) return null
  const parent = tip === null ? s.era.first : s.blocks.get(tip.hash)
  if (parent === undefined) return null
  const again = tip !== null && parent.endsEra && d.rules.eraEndsForAll ? parent : null
  if (again !== null && s.validity.get(again.hash) !== 'valid') return null
  return { seq: 0, parent, again, parentCertificate: null, justification: { reason: s.reason, tip, strong } }
}

/** §4.1: the next seq, on its last proposal, once that is certified; none after the block that closes the view. */
function following(d: Draft, last: NonNullable<Draft['s']['proposal']>): Next | null {
  const { s } = d
  const seq = last.seq + 1
  const parentCertificate = anyCertificateFor(s, last)
  const parent = s.blocks.get(last.hash)
  if (seq >= s.era.termBlocks || parentCertificate === null || parent === undefined) return null
  if (parent.endsEra && d.rules.eraEndsForAll) return null
  return { seq, parent, again: null, parentCertificate, justification: null }
}

/** The shell has built the block that was asked for. */
export function built(d: Draft, view: number, seq: number, block: Block): void {
  const { s } = d
  if (s.building?.view !== view || s.building.seq !== seq || s.building.parent !== block.parent) return
  s.built = block
  s.validity = new Map(s.validity).set(block.hash, 'valid')
  learnBlock(d, block)
}
