/**
 * A member that lies, for tests only: it has a real key of the consortium and speaks to the others over real libp2p, and signs what no honest member
 * signs. It keeps no record, runs no consensus and is no part of the product.
 */
import { createNetwork } from '../../node/network/host.ts'
import type { MemberAddresses, Network } from '../../node/network/network.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { statementBytes } from '../../protocol/certificate.ts'
import { decodeFrame, encodeMessage } from '../../protocol/consensus/wire.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { leaderOf } from '../../protocol/members.ts'
import { sign } from '../../protocol/signature.ts'

export type LiarOptions = {
  readonly chainId: Uint8Array
  readonly secretKey: Uint8Array
  /** Keys of the present members in their order, its own among them. */
  readonly keys: readonly string[]
  readonly others: readonly MemberAddresses[]
}

const quiet = { debug() {}, info() {}, warn() {} }

/** Connected until `stop`. */
export class Liar {
  readonly #options: LiarOptions
  readonly #network: Network
  /** The highest era and view of which it has heard. */
  heard = { era: 0, view: -1 }

  private constructor(options: LiarOptions, network: Network) {
    this.#options = options
    this.#network = network
    network.onMessage((_peer, bytes) => this.#hear(bytes))
    network.onGossip(async () => 'accept')
  }

  static async start(options: LiarOptions): Promise<Liar> {
    const { chainId, secretKey, keys, others } = options
    const network = await createNetwork(
      { chainId, secretKey, role: 'member', listen: ['/ip4/127.0.0.1/tcp/0'], members: others },
      { log: quiet, roleOf: (key) => (keys.includes(key) ? 'member' : null) },
    )
    const liar = new Liar(options, network)
    await network.start()
    return liar
  }

  get linked(): number {
    return this.#network.linkedPeers().length
  }

  stop(): Promise<void> {
    return this.#network.stop()
  }

  #hear(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes)
    if (frame.kind === 'link') return
    const message = frame.message.unverified
    const view = message.kind === 'vote' || message.kind === 'commit' ? message.slot.view : -1
    const { era } = message
    if (era > this.heard.era || (era === this.heard.era && view > this.heard.view)) this.heard = { era, view }
  }

  /**
   * Signs two blocks for one place, as the leader of the next view that it leads, and votes for both: everyone is shown both. The view.
   */
  equivocate(): number {
    const { chainId, secretKey, keys } = this.#options
    const me = keys.indexOf(toHex(publicKeyOf(secretKey)))
    const { era } = this.heard
    let view = this.heard.view + 1
    while (leaderOf(view, keys.length) !== me) view++
    for (const fill of [0xaa, 0xbb]) {
      const slot = { view, seq: 0, height: 1_000_000, hash: 'f0'.repeat(31) + fill.toString(16) }
      const statement = { era, ...slot, hash: fromHex(slot.hash) }
      const payload = statementBytes(statement)
      const leaderSignature = sign('proposal', chainId, payload, secretKey)
      const signature = sign('vote', chainId, payload, secretKey)
      const frame = encodeMessage({ kind: 'vote', era, slot, from: me, signature, leaderSignature })
      for (const key of keys) if (key !== keys[me]) this.#network.send(key, frame)
    }
    return view
  }
}
