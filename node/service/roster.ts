/**
 * The roster: what this member knows of each member of the consortium. For people and metrics; decides nothing.
 */
import type { State } from '../../protocol/consensus/state.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'

/** One member as seen from here. Times in ms since 1970-01-01T00:00Z. */
export type RosterEntry = {
  readonly name: string
  readonly publicKey: PublicKeyHex
  readonly isThisMember: boolean
  readonly linked: boolean
  /** Since when there is no link; null while there is one. */
  readonly downSince: number | null
  /** Highest block whose commit certificate holds its signature; null if none was seen. */
  readonly lastSignedHeight: number | null
  /** Height that it told last; null before it did. */
  readonly height: number | null
}

type Seen = { -readonly [K in keyof RosterEntry]: RosterEntry[K] }

/** Follows links, heads and certificates. */
export class Roster {
  readonly #seen: readonly Seen[]
  readonly #now: () => number
  #highest: State['highest'] = null

  /** `members` in the order of the set; `me`: index of this member. */
  constructor(members: readonly { name: string; publicKey: PublicKeyHex }[], me: number, now: () => number) {
    this.#now = now
    const startedAt = now()
    this.#seen = members.map(({ name, publicKey }, i) => ({
      name,
      publicKey,
      isThisMember: i === me,
      linked: i === me,
      downSince: i === me ? null : startedAt,
      lastSignedHeight: null,
      height: null,
    }))
  }

  /** A link opened or closed. */
  link(member: number, up: boolean): void {
    const seen = this.#seen[member]
    if (seen === undefined || seen.isThisMember) return
    seen.linked = up
    seen.downSince = up ? null : (seen.downSince ?? this.#now())
    if (!up) seen.height = null
  }

  /** A member told its height. */
  told(member: number, height: number): void {
    const seen = this.#seen[member]
    if (seen !== undefined) seen.height = height
  }

  /** The core took a step. */
  stepped({ highest }: Pick<State, 'highest'>): void {
    if (highest === this.#highest || highest === null) return
    this.#highest = highest
    for (const member of highest.signatures.keys()) {
      const seen = this.#seen[member]
      if (seen !== undefined) seen.lastSignedHeight = Math.max(seen.lastSignedHeight ?? 0, highest.height)
    }
  }

  /** All members in the order of the set. */
  get entries(): readonly RosterEntry[] {
    return this.#seen
  }
}
