/**
 * What must never be seen (agreement.md §7, §9): agreement over every CC that could be assembled from what honest members signed and the liars
 * could add, in and across eras; no honest double signature, across restarts too; no evidence against an honest member; in a steady run no honest
 * blame of an honest leader; nothing leaves a member before its record covers it (§6); and state that stays bounded.
 */
import { relation } from '../../protocol/consensus/draft.ts'
import type { Evidence } from '../../protocol/consensus/events.ts'
import type { State } from '../../protocol/consensus/state.ts'
import type { Block, Certificate, Message, SigningRecord, Slot } from '../../protocol/consensus/types.ts'
import type { EraSpec } from './eras.ts'
import type { Kind } from './scenario.ts'

type Signer = { readonly organisation: number; readonly lying: boolean; readonly name: string }
/** Who signed one slot, honest members only. */
type Support = { readonly spec: EraSpec; readonly slot: Slot; readonly members: Set<number> }

/** Most entries of all collections of one core's state together: README.md, "Bounds", for n ≤ 7 and what a run of the simulator certifies. */
const STATE_ENTRIES_MAX = 3_000

export class Checker {
  /** The first ends the run. */
  readonly violations: string[] = []
  /** Messages not covered by the record: reported at the end if nothing worse was seen. */
  readonly recordFaults: string[] = []
  heightMax = 0
  recordsLost = false
  stateEntriesMax = 0
  now: () => number = () => 0
  readonly #votes = new Map<string, Support>()
  readonly #commits = new Map<string, Support>()
  /** Commits that the liars could complete to a CC. */
  readonly #possible = new Map<string, Support>()
  readonly #signed = new Map<string, string>()
  readonly #liars: ReadonlySet<number>
  readonly #blocks: ReadonlyMap<string, Block>
  readonly #kind: Kind

  constructor(kind: Kind, liars: ReadonlySet<number>, blocks: ReadonlyMap<string, Block>) {
    this.#kind = kind
    this.#liars = liars
    this.#blocks = blocks
  }

