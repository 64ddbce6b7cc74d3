/**
 * RTU: the devices of the segment among themselves: who is linked to whom, whose card says what, and what is said on the segment's topic. It goes
 * on while no member can be reached.
 * Invariants: only devices that the roster knows are dialled or heard; links are to the next ones by key on both sides, so that all agree on who
 * links to whom and none has more than `2 × LINKS_EACH_WAY_MAX`; what nobody honest says is held against who passed it on.
 */
import { fromHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { isAlthingError } from '../errors.ts'
import { issueCard, readCard } from '../light/card.ts'
import { LIGHT_LIMITS } from '../light/limits.ts'
import { cardsAnswer, decodePiece, encodePiece, QUESTIONS, type SegmentPiece } from '../light/messages.ts'
import type { GossipVerdict, MemberAddresses, Network, NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'
import type { Members } from './members.ts'
import type { Roster } from './roster.ts'
import type { Segment } from './segment.ts'

/** Links to neighbours on each side of this device, in the order of keys. */
export const LINKS_EACH_WAY_MAX = 8

/** What is configured. */
export type NeighboursOptions = {
  /** Whether it gossips; else it only asks for cards, and is dialled by nobody. */
  readonly isGossiping: boolean
  /** Addresses to name in the place of those that it listens at. */
  readonly announce: readonly string[]
  /** Devices whose addresses are known from the configuration. */
  readonly configured: readonly MemberAddresses[]
  /** Between two rounds of cards, ms. */
  readonly cardsMs: number
}
/** Twice a minute: who comes new is found within that. */
export const NEIGHBOURS_DEFAULTS: Pick<NeighboursOptions, 'cardsMs'> = { cardsMs: 30_000 }
/** What is used. */
export type NeighboursNeeds = {
  readonly network: Pick<Network, 'publish' | 'setNeighbours' | 'addresses' | 'onGossip'>
  readonly roster: Pick<Roster, 'all' | 'meet' | 'takeCard'>
  readonly members: Pick<Members, 'inTurn' | 'askFor'>
  readonly segment: Pick<Segment, 'hearGossip'>
  readonly chainId: Uint8Array
  readonly secretKey: Uint8Array
  /** Own key, hexadecimal. */
  readonly publicKey: string
  readonly log: NetworkLog
  now(): number
}

/** The devices of the segment, as this one speaks with them. */
export class Neighbours {
  readonly #options: NeighboursOptions
  readonly #needs: NeighboursNeeds
  readonly #alarm = new Alarm()

  constructor(options: NeighboursOptions, needs: NeighboursNeeds) {
    this.#options = options
    this.#needs = needs
    if (options.isGossiping) needs.network.onGossip(async (_topic, bytes) => this.#judge(bytes))
    for (const { publicKey } of options.configured) needs.roster.meet(fromHex(publicKey))
  }

  /** A member can be asked, or the roster has changed. */
  wake(): void {
    this.#alarm.ring()
  }

  /** Says a signed transaction to the segment. Nothing where this device does not gossip, and nothing is lost where nobody hears it. */
  say(transaction: Uint8Array): void {
    this.#publish({ kind: 'transaction', body: transaction })
  }

  /** Links to the neighbours that the roster knows, as it is now. */
  relink(): void {
    if (!this.#options.isGossiping) return
    const { network, roster, publicKey } = this.#needs
    const all = roster.all()
    const ring = [...all.map((one) => one.publicKey), publicKey].sort()
    const own = ring.indexOf(publicKey)
    const near = new Set<string>()
    for (let i = 1; i <= LINKS_EACH_WAY_MAX; i++)
      for (const at of [own + i, own - i]) near.add(ring[(at + i * ring.length) % ring.length] as string)
    near.delete(publicKey)
    network.setNeighbours(
      all
        .filter((one) => near.has(one.publicKey))
        .map(({ publicKey: key, card }) => ({
          publicKey: key,
          addresses: this.#addressesOf(key, card?.addresses ?? []),
        })),
    )
  }

  /** Exchanges cards with members and neighbours, now and then, until `signal` aborts. Rejects with a bug only. */
  async run(signal: AbortSignal): Promise<void> {
    this.relink()
    while (!signal.aborted) {
      await this.#exchange()
      await this.#alarm.wait(withJitter(this.#options.cardsMs), signal)
    }
  }

  async #exchange(): Promise<void> {
    const { members } = this.#needs
    const own = this.#ownCard()
    if (own !== undefined) this.#publish({ kind: 'card', body: own })
    for (const member of members.inTurn()) {
      const cards = await members.askFor(member, QUESTIONS.cards, own ?? new Uint8Array(0), (data) =>
        decodeAs(cardsAnswer, data, 'cards'),
      )
      for (const card of cards ?? []) this.#takeCard(card)
    }
  }

  /** Issued anew each time, so that those who come later hear of it: gossip passes no piece on twice. */
  #ownCard(): Uint8Array | undefined {
    const { network, chainId, secretKey, now } = this.#needs
    if (!this.#options.isGossiping) return undefined
    const { announce } = this.#options
    const listening = network.addresses().map((address) => address.replace(/\/p2p\/.*$/, ''))
    const outside = listening.filter((address) => !/^\/ip[46]\/(?:127\.|::1\/)/.test(address))
    const addresses = (announce.length > 0 ? announce : outside.length > 0 ? outside : listening).slice(
      0,
      LIGHT_LIMITS.cardAddressesMax,
    )
    return addresses.length === 0 ? undefined : issueCard(addresses, Math.round(now()), chainId, secretKey)
  }

  #addressesOf(publicKey: string, onCard: readonly string[]): string[] {
    const configured = this.#options.configured.find((one) => one.publicKey === publicKey)?.addresses ?? []
    // The identity is put in by the network: an address that names one could lead to somebody else.
    return [...configured, ...onCard.filter((address) => !address.includes('/p2p'))]
  }

  #publish(piece: SegmentPiece): void {
    if (!this.#options.isGossiping) return
    this.#needs.network.publish('segment', encodePiece(piece)).catch((error: unknown) => {
      if (!isAlthingError(error)) throw error
      this.#needs.log.debug({ code: error.code }, 'nothing was said to the segment')
    })
  }

  #judge(bytes: Uint8Array): GossipVerdict {
    let piece: SegmentPiece
    try {
      piece = decodePiece(bytes)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'reject'
    }
    const code = piece.kind === 'card' ? this.#takeCard(piece.body) : this.#needs.segment.hearGossip(piece.body)
    const { verdict } = VERDICTS[code]
    if (verdict !== 'accept') this.#needs.log.debug({ code }, 'not taken from the segment')
    return verdict
  }

  #takeCard(data: Uint8Array): Code {
    const { chainId, roster, publicKey } = this.#needs
    const card = readCard(data, chainId)
    if (card === undefined) return 'LIGHT_CARD'
    if (card.publicKey === publicKey) return 'OK'
    return roster.takeCard(card, fromHex(card.publicKey)) ? 'OK' : 'SEGMENT_STALE'
  }
}
