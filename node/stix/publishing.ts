/**
 * STIX bundles are gossiped between members and anchored by their hash (`stix.bundle`), by the member whose turn it is; the next one does it
 * where that one does not. Stage: **ledger** → pool.
 * Invariants: bounded in bundles and attempts; what a member gossips is compared with what its block gives here, to the byte, so that no bundle is
 * believed; nothing is anchored while catching up, since others did then.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { CborError, encodeCbor } from '../../protocol/cbor.ts'
import { bytes, decodeAs, encodeAs, integer, record } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { stixBundleKind } from '../../protocol/kinds/stix/bundle.ts'
import { readClaims } from '../../protocol/kinds/stix/record.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { CommittedBlock } from '../executor/executor.ts'
import type { LedgerReads } from '../executor/reads.ts'
import type { NetworkLog } from '../network/network.ts'
import { Bundles, mayHaveBundle, type StixBundle } from './bundles.ts'

/** Bundles that wait for their turn; of further blocks none is anchored by this member. */
export const BUNDLES_WAITING_MAX = 128
/** Bytes of a bundle that is gossiped; a larger one is anchored only, since every member makes it itself. */
export const BUNDLE_GOSSIP_BYTES_MAX = 256 * 1024
/** What a member waits for each one whose turn is earlier, ms; attempts for one bundle, and ms between them. */
const TURN_MS = 3_000
const ATTEMPTS_MAX = 10
const RETRY_MS = 10_000
const VALIDITY_MS = 10 * 60_000
/** A block whose time lies further back was committed while catching up, ms. */
const PRESENT_MS = 60_000

const gossipCodec = record({ height: integer(1), bundle: bytes(1, BUNDLE_GOSSIP_BYTES_MAX) })

/** What publishing asks of the rest of the node. */
export type PublishingDependencies = {
  readonly clock: Clock
  readonly chainId: Uint8Array
  readonly genesis: Pick<Genesis, 'network' | 'createdAt'>
  readonly secretKey: Uint8Array
  readonly reads: Pick<LedgerReads, 'state' | 'body' | 'headerAt'>
  /** This member's place in the present set, and its size; −1: no member. */
  present(): { readonly me: number; readonly size: number }
  submit(encoded: readonly Uint8Array[]): Promise<readonly Code[]>
  publish(piece: Uint8Array): Promise<unknown>
  readonly log: Pick<NetworkLog, 'debug' | 'warn'>
}

/** Publishes bundles. */
export class Publishing {
  readonly #deps: PublishingDependencies
  readonly #waiting = new Map<number, TimerHandle>()
  /** Bundles of other members that were what their block gives, and that were not, since the start. */
  readonly figures = { confirmed: 0, refuted: 0, anchored: 0, passedOver: 0 }

  readonly bundles: Bundles

  constructor(deps: PublishingDependencies) {
    this.#deps = deps
    const { chainId, reads, genesis } = deps
    this.bundles = new Bundles({ chainId, reads, network: genesis.network, createdAt: genesis.createdAt })
  }

  /** Blocks were committed here. */
  committed(blocks: readonly CommittedBlock[]): void {
    const { clock, present } = this.#deps
    const { me, size } = present()
    if (me < 0) return
    for (const { height, sealed, transactions } of blocks) {
      const plain = transactions.map(({ transaction }) => transaction)
      if (!mayHaveBundle(plain) || clock.now() - sealed.header.time > PRESENT_MS) continue
      const bundle = this.bundles.ofTransactions(height, plain)
      if (bundle === undefined) continue
      if (this.#waiting.size >= BUNDLES_WAITING_MAX) this.figures.passedOver++
      else this.#later(bundle, ((me - (height % size) + size) % size) * TURN_MS, 1)
    }
  }

  /** Judges what a member gossiped: MESSAGE_MALFORMED, STIX_OTHER; OK also where the block is not here yet or says nothing that can be compared. */
  async judge(piece: Uint8Array): Promise<Code> {
    let said: { readonly height: number; readonly bundle: Uint8Array }
    try {
      said = decodeAs(gossipCodec, piece, 'bundle')
    } catch (error) {
      if (error instanceof CborError) return 'MESSAGE_MALFORMED'
      throw error
    }
    const own = await this.bundles.of(said.height)
    if (own === 'unknown' || own === 'pruned') return 'OK'
    const isSame = own !== 'none' && equalBytes(own.hash, sha3(said.bundle))
    this.figures[isSame ? 'confirmed' : 'refuted']++
    return isSame ? 'OK' : 'STIX_OTHER'
  }

  stop(): void {
    for (const timer of this.#waiting.values()) timer.cancel()
    this.#waiting.clear()
  }

  #later(bundle: StixBundle, afterMs: number, attempt: number): void {
    const { height } = bundle
    const run = async (): Promise<void> => {
      const isDone = await this.#bring(bundle)
      // Stopped meanwhile.
      if (!this.#waiting.has(height)) return
      if (isDone || attempt >= ATTEMPTS_MAX) this.#waiting.delete(height)
      else this.#later(bundle, RETRY_MS, attempt + 1)
    }
    this.#waiting.set(
      height,
      this.#deps.clock.after(afterMs, () => void run()),
    )
  }

  /** Whether nothing more is to be done about it. */
  async #bring({ height, text, hash }: StixBundle): Promise<boolean> {
    const { clock, chainId, secretKey, reads, submit, publish, log } = this.#deps
    const claims = readClaims({ get: (key) => reads.state(key)?.value }, height)
    if (claims.some((claim) => equalBytes(claim.hash, hash))) return true
    if (claims.length > 0) log.warn({ height }, 'a member anchored another STIX bundle than this block gives')
    const bundle = Buffer.from(text)
    if (bundle.length <= BUNDLE_GOSSIP_BYTES_MAX)
      await publish(encodeAs(gossipCodec, { height, bundle: Uint8Array.from(bundle) })).catch(() => undefined)
    const value = stixBundleKind.payload.to({
      ...{ height, hash },
      bundle: bundle.length <= LIMITS.stixBundleBytesMax ? Uint8Array.from(bundle) : null,
    })
    const draft = {
      kind: stixBundleKind.name,
      payload: value,
      // One nonce for one bundle: a second attempt is a second transaction only once the first has expired.
      nonce: sha3(encodeCbor(value)).slice(0, LIMITS.nonceBytes),
      validUntil: clock.now() + VALIDITY_MS,
    }
    const [code = 'OK'] = await submit([signTransaction(draft, chainId, secretKey).bytes])
    if (code === 'OK') this.figures.anchored++
    log.debug({ height, code }, 'a STIX bundle was handed in')
    return code === 'STIX_KNOWN'
  }
}
