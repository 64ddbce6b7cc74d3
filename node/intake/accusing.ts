/**
 * Accusing: evidence that consensus found is brought to the ledger, in a transaction that this member signs (agreement.md §7). Stage: consensus →
 * pool.
 * Invariants: bounded in count and attempts; members wait their turn by their place in the set, so that mostly one of them does it; what is recorded,
 * by whomever, is not brought again.
 */
import { encodeCbor } from '../../protocol/cbor.ts'
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

/** Pieces of evidence that wait to be brought; further ones are only counted and logged. */
export const EVIDENCE_WAITING_MAX = 64
/** Attempts for one piece, and ms between them: a chain that stands for longer has no use for it. */
const ATTEMPTS_MAX = 40
const RETRY_MS = 15_000
/** What a member waits for each member before it in the set, ms. */
const TURN_MS = 1_000
/** How long such a transaction is valid, ms. */
const VALIDITY_MS = 10 * 60_000

/** Codes after which it is tried again. */
const PASSING: ReadonlySet<Code> = new Set(['OK', 'POOL_DUPLICATE', 'POOL_FULL', 'POOL_SIGNER_QUOTA', 'INTAKE_BUSY'])

/** What accusing asks of the rest of the node. */
export type AccusingDependencies = {
  readonly clock: Clock
  readonly chainId: Uint8Array
  readonly secretKey: Uint8Array
  /** The present era, and this member's place in it; −1: no member. */
  present(): { readonly era: number; readonly me: number }
  /** Bytes of a header that is committed or was proposed. */
  headerBytes(hash: Hash): Uint8Array | undefined
  submit(encoded: readonly Uint8Array[]): Promise<readonly Code[]>
  readonly log: Pick<NetworkLog, 'info' | 'warn'>
}

/** Brings evidence to the ledger. */
export class Accusing {
  readonly #deps: AccusingDependencies
  readonly #waiting = new Map<number, TimerHandle>()
  #counter = 0

  constructor(deps: AccusingDependencies) {
    this.#deps = deps
  }

  /** Consensus found `found` in `era`. */
  found(era: number, found: Evidence): void {
    const { me } = this.#deps.present()
    if (found.kind === 'fork' || me < 0 || this.#waiting.size >= EVIDENCE_WAITING_MAX) return
    this.#later(this.#counter++, me * TURN_MS, 1, { era, found })
  }

  stop(): void {
    for (const timer of this.#waiting.values()) timer.cancel()
    this.#waiting.clear()
  }

  #later(id: number, afterMs: number, attempt: number, what: { readonly era: number; readonly found: Evidence }): void {
    const run = async (): Promise<void> => {
      const isDone = await this.#bring(what.era, what.found)
      // Stopped meanwhile.
      if (!this.#waiting.has(id)) return
      if (isDone || attempt >= ATTEMPTS_MAX) this.#waiting.delete(id)
      else this.#later(id, RETRY_MS, attempt + 1, what)
    }
    this.#waiting.set(
      id,
      this.#deps.clock.after(afterMs, () => void run()),
    )
  }

  /** Whether nothing more is to be done about it. */
  async #bring(era: number, found: Evidence): Promise<boolean> {
    const { clock, chainId, secretKey, log, present, headerBytes, submit } = this.#deps
    if (present().era !== era) return true
    const payload = payloadOf(era, found, headerBytes)
    if (payload === undefined) return false
    const value = evidenceKind.payload.to(payload)
    const draft = {
      kind: evidenceKind.name,
      payload: value,
      // One nonce for one piece: a second attempt is a second transaction only once the first has expired.
      nonce: sha3(encodeCbor(value)).slice(0, LIMITS.nonceBytes),
      validUntil: clock.now() + VALIDITY_MS,
    }
    const [code = 'OK'] = await submit([signTransaction(draft, chainId, secretKey).bytes])
    if (PASSING.has(code)) return false
    if (code === 'EVIDENCE_KNOWN') log.info({ evidence: found.kind }, 'the evidence is on the chain')
    else log.warn({ evidence: found.kind, code }, 'the evidence was not taken')
    return true
  }
}
