/**
 * Worker thread of the bench: signs transactions beforehand, so that signing does not compete with the network while it is measured.
 * In: `SignOrder`. Out: one `SignedBatch` after another, then null.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { encodeCbor } from '../../protocol/cbor.ts'
import { loadTransaction } from '../../testnet/load.ts'

/** What a worker signs: batches `first`, `first + step` … below `batches`. */
export type SignOrder = {
  readonly chainId: Uint8Array
  /** Secrets of the signers, 32 bytes each. */
  readonly secrets: readonly Uint8Array[]
  readonly first: number
  readonly step: number
  readonly batches: number
  readonly batchSize: number
  /** Different keys that each signer writes, over and over. */
  readonly keysPerSigner: number
  readonly transactionBytes: number
}
/** A list for `POST /v1/transactions`, and the ids in it, 32 bytes each. */
export type SignedBatch = { readonly body: Uint8Array; readonly ids: Uint8Array }

/** Valid for almost the hour that the ledger allows. */
const VALID_FOR_MS = 3_500_000

installNativePrimitives()
const order = workerData as SignOrder
for (let batch = order.first; batch < order.batches; batch += order.step) {
  const list: Uint8Array[] = []
  const ids = new Uint8Array(32 * order.batchSize)
  for (let i = 0; i < order.batchSize; i++) {
    const number = batch * order.batchSize + i
    const signer = number % order.secrets.length
    const key = `bench/${String(Math.floor(number / order.secrets.length) % order.keysPerSigner).padStart(6, '0')}`
    const { bytes, id } = loadTransaction(
      { key, validForMs: VALID_FOR_MS, size: order.transactionBytes },
      order.chainId,
      order.secrets[signer] as Uint8Array,
    )
    list.push(bytes)
    ids.set(id, 32 * i)
  }
  const body = Uint8Array.from(encodeCbor(list))
  parentPort?.postMessage({ body, ids } satisfies SignedBatch, [body.buffer, ids.buffer])
}
parentPort?.postMessage(null)
