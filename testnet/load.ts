/**
 * Stage: the operator. Load on a testnet: signed `kv.put` transactions of a given size, handed in as CBOR lists.
 * Invariants: unless told otherwise each transaction writes a key of its own, so that it can be looked for afterwards; what is in flight is
 * bounded; a member that refuses or does not answer is passed over, and what it refused is counted.
 */
import { randomBytes } from 'node:crypto'
import type { ApiClient } from '../cli/client.ts'
import { encodeCbor } from '../protocol/cbor.ts'
import { signTransaction, type Transaction } from '../protocol/transaction.ts'

/** Bytes of a transaction of the load, the whole encoding. */
export const LOAD_TRANSACTION_BYTES = 300

// Values that do not compress, as sensor data that was compressed before: slices of one random piece.
const NOISE = randomBytes(128 * 1024)
/** `size:characters of the key` → bytes of the value that make a transaction of that size. */
const valueBytesOf = new Map<string, number>()

/**
 * A signed `kv.put` of exactly `size` bytes (200 … 60 000) that writes `key` (ASCII). It is valid for `validForMs` from now, an hour at most.
 */
export function loadTransaction(
  { key, validForMs, size = LOAD_TRANSACTION_BYTES }: { key: string; validForMs: number; size?: number },
  chainId: Uint8Array,
  secretKey: Uint8Array,
): Transaction {
  const shape = `${size}:${key.length}`
  const signOne = (valueBytes: number): Transaction => {
    const at = Math.floor(Math.random() * (NOISE.length - valueBytes))
    const draft = {
      kind: 'kv.put',
      payload: [key, Uint8Array.from(NOISE.subarray(at, at + valueBytes))],
      nonce: Uint8Array.from(randomBytes(16)),
      validUntil: Date.now() + validForMs,
    }
    return signTransaction(draft, chainId, secretKey)
  }
  // What is around the value grows by a byte or two where the lengths take a longer form: found once for each shape.
  let valueBytes = valueBytesOf.get(shape) ?? Math.max(0, size - 170 - key.length)
  for (let round = 0; round < 4; round++) {
    const transaction = signOne(valueBytes)
    if (transaction.bytes.length === size) {
      valueBytesOf.set(shape, valueBytes)
      return transaction
    }
    valueBytes += size - transaction.bytes.length
  }
  throw new RangeError(`no transaction of ${size} bytes with the key ${key}`)
}

/** What a member answered to a list: the ids that it took, and how many it refused, by code. */
export type Handed = { readonly accepted: readonly string[]; readonly refused: Readonly<Record<string, number>> }

/** Hands `transactions` (1 … 1000) in as one list. Errors of the client pass through. */
export async function handIn(api: ApiClient, transactions: readonly Uint8Array[]): Promise<Handed> {
  const bytes = encodeCbor([...transactions])
  // A list of one looks like a list; the API tells both apart by their shape.
  const answer = (await api.json({
    method: 'POST',
    segments: ['transactions'],
    body: { bytes, type: 'application/cbor' },
  })) as { items?: readonly { id: string; status: string; code?: string }[] }
  const accepted: string[] = []
  const refused: Record<string, number> = {}
  for (const { id, status, code = 'unknown' } of answer.items ?? []) {
    if (status === 'accepted') accepted.push(id)
    else refused[code] = (refused[code] ?? 0) + 1
  }
  return { accepted, refused }
}

/** A signer of the load and the API that takes its transactions. */
export type LoadSource = { readonly api: () => Promise<ApiClient>; readonly secretKey: Uint8Array; usable(): boolean }

const TICK_MS = 100
const IN_FLIGHT_MAX = 8
const LATEST_MAX = 200

/** A constant load until it is stopped. */
export class Load {
  readonly chainId: Uint8Array
  readonly #sources: readonly LoadSource[]
  readonly #perTick: number
  readonly #keysMax: number
  readonly #latest: string[] = []
  readonly #prefix = randomBytes(4).toString('hex')
  #timer: NodeJS.Timeout | undefined
  #owed = 0
  #turn = 0
  #inFlight = 0
  #counter = 0
  /** Taken by a member; refused, or sent to a member that did not answer. */
  readonly counts = { accepted: 0, refused: 0 }

  /** `perSecond` transactions, in turn to each of `sources`; after `keysMax` of them the same keys are written again. */
  constructor(
    chainId: Uint8Array,
    sources: readonly LoadSource[],
    perSecond: number,
    keysMax = Number.POSITIVE_INFINITY,
  ) {
    this.chainId = chainId
    this.#keysMax = keysMax
    this.#sources = sources
    this.#perTick = (perSecond * TICK_MS) / 1000
  }

  /** Ids of the transactions that were taken last, `LATEST_MAX` at most, the newest last. */
  get latest(): readonly string[] {
    return this.#latest
  }

  start(): void {
    if (this.#perTick > 0) this.#timer ??= setInterval(() => this.#tick(), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    this.#owed = Math.min(this.#owed + this.#perTick, this.#perTick * 10)
    const usable = this.#sources.filter((source) => source.usable())
    if (usable.length === 0 || this.#inFlight >= IN_FLIGHT_MAX || this.#owed < 1) return
    const source = usable[this.#turn++ % usable.length] as LoadSource
    const count = Math.min(1000, Math.floor(this.#owed))
    this.#owed -= count
    const transactions = Array.from(
      { length: count },
      () =>
        loadTransaction(
          { key: `load/${this.#prefix}/${this.#counter++ % this.#keysMax}`, validForMs: 600_000 },
          this.chainId,
          source.secretKey,
        ).bytes,
    )
    this.#inFlight += 1
    void source
      .api()
      .then((api) => handIn(api, transactions))
      .then(
        ({ accepted }) => {
          this.counts.accepted += accepted.length
          this.counts.refused += count - accepted.length
          this.#latest.push(...accepted)
          if (this.#latest.length > LATEST_MAX) this.#latest.splice(0, this.#latest.length - LATEST_MAX)
        },
        () => {
          this.counts.refused += count
        },
      )
      .finally(() => {
        this.#inFlight -= 1
      })
  }
}
