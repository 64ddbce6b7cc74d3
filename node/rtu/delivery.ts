/**
 * RTU, stage 5: from the outbox to the members, until the chain is proved to hold each report.
 * Invariants: members are tried in turn, for a batch of readings two at once; one that says no for good does not decide alone, all that are
 * configured have to, and is not asked
 * again; one that says "taken" is believed only once a receipt proves it, and another is asked next; proofs are checked against the genesis.
 */
import { toHex } from '../../protocol/bytes.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import type { Transaction } from '../../protocol/transaction.ts'
import { type Code, VERDICTS } from '../../protocol/verdict.ts'
import { isAlthingError } from '../errors.ts'
import { QUESTIONS } from '../light/messages.ts'
import type { NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'
import type { Headers } from './headers.ts'
import type { MemberName, Members } from './members.ts'
import type { Carrier, Outbox, Settlement, SubmitOutcome } from './outbox.ts'
import { checkProof, provesTransaction } from './proofs.ts'

/** Times, ms. */
export type DeliveryOptions = {
  /** Until the receipts of what was taken are asked for. */
  readonly receiptMs: number
  /** Until the next attempt, where nobody could take a report. */
  readonly retryMs: number
}
/** A second and ten. */
export const DELIVERY_DEFAULTS: DeliveryOptions = { receiptMs: 1000, retryMs: 10_000 }

/** What delivery uses. */
export type DeliveryNeeds = {
  readonly genesis: Genesis
  readonly outbox: Pick<Outbox, 'deliver' | 'status'>
  readonly members: Pick<Members, 'isUp' | 'inTurn' | 'ask' | 'fault' | 'count'>
  readonly headers: Pick<Headers, 'chainTime'>
  readonly log: NetworkLog
  /** A member said that this device is not in service. */
  outOfService(): void
}

/** The report is with a member, or was before. */
const TAKEN: readonly string[] = ['OK', 'POOL_DUPLICATE', 'TX_REPLAYED']
/** The report is as it should be and the device not: it may be put in service again. */
const OUT_OF_SERVICE: readonly string[] = [
  'TX_UNKNOWN_SIGNER',
  'DEVICE_UNKNOWN',
  'DEVICE_RETIRED',
  'DEVICE_BLACKLISTED',
]
/** Members that are handed a batch of readings at once: its readings are nowhere else, and one member may keep it to itself. */
const BATCH_MEMBERS = 2
/** Nothing about this report will ever be otherwise. What is in none of these lists, or unknown here, may be otherwise later. */
const isFinal = (code: string): boolean =>
  code === 'TX_FORBIDDEN' || code === 'TX_UNKNOWN_KIND' || VERDICTS[code as Code]?.verdict === 'reject'

/** Delivers what the outbox holds. */
export class Delivery implements Carrier {
  readonly #options: DeliveryOptions
  readonly #needs: DeliveryNeeds
  readonly #alarm = new Alarm()
  /** Keys of the members that refused a report for good, or took it. As long as the report is held. */
  readonly #past = new WeakMap<Transaction, { readonly refusedBy: Set<string>; readonly takenBy: Set<string> }>()

  constructor(options: DeliveryOptions, needs: DeliveryNeeds) {
    this.#options = options
    this.#needs = needs
  }

  /** There is a new report, or a member that may take it. */
  wake(): void {
    this.#alarm.ring()
  }

  /** Delivers until `signal` aborts. Rejects with a bug only: where the disk fails it is tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { outbox, members, log } = this.#needs
      const { isUp } = members
      const before = outbox.status()
      if (isUp && before.reportsHeld > 0) {
        try {
          await outbox.deliver(this)
        } catch (error) {
          if (!isAlthingError(error)) throw error
          log.warn({ error }, 'a report could not be settled on disk; it will be handed over again')
        }
      }
      const { reportsHeld, reportsTaken, delivered } = outbox.status()
      const moved = delivered > before.delivered
      if (moved) log.debug({ reportsHeld, delivered }, 'reports are in the chain')
      const pauseMs = moved ? 0 : reportsTaken > 0 ? this.#options.receiptMs : this.#options.retryMs
      await this.#alarm.wait(isUp && reportsHeld > 0 ? withJitter(pauseMs) : undefined, signal)
    }
  }

  chainTime(): number {
    return this.#needs.headers.chainTime
  }

  async submit(transaction: Transaction): Promise<SubmitOutcome> {
    const { members, log, outOfService } = this.#needs
    const past = this.#past.get(transaction) ?? { refusedBy: new Set(), takenBy: new Set() }
    this.#past.set(transaction, past)
    let isOpen = !members.isUp
    let isStale = false
    // Who took it before and has not put it into a block is asked last.
    const inTurn = members
      .inTurn()
      .filter(({ publicKey }) => !past.refusedBy.has(publicKey))
      .sort((a, b) => Number(past.takenBy.has(a.publicKey)) - Number(past.takenBy.has(b.publicKey)))
    const atOnce = transaction.kind === 'reading.batch' ? BATCH_MEMBERS : 1
    while (inTurn.length > 0) {
      const asked = inTurn.splice(0, atOnce)
      const codes = await Promise.all(asked.map((member) => this.#submitTo(member, transaction)))
      let isTaken = false
      asked.forEach(({ name, publicKey }, i) => {
        const code = codes[i]
        if (code !== undefined && TAKEN.includes(code)) {
          past.takenBy.add(publicKey)
          isTaken = true
          return
        }
        if (code !== undefined) log.info({ member: name, code }, 'a member did not take a report')
        if (code === 'REPORT_MODEL') isStale = true
        if (code !== undefined && OUT_OF_SERVICE.includes(code)) outOfService()
        if (code !== undefined && isFinal(code)) past.refusedBy.add(publicKey)
        else isOpen = true
      })
      if (isTaken) return 'taken'
    }
    if (isStale) return 'stale'
    if (isOpen) return 'later'
    if (past.refusedBy.size < members.count) return 'unwanted'
    log.warn({ id: toHex(transaction.id) }, 'all members refuse a report for good: it is dropped')
    return 'refused'
  }

  async #submitTo(member: MemberName, transaction: Transaction): Promise<string | undefined> {
    return (await this.#needs.members.ask(member, QUESTIONS.submit, transaction.bytes))?.code
  }

  async settlement(transaction: Transaction, everyone: boolean): Promise<Settlement> {
    const { members } = this.#needs
    const codes: string[] = []
    for (const member of members.inTurn()) {
      const answer = await members.ask(member, QUESTIONS.receipt, transaction.id)
      if (answer === undefined) continue
      if (answer.proof !== null) {
        const code = this.#checkReceipt(answer.proof, transaction)
        if (code === null) return 'yes'
        members.fault(member, code, QUESTIONS.receipt)
        continue
      }
      codes.push(answer.code)
      if (!everyone && answer.code === 'LIGHT_UNPROVABLE') break
    }
    if (codes.includes('LIGHT_UNPROVABLE')) return 'no'
    if (!codes.includes('LIGHT_PRUNED')) return 'nobody'
    // No proof can be had any more: the word of all members has to do, and not that of those which happen to be there.
    return codes.length === members.count && codes.every((code) => code === 'LIGHT_PRUNED') ? 'yes' : 'unknown'
  }

  #checkReceipt(text: string, { bytes }: Transaction): Code | null {
    const proved = checkProof(text, 'transaction', this.#needs.genesis)
    if (typeof proved === 'string') return proved
    return provesTransaction(proved, bytes) ? null : 'LIGHT_ANSWER'
  }
}
