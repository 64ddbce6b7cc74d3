/**
 * What must never be seen (agreement.md §7), and what must (§9): agreement over every commit certificate that could be assembled from
 * what honest members signed, no honest double vote, no honest leader blamed by evidence.
 */
import { relation } from '../../protocol/consensus/draft.ts'
import type { Block, Certificate, Evidence, Slot } from '../../protocol/consensus/types.ts'
import type { QuorumSizes } from '../../protocol/members.ts'

export class Checker {
  readonly violations: string[] = []
  /** Honest commit signatures by slot. */
  readonly #commits = new Map<string, { slot: Slot; members: Set<number> }>()
  readonly #votes = new Map<string, string>()
  readonly #proposed = new Map<string, string>()
  readonly #sizes: QuorumSizes
  readonly #liars: ReadonlySet<number>
  readonly #blocks: ReadonlyMap<string, Block>
  heightMax = 0

  constructor(sizes: QuorumSizes, liars: ReadonlySet<number>, blocks: ReadonlyMap<string, Block>) {
    this.#sizes = sizes
    this.#liars = liars
    this.#blocks = blocks
  }

  /** A member signs `slot`. Honest members sign one block at one place. */
  signed(member: number, domain: 'proposal' | 'vote' | 'commit', slot: Slot, now: number): void {
    if (this.#liars.has(member)) return
    if (domain === 'commit') {
      const key = `${slot.view}/${slot.seq}/${slot.hash}`
      const entry = this.#commits.get(key) ?? { slot, members: new Set<number>() }
      entry.members.add(member)
      this.#commits.set(key, entry)
      return
    }
    const seen = domain === 'vote' ? this.#votes : this.#proposed
    const key = `${member}/${slot.view}/${slot.seq}`
    const other = seen.get(key)
    if (other !== undefined && other !== slot.hash)
      this.violations.push(
        `double ${domain}: member ${member} signed ${other} and ${slot.hash} at ${slot.view}/${slot.seq} (t=${now})`,
      )
    seen.set(key, slot.hash)
  }

  blamed(_member: number, _view: number, _now: number): void {}

  /** A member holds a CC. */
  committed(_member: number, lying: boolean, certificate: Certificate, _now: number): void {
    if (!lying) this.heightMax = Math.max(this.heightMax, certificate.height)
  }

  evidence(evidence: Evidence): void {
    if (evidence.kind !== 'fork' && !this.#liars.has(evidence.member))
      this.violations.push(`evidence of ${evidence.kind} against the honest member ${evidence.member}`)
    if (evidence.kind === 'fork') this.violations.push(`fork seen: ${evidence.first.hash} and ${evidence.second.hash}`)
  }

  /** Compares every CC that the liars could assemble from honest commits and their own. */
  finish(_synchronous: boolean): void {
    const possible = [...this.#commits.values()].filter(
      ({ members }) => members.size + this.#liars.size >= this.#sizes.q,
    )
    possible.sort((a, b) => a.slot.height - b.slot.height)
    for (let i = 1; i < possible.length; i++) {
      const lower = possible[i - 1]!.slot
      const upper = possible[i]!.slot
      const how = relation(this.#blocks, upper.hash, lower.hash)
      if (how !== 'extends' && how !== 'equal') {
        this.violations.push(
          `agreement: ${lower.view}/${lower.seq}/${lower.hash} and ${upper.view}/${upper.seq}/${upper.hash} could both be committed`,
        )
        return
      }
    }
  }
}
