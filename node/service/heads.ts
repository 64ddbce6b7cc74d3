/**
 * Heads: members tell each other how far they are, so that `status` can say who is behind. Nothing rests on what they say.
 */
import { decodeAs, encodeAs, integer, record } from '../../protocol/codec.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { Network } from '../network/network.ts'
import type { Roster } from './roster.ts'

const headCodec = record({ height: integer(0), view: integer(0) })

/** Time between two rounds of asking, ms. */
const ASK_INTERVAL_MS = 2000
/** A head is small and at hand: who takes longer is asked again in the next round. */
const ANSWER_TIMEOUT_MS = 1500

/** What asking for heads uses. */
export type HeadsDependencies = {
  readonly clock: Clock
  readonly network: Pick<Network, 'serve' | 'request' | 'linkedPeers'>
  readonly roster: Roster
  /** Height and view of this member. */
  own(): { readonly height: number; readonly view: number }
  /** Called in each round, before asking. */
  tick(): void
}

/** Serves this member's head and asks for those of the others until `stop`. */
export class Heads {
  readonly #deps: HeadsDependencies
  #timer: TimerHandle | undefined
  #stopped = false

  constructor(deps: HeadsDependencies) {
    this.#deps = deps
    const limits = { roles: ['member' as const], bytesMax: 64, concurrencyMax: 2, ratePerSecond: 4, burst: 8 }
    deps.network.serve('head', async () => encodeAs(headCodec, deps.own()), limits)
    this.#round()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #round(): void {
    const { clock, network, roster, tick } = this.#deps
    tick()
    const linked = new Set(network.linkedPeers())
    for (const { publicKey, isThisMember } of roster.entries)
      if (!isThisMember && linked.has(publicKey)) void this.#ask(publicKey)
    this.#timer = clock.after(ASK_INTERVAL_MS, () => {
      if (!this.#stopped) this.#round()
    })
  }

  async #ask(publicKey: string): Promise<void> {
    const { network, roster } = this.#deps
    try {
      // One byte, since a request is never empty.
      const limits = { timeoutMs: ANSWER_TIMEOUT_MS, bytesMax: 64 }
      const answer = await network.request(publicKey, 'head', Uint8Array.of(0), limits)
      if (!this.#stopped) roster.told(publicKey, decodeAs(headCodec, answer, 'head').height)
    } catch {
      // It is asked again; a member that never answers shows by its votes.
    }
  }
}
