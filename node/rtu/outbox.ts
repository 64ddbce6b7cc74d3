/**
 * RTU, stage 4: signed reports that no member has taken yet.
 * Invariants: bounded in reports and bytes, oldest reports without events dropped first, then the oldest of all, and every drop counted;
 * on disk before `add` resolves; delivered in the order they were added, one at a time. A report that has expired is signed again under the
 * same nonce: should a member have included the first after all, the second is refused as a duplicate and not counted twice.
 */
import { CborError, type CborValue } from '../../protocol/cbor.ts'
import { boolean, bytes, decodeAs, encodeAs, record } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { decodeTransaction, type Transaction, type TransactionDraft } from '../../protocol/transaction.ts'
import type { Spool } from './disk.ts'

/** Bounds. `validityMs` ≤ 3 600 000; what is missing to the hour is how far the clock may run ahead of the chain's. */
export type OutboxOptions = {
  readonly reportsMax: number
  readonly bytesMax: number
  readonly validityMs: number
  /** A report with less than this left is signed again before it is sent. */
  readonly renewBeforeMs: number
}
/** A day of heartbeats a minute apart, in at most 8 MiB. */
export const OUTBOX_DEFAULTS: OutboxOptions = {
  reportsMax: 1440,
  bytesMax: 8 * 1024 * 1024,
  validityMs: 1_800_000,
  renewBeforeMs: 60_000,
}

/** What became of a report: a member took it (or had it already), refused it for good, or nobody could take it now. */
export type DeliveryOutcome = 'delivered' | 'refused' | 'later'
/** Since the outbox was opened, but for what is held. */
export type OutboxStatus = {
  readonly reportsHeld: number
  readonly bytesHeld: number
  readonly delivered: number
  readonly refused: number
  readonly droppedHeartbeats: number
  readonly droppedEvents: number
  readonly damaged: number
  readonly renewed: number
}
/** `sign` makes the transaction of a draft; `nonce` gives 16 random bytes; `now` is the wall clock in ms. */
export type OutboxNeeds = {
  readonly spool: Spool
  sign(draft: TransactionDraft): Transaction
  nonce(): Uint8Array
  now(): number
}
export type Outbox = {
  /**
   * Signs and holds a transaction of `kind`. Rejects with RTU_WRITE_FAILED where it could not be written; it is then held in memory
   * only, and delivered if the process lives until then.
   */
  add(kind: string, payload: CborValue, hasEvents: boolean): Promise<void>
  /** Sends what is held, oldest first, until `send` says `later`. A call while one is under way joins it. */
  deliver(send: (transaction: Uint8Array) => Promise<DeliveryOutcome>): Promise<void>
  status(): OutboxStatus
}

type Held = { readonly sequence: number; readonly hasEvents: boolean; transaction: Transaction }

const heldCodec = record({ hasEvents: boolean, transaction: bytes(1, LIMITS.transactionBytesMax) })
/** Bytes of the largest value that an outbox puts into its spool. */
export const SPOOLED_BYTES_MAX: number = LIMITS.transactionBytesMax + 16

/** Opens the outbox over what `needs.spool` holds. Rejects as the spool does; throws on options out of range. */
export async function openOutbox(options: OutboxOptions, needs: OutboxNeeds): Promise<Outbox> {
  if (options.validityMs > LIMITS.transactionValidityMsMax || options.renewBeforeMs >= options.validityMs)
    throw new RangeError('validityMs of an outbox must be at most one hour and more than renewBeforeMs')
  const { spool, now } = needs
  const held: Held[] = []
  const count = { delivered: 0, refused: 0, droppedHeartbeats: 0, droppedEvents: 0, damaged: 0, renewed: 0 }
  let bytesHeld = 0
  let nextSequence = 1

  // Changes of the spool run one after another, so that a report is never written after it was removed.
  let lastChange: Promise<void> = Promise.resolve()
  const inTurn = (change: () => Promise<void>): Promise<void> => {
    const mine = lastChange.then(change)
    lastChange = mine.catch(() => undefined)
    return mine
  }

  const write = (report: Held): Promise<void> =>
    spool.put(
      report.sequence,
      encodeAs(heldCodec, { hasEvents: report.hasEvents, transaction: report.transaction.bytes }),
    )

  const forget = (report: Held): boolean => {
    const at = held.indexOf(report)
    if (at < 0) return false
    held.splice(at, 1)
    bytesHeld -= report.transaction.bytes.length
    return true
  }

  /** Reports that have to go so that the bounds hold, already forgotten. */
  const overflow = (): Held[] => {
    const gone: Held[] = []
    while (held.length > options.reportsMax || bytesHeld > options.bytesMax) {
      const report = held.find(({ hasEvents }) => !hasEvents) ?? (held[0] as Held)
      forget(report)
      if (report.hasEvents) count.droppedEvents++
      else count.droppedHeartbeats++
      gone.push(report)
    }
    return gone
  }

  for (const { sequence, value } of await spool.load()) {
    nextSequence = Math.max(nextSequence, sequence + 1)
    const report = parseHeld(sequence, value)
    if (report === undefined) {
      count.damaged++
      await spool.remove(sequence)
      continue
    }
    held.push(report)
    bytesHeld += report.transaction.bytes.length
  }
  for (const report of overflow()) await spool.remove(report.sequence)

  const signed = (kind: string, payload: CborValue, nonce: Uint8Array): Transaction =>
    needs.sign({ kind, payload, nonce, validUntil: now() + options.validityMs })

  async function renew(report: Held): Promise<void> {
    const { kind, payload, nonce, bytes: old } = report.transaction
    report.transaction = signed(kind, payload, nonce)
    bytesHeld += report.transaction.bytes.length - old.length
    count.renewed++
    // A crash before this is written only means that it is signed once more.
    await inTurn(async () => {
      if (held.includes(report)) await write(report)
    })
  }

  async function deliverAll(send: (transaction: Uint8Array) => Promise<DeliveryOutcome>): Promise<void> {
    for (let report = held[0]; report !== undefined; report = held[0]) {
      const current = report
      const left = current.transaction.validUntil - now()
      // More than the whole validity left means that the clock was set back since: members would refuse it as too long.
      if (left < options.renewBeforeMs || left > options.validityMs) await renew(current)
      const outcome = await send(current.transaction.bytes)
      if (outcome === 'later') return
      // It may have been dropped for lack of room while it was on its way.
      if (!forget(current)) continue
      if (outcome === 'delivered') count.delivered++
      else count.refused++
      await inTurn(() => spool.remove(current.sequence))
    }
  }

  let underWay: Promise<void> | undefined
  return {
    async add(kind, payload, hasEvents) {
      const report: Held = { sequence: nextSequence++, hasEvents, transaction: signed(kind, payload, needs.nonce()) }
      held.push(report)
      bytesHeld += report.transaction.bytes.length
      const gone = overflow()
      await inTurn(async () => {
        for (const { sequence } of gone) await spool.remove(sequence)
        if (held.includes(report)) await write(report)
      })
    },
    deliver(send) {
      underWay ??= deliverAll(send).finally(() => {
        underWay = undefined
      })
      return underWay
    },
    status: () => ({ reportsHeld: held.length, bytesHeld, ...count }),
  }
}

function parseHeld(sequence: number, value: Uint8Array): Held | undefined {
  try {
    const { hasEvents, transaction } = decodeAs(heldCodec, value, 'held report')
    return { sequence, hasEvents, transaction: decodeTransaction(transaction) }
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
