/**
 * `npm run bench [-- --quick]`: what one machine makes of four members as four processes, in one run: throughput against the bound that
 * signatures set, latency, CPU, memory, bytes on the wire, and the BKVS at 10⁴ and 10⁶ keys. One table, each figure with its unit and the
 * aim beside it. Exit code 0; 2 if something was not committed everywhere; 64 for a wrong word.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { createHomes } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'
import { Testnet } from '../../testnet/testnet.ts'
import { type BkvsFigures, BLOCK_TRANSACTIONS } from './bkvs.ts'
import { cores, type Memory, machineFacts, recoverMicroseconds } from './machine.ts'
import { type Figure, figureLines } from './report.ts'
import {
  authoriseSigners,
  BATCH,
  chainIdOfTestnet,
  checkEverywhere,
  KEYS_PER_SIGNER,
  measureLatency,
  SIGNERS,
  saturate,
  signAhead,
} from './throughput.ts'

const MEMBERS = 4
/** How long saturation may take, whatever is left to send, ms. */
const SATURATION_MS = { whole: 150_000, quick: 20_000 }
const TRANSACTIONS = { whole: 500_000, quick: 40_000 }
const LATENCY_MS = { whole: 20_000, quick: 10_000 }
const KEYS = { whole: [10_000, 1_000_000], quick: [10_000, 100_000] }

