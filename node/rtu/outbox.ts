/**
 * RTU, stage 4: signed reports that are not known to be in the chain yet.
 * Invariants: bounded in reports and bytes, oldest reports without events dropped first, then the oldest of all, and every drop counted;
 * on disk before `add` resolves, and until the chain is proved to hold it: what a member only took may be lost with that member; handed
 * over in the order they were added, one at a time. A report is signed anew, under the same nonce, only when no later block can hold it
 * as it is (its time is past, or another module scores by now) and the members say that none does, so that it is never in the chain twice.
 */
import { CborError, type CborValue } from '../../protocol/cbor.ts'
import { boolean, bytes, decodeAs, encodeAs, record } from '../../protocol/codec.ts'
import { trustOpinion } from '../../protocol/kinds/trust/opinion.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { decodeTransaction, type Transaction, type TransactionDraft } from '../../protocol/transaction.ts'
import type { Spool } from './disk.ts'

/** Bounds. `validityMs` ≤ 3 600 000; what is missing to the hour is how far the clock may run ahead of the chain's. */
export type OutboxOptions = {
  readonly reportsMax: number
  readonly bytesMax: number
  readonly validityMs: number
  /** Reports that may be with the members at once, waiting for their block. */
  readonly takenMax: number
  /** A report that was taken and is still in no block after so long is handed over again. */
  readonly resubmitMs: number
  /** Kinds that are worth nothing after `perishableMs`: dropped then, where others are signed anew. */
  readonly perishable: readonly string[]
  readonly perishableMs: number
}
/** Two hours of reports five seconds apart, in at most 8 MiB; what has events is kept longest. */
export const OUTBOX_DEFAULTS: OutboxOptions = {
  reportsMax: 1440,
  bytesMax: 8 * 1024 * 1024,
  validityMs: 1_800_000,
  takenMax: 64,
  resubmitMs: 30_000,
  perishable: [trustOpinion.name],
  perishableMs: 300_000,
}

/**
 * What came of handing a report over. taken: a member has it. refused: all members refuse it for good. unwanted: those that are there do, and
 * others are away. stale: it was scored by another module than the one that is active. later: nobody could take it now.
 */
export type SubmitOutcome = 'taken' | 'refused' | 'unwanted' | 'stale' | 'later'
/** Whether the chain holds a report. unknown: it cannot be told, though members answered. nobody: none answered now. */
export type Settlement = 'yes' | 'no' | 'unknown' | 'nobody'
/** How reports get to the members. */
export type Carrier = {
  submit(transaction: Transaction): Promise<SubmitOutcome>
  /** Whether the chain holds it: yes is proved. `everyone`: no is the word of all that answer, otherwise of one. */
  settlement(transaction: Transaction, everyone: boolean): Promise<Settlement>
  /** Block time of the newest verified header: no later block has an earlier one. */
  chainTime(): number
}
/** Since the outbox was opened, but for what is held. */
export type OutboxStatus = {
  readonly reportsHeld: number
  readonly bytesHeld: number
  /** Of those held: with a member, waiting for their block. */
  readonly reportsTaken: number
  /** Proved to be in the chain. */
  readonly delivered: number
  readonly refused: number
  /** In no block while they were worth something. */
  readonly perished: number
  readonly droppedHeartbeats: number
  readonly droppedEvents: number
  readonly damaged: number
  readonly renewed: number
}
/** `sign` makes the transaction of a draft; `nonce` gives 16 random bytes; `now` is block time as well as it is known, ms. */
export type OutboxNeeds = {
  readonly spool: Spool
  sign(draft: TransactionDraft): Transaction
  nonce(): Uint8Array
  now(): number
  /** ms from an arbitrary start, never falling. */
  monotonic(): number
}
export type Outbox = {
  /**
   * Signs and holds a transaction of `kind`, and gives it as it was signed. Rejects with RTU_WRITE_FAILED where it could not be written; it
   * is then held in memory
   * only, and delivered if the process lives until then.
   */
  add(kind: string, payload: CborValue, hasEvents: boolean): Promise<Transaction>
  /**
   * Settles what was taken and hands over the rest, oldest first, until the carrier says `later` or enough is under way. A call while
   * one is under way joins it. Rejects with RTU_WRITE_FAILED.
   */
  deliver(carrier: Carrier): Promise<void>
  status(): OutboxStatus
}

type Held = {
  readonly sequence: number
  readonly hasEvents: boolean
  transaction: Transaction
  /** When a member took it, monotonic; not kept on disk: after a restart it is handed over again, and refused as a duplicate. */
  takenAt: number | undefined
}

