/**
 * The part of the bench with real processes: four members, saturated with transactions signed beforehand, then at a tenth of that.
 * Invariants: everything goes through the public API; what counts is what is committed; at the end every id is looked for on every member.
 */
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { readText } from '../../cli/files.ts'
import { GENESIS_CHARACTERS_MAX, parseGenesis } from '../../config/genesisFile.ts'
import { readKeyFile } from '../../node/crypto/keys.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { homeIn } from '../../testnet/homes.ts'
import { handIn, LOAD_TRANSACTION_BYTES } from '../../testnet/load.ts'
import { type Testnet, until } from '../../testnet/testnet.ts'
import { cpuMicroseconds, type Memory, memoryOf, percentile } from './machine.ts'
import type { SignedBatch, SignOrder } from './signWorker.ts'

/** Signers of the load. */
export const SIGNERS = 200
/** Keys that each signer writes, over and over: the state holds SIGNERS times as many entries. */
export const KEYS_PER_SIGNER = 50
/** Transactions of one request. */
export const BATCH = 200
/** Accepted and not yet committed, at most: a bit over a second of the network's work. */
const OUTSTANDING_MAX = 6000
const REQUESTS_PER_MEMBER = 2
/** Pause before a list that was refused is handed in again, ms. The nodes advise a second; an impatient client costs them more than its list. */
const REFUSED_PAUSE_MS = 200
const POLL_MS = 200
/** Bytes on the wire are asked for each so many polls. */
const SAMPLES_PER_SCRAPE = 5
const COMMIT_MS = 60_000

/** Chain id of the testnet. */
export async function chainIdOfTestnet(folder: string, member: string): Promise<Uint8Array> {
  const genesis = parseGenesis(await readText(homeIn(folder, member).genesisFile, GENESIS_CHARACTERS_MAX))
  if (!genesis.ok) throw new Error('the genesis is not valid')
  return chainIdOf(genesis.value)
}

/** Makes `SIGNERS` keys and has the members authorise them (`key.authorize`), as many each. Their secrets, once all are committed. */
export async function authoriseSigners(testnet: Testnet, chainId: Uint8Array): Promise<Uint8Array[]> {
  const secrets = Array.from({ length: SIGNERS }, () => Uint8Array.from(randomBytes(32)))
  const authorize = KINDS.get('key.authorize')
  if (authorize === undefined) throw new Error('there is no key.authorize')
  const { members, places } = testnet
  for (const [m, member] of members.entries()) {
    const key = await readKeyFile(homeIn(places.folder, member.place.name).nodeKeyFile)
    const list = secrets
      .filter((_, i) => i % members.length === m)
      .map((secret, i) => {
        const draft = {
          kind: 'key.authorize',
          payload: authorize.payload.to({ publicKey: publicKeyOf(secret), label: `bench ${i}` }),
          nonce: Uint8Array.from(randomBytes(16)),
          validUntil: Date.now() + 600_000,
        }
        return signTransaction(draft, chainId, key.secretKey()).bytes
      })
    const { accepted } = await handIn(await member.client.api(30_000), list)
    if (accepted.length !== list.length) throw new Error(`${member.place.name} refused to authorise keys`)
    const last = accepted.at(-1) as string
    const committed = await until(async () => {
      const known = (await member.client.get(['transactions', last])) as { status?: string } | undefined
      return known?.status === 'committed'
    }, 30_000)
    if (!committed) throw new Error('the keys of the signers were not authorised')
  }
  return secrets
}

/** Signs `count` transactions (a multiple of `BATCH`) on `threads` worker threads. */
export async function signAhead(
  chainId: Uint8Array,
  secrets: readonly Uint8Array[],
  count: number,
  threads: number,
): Promise<SignedBatch[]> {
  const batches: SignedBatch[] = []
  const runs = Array.from({ length: threads }, (_, first) => {
    const order: SignOrder = {
      chainId,
      secrets,
      first,
      step: threads,
      batches: count / BATCH,
      batchSize: BATCH,
      keysPerSigner: KEYS_PER_SIGNER,
      transactionBytes: LOAD_TRANSACTION_BYTES,
    }
    return new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL('./signWorker.ts', import.meta.url), { workerData: order })
      worker.on('message', (batch: SignedBatch | null) => {
        if (batch !== null) batches.push(batch)
      })
      worker.on('error', reject)
      worker.on('exit', () => resolve())
    })
  })
  await Promise.all(runs)
  return batches
}

