/**
 * The event feed: what committed blocks did, in order, for followers of the API.
 * Invariants: events follow from committed blocks alone, so every member gives each event the same id, before and after a restart;
 * memory is bounded by `EVENTS_MAX`; a follower that asks for what is no longer kept, or not yet here, is told so, and hears nothing twice.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { deviceRegister } from '../../protocol/kinds/device/device.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import { addressOf } from '../../protocol/signature.ts'
import type { FeedEvent, Subscription } from '../api/dependencies.ts'
import type { DeviceTrustPoint } from '../executor/speculation.ts'

/** Events kept for followers that come back. */
const EVENTS_MAX = 20_000
/** Changes of trust that one block tells of; its others are in the histories. */
const TRUST_CHANGES_MAX = 10_000

/** A committed block as the feed needs it. */
export type FeedBlock = {
  readonly sealed: SealedHeader
  readonly transactions: readonly Pick<SignedTransaction, 'transaction'>[]
  /** Points that it adds to the histories of trust, in the order of devices. */
  readonly trustPoints: readonly DeviceTrustPoint[]
}

/** Families of kinds whose payload names a device; the payloads of all others are left alone. */
const ABOUT_DEVICES = /^(?:device|trust|access)\./
const ID = /^(\d{1,15})\.(\d{1,5})$/

/** Keeps the last events and tells followers of new ones. */
export class Feed {
  readonly #events: FeedEvent[] = []
  readonly #listeners = new Set<(event: FeedEvent) => void>()
  /** Height below which events are no longer kept. */
  #from: number
  /** Height of the newest block. */
  #height: number

  /** `height`: of the last block before the first one that `add` is given. */
  constructor(height: number) {
    this.#from = height + 1
    this.#height = height
  }

  /** Takes the next committed block. */
  add(block: FeedBlock): void {
    const events = eventsOf(block)
    this.#height = block.sealed.header.height
    this.#events.push(...events)
    while (this.#events.length > EVENTS_MAX) {
      const gone = this.#events.shift() as FeedEvent
      this.#from = (placeOf(gone.id) as [number, number])[0] + 1
    }
    for (const event of events) for (const listener of this.#listeners) listener(event)
  }

  /** See `ApiDependencies.subscribe`. */
  subscribe(after: string | undefined, listener: (event: FeedEvent) => void): Subscription {
    const place = after === undefined ? undefined : placeOf(after)
    const replay = place === undefined ? [] : this.#events.filter(({ id }) => isAfter(id, place))
    const own = (event: FeedEvent): void => {
      // A follower that comes from a member further on has seen what this one has yet to commit.
      if (place === undefined || isAfter(event.id, place)) listener(event)
    }
    this.#listeners.add(own)
    return { replay, gap: this.#gapAt(after, place), close: () => void this.#listeners.delete(own) }
  }

  #gapAt(after: string | undefined, place: readonly [number, number] | undefined): Subscription['gap'] {
    if (after === undefined) return null
    // An id that is none of ours may stand for anything: what was missed cannot be known.
    if (place === undefined || place[0] + 1 < this.#from) return 'dropped'
    return place[0] > this.#height ? 'ahead' : null
  }

  /** Followers now. */
  get followers(): number {
    return this.#listeners.size
  }
}

function placeOf(id: string): readonly [number, number] | undefined {
  const match = ID.exec(id)
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

function isAfter(id: string, [height, index]: readonly [number, number]): boolean {
  const [ownHeight, ownIndex] = placeOf(id) as readonly [number, number]
  return ownHeight > height || (ownHeight === height && ownIndex > index)
}

/** Event of a block that moved the trust in a device by a step, or the device in its life. */
const TRUST_CHANGE = 'trust.change'

/**
 * Events of one block: `<height>.0` is the block itself, `<height>.<i + 1>` what its transaction i did to a device, and after all
 * transactions what followed for the trust in devices.
 */
function eventsOf({ sealed, transactions, trustPoints }: FeedBlock): FeedEvent[] {
  const { height, time, transactionCount } = sealed.header
  const block = { height, hash: toHex(sealed.hash), time, transactions: transactionCount }
  const events: FeedEvent[] = [{ id: `${height}.0`, type: 'block', data: block }]
  transactions.forEach(({ transaction }, index) => {
    const device = deviceOf(transaction.kind, transaction.payload)
    if (device === undefined) return
    const data = { height, index, time, kind: transaction.kind, transaction: toHex(transaction.id), device }
    events.push({ id: `${height}.${index + 1}`, type: transaction.kind, data })
  })
  trustPoints.slice(0, TRUST_CHANGES_MAX).forEach(({ device, point }, index) => {
    events.push({ id: `${height}.${transactionCount + 1 + index}`, type: TRUST_CHANGE, data: { device, ...point } })
  })
  return events
}

/** Id of the device that a transaction is about, if it is about one. */
function deviceOf(kind: string, payload: SignedTransaction['transaction']['payload']): string | undefined {
  if (!ABOUT_DEVICES.test(kind)) return undefined
  const row = KINDS.get(kind)
  if (row === undefined) return undefined
  const named = row.payload.from(payload, kind) as { readonly device?: unknown; readonly publicKey?: unknown }
  if (named.device instanceof Uint8Array) return toHex(named.device)
  // A registration names the key; the id follows from it.
  const isRegistration = kind === deviceRegister.name && named.publicKey instanceof Uint8Array
  return isRegistration ? toHex(addressOf(named.publicKey as Uint8Array)) : undefined
}
