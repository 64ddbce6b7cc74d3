/**
 * Proposals that came or were made here: what the core asks for again by name, for validating, sending and serving. Stage: block → **consensus**.
 * Invariants: at most `KEPT_PROPOSALS_MAX`, and `KEPT_PROPOSAL_BYTES_MAX` beyond the newest `KEPT_PROPOSALS_MIN`; the oldest go first. Headers,
 * ids and frames that are held here are no views of larger pieces of memory.
 */
import type { VerifiedParts } from '../../protocol/consensus/verify.ts'
import type { ProposalParts } from '../../protocol/consensus/wire.ts'

/** Proposals kept at most. */
export const KEPT_PROPOSALS_MAX = 512
/** Bytes of them: 128 blocks of 1000 transactions. */
export const KEPT_PROPOSAL_BYTES_MAX = 8 * 1024 * 1024
/** So many of the newest stay whatever their size: as many as may be executed and not committed. */
const KEPT_PROPOSALS_MIN = 64

const ID_BYTES = 32

/** The parts of a proposal; `verified` is null for one that was built here. */
export type KeptParts = ProposalParts & { readonly verified: Pick<VerifiedParts, 'sealed' | 'treeRoots'> | null }
type Packed = Pick<KeptParts, 'header' | 'verified'> & { readonly ids: Uint8Array }

/** Values by name, bounded in number and in bytes. */
class Bounded<T> {
  readonly #held = new Map<string, T>()
  readonly #bytesOf: (value: T) => number
  #bytes = 0

  constructor(bytesOf: (value: T) => number) {
    this.#bytesOf = bytesOf
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#held.size
  }

  get(name: string): T | undefined {
    return this.#held.get(name)
  }

  set(name: string, value: T, bytesMax: number): void {
    this.#delete(name)
    this.#held.set(name, value)
    this.#bytes += this.#bytesOf(value)
    for (const oldest of this.#held.keys()) {
      const { size } = this.#held
      if (size <= KEPT_PROPOSALS_MIN || (size <= KEPT_PROPOSALS_MAX && this.#bytes <= bytesMax)) return
      this.#delete(oldest)
    }
  }

  #delete(name: string): void {
    const value = this.#held.get(name)
    if (value === undefined) return
    this.#held.delete(name)
    this.#bytes -= this.#bytesOf(value)
  }
}

/** Kept parts, by hash of the block, and kept frames, by name of the proposal. */
export class Proposals {
  // A list of ids as an array takes seven times its bytes: each is an object, and often a buffer of its own.
  readonly #parts = new Bounded<Packed>(({ header, ids }) => header.length + ids.length)
  readonly #frames = new Bounded<Uint8Array>((frame) => frame.length)

  /** Bytes held. */
  get bytes(): number {
    return this.#parts.bytes + this.#frames.bytes
  }

  /** Proposals whose parts are held. */
  get size(): number {
    return this.#parts.size
  }

  /** Whether parts are kept. */
  has(hash: string): boolean {
    return this.#parts.get(hash) !== undefined
  }

  /** Bytes of the header of the block of `hash`. */
  header(hash: string): Uint8Array | undefined {
    return this.#parts.get(hash)?.header
  }

  /** The parts of the proposal of the block of `hash`. */
  parts(hash: string): KeptParts | undefined {
    const packed = this.#parts.get(hash)
    if (packed === undefined) return undefined
    const { header, verified, ids } = packed
    const count = ids.length / ID_BYTES
    const transactionIds = Array.from({ length: count }, (_, i) => ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES))
    return { header, verified, transactionIds }
  }

  keepParts(hash: string, { header, verified, transactionIds }: KeptParts): void {
    const ids = new Uint8Array(transactionIds.length * ID_BYTES)
    transactionIds.forEach((id, i) => {
      ids.set(id, i * ID_BYTES)
    })
    this.#parts.set(hash, { header: Uint8Array.from(header), verified, ids }, KEPT_PROPOSAL_BYTES_MAX / 2)
  }

  /** The frame of the proposal `name`, as it came or was sent. */
  frame(name: string): Uint8Array | undefined {
    return this.#frames.get(name)
  }

  keepFrame(name: string, frame: Uint8Array): void {
    this.#frames.set(name, whole(frame), KEPT_PROPOSAL_BYTES_MAX / 2)
  }
}

/** `bytes`, in memory of their own. */
const whole = (bytes: Uint8Array): Uint8Array =>
  bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes)