/** What saturation showed. Rates per second, memory in bytes. */
export type Saturation = {
  readonly submitted: number
  readonly perSecond: number
  /** Over what `perSecond` is taken, s and transactions. */
  readonly windowS: number
  readonly windowTransactions: number
  readonly blocks: number
  readonly cpuPerTransactionAndMember: number
  /** Share of all cores that the generator used. */
  readonly generatorShare: number
  readonly sentBytesPerTransaction: number
  /** Of the member with the largest, when a fifth, two … of what was sent was committed; the number committed then. */
  readonly memory: readonly (Memory & { readonly committed: number })[]
  readonly refused: Readonly<Record<string, number>>
  /** Accepted and not committed within `COMMIT_MS` after the last one was sent, and if so, how the members are. */
  readonly uncommitted: number
  readonly still: readonly string[]
}

/** Sends `batches`, as fast as they are committed, until they are used up or `limitMs` is over; waits until all that was sent is committed. */
export async function saturate(
  testnet: Testnet,
  batches: readonly SignedBatch[],
  limitMs: number,
): Promise<Saturation> {
  const { members } = testnet
  // Asked of one member at a time: each question costs it CPU that is in the figures.
  let asked = 0
  const committedNow = async (): Promise<number> =>
    (await members[asked++ % members.length]?.client.status())?.committed ?? 0
  const first = await committedNow()
  const firstHeight = (await members[0]?.client.status())?.height ?? 0
  const pids = members.map(({ process }) => process.pid as number)
  const began = performance.now()
  const refused: Record<string, number> = {}
  const samples: { at: number; committed: number; cpu: number; own: number; sent: number }[] = []
  const memory: (Memory & { committed: number })[] = []
  let next = 0
  let accepted = 0
  let committed = 0
  let sent = 0
  const isOver = (): boolean => next >= batches.length || performance.now() - began > limitMs

  const submitter = async (m: number): Promise<void> => {
    const api = await (members[m] as Testnet['members'][number]).client.api(30_000)
    while (!isOver()) {
      if (accepted - committed > OUTSTANDING_MAX) {
        await new Promise((done) => setTimeout(done, 5))
        continue
      }
      const batch = batches[next++] as SignedBatch
      accepted += BATCH
      // What a full pool refuses is handed in again as a whole: the same bytes are accepted again.
      for (let whole = false; !whole; ) {
        const answer = (await api.json({
          method: 'POST',
          segments: ['transactions'],
          body: { bytes: batch.body, type: 'application/cbor' },
        })) as { refused: number; items: readonly { code?: string }[] }
        whole = answer.refused === 0
        if (!whole) {
          for (const { code } of answer.items) if (code !== undefined) refused[code] = (refused[code] ?? 0) + 1
          await new Promise((done) => setTimeout(done, REFUSED_PAUSE_MS))
        }
      }
    }
  }
  const sample = async (): Promise<void> => {
    committed = Math.max(committed, (await committedNow()) - first)
    if (samples.length % SAMPLES_PER_SCRAPE === 0) sent = await sentBytes(testnet)
    const own = process.cpuUsage()
    samples.push({
      at: performance.now(),
      committed,
      cpu: pids.reduce((sum, pid) => sum + cpuMicroseconds(pid), 0),
      own: own.user + own.system,
      sent,
    })
    const [largest] = pids.map(memoryOf).sort((a, b) => b.resident - a.resident)
    memory.push({ ...(largest as Memory), committed })
  }
  await sample()
  let done = false
  const polling = (async () => {
    while (!done) {
      await new Promise((pause) => setTimeout(pause, POLL_MS))
      await sample()
    }
  })()
  await Promise.all(members.flatMap((_, m) => Array.from({ length: REQUESTS_PER_MEMBER }, () => submitter(m))))
  const all = await until(() => committed >= accepted, COMMIT_MS)
  done = true
  await polling
  const still = all
    ? []
    : await Promise.all(
        members.map(async ({ place, client }) => {
          const status = await client.status()
          const why = status?.standstill?.sentence ?? 'moving'
          return `${place.name}: height ${status?.height}, view ${status?.view}, pool ${status?.pool}, ${why}`
        }),
      )
  // Beginning and end are left out: there the network is not full.
  const from = samples.find((one) => one.committed >= accepted * 0.1) ?? samples[0]
  const to = samples.find((one) => one.committed >= accepted * 0.95) ?? samples.at(-1)
  if (from === undefined || to === undefined) throw new Error('nothing was sampled')
  const transactions = to.committed - from.committed
  const seconds = (to.at - from.at) / 1000
  return {
    submitted: accepted,
    perSecond: transactions / seconds,
    windowS: seconds,
    windowTransactions: transactions,
    blocks: ((await members[0]?.client.status())?.height ?? 0) - firstHeight,
    cpuPerTransactionAndMember: (to.cpu - from.cpu) / members.length / transactions,
    generatorShare: (to.own - from.own) / 1e6 / seconds,
    sentBytesPerTransaction: (to.sent - from.sent) / transactions,
    memory: [0.2, 0.4, 0.6, 0.8, 1].map(
      (share) => (memory.find((one) => one.committed >= share * accepted) ?? memory.at(-1)) as (typeof memory)[number],
    ),
    refused,
    uncommitted: accepted - committed,
    still,
  }
}