const heldCodec = record({ hasEvents: boolean, transaction: bytes(1, LIMITS.transactionBytesMax) })
/** Bytes of the largest value that an outbox puts into its spool. */
export const SPOOLED_BYTES_MAX: number = LIMITS.transactionBytesMax + 16

/** Opens the outbox over what `needs.spool` holds. Rejects as the spool does; throws on options out of range. */
export async function openOutbox(options: OutboxOptions, needs: OutboxNeeds): Promise<Outbox> {
  if (options.validityMs > LIMITS.transactionValidityMsMax) throw new RangeError('validityMs of an outbox: one hour')
  const { spool, now, monotonic } = needs
  const held: Held[] = []
  const count = {
    delivered: 0,
    refused: 0,
    perished: 0,
    droppedHeartbeats: 0,
    droppedEvents: 0,
    damaged: 0,
    renewed: 0,
  }
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
    needs.sign({
      ...{ kind, payload, nonce },
      validUntil: now() + (options.perishable.includes(kind) ? options.perishableMs : options.validityMs),
    })

  async function renew(report: Held): Promise<void> {
    const { kind, payload, nonce, bytes: old } = report.transaction
    report.transaction = signed(kind, payload, nonce)
    report.takenAt = undefined
    bytesHeld += report.transaction.bytes.length - old.length
    count.renewed++
    // A crash before this is written only means that it is signed once more.
    await inTurn(async () => {
      if (held.includes(report)) await write(report)
    })
  }

  async function done(report: Held, outcome: 'delivered' | 'refused' | 'perished'): Promise<void> {
    // It may have been dropped for lack of room while it was on its way.
    if (!forget(report)) return
    count[outcome]++
    await inTurn(() => spool.remove(report.sequence))
  }

  /** Whether no later block can hold the report, or its time was signed with a clock that was far ahead. */
  const isPast = ({ transaction: { validUntil } }: Held, chainTime: number): boolean =>
    validUntil < chainTime || validUntil > now() + LIMITS.transactionValidityMsMax

  async function deliverAll(carrier: Carrier): Promise<void> {
    let taken = 0
    // Blocks take them in order, so where one is not in the chain yet its followers need no question.
    let settled = true
    for (const report of [...held]) {
      if (!held.includes(report)) continue
      const past = isPast(report, carrier.chainTime())
      if (past || (report.takenAt !== undefined && settled)) {
        const settlement = await carrier.settlement(report.transaction, past)
        if (settlement === 'nobody') return
        if (settlement === 'yes') await done(report, 'delivered')
        if (settlement !== 'no') continue
        const isPerishable = options.perishable.includes(report.transaction.kind)
        // Blocks leave out what is true no longer: it says nothing of what is behind it.
        if (!isPerishable) settled = false
        if (past && isPerishable) {
          await done(report, 'perished')
          continue
        }
      }
      if (past) await renew(report)
      if (report.takenAt === undefined || monotonic() - report.takenAt >= options.resubmitMs) {
        const outcome = await carrier.submit(report.transaction)
        if (outcome === 'later') return
        if (outcome === 'refused') await done(report, 'refused')
        // Signed anew, by what is known by now, and handed over with the next round.
        if (outcome === 'stale' && (await carrier.settlement(report.transaction, true)) === 'no') await renew(report)
        // What one member does not want must not hold up what is behind it.
        if (outcome !== 'taken') continue
        report.takenAt = monotonic()
      }
      if (++taken >= options.takenMax) return
    }
  }

  let underWay: Promise<void> | undefined
  return {
    async add(kind, payload, hasEvents) {
      const transaction = signed(kind, payload, needs.nonce())
      const report: Held = { sequence: nextSequence++, hasEvents, transaction, takenAt: undefined }
      held.push(report)
      bytesHeld += report.transaction.bytes.length
      const gone = overflow()
      await inTurn(async () => {
        for (const { sequence } of gone) await spool.remove(sequence)
        if (held.includes(report)) await write(report)
      })
      return transaction
    },
    deliver(carrier) {
      underWay ??= deliverAll(carrier).finally(() => {
        underWay = undefined
      })
      return underWay
    },
    status: () => ({
      reportsHeld: held.length,
      reportsTaken: held.filter(({ takenAt }) => takenAt !== undefined).length,
      bytesHeld,
      ...count,
    }),
  }
}

function parseHeld(sequence: number, value: Uint8Array): Held | undefined {
  try {
    const { hasEvents, transaction } = decodeAs(heldCodec, value, 'held report')
    return { sequence, hasEvents, transaction: decodeTransaction(transaction), takenAt: undefined }
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}