  #violation(text: string): void {
    this.violations.push(`${text} (t=${this.now().toFixed(0)})`)
  }

  #liarsOf(spec: EraSpec): number {
    return spec.plan.members.filter((member) => this.#liars.has(member)).length
  }

  #conflict(a: Slot, b: Slot): boolean {
    const how = relation(this.#blocks, a, b)
    return how === 'conflicts' || how === 'unknown'
  }

  /** A member signs `slot`. Honest members sign one block at one place. */
  signed(by: Signer, spec: EraSpec, domain: 'proposal' | 'vote' | 'commit', slot: Slot): void {
    if (by.lying) return
    const name = `${spec.number}:${spec.first.hash}:${slot.view}/${slot.seq}`
    const place = `${domain}/${by.organisation}/${name}`
    const other = this.#signed.get(place)
    if (other !== undefined && other !== slot.hash)
      this.#violation(`double ${domain}: member ${by.name} signed ${other} and ${slot.hash} at ${name}`)
    this.#signed.set(place, slot.hash)
    if (domain === 'proposal') return
    const map = domain === 'vote' ? this.#votes : this.#commits
    const key = `${name}/${slot.hash}`
    const support = map.get(key) ?? { spec, slot, members: new Set<number>() }
    map.set(key, support)
    support.members.add(by.organisation)
    if (domain === 'commit') this.#committed(key, support)
  }

  #committed(key: string, support: Support): void {
    const { spec, slot, members } = support
    if (this.#possible.has(key) || members.size + this.#liarsOf(spec) < spec.sizes.q) return
    this.#possible.set(key, support)
    // With liars and without timing only the third row of §7 is promised, which is looked at in the end.
    if (this.#kind === 'lying') return
    for (const [otherKey, other] of this.#possible)
      if (this.#conflict(slot, other.slot)) this.#violation(`agreement: ${otherKey} and ${key} could both be committed`)
  }

  /** A member blames the leader of `view`. */
  blamed(by: Signer, spec: EraSpec, view: number): void {
    const leader = spec.plan.members[view % spec.sizes.n] as number
    if (this.#kind !== 'steady' || by.lying || this.#liars.has(leader)) return
    this.#violation(`deposed: ${by.name} blames the honest leader ${leader} of ${spec.number}:${view} in a steady run`)
  }

  /** An honest member holds a CC: one that honest members had a part in. */
  holds(by: Signer, spec: EraSpec, certificate: Certificate): void {
    if (by.lying) return
    this.heightMax = Math.max(this.heightMax, certificate.height)
    const key = `${spec.number}:${spec.first.hash}:${certificate.view}/${certificate.seq}/${certificate.hash}`
    if (certificate.kind === 'commit' && !this.#possible.has(key))
      this.#violation(`forged: ${by.name} holds a CC of ${key} that nobody can assemble`)
  }

  evidence(by: Signer, spec: EraSpec, evidence: Evidence): void {
    if (by.lying) return
    if (evidence.kind === 'fork') {
      if (this.#kind !== 'lying')
        this.#violation(`fork seen: ${evidence.first.hash} and ${evidence.second.hash} (era ${spec.number})`)
      return
    }
    const organisation = spec.plan.members[evidence.member] as number
    if (!this.#liars.has(organisation))
      this.#violation(`evidence of ${evidence.kind} against the honest member ${organisation}`)
  }

  /** Something leaves an honest member whose durable record is `record` (§6). */
  leaves(by: Signer, record: SigningRecord | null, message: Message): void {
    if (this.recordFaults.length > 0) return
    const missing = uncovered(record, message)
    if (missing !== null)
      this.recordFaults.push(
        `record: ${by.name} sends what its record does not hold: ${missing} (t=${this.now().toFixed(0)})`,
      )
  }

  /** The state of a core: bounded, whatever others send. */
  watch(by: Signer, state: State): void {
    const entries = entriesOf(state)
    this.stateEntriesMax = Math.max(this.stateEntriesMax, entries)
    if (entries > STATE_ENTRIES_MAX) this.#violation(`memory: ${by.name} remembers ${entries} things`)
  }

  /** §7, third row: with b liars, blocks whose CC satisfies c + q − n > b contradict nothing that could be certified in their view or later. */
  #checkAssurance(): void {
    for (const [key, { spec, slot, members }] of this.#commits) {
      if (members.size <= spec.sizes.f) continue
      for (const [otherKey, other] of this.#votes) {
        const isLater = other.spec.number > spec.number || (other.spec === spec && other.slot.view >= slot.view)
        const certified = other.members.size + this.#liarsOf(other.spec) >= other.spec.sizes.q
        if (isLater && certified && this.#conflict(slot, other.slot))
          return this.#violation(`assurance: ${key}, committed by ${members.size}, is contradicted by ${otherKey}`)
      }
    }
  }

  /** Whether two conflicting blocks could both be committed: then there is nothing left to be live about. */
  get isForked(): boolean {
    const slots = [...this.#possible.values()].map(({ slot }) => slot)
    return slots.some((a, i) => slots.slice(i + 1).some((b) => this.#conflict(a, b)))
  }

  /** Ends the run: what was seen that is less than a violation counts if there is none. */
  finish(): readonly string[] {
    if (this.violations.length === 0) this.#checkAssurance()
    if (this.violations.length === 0) this.violations.push(...this.recordFaults)
    return this.violations
  }
}

/** How many things the collections of a state hold. */
export function entriesOf(s: State): number {
  let entries = 0
  for (const { places, blames, accused } of s.views.values()) {
    entries += 1 + blames.size + accused.size
    for (const candidates of places.values())
      for (const { votes, commits } of candidates) entries += 1 + votes.size + commits.size
  }
  const maps = [
    s.later,
    s.blocks,
    s.validity,
    s.requested,
    s.unplaced,
    s.suspects,
    s.assured,
    s.votes,
    s.ballots,
    s.statuses,
  ]
  for (const map of [...maps, s.answers, s.echoes, s.links, s.kept, s.owed]) entries += map.size
  return entries + s.queued.length + s.unresolved.length
}

/** What of `message` the record does not cover, or null. */
function uncovered(record: SigningRecord | null, message: Message): string | null {
  const outranked = (slot: Slot): boolean =>
    record?.highest != null && (record.highest.view > slot.view || record.highest.height >= slot.height)
  if (record !== null && record.era > message.era) return null
  switch (message.kind) {
    case 'proposal': {
      const { view, seq, block } = message
      const own = record?.proposal
      return own?.view === view && own.seq === seq && own.hash === block.hash
        ? null
        : `proposal ${view}/${seq}/${block.hash}`
    }
    case 'vote': {
      const { view, seq, hash } = message.slot
      const held = record?.votes.some((vote) => vote.view === view && vote.seq >= seq)
      return held || outranked(message.slot) ? null : `vote ${view}/${seq}/${hash}`
    }
    case 'commit': {
      const { view, seq, hash } = message.slot
      const lock = record?.lockNow
      const held =
        lock !== undefined &&
        (lock.view > view || (lock.view === view && Math.max(lock.tipSeq, lock.strongSeq) >= seq)) &&
        record?.commit !== null
      return held || outranked(message.slot) ? null : `commit ${view}/${seq}/${hash}`
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