async function bkvs(keys: number, folder: string): Promise<BkvsFigures> {
  const file = fileURLToPath(new URL('./bkvs.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [file, String(keys), folder])
  return JSON.parse(stdout) as BkvsFigures
}

async function bench(mode: 'whole' | 'quick'): Promise<number> {
  const step = (text: string): void => console.error(`bench: ${text}`)
  const facts = machineFacts()
  installNativePrimitives()
  step('timing one recovery')
  const recoverUs = recoverMicroseconds()
  const bound = cores() / (MEMBERS * recoverUs * 1e-6)
  const folder = await mkdtemp(join(tmpdir(), 'althing-bench-'))
  let testnet: Testnet | undefined
  try {
    const [small, large] = KEYS[mode] as [number, number]
    step(`the BKVS with ${small} keys`)
    const few = await bkvs(small, folder)
    step(`the BKVS with ${large} keys`)
    const many = await bkvs(large, folder)

    const places = await createHomes(join(folder, 'net'), { ...DEFAULT_PLAN, members: MEMBERS, rtus: 0 })
    testnet = await Testnet.prepare(places, 0, () => undefined)
    await testnet.start(step)
    const chainId = await chainIdOfTestnet(places.folder, places.members[0]?.name ?? '')
    const secrets = await authoriseSigners(testnet, chainId)
    step(`signing ${TRANSACTIONS[mode]} transactions`)
    const batches = await signAhead(chainId, secrets, TRANSACTIONS[mode], cores())
    step('saturating four members')
    const full = await saturate(testnet, batches, SATURATION_MS[mode])
    step('looking for every transaction on every member')
    const check = await checkEverywhere(testnet, batches.slice(0, full.submitted / BATCH))
    step('latency at a tenth of that')
    const latency = await measureLatency(testnet, chainId, secrets, full.perSecond / 10, LATENCY_MS[mode])

    const missing = Object.values(check.missing).reduce((sum, count) => sum + count, 0)
    const mib = (bytes: number): number => bytes / 2 ** 20
    const last = full.memory.at(-1) as Memory
    const middle = full.memory.at(2) as Memory
    const megabytes = (part: keyof Memory): string => full.memory.map((one) => Math.round(mib(one[part]))).join(', ')
    const figures: Figure[] = [
      { name: 'sustained throughput', value: full.perSecond, unit: 'tx/s', aim: '3500 on 2 cores' },
      {
        name: `signature bound: ${cores()} cores / (${MEMBERS} members × ${recoverUs.toFixed(1)} µs)`,
        value: bound,
        unit: 'tx/s',
      },
      {
        name: 'ratio of the two',
        value: full.perSecond / bound,
        unit: '',
        aim: '≥ 0.35',
        good: full.perSecond / bound >= 0.35,
      },
      {
        name: 'commit latency at 10 % load, p50',
        value: latency.p50,
        unit: 'ms',
        aim: '≤ 40',
        good: latency.p50 <= 40,
      },
      {
        name: 'commit latency at 10 % load, p99',
        value: latency.p99,
        unit: 'ms',
        aim: '≤ 200',
        good: latency.p99 <= 200,
      },
      { name: 'CPU per transaction and member', value: full.cpuPerTransactionAndMember, unit: 'µs' },
      { name: 'CPU of the load generator, of all cores', value: (100 * full.generatorShare) / cores(), unit: '%' },
      {
        name: `resident memory (RSS), largest member, after ${full.submitted} transactions`,
        value: mib(last.resident),
        unit: 'MiB',
        aim: '≤ 300 after 500000',
        good: mib(last.resident) <= 300,
      },
      {
        name: `  after ${full.memory.map(({ committed }) => committed).join(', ')}: ${megabytes('resident')} MiB`,
        value: last.resident / middle.resident,
        unit: '× from the middle one on',
        aim: 'flat',
        good: last.resident <= 1.1 * middle.resident,
      },
      { name: `  of it its own: ${megabytes('anonymous')} MiB`, value: mib(last.anonymous), unit: 'MiB' },
      {
        name: `  of it files, which the system can take back: ${megabytes('file')} MiB`,
        value: mib(last.file),
        unit: 'MiB',
      },
      {
        name: 'bytes on the wire per transaction, sent by all members together',
        value: full.sentBytesPerTransaction,
        unit: 'bytes',
      },
      { name: 'transactions per block when saturated', value: full.submitted / full.blocks, unit: '' },
      { name: `BKVS read at ${small} keys, p50`, value: few.readP50, unit: 'µs' },
      { name: `BKVS read at ${small} keys, p99`, value: few.readP99, unit: 'µs' },
      {
        name: `BKVS read at ${large} keys, p50`,
        value: many.readP50,
        unit: 'µs',
        aim: `≤ ${(1.5 * few.readP50).toFixed(1)} (1.5×)`,
        good: many.readP50 <= 1.5 * few.readP50,
      },
      { name: `BKVS read at ${large} keys, p99`, value: many.readP99, unit: 'µs' },
      {
        name: `block of ${BLOCK_TRANSACTIONS} writes at ${small} keys, built and committed, p50`,
        value: few.blockP50,
        unit: 'ms',
      },
      {
        name: `block of ${BLOCK_TRANSACTIONS} writes at ${large} keys, built and committed, p50`,
        value: many.blockP50,
        unit: 'ms',
        aim: `≤ ${(1.5 * few.blockP50).toFixed(1)} (1.5×)`,
        good: many.blockP50 <= 1.5 * few.blockP50,
      },
      {
        name: 'accepted and not committed a minute later',
        value: full.uncommitted,
        unit: 'tx',
        aim: '0',
        good: full.uncommitted === 0,
      },
      { name: 'not found on some member', value: missing, unit: 'tx', aim: '0', good: missing === 0 },
      { name: 'members with another chain', value: check.sameChain ? 0 : 1, unit: '', aim: '0', good: check.sameChain },
    ]
    console.log(
      ['', ...facts, '', ...figureLines(figures), '', ...conditions(mode, full, latency, check.height)].join('\n'),
    )
    return missing === 0 && full.uncommitted === 0 && check.sameChain ? 0 : 2
  } finally {
    await testnet?.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function conditions(
  mode: string,
  full: Awaited<ReturnType<typeof saturate>>,
  latency: Awaited<ReturnType<typeof measureLatency>>,
  height: number,
): string[] {
  const { deltaMs, heartbeatMs } = DEFAULT_PLAN
  const refused = Object.entries(full.refused).map(([code, count]) => `${code} ${count}`)
  return [
    `conditions (${mode}): ${MEMBERS} members as processes on loopback, Δ ${deltaMs} ms, heartbeat ${heartbeatMs} ms;`,
    `  kv.put of 300 bytes by ${SIGNERS} keys on ${SIGNERS * KEYS_PER_SIGNER} entries, signed beforehand, valid for an hour;`,
    `  sent as lists of ${BATCH} over HTTP to the members in turn;`,
    `  throughput over ${full.windowTransactions} transactions in ${full.windowS.toFixed(1)} s, from the first 10 % to 95 %, as committed;`,
    `  ${height} blocks compared and searched on every member;`,
    `  latency as a client of \`?wait=committed\` sees it, ${latency.samples} samples while ${latency.perSecond.toFixed(0)} tx/s arrive;`,
    `  generator, its HTTP and its polling of the members run on the same cores and are in no figure but their own;`,
    ...full.still,
    `  refused by full pools and handed in again: ${refused.length === 0 ? 'none' : refused.join(', ')}`,
  ]
}

const words = ((): { quick?: boolean | undefined } | undefined => {
  try {
    return parseArgs({ options: { quick: { type: 'boolean' } } }).values
  } catch {
    return undefined
  }
})()
if (words === undefined) {
  console.error('bench: the only option is --quick')
  process.exitCode = 64
} else process.exitCode = await bench(words.quick === true ? 'quick' : 'whole')
