/**
 * Questions of devices (ledger.md §6): a report or opinions handed in, a proof of state, a receipt, how eras ended. Stage: **report** → pool.
 * Invariants: a device hands in its own reports and opinions only and is given proofs of what concerns it only; every refusal has a code of
 * the table;
 * what proofs cost altogether is bounded, whoever asks.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { readTransaction } from '../../protocol/execution.ts'
import { blacklistStateKey, reinstatementStateKey } from '../../protocol/kinds/access/record.ts'
import { deviceStateKey, readDevice } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { activeModules, encodeActiveModules, readModuleCode } from '../../protocol/kinds/module/record.ts'
import { readingBatch } from '../../protocol/kinds/reading/batch.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { trustOpinion } from '../../protocol/kinds/trust/opinion.ts'
import { opinionsStateKey } from '../../protocol/kinds/trust/opinions.ts'
import { trustStateKey } from '../../protocol/kinds/trust/record.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { type Proof, renderProof } from '../../protocol/proof.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock } from '../clock.ts'
import type { LedgerReads } from '../executor/reads.ts'
import type { Intake } from '../intake/intake.ts'
import { TokenBucket } from '../network/limiter.ts'
import { LIGHT_LIMITS } from './limits.ts'
import { ERAS_PER_ANSWER_MAX, erasAnswer, erasQuestion } from './messages.ts'
import { deviceIdOf } from './roles.ts'

/** What the answers are made of. */
export type QuestionDependencies = {
  readonly chainId: Uint8Array
  readonly clock: Pick<Clock, 'monotonic'>
  readonly intake: Pick<Intake, 'submit'>
  readonly reads: Pick<
    LedgerReads,
    'state' | 'transaction' | 'headerAt' | 'proveBlock' | 'proveState' | 'proveTransaction' | 'eraEnd' | 'eraLinks'
  >
}

/** An answer; a proof comes with `OK` only. */
export type Answered = { readonly code: Code; readonly proof: string | null }

const refusal = (code: Code): Answered => ({ code, proof: null })
const proved = (proof: Proof): Answered => ({ code: 'OK', proof: renderProof(proof) })

/** Kinds of transactions that devices hand in. */
const HANDED_IN: readonly string[] = [deviceReport.name, trustOpinion.name, readingBatch.name]

/** Answers the questions of devices. */
export class Questions {
  readonly #deps: QuestionDependencies
  readonly #budget: TokenBucket
  readonly #state: StateReader = { get: (key) => this.#deps.reads.state(key)?.value }

  constructor(deps: QuestionDependencies) {
    this.#deps = deps
    const { proofHashesPerSecond, proofHashesBurst } = LIGHT_LIMITS
    this.#budget = new TokenBucket(proofHashesPerSecond, proofHashesBurst, () => deps.clock.monotonic())
  }

  /** Takes a report or opinions of `peer`: `OK` once it waits in the pool here, which is not yet in the chain. */
  async submit(peer: PublicKeyHex, data: Uint8Array): Promise<Answered> {
    const read = readTransaction(data, this.#deps.chainId)
    if (typeof read === 'string') return refusal(read)
    if (!HANDED_IN.includes(read.transaction.kind)) return refusal('LIGHT_NOT_A_REPORT')
    if (toHex(read.signer) !== peer) return refusal('LIGHT_FOREIGN_REPORT')
    const [code] = await this.#deps.intake.submit([data])
    return refusal(code as Code)
  }

  /** Proof of the entry under a key, or of its absence. LIGHT_FORBIDDEN for keys that are not a device's business. */
  async state(peer: PublicKeyHex, data: Uint8Array): Promise<Answered> {
    const key = utf8(data)
    if (key === undefined) return refusal('MESSAGE_MALFORMED')
    if (!mayRead(peer, key, { get: (one) => this.#deps.reads.state(one)?.value })) return refusal('LIGHT_FORBIDDEN')
    if (!this.#afford(LIGHT_LIMITS.stateProofHashes)) return refusal('LIGHT_BUSY')
    const proof = await this.#deps.reads.proveState(key)
    return proof === undefined ? refusal('LIGHT_UNPROVABLE') : proved(proof)
  }

  /**
   * Proof that a report of `peer` is in the chain. LIGHT_UNPROVABLE: not in the chain here, or in no certified block yet. LIGHT_PRUNED: it
   * is, and the block's body is gone. LIGHT_FORBIDDEN: somebody else's.
   */
  async receipt(peer: PublicKeyHex, id: Uint8Array): Promise<Answered> {
    if (id.length !== 32) return refusal('MESSAGE_MALFORMED')
    const { reads, chainId } = this.#deps
    const position = reads.transaction(id)
    if (position === undefined) return refusal('LIGHT_UNPROVABLE')
    if (!this.#afford(reads.headerAt(position.height)?.header.transactionCount ?? 0)) return refusal('LIGHT_BUSY')
    const proof = await reads.proveTransaction(id)
    if (proof === undefined || proof.subject.kind !== 'transaction')
      return refusal(reads.proveBlock(position.height) === undefined ? 'LIGHT_UNPROVABLE' : 'LIGHT_PRUNED')
    const read = readTransaction(proof.subject.transaction, chainId)
    const isOwn = typeof read !== 'string' && toHex(read.signer) === peer
    return isOwn ? proved(proof) : refusal('LIGHT_FORBIDDEN')
  }

  /** How the era named in `data` ended, and some after it, encoded as `erasAnswer`; none while it lasts, or where `data` names none. */
  eras(data: Uint8Array): Uint8Array {
    const { reads } = this.#deps
    let from: number
    try {
      from = decodeAs(erasQuestion, data, 'era')
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return encodeAs(erasAnswer, [])
    }
    let to = from
    while (to - from < ERAS_PER_ANSWER_MAX && reads.eraEnd(to) !== undefined) to++
    return encodeAs(erasAnswer, reads.eraLinks(from, to) ?? [])
  }

  /** The modules that are active in the block at `height`, the newest, as its header's `modulesHash` has them. */
  modules(height: number): Uint8Array {
    return encodeActiveModules(activeModules(this.#state, height))
  }

  /** The binary of the module with the hash `data`; nothing where none was published. */
  module(data: Uint8Array): Uint8Array {
    return readModuleCode(this.#state, toHex(data)) ?? new Uint8Array(0)
  }

  /** Whether a proof of so many hashes may be made now; what is left may go into debt once. */
  #afford(hashes: number): boolean {
    if (this.#budget.charge(0) > 0) return false
    this.#budget.charge(hashes)
    return true
  }
}

const OPEN_KEYS = [trustStateKey, opinionsStateKey, blacklistStateKey, reinstatementStateKey]

/**
 * Own record and those of its segment (and that there is none, of any id), trust, opinions, blacklisting and reinstatement of any device: what it
 * needs to judge itself and its peers.
 */
function mayRead(peer: PublicKeyHex, key: string, state: StateReader): boolean {
  const own = deviceIdOf(peer)
  const [, id] = /^[a-z]+\/([0-9a-f]{40})$/.exec(key) ?? []
  if (id === undefined) return false
  if (OPEN_KEYS.some((keyOf) => keyOf(id) === key)) return true
  if (key !== deviceStateKey(id)) return false
  const other = id === own ? undefined : readDevice(state, id)
  return other === undefined || other.segment === readDevice(state, own)?.segment
}

function utf8(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return undefined
  }
}
