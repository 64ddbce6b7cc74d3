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
  readonly #now: () => number
  readonly #linked = new Set<PublicKeyHex>()
  #seen: readonly Seen[] = []
  #highest: State['highest'] = null

  constructor(now: () => number) {
    this.#now = now
  }

  /** An era begins: its members in the order of the set; `me`: this node's index in it, −1 if it is no member. */
  enter(members: readonly { name: string; publicKey: PublicKeyHex }[], me: number): void {
    const startedAt = this.#now()
    const before = new Map(this.#seen.map((seen) => [seen.publicKey, seen]))
    this.#highest = null
    this.#seen = members.map(({ name, publicKey }, i) => {
      const isThisMember = i === me
      const linked = isThisMember || this.#linked.has(publicKey)
      const { downSince = startedAt, lastSignedHeight = null, height = null } = before.get(publicKey) ?? {}
      return {
        ...{ name, publicKey, isThisMember, linked, lastSignedHeight, height },
        downSince: linked ? null : (downSince ?? startedAt),
      }
    })
  }

  /** A link opened or closed. */
  link(publicKey: PublicKeyHex, up: boolean): void {
    if (up) this.#linked.add(publicKey)
    else this.#linked.delete(publicKey)
    const seen = this.#of(publicKey)
    if (seen === undefined || seen.isThisMember) return
    seen.linked = up
    seen.downSince = up ? null : (seen.downSince ?? this.#now())
    if (!up) seen.height = null
  }

  /** A member told its height. */
  told(publicKey: PublicKeyHex, height: number): void {
    const seen = this.#of(publicKey)
    if (seen !== undefined) seen.height = height
  }

  /** The core of the present era took a step. */
  stepped({ highest }: Pick<State, 'highest'>): void {
    if (highest === this.#highest || highest === null) return
    this.#highest = highest
    for (const member of highest.signatures.keys()) {
      const seen = this.#seen[member]
      if (seen !== undefined) seen.lastSignedHeight = Math.max(seen.lastSignedHeight ?? 0, highest.height)
    }
  }

  /** All members of the present era in the order of the set. */
  get entries(): readonly RosterEntry[] {
    return this.#seen
  }

  #of(publicKey: PublicKeyHex): Seen | undefined {
    return this.#seen.find((seen) => seen.publicKey === publicKey)
  }
}
