/**
 * What must never be seen (agreement.md §7, §9): agreement over every commit certificate that could be assembled from what honest members signed
 * and the liars could add; no honest double signature, across restarts too; no evidence against an honest member; in a steady run no honest
 * blame against an honest leader; and nothing leaves a member before its record covers it (§6).
 */
import { relation, slotKey } from '../../protocol/consensus/draft.ts'
import type { Block, Certificate, Evidence, Message, SigningRecord, Slot } from '../../protocol/consensus/types.ts'
import type { QuorumSizes } from '../../protocol/members.ts'

type Possible = { readonly slot: Slot; readonly members: Set<number> }

export class Checker {
  /** The first ends the run. */
  readonly violations: string[] = []
  /** Messages not covered by the record: reported at the end if nothing worse was seen. */
  readonly recordFaults: string[] = []
  /** Honest commits that the liars could complete to a CC, by slot key. */
  readonly possible = new Map<string, Slot>()
  heightMax = 0
  readonly #commits = new Map<string, Possible>()
  readonly #signed = new Map<string, string>()
  readonly #sizes: QuorumSizes
  readonly #liars: ReadonlySet<number>
  readonly #blocks: ReadonlyMap<string, Block>
  readonly #steady: boolean
  readonly #era: number

  constructor(
    sizes: QuorumSizes,
    liars: ReadonlySet<number>,
    blocks: ReadonlyMap<string, Block>,
    steady: boolean,
    era = 0,
  ) {
    this.#sizes = sizes
    this.#liars = liars
    this.#blocks = blocks
    this.#steady = steady
    this.#era = era
  }

  /** A member signs `slot`. Honest members sign one block at one place. */
  signed(member: number, domain: 'proposal' | 'vote' | 'commit', slot: Slot, now: number): void {
    if (this.#liars.has(member)) return
    if (domain === 'commit') return this.#committed(member, slot, now)
    const key = `${domain}/${member}/${slot.view}/${slot.seq}`
    const other = this.#signed.get(key)
    if (other !== undefined && other !== slot.hash)
      this.violations.push(
        `double ${domain}: member ${member} signed ${other} and ${slot.hash} at ${slot.view}/${slot.seq} (t=${now.toFixed(0)})`,
      )
    this.#signed.set(key, slot.hash)
  }

  #committed(member: number, slot: Slot, now: number): void {
    const key = slotKey(slot)
    const entry = this.#commits.get(key) ?? { slot, members: new Set<number>() }
    entry.members.add(member)
    this.#commits.set(key, entry)
    if (this.possible.has(key) || entry.members.size + this.#liars.size < this.#sizes.q) return
    for (const other of this.possible.values()) {
      const how = relation(this.#blocks, slot.hash, other.hash)
      if (how === 'conflicts' || how === 'unknown')
        this.violations.push(
          `agreement: ${slotKey(other)} and ${key} could both be committed (t=${now.toFixed(0)}, by member ${member})`,
        )
    }
    this.possible.set(key, slot)
  }

  /** A member blames the leader of `view`. */
  blamed(member: number, view: number, now: number): void {
    if (!this.#steady || this.#liars.has(member) || this.#liars.has(view % this.#sizes.n)) return
    this.violations.push(
      `deposed: honest member ${member} blames the honest leader of view ${view} in a steady run (t=${now.toFixed(0)})`,
    )
  }

  /** An honest member holds a CC. */
  holds(certificate: Certificate): void {
    this.heightMax = Math.max(this.heightMax, certificate.height)
  }

  evidence(evidence: Evidence): void {
    if (evidence.kind === 'fork')
      this.violations.push(`fork seen: ${evidence.first.hash} and ${evidence.second.hash} (era ${this.#era})`)
    else if (!this.#liars.has(evidence.member))
      this.violations.push(`evidence of ${evidence.kind} against the honest member ${evidence.member}`)
  }

  /** Something leaves an honest member whose durable record is `record` (§6). */
  leaves(member: number, record: SigningRecord | null, message: Message, now: number): void {
    if (this.recordFaults.length > 0 || uncovered(record, message) === null) return
    this.recordFaults.push(
      `record: member ${member} sends what its record does not hold: ${uncovered(record, message)} (t=${now.toFixed(0)})`,
    )
  }

  /** Ends the run: what was seen that is less than a violation counts if there is none. */
  finish(): readonly string[] {
    if (this.violations.length === 0) this.violations.push(...this.recordFaults)
    return this.violations
  }
}

/** What of `message` the record does not cover, or null. */
function uncovered(record: SigningRecord | null, message: Message): string | null {
  const outranked = (slot: Slot): boolean =>
    record?.highest != null && (record.highest.view > slot.view || record.highest.height >= slot.height)
  switch (message.kind) {
    case 'proposal': {
      const { view, seq, block } = message
      const held = record?.proposals.some((own) => own.view === view && own.seq === seq && own.hash === block.hash)
      return held ? null : `proposal ${view}/${seq}/${block.hash}`
    }
    case 'vote': {
      const held = record?.votes.some(({ view, seq }) => view === message.slot.view && seq >= message.slot.seq)
      return held || outranked(message.slot) ? null : `vote ${slotKey(message.slot)}`
    }
    case 'commit': {
      const { view, seq } = message.slot
      const lock = record?.lockNow
      const held =
        lock !== undefined &&
        (lock.view > view || (lock.view === view && Math.max(lock.tipSeq, lock.strongSeq) >= seq)) &&
        record?.commit !== null
      return held || outranked(message.slot) ? null : `commit ${slotKey(message.slot)}`
    }
    case 'bc': {
      const { view } = message.certificate
      return record !== null && (record.view > view || (record.quit?.view ?? -1) >= view) ? null : `BC of view ${view}`
    }
    case 'status':
      return record !== null && record.view >= message.view ? null : `status for view ${message.view}`
    case 'cc':
    case 'blame':
    case 'ask':
    case 'answer':
      return null
  }
}