// What the members have sent to each other up to now, all together, from their metrics.
async function sentBytes({ places }: Testnet): Promise<number> {
  const texts = await Promise.all(
    places.members.map(async ({ metricsPort }) => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()),
  )
  return texts.reduce(
    (sum, text) => sum + Number(/^althing_network_sent_bytes_total ([0-9.e+]+)/m.exec(text)?.[1] ?? 0),
    0,
  )
}

/** How long a client waits for `?wait=committed`, ms. */
export type Latency = {
  readonly p50: number
  readonly p99: number
  readonly samples: number
  readonly perSecond: number
}

/** Sends at a steady rate for `forMs`; `SAMPLED_PER_SECOND` of the transactions are waited for one by one. */
export async function measureLatency(
  testnet: Testnet,
  chainId: Uint8Array,
  secrets: readonly Uint8Array[],
  perSecond: number,
  forMs: number,
): Promise<Latency> {
  const { loadTransaction } = await import('../../testnet/load.ts')
  const apis = await Promise.all(testnet.members.map(({ client }) => client.api(30_000)))
  const make = (i: number): Uint8Array =>
    loadTransaction(
      { key: `latency/${String(i % 1000).padStart(6, '0')}`, validForMs: 600_000 },
      chainId,
      secrets[i % secrets.length] as Uint8Array,
    ).bytes
  const latencies: number[] = []
  const pending = new Set<Promise<unknown>>()
  // What is refused, as by a machine that is too busy, is missing from the samples and ends nothing.
  const track = (promise: Promise<unknown>): void => {
    pending.add(promise)
    const over = (): boolean => pending.delete(promise)
    promise.then(over, over)
  }
  const sampledShare = Math.min(1, SAMPLED_PER_SECOND / perSecond)
  const began = performance.now()
  let sent = 0
  let sampled = 0
  for (;;) {
    const elapsed = performance.now() - began
    if (elapsed > forMs) break
    const due = Math.floor((elapsed / 1000) * perSecond)
    const bulk: Uint8Array[] = []
    while (sent < due) {
      const bytes = make(sent++)
      if (sampled < sent * sampledShare) {
        const api = apis[sampled++ % apis.length]
        const at = performance.now()
        track(
          (api as NonNullable<typeof api>)
            .send({
              method: 'POST',
              segments: ['transactions'],
              query: { wait: 'committed' },
              body: { bytes, type: 'application/cbor' },
            })
            .then(({ status }) => {
              if (status === 200) latencies.push(performance.now() - at)
            }),
        )
      } else bulk.push(bytes)
    }
    if (bulk.length > 0) track(handIn(apis[sent % apis.length] as NonNullable<(typeof apis)[number]>, bulk))
    await new Promise((pause) => setTimeout(pause, 10))
  }
  await Promise.allSettled(pending)
  return {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    samples: latencies.length,
    perSecond: sent / (forMs / 1000),
  }
}
const SAMPLED_PER_SECOND = 40

/** Looks for every id of `batches` in the blocks of every member. How many are missing, by member, and whether all have one chain. */
export async function checkEverywhere(
  testnet: Testnet,
  batches: readonly SignedBatch[],
): Promise<{ missing: Readonly<Record<string, number>>; sameChain: boolean; height: number }> {
  const index = new Map<string, number>()
  for (const { ids } of batches)
    for (let at = 0; at < ids.length; at += 32)
      index.set(Buffer.from(ids.subarray(at, at + 32)).toString('hex'), index.size)
  const heads = await Promise.all(testnet.members.map(({ client }) => client.header('head')))
  const height = Math.min(...heads.map((head) => head?.height ?? 0))
  const hashes = new Set(
    await Promise.all(testnet.members.map(async ({ client }) => (await client.header(height))?.hash ?? client.name)),
  )
  const missing: Record<string, number> = {}
  for (const { place, client } of testnet.members) {
    const found = new Uint8Array(index.size)
    let count = 0
    for (let at = 1; at <= height; at += 16) {
      const heights = Array.from({ length: Math.min(16, height - at + 1) }, (_, i) => at + i)
      for (const ids of await Promise.all(heights.map((one) => client.transactionIds(one))))
        for (const id of ids) {
          const i = index.get(id)
          if (i === undefined || found[i] === 1) continue
          found[i] = 1
          count += 1
        }
    }
    missing[place.name] = index.size - count
  }
  return { missing, sameChain: hashes.size === 1, height }
}
