/**
 * The door of a node: who may be connected, and as what, in the present era (ledger.md §6, agreement.md §5.5).
 * Invariants: members of the present set speak to members of it; who has left keeps its links for a moment, on both sides, to learn that it has or to
 * tell the others, and then has none but to ask how the eras ended; a key that is named in an open proposal may fetch committed blocks, so that its
 * holder is up to date when it becomes a member.
 */
import { toHex } from '../../protocol/bytes.ts'
import { readEra, readOpen, readPastEra, readProposal } from '../../protocol/kinds/governance/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { MemberSet, PublicKeyHex } from '../../protocol/members.ts'
import type { PeerRole } from '../network/network.ts'
import { peerRoleOf } from './roles.ts'

/** Keys that would become members' by an open proposal. */
function namedKeys(state: StateReader, { members }: MemberSet): Set<PublicKeyHex> {
  const named = new Set<PublicKeyHex>()
  for (const { publicKey } of members)
    for (const id of readOpen(state, toHex(publicKey))) {
      const change = readProposal(state, toHex(id))?.change
      if (change?.kind === 'add') named.add(toHex(change.publicKey))
      if (change?.kind === 'replace') named.add(toHex(change.by))
    }
  return named
}

/** Keys of members of the eras that are over, as far as the state keeps those. `era`: the present one. */
function formerKeys(state: StateReader, era: number): Set<PublicKeyHex> {
  const keys = new Set<PublicKeyHex>()
  for (let past = Math.max(0, era - LIMITS.evidenceErasMax); past < era; past++)
    for (const { publicKey } of readPastEra(state, past)?.memberSet.members ?? []) keys.add(toHex(publicKey))
  return keys
}

/** Answers who may come in. */
export class Door {
  readonly #own: PublicKeyHex
  readonly #state: StateReader
  /** Peers of a node that is no member, beside the members it knows of. */
  readonly #configured: ReadonlySet<PublicKeyHex>
  #members: ReadonlyMap<PublicKeyHex, number> = new Map()
  #leaving: ReadonlySet<PublicKeyHex> = new Set()
  #named: ReadonlySet<PublicKeyHex> = new Set()
  #former: ReadonlySet<PublicKeyHex> = new Set()

  constructor(own: PublicKeyHex, state: StateReader, configured: readonly PublicKeyHex[]) {
    this.#own = own
    this.#state = state
    this.#configured = new Set(configured)
  }

  /**
   * An era began with `members`; those of `before` that are not among them are leaving until `closed`. Where this node leaves, its links to all of
   * `before` stay as long: it may be the only one that holds the certificate by which the era ended (agreement.md §3, Delivery).
   */
  entered(memberSet: MemberSet, members: ReadonlyMap<PublicKeyHex, number>, before: Iterable<PublicKeyHex>): void {
    this.#members = members
    const old = [...before]
    const gone = old.filter((key) => !members.has(key))
    this.#leaving = new Set(members.has(this.#own) ? gone : gone.includes(this.#own) ? old : [])
    this.#former = formerKeys(this.#state, readEra(this.#state).era)
    this.look(memberSet)
  }

  /** Those who left have had their time. */
  closed(): void {
    this.#leaving = new Set()
  }

  /** Proposals may have changed. Whether they did. */
  look(memberSet: MemberSet): boolean {
    const named = namedKeys(this.#state, memberSet)
    const isSame = named.size === this.#named.size && [...named].every((key) => this.#named.has(key))
    this.#named = named
    return !isSame
  }

  /** Keys that would become members' by an open proposal, as of the last `look`. */
  get named(): ReadonlySet<PublicKeyHex> {
    return this.#named
  }

  /** What the holder of `key` may do; null: nothing. */
  roleOf(key: PublicKeyHex): PeerRole | null {
    if (this.#leaving.has(key)) return 'member'
    if (!this.#members.has(this.#own)) return this.#members.has(key) || this.#configured.has(key) ? 'sync' : null
    const role = peerRoleOf(key, this.#members, this.#state) ?? (this.#named.has(key) ? 'sync' : null)
    return role ?? (this.#former.has(key) ? 'former' : null)
  }
}
