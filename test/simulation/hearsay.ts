/** What the liars know of one era: every signature that an honest member let a liar see, and what they can make of it with their own. */
import { slotKey } from '../../protocol/consensus/draft.ts'
import type { Certificate, Signature, Slot } from '../../protocol/consensus/types.ts'
import type { EraSpec } from './eras.ts'

const text = (value: string): Signature => new TextEncoder().encode(value)

/** Honest signatures for one slot, and the leader's. */
export type Support = {
  readonly slot: Slot
  leaderSignature: Signature | null
  readonly votes: Map<number, Signature>
  readonly commits: Map<number, Signature>
}

export class Hearsay {
  readonly spec: EraSpec
  /** Lying members, by index. */
  readonly liars: readonly number[]
  readonly #support = new Map<string, Support>()
  readonly #blames = new Map<number, Map<number, Signature>>()

  constructor(spec: EraSpec, liars: readonly number[]) {
    this.spec = spec
    this.liars = liars
  }

  /** What is known of a slot. */
  of(slot: Slot): Support {
    const key = slotKey(slot)
    const known = this.#support.get(key)
    if (known !== undefined) return known
    const support: Support = { slot, leaderSignature: null, votes: new Map(), commits: new Map() }
    this.#support.set(key, support)
    return support
  }
  /** The latest slots. */
  recent(count: number, below = Number.POSITIVE_INFINITY): Support[] {
    return [...this.#support.values()].filter(({ slot }) => slot.view < below).slice(-count)
  }
  /** Slots to which an honest member has committed. */
  get committed(): Slot[] {
    return [...this.#support.values()].filter(({ commits }) => commits.size > 0).map(({ slot }) => slot)
  }

  sign(domain: 'proposal' | 'vote' | 'commit', member: number, slot: Slot): Signature {
    return text(`${domain}/${this.spec.number}/${member}/${slot.view}/${slot.seq}/${slot.hash}`)
  }
  signBlame(member: number, view: number): Signature {
    return text(`blame/${this.spec.number}/${member}/${view}`)
  }
  signStatus(member: number, view: number): Signature {
    return text(`status/${this.spec.number}/${member}/${view}`)
  }

  /** A certificate of what honest members signed and `liars` liars add, or null if they are no quorum. */
  certificate(slot: Slot, kind: 'vote' | 'commit', liars: number): Certificate | null {
    const support = this.#support.get(slotKey(slot))
    if (support === undefined) return null
    const signatures = new Map(kind === 'vote' ? support.votes : support.commits)
    for (const member of this.liars.slice(0, liars)) signatures.set(member, this.sign(kind, member, slot))
    return signatures.size < this.spec.sizes.q ? null : { ...slot, kind, signatures }
  }
  /** The certificate with as few liars as it takes. */
  least(slot: Slot): Certificate | null {
    const honest = this.#support.get(slotKey(slot))?.votes.size ?? 0
    return this.certificate(slot, 'vote', Math.max(0, this.spec.sizes.q - honest))
  }
  /** The weakest and the strongest certificate that can be shown for a slot, and its CC. */
  all(slot: Slot): Certificate[] {
    return [
      this.least(slot),
      this.certificate(slot, 'vote', this.liars.length),
      this.certificate(slot, 'commit', this.liars.length),
    ].filter((one) => one !== null)
  }
  isStrong(certificate: Certificate): boolean {
    return certificate.kind === 'commit' || certificate.signatures.size >= this.spec.sizes.s
  }

  /** An honest member blames a view; false if that was known. */
  blamed(view: number, member: number, signature: Signature): boolean {
    const blames = this.#blames.get(view) ?? new Map<number, Signature>()
    this.#blames.set(view, blames)
    if (blames.has(member)) return false
    blames.set(member, signature)
    return true
  }
  /** Honest blames of a view with those of all liars. */
  blames(view: number): Map<number, Signature> {
    const signatures = new Map(this.#blames.get(view))
    for (const member of this.liars) signatures.set(member, this.signBlame(member, view))
    return signatures
  }
}
