/**
 * Cards of devices at a member: how devices of one segment learn of each other's addresses while a member can be reached (ledger.md §6).
 * Invariants: a device hands in its own card only, and is given cards of devices in service in its segment only; bounded; in memory only,
 * since each device hands its card in again and again.
 */
import { deviceInService } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import { type Card, readCard } from './card.ts'
import { LIGHT_LIMITS } from './limits.ts'
import { deviceIdOf } from './roles.ts'

/** The cards that one member has. */
export class Cards {
  readonly #chainId: Uint8Array
  readonly #state: StateReader
  /** The longest not renewed first. */
  readonly #cards = new Map<PublicKeyHex, { readonly segment: string; readonly card: Card }>()

  constructor(chainId: Uint8Array, state: StateReader) {
    this.#chainId = chainId
    this.#state = state
  }

  /** Takes the card of `peer`; an empty one means that it has no address. LIGHT_CARD; DEVICE_UNKNOWN and the like if it is not in service. */
  take(peer: PublicKeyHex, data: Uint8Array): Code {
    const device = deviceInService(this.#state, deviceIdOf(peer))
    if (typeof device === 'string') return device
    if (data.length === 0) return 'OK'
    const card = readCard(data, this.#chainId)
    if (card === undefined || card.publicKey !== peer) return 'LIGHT_CARD'
    const before = this.#cards.get(peer)
    this.#cards.delete(peer)
    // A device whose clock was set back hands in a card of before: the later one stays.
    const kept = before !== undefined && before.card.issuedAt > card.issuedAt ? before.card : card
    this.#cards.set(peer, { segment: device.segment, card: kept })
    for (const oldest of this.#cards.keys()) {
      if (this.#cards.size <= LIGHT_LIMITS.cardsMax) break
      this.#cards.delete(oldest)
    }
    return 'OK'
  }

  /** Cards of the others in the segment of `peer`, the newest first, as many as one answer holds. */
  of(peer: PublicKeyHex): Uint8Array[] {
    const own = deviceInService(this.#state, deviceIdOf(peer))
    if (typeof own === 'string') return []
    const found: Uint8Array[] = []
    for (const [key, { segment, card }] of [...this.#cards].reverse()) {
      if (found.length === LIGHT_LIMITS.cardsPerAnswerMax) break
      if (key === peer || segment !== own.segment) continue
      const device = deviceInService(this.#state, deviceIdOf(key))
      if (typeof device !== 'string' && device.segment === own.segment) found.push(card.bytes)
    }
    return found
  }
}
