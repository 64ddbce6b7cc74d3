/**
 * `node test/bench/bkvs.ts <keys> <folder>`: the BKVS with that many keys on a real LevelDB under the executor. Prints one line of JSON,
 * `BkvsFigures`. A process of its own, so that its memory is its own.
 */
import { join } from 'node:path'
import { DEFAULT_PARAMETERS } from '../../config/genesisFile.ts'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { Executor } from '../../node/executor/executor.ts'
import { initializeLedger } from '../../node/executor/genesisState.ts'
import { openLedger } from '../../node/store/ledgerStore.ts'
import { openLevel } from '../../node/store/level.ts'
import { toHex } from '../../protocol/bytes.ts'
import { encodeCbor } from '../../protocol/cbor.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { encodeAs } from '../../protocol/codec.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { kvStateKey } from '../../protocol/kinds/kv/kv.ts'
import { addressOf } from '../../protocol/signature.ts'
import { decodeTransaction } from '../../protocol/transaction.ts'
import { percentile } from './machine.ts'

/** What is measured. Latencies in µs of one read of a random key, times in ms of one block. */
export type BkvsFigures = {
  readonly keys: number
  readonly readP50: number
  readonly readP99: number
  readonly blockP50: number
  readonly blockP90: number
  readonly residentMiB: number
  readonly fillS: number
}

const FILL_BLOCK = 8000
const READS = 20_000
/** Transactions of a measured block, each on a random key, and how many such blocks. */
export const BLOCK_TRANSACTIONS = 1000
const BLOCKS = 40

installNativePrimitives()
const secret = new Uint8Array(32).fill(1)
const signer = publicKeyOf(secret)
const address = toHex(addressOf(signer))
const genesis: Genesis = {
  format: 1,
  network: 'bench',
  createdAt: Date.now(),
  memberSet: { members: [{ name: 'one', publicKey: signer }], parameters: DEFAULT_PARAMETERS },
  apiKeys: [[]],
  modules: [],
}
const keyOf = (i: number): string => `sensor/${String(i).padStart(9, '0')}`
let counter = 0

// Signatures are checked on the way into the pool and not by the executor, so these need none: 65 zero bytes.
function put(i: number, validUntil: number): SignedTransaction {
  const nonce = new Uint8Array(16)
  new DataView(nonce.buffer).setUint32(0, ++counter)
  const body = encodeCbor(['kv.put', [keyOf(i), crypto.getRandomValues(new Uint8Array(64))], nonce, validUntil])
  return { transaction: decodeTransaction(encodeCbor([body, new Uint8Array(65)])), signer }
}

// For filling only: what the executor and the store look at, without the cost of encoding and hashing a transaction.
function cheapPut(i: number, validUntil: number): SignedTransaction {
  const nonce = new Uint8Array(16)
  new DataView(nonce.buffer).setUint32(0, ++counter)
  const noise = crypto.getRandomValues(new Uint8Array(32 + 64 + 180))
  const transaction = {
    id: noise.slice(0, 32),
    bytes: noise.slice(96),
    body: noise.subarray(0, 0),
    signature: noise.subarray(0, 0),
    kind: 'kv.put',
    payload: [keyOf(i), noise.slice(32, 96)],
    nonce,
    validUntil,
  }
  return { transaction, signer }
}

async function grow(executor: Executor, transactions: readonly SignedTransaction[], time: number): Promise<void> {
  const built = executor.build(executor.head.hash, transactions, time)
  if (typeof built === 'string' || built.refused.length > 0) throw new Error('the block was not built')
  const { header, hash } = built.sealed
  const statement = { era: header.era, view: 0, seq: 0, height: header.height, hash }
  await executor.commit(
    hash,
    encodeAs(certificateCodec, { kind: 'commit', statement, signatures: [new Uint8Array(65)] }),
  )
}

async function measure(keys: number, folder: string): Promise<BkvsFigures> {
  const options = { chainId: chainIdOf(genesis), directory: folder, freeBytesMin: 0 }
  const path = join(folder, `bkvs-${keys}`)
  const store = await openLevel(path, { mode: 'createOrOpen' })
  await initializeLedger(store, genesis)
  const began = performance.now()
  let time = genesis.createdAt
  {
    const executor = await Executor.open(genesis, openLedger(store, options), { speculationsMax: 4 })
    for (let i = 0; i < keys; i += FILL_BLOCK) {
      // An hour a block, so that the nonces of the filling are forgotten as they would be over time.
      time += 3_600_000
      const count = Math.min(FILL_BLOCK, keys - i)
      await grow(
        executor,
        Array.from({ length: count }, (_, j) => cheapPut(i + j, time + 60_000)),
        time,
      )
    }
  }
  await store.close()
  const fillS = (performance.now() - began) / 1000

  // Opened anew, as after a restart: nothing is in memory but what a node keeps there.
  const again = await openLevel(path, { mode: 'open' })
  // The work that filling in a minute leaves behind, which a network that fills over days has done on the way.
  await again.compact(new Uint8Array(1), new Uint8Array(64).fill(0xff))
  const ledger = openLedger(again, options)
  const executor = await Executor.open(genesis, ledger, { speculationsMax: 4 })
  const reads: number[] = []
  const read = (): void => {
    const entry = executor.reads.state(kvStateKey(address, keyOf(Math.floor(Math.random() * keys))))
    if (entry === undefined) throw new Error('a key is missing')
  }
  for (let i = 0; i < READS / 4; i++) read()
  for (let i = 0; i < READS; i++) {
    const at = performance.now()
    read()
    reads.push((performance.now() - at) * 1000)
  }
  const blocks: number[] = []
  for (let i = 0; i < BLOCKS + 5; i++) {
    time += 1000
    const transactions = Array.from({ length: BLOCK_TRANSACTIONS }, () =>
      put(Math.floor(Math.random() * keys), time + 60_000),
    )
    const at = performance.now()
    await grow(executor, transactions, time)
    // The first ones warm the code up.
    if (i >= 5) blocks.push(performance.now() - at)
  }
  const residentMiB = process.memoryUsage.rss() / 2 ** 20
  await ledger.close()
  return {
    keys,
    readP50: percentile(reads, 0.5),
    readP99: percentile(reads, 0.99),
    blockP50: percentile(blocks, 0.5),
    blockP90: percentile(blocks, 0.9),
    residentMiB,
    fillS,
  }
}

if (import.meta.main) {
  const [keys, folder] = process.argv.slice(2)
  console.log(JSON.stringify(await measure(Number(keys), folder ?? '')))
}
