/**
 * Removal: how a node that was a member learns that it is none any more, and since when. Stage: consensus, where it ends for this node.
 * A running member hears of it with the block; one that was off finds closed doors: it then asks those who were members with it how its era ended,
 * the one question that they answer (`light/door.ts`, role `former`).
 * Invariants: nothing is believed but ends of eras that follow from this node's own ledger, each by a quorum of its members (agreement.md §5.5);
 * questions are few, and asked only while no member is linked.
 */
import { toHex } from '../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../protocol/codec.ts'
import { type EraLink, followEra, type TrustedEra } from '../protocol/light.ts'
import type { PublicKeyHex } from '../protocol/members.ts'
import type { Clock, TimerHandle } from './clock.ts'
import { erasAnswer, erasQuestion, QUESTIONS } from './light/messages.ts'
import type { NodeLog } from './log.ts'
import type { Network } from './network/network.ts'

/** A removal as the certificates prove it. */
export type Removal = {
  /** The first era without this key, and the height of the block that led to it. */
  readonly era: number
  readonly height: number
  /** Names of the members that signed that block. */
  readonly by: readonly string[]
  /** Whether the member is still there under another key. */
  readonly isKeyReplaced: boolean
}

/** How often a node that nobody lets in asks why, ms; each time up to so many of those who were members. */
const ASK_MS = 5_000
const ASKED_MAX = 4
const ANSWER_BYTES_MAX = 1024 * 1024

/**
 * Follows `links` out of `trusted`: the first era without `own`, the last era reached if `own` is in all, or undefined where a link does not follow.
 */
export function follow(
  trusted: TrustedEra,
  links: readonly EraLink[],
  own: PublicKeyHex,
  chainId: Uint8Array,
): { readonly removal: Removal } | { readonly trusted: TrustedEra } | undefined {
  let at = trusted
  for (const link of links) {
    const followed = followEra(at, link, chainId)
    if (!followed.ok) return undefined
    const { next, verified } = followed
    const isOwn = ({ publicKey }: { publicKey: Uint8Array }): boolean => toHex(publicKey) === own
    if (!next.memberSet.members.some(isOwn)) {
      const name = at.memberSet.members.find(isOwn)?.name
      const by = verified.signers.map((i) => at.memberSet.members[i]?.name as string)
      const isKeyReplaced = next.memberSet.members.some((member) => member.name === name)
      return { removal: { era: next.era, height: next.height, by, isKeyReplaced } }
    }
    at = next
  }
  return { trusted: at }
}

/** In words. */
export const removalSentence = ({ era, height, by, isKeyReplaced }: Removal): string =>
  `${isKeyReplaced ? 'The key of this node was replaced' : 'This node was removed'} in era ${era} at height ${height} by ${by.join(', ')}` +
  (isKeyReplaced
    ? ': `althing keys activate`, then start again.'
    : ': it signs nothing, and what it has can still be read.')

/** What watching works with. */
export type RemovalDependencies = {
  readonly own: PublicKeyHex
  readonly chainId: Uint8Array
  /** The era of this node's ledger; undefined while it is not a member of it. */
  readonly memberOf: () => TrustedEra | undefined
  /** How the era in which the node was last a member ended, from its own ledger; undefined where that does not say. */
  readonly lastSeat: () => { readonly trusted: TrustedEra; readonly link: EraLink } | undefined
  readonly network: Pick<Network, 'request' | 'linkedPeers'>
  readonly clock: Pick<Clock, 'after'>
  readonly log: Pick<NodeLog, 'error'>
}

/** Watches one node. */
export class RemovalWatch {
  readonly #deps: RemovalDependencies
  #timer: TimerHandle | undefined
  #shown: Removal | undefined
  /** How far the eras were followed, beyond the ledger. */
  #reached: TrustedEra | undefined
  #turn = 0
  #stopped = false

  constructor(deps: RemovalDependencies) {
    this.#deps = deps
  }

  start(): void {
    this.#timer = this.#deps.clock.after(ASK_MS, () => void this.#look())
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** That this node was removed; undefined as far as it knows. */
  get removal(): Removal | undefined {
    const present = this.#deps.memberOf()
    // Once the ledger is there, it says itself how that went, and what came after.
    if (present !== undefined)
      return this.#shown !== undefined && this.#shown.era > present.era ? this.#shown : undefined
    const last = this.#deps.lastSeat()
    const found = last && follow(last.trusted, [last.link], this.#deps.own, this.#deps.chainId)
    return found !== undefined && 'removal' in found ? found.removal : undefined
  }

  async #look(): Promise<void> {
    const { memberOf, network, own } = this.#deps
    const present = memberOf()
    if (present !== undefined && this.removal === undefined && network.linkedPeers().length === 0) {
      // What the ledger has caught up with is where to go on from.
      if (this.#reached === undefined || this.#reached.era < present.era) this.#reached = present
      const others = present.memberSet.members.map(({ publicKey }) => toHex(publicKey)).filter((key) => key !== own)
      const turn = this.#turn++ % Math.max(1, others.length)
      const asked = [...others.slice(turn), ...others.slice(0, turn)].slice(0, ASKED_MAX)
      await Promise.all(asked.map((peer) => this.#ask(peer)))
    }
    if (!this.#stopped) this.start()
  }

  /** Whoever does not answer, or with what does not follow, is passed over: the next one is asked as well. */
  async #ask(peer: PublicKeyHex): Promise<void> {
    const { network, own, chainId, log } = this.#deps
    const from = this.#reached as TrustedEra
    try {
      const limits = { timeoutMs: ASK_MS, bytesMax: ANSWER_BYTES_MAX }
      const links = decodeAs(
        erasAnswer,
        await network.request(peer, QUESTIONS.eras, encodeAs(erasQuestion, from.era), limits),
      )
      const found = follow(from, links, own, chainId)
      if (found === undefined || this.removal !== undefined) return
      if ('removal' in found) {
        this.#shown = found.removal
        log.error({ ...found.removal, publicKey: own }, removalSentence(found.removal))
      } else if (found.trusted.era > (this.#reached as TrustedEra).era) this.#reached = found.trusted
    } catch {
      // It is not there, or does not know this node any more either.
    }
  }
}
