/**
 * What devices hear without asking: the newest header with its commit certificate, and the reports of their segment. Stage: after the
 * ledger, and beside the pool.
 * Invariants: headers go out `headerIntervalMs` apart at least, the newest one, and never wait behind each other; a report goes to the
 * other devices of its segment, as the state says at that moment, and to nobody else; a slow device loses frames and delays nobody.
 */

import { toHex } from '../../protocol/bytes.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { deviceInService } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Clock } from '../clock.ts'
import type { CommittedBlock, Executor } from '../executor/executor.ts'
import { PerPeer, TokenBucket } from '../network/limiter.ts'
import type { Network } from '../network/network.ts'
import { LIGHT_LIMITS } from './limits.ts'
import { encodeFrame } from './messages.ts'
import { deviceIdOf } from './roles.ts'

/** What pushing uses. */
export type PushingDependencies = {
  readonly network: Pick<Network, 'pushTo' | 'pushToSubscribers' | 'subscribers' | 'enforceRoles'>
  readonly executor: Pick<Executor, 'head' | 'reads'>
  readonly clock: Clock
}

const HEADER_SLOT = 'header'

/** Pushes to the subscribed devices of one member. */
export class Pushing {
  readonly #deps: PushingDependencies
  readonly #state: StateReader
  readonly #rates: PerPeer<TokenBucket>
  /** Device → its segment, null where it is not in service; emptied when a device's record changes. */
  readonly #segments = new Map<PublicKeyHex, string | null>()
  #pushedAt = Number.NEGATIVE_INFINITY
  #waiting = false

  constructor(deps: PushingDependencies) {
    this.#deps = deps
    const { segmentReportsPerSecond, segmentReportsBurst } = LIGHT_LIMITS
    this.#rates = new PerPeer(
      () => new TokenBucket(segmentReportsPerSecond, segmentReportsBurst, () => deps.clock.monotonic()),
    )
    this.#state = { get: (key) => deps.executor.reads.state(key)?.value }
  }

  /** Blocks were committed: who lost its place loses its connection, and the others hear of the new header. */
  committed(blocks: readonly CommittedBlock[]): void {
    if (blocks.some(({ devicesChanged }) => devicesChanged.length > 0)) {
      this.#segments.clear()
      this.#deps.network.enforceRoles()
    }
    this.#scheduleHeader()
  }

  /** A device has subscribed: it hears the newest header at once. */
  subscribed(peer: PublicKeyHex): void {
    const frame = this.#headerFrame()
    if (frame !== undefined) this.#deps.network.pushTo(peer, frame, HEADER_SLOT)
  }

  /** A report came into the pool. What an API key reported on behalf of a device goes to nobody: devices could not check it. */
  report({ transaction, signer }: SignedTransaction): void {
    const { network } = this.#deps
    const reporter = toHex(signer)
    const subscribers = network.subscribers()
    if (subscribers.length === 0) return
    const segment = this.#segmentOf(reporter)
    if (segment === null) return
    const hearers = subscribers.filter((peer) => peer !== reporter && this.#segmentOf(peer) === segment)
    if (hearers.length === 0 || !this.#rates.get(segment).take()) return
    const frame = encodeFrame({ kind: 'report', transaction: transaction.bytes })
    for (const peer of hearers) network.pushTo(peer, frame)
  }

  #scheduleHeader(): void {
    if (this.#waiting) return
    const { clock } = this.#deps
    const waitMs = this.#pushedAt + LIGHT_LIMITS.headerIntervalMs - clock.monotonic()
    if (waitMs <= 0) return this.#pushHeader()
    this.#waiting = true
    clock.after(waitMs, () => {
      this.#waiting = false
      this.#pushHeader()
    })
  }

  #pushHeader(): void {
    this.#pushedAt = this.#deps.clock.monotonic()
    const frame = this.#deps.network.subscribers().length === 0 ? undefined : this.#headerFrame()
    if (frame !== undefined) this.#deps.network.pushToSubscribers(frame, HEADER_SLOT)
  }

  #headerFrame(): Uint8Array | undefined {
    const { executor } = this.#deps
    const { height } = executor.head
    const sealed = executor.reads.headerAt(height)
    // The head was committed by a certificate of its own (`Executor.commit`), or there is no block yet.
    const certificate = executor.reads.certificate(height)
    if (sealed === undefined || certificate === undefined) return undefined
    return encodeFrame({ kind: 'header', header: { header: sealed.bytes, certificate } })
  }

  #segmentOf(peer: PublicKeyHex): string | null {
    const known = this.#segments.get(peer)
    if (known !== undefined) return known
    const device = deviceInService(this.#state, deviceIdOf(peer))
    const segment = typeof device === 'string' ? null : device.segment
    if (this.#segments.size >= LIGHT_LIMITS.segmentsRememberedMax) this.#segments.clear()
    this.#segments.set(peer, segment)
    return segment
  }
}
