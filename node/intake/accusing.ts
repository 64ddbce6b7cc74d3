/**
 * Accusing: evidence that consensus found is brought to the ledger, in a transaction that this member signs (agreement.md §7). Stage: consensus →
 * pool.
 * Invariants: what can be shown is on disk from when it was found until it is on the chain, over restarts and eras; bounded in count and rate;
 * members wait their turn by their place in the set, so that mostly one of them does it; what is recorded, by whomever, is not brought again.
 */
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts'
import type { Evidence } from '../../protocol/consensus/events.ts'
import type { Hash } from '../../protocol/consensus/types.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { evidence as evidenceKind } from '../../protocol/kinds/evidence/evidence.ts'
import { payloadOf } from '../../protocol/kinds/evidence/make.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock, TimerHandle } from '../clock.ts'
import type { NetworkLog } from '../network/network.ts'
import type { KeptEvidence } from '../store/keptEvidence.ts'

/** Pieces of evidence that wait to be brought; further ones are only counted and logged. */
export const EVIDENCE_WAITING_MAX = 64
/** Attempts to show a piece, whose headers may come late: what cannot be shown is given up. */
const SHOWING_ATTEMPTS_MAX = 40
/** Between two attempts, ms. */
const RETRY_MS = 15_000
/** What a member waits for each member before it in the set, ms. */
const TURN_MS = 1_000
/** How long such a transaction is valid, ms. */
const VALIDITY_MS = 10 * 60_000
/** What a payload may take of a transaction. */
const PAYLOAD_BYTES_MAX = LIMITS.transactionBytesMax - 256

/** Codes after which it is tried again. */
const PASSING: ReadonlySet<Code> = new Set(['OK', 'POOL_DUPLICATE', 'POOL_FULL', 'POOL_SIGNER_QUOTA', 'INTAKE_BUSY'])

/** What accusing asks of the rest of the node. */
export type AccusingDependencies = {
  readonly clock: Clock
  readonly chainId: Uint8Array
  readonly secretKey: Uint8Array
  /** What waits is here as well; a write that fails is fatal. */
  readonly kept: Pick<KeptEvidence, 'stored' | 'keep' | 'forget'>
  /** This member's place in the present era; −1: no member. */
  me(): number
  /** Bytes of a header that is committed or was proposed. */
  headerBytes(hash: Hash): Uint8Array | undefined
  submit(encoded: readonly Uint8Array[]): Promise<readonly Code[]>
  fatal(error: unknown): void
  readonly log: Pick<NetworkLog, 'info' | 'warn'>
}

/** Brings evidence to the ledger. */
export class Accusing {
  readonly #deps: AccusingDependencies
  readonly #waiting = new Map<number, TimerHandle>()
  #counter = 0
  /** Pieces that are not done with. */
  #pieces = 0
  #stopped = false

  constructor(deps: AccusingDependencies) {
    this.#deps = deps
  }

  /** Goes on with what an earlier run of this member found. Throws AlthingError of the store. */
  async resume(): Promise<void> {
    for (const payload of await this.#deps.kept.stored()) {
      this.#pieces++
      this.#bringSoon(payload)
    }
  }

  /** Consensus found `found` in `era`. */
  found(era: number, found: Evidence): void {
    if (found.kind === 'fork' || this.#deps.me() < 0) return
    if (this.#pieces >= EVIDENCE_WAITING_MAX)
      return this.#deps.log.warn({ evidence: found.kind }, 'too much evidence waits already: this is not brought')
    this.#pieces++
    this.#show(era, found, 1)
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#waiting.values()) timer.cancel()
    this.#waiting.clear()
  }

  /** Makes the payload as soon as the headers for it are here: later they may be gone. */
  #show(era: number, found: Evidence, attempt: number): void {
    const payload = payloadOf(era, found, this.#deps.headerBytes)
    if (payload !== undefined) {
      const encoded = encodeCbor(evidenceKind.payload.to(payload))
      if (encoded.length <= PAYLOAD_BYTES_MAX) return this.#keep(encoded)
    } else if (attempt < SHOWING_ATTEMPTS_MAX) return this.#later(RETRY_MS, () => this.#show(era, found, attempt + 1))
    this.#pieces--
    this.#deps.log.warn({ evidence: found.kind }, 'this evidence cannot be shown in one transaction')
  }

  #keep(payload: Uint8Array): void {
    const { kept, fatal } = this.#deps
    kept.keep(payload).then(() => this.#bringSoon(payload), fatal)
  }

  #bringSoon(payload: Uint8Array): void {
    this.#later(Math.max(0, this.#deps.me()) * TURN_MS, () => this.#bring(payload))
  }

  #later(afterMs: number, run: () => void | Promise<void>): void {
    if (this.#stopped) return
    const id = this.#counter++
    const handle = this.#deps.clock.after(afterMs, () => {
      this.#waiting.delete(id)
      void run()
    })
    this.#waiting.set(id, handle)
  }

  async #bring(payload: Uint8Array): Promise<void> {
    const { clock, chainId, secretKey, log, submit, kept, me, fatal } = this.#deps
    const again = (): void => this.#later(RETRY_MS, () => this.#bring(payload))
    // What a node signs that is no member goes nowhere; it may be one again.
    if (me() < 0) return again()
    const draft = {
      kind: evidenceKind.name,
      payload: decodeCbor(payload),
      // One nonce for one piece: a second attempt is a second transaction only once the first has expired.
      nonce: sha3(payload).slice(0, LIMITS.nonceBytes),
      validUntil: clock.now() + VALIDITY_MS,
    }
    const [code = 'OK'] = await submit([signTransaction(draft, chainId, secretKey).bytes])
    if (this.#stopped) return
    if (PASSING.has(code)) return again()
    this.#pieces--
    // The nonce is that of this piece alone: a second time means that the first was committed.
    if (code === 'EVIDENCE_KNOWN' || code === 'TX_REPLAYED') log.info({}, 'the evidence is on the chain')
    else log.warn({ code }, 'the evidence was not taken')
    await kept.forget(payload).catch(fatal)
  }
}
