/**
 * `npm run bench:growth [-- keys]`: what pruning frees, what a snapshot of a large state costs and how long joining by it takes, what a backup
 * costs. In one process, without a network between: what is measured is the work and the memory.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { backupOf } from '../../node/backup/format.ts'
import { verifyBackup, writeBackup } from '../../node/backup/main.ts'
import { systemClock } from '../../node/clock.ts'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { encodeBody } from '../../node/executor/body.ts'
import { readBody } from '../../node/executor/bodyContents.ts'
import { Executor } from '../../node/executor/executor.ts'
import { genesisChanges, initializeLedger } from '../../node/executor/genesisState.ts'
import { stateChangesOf } from '../../node/executor/speculation.ts'
import { SnapshotLibrary } from '../../node/snapshot/library.ts'
import { systemDisk } from '../../node/store/disk.ts'
import { type LedgerStore, openLedger } from '../../node/store/ledgerStore.ts'
import { openLevel } from '../../node/store/level.ts'
import { Pruner } from '../../node/store/pruner.ts'
import { type SealedHeader, sealHeader } from '../../protocol/block.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { appendBlock, EMPTY_FRONTIER, frontierRoot } from '../../protocol/history.ts'
import { encodeActiveModules } from '../../protocol/kinds/module/record.ts'
import { memberSetHash } from '../../protocol/members.ts'
import { treeRoots, treesRoot } from '../../protocol/merkle.ts'
import { EMPTY_STATE, StateTree } from '../../protocol/state/tree.ts'

import { CHAIN_ID, certify, GENESIS, put } from '../node/executor/world.ts'
import { Between, joinerOf, serveAs } from '../node/snapshot/world.ts'
import { machineFacts, memoryOf } from './machine.ts'
import { type Figure, figureLines } from './report.ts'

installNativePrimitives()
const KEYS = Number(process.argv[2] ?? 1_000_000)
const BLOCKS = 100
const OLD_BLOCKS = 1000
const HOUR = 3_600_000
const folder = await mkdtemp(join(tmpdir(), 'althing-growth-'))
const mebibytes = (bytes: number): number => bytes / 2 ** 20
const duMebibytes = (place: string): number =>
  mebibytes(Number(execFileSync('du', ['-sb', place], { encoding: 'utf8' }).split('\t')[0]))
const figures: Figure[] = []
const show = (name: string, value: number, unit: string): void => void figures.push({ name, value, unit })
const step = (text: string): void => console.error(`bench: ${text}`)

/** Runs `work` and says how long it took, how much memory there was at most, and how late the event loop was at most. */
async function measured<T>(name: string, work: () => Promise<T>): Promise<T> {
  const loop = monitorEventLoopDelay({ resolution: 5 })
  loop.enable()
  let most = memoryOf(process.pid).resident
  const before = most
  const watch = setInterval(() => {
    most = Math.max(most, memoryOf(process.pid).resident)
  }, 100)
  const beganAt = performance.now()
  const result = await work()
  show(`${name}: time`, (performance.now() - beganAt) / 1000, 's')
  show(`${name}: memory more than before, at most`, mebibytes(most - before), 'MiB')
  show(`${name}: event loop late, p99`, Math.max(0, loop.percentile(99) / 1e6 - 5), 'ms')
  show(`${name}: event loop late, at most`, Math.max(0, loop.max / 1e6 - 5), 'ms')
  clearInterval(watch)
  loop.disable()
  return result
}

/** Blocks with `keys` new entries of the state each and `transactions` in their bodies; their roots are true, nothing in them was executed. */
class Maker {
  readonly #ledger: LedgerStore
  readonly #tree = new StateTree()
  #root = EMPTY_STATE
  #frontier = appendBlock(EMPTY_FRONTIER, CHAIN_ID).frontier
  #parent = CHAIN_ID
  #height = 0
  #key = 0

  constructor(ledger: LedgerStore) {
    this.#ledger = ledger
    this.#root = this.#tree.update(EMPTY_STATE, genesisChanges(GENESIS).leafChanges).root
  }

  async block(time: number, keys: number, transactions: readonly Uint8Array[] = []): Promise<SealedHeader> {
    const height = ++this.#height
    const values = new Map<string, Uint8Array>()
    for (let i = 0; i < keys; i++) values.set(`kv/bench/${this.#key++}`, crypto.getRandomValues(new Uint8Array(64)))
    const changes = stateChangesOf(values, height)
    const update = this.#tree.update(this.#root, changes.leafChanges)
    this.#tree.release(update.replaced)
    this.#root = update.root
    const body = encodeBody(transactions)
    const { transactionIds, deviceEvents } = readBody(body)
    const header = sealHeader({
      version: 1,
      chainId: CHAIN_ID,
      era: 0,
      height,
      parent: this.#parent,
      time,
      treesRoot: treesRoot(transactionIds),
      transactionCount: transactionIds.length,
      stateRoot: this.#tree.rootHash(this.#root),
      historyRoot: frontierRoot(this.#frontier),
      memberSetHash: memberSetHash(GENESIS.memberSet),
      nextMemberSetHash: null,
      modulesHash: sha3(encodeActiveModules([])),
    })
    const { frontier, nodes } = appendBlock(this.#frontier, header.hash)
    this.#frontier = frontier
    this.#parent = header.hash
    await this.#ledger.commitBlock({
      ...changes,
      header,
      body,
      certificate: certify(header),
      committedBy: header.header.height,
      transactionIds,
      treeRoots: treeRoots(transactionIds),
      deviceEvents,
      replayRecords: new Uint8Array(0),
      historyNodes: nodes,
      memberSets: [],
    })
    return header
  }
}

async function newLedger(name: string): Promise<{ ledger: LedgerStore; maker: Maker; place: string }> {
  const place = join(folder, name)
  const store = await openLevel(place, { mode: 'create' })
  await initializeLedger(store, GENESIS)
  const ledger = openLedger(store, { chainId: CHAIN_ID })
  return { ledger, maker: new Maker(ledger), place }
}

async function pruning(): Promise<void> {
  const { ledger, maker, place } = await newLedger('pruned')
  step(`${OLD_BLOCKS} blocks of 200 transactions`)
  for (let i = 0; i < OLD_BLOCKS; i++) {
    const transactions = Array.from({ length: 200 }, (_, k) => put(`key/${i}/${k}`, k & 255).transaction.bytes)
    await maker.block(i * 1000, 0, transactions)
  }
  await maker.block(1000 * HOUR, 0)
  show('a body of 200 transactions', (await ledger.body(1))?.length ?? 0, 'bytes')
  show('disk of the ledger before pruning (du)', duMebibytes(place), 'MiB')
  const log = { info() {} }
  const fatal = (error: unknown): never => {
    throw error
  }
  const pruner = new Pruner(
    { blocks: 10, hours: 0 },
    { ledger, clock: systemClock, readBody, keepFrom: () => Number.POSITIVE_INFINITY, log, fatal },
  )
  await measured(`pruning ${OLD_BLOCKS} blocks`, async () => {
    pruner.committed()
    while (ledger.firstBody < OLD_BLOCKS - 9) await pause(5)
    await pruner.stop()
  })
  await ledger.compactPruned(1, ledger.firstBody)
  show('disk of the ledger after pruning (du)', duMebibytes(place), 'MiB')
  await ledger.close()
}

async function joining(): Promise<void> {
  const { ledger, maker, place } = await newLedger('source')
  step(`a state of ${KEYS} keys`)
  const between = new Between()
  for (let i = 1; i < BLOCKS; i++) await maker.block(i * 1000, Math.floor(KEYS / BLOCKS))
  const library = await SnapshotLibrary.open(join(folder, 'snapshots-a'), BLOCKS, {
    ledger,
    clock: systemClock,
    disk: systemDisk,
    eraLinks: () => [],
    hasRoom: async () => true,
    log: { info() {}, warn: (fields, message) => console.error(message, fields) },
  })
  show('disk of the ledger with that state (du)', duMebibytes(place), 'MiB')
  step('a snapshot beside a running process')
  await maker.block(BLOCKS * 1000, Math.floor(KEYS / BLOCKS))
  await measured(`making a snapshot of ${KEYS} keys`, () => library.settled())
  show('disk of the snapshot (du)', duMebibytes(join(folder, 'snapshots-a')), 'MiB')
  await library.stop()
  const executor = await Executor.open(GENESIS, ledger, { speculationsMax: 8 })
  const node = { ledger, executor, store: undefined as never }
  // Three members with the same snapshot, one of which changes every chunk that it gives.
  const libraries: SnapshotLibrary[] = []
  for (const peer of ['liar', 'b', 'c']) {
    execFileSync('cp', ['-r', join(folder, 'snapshots-a'), join(folder, `snapshots-${peer}`)])
    libraries.push(await serveAs(peer, node, between, join(folder, `snapshots-${peer}`), BLOCKS))
  }
  between.tamper = (peer, name, answer) => {
    if (peer === 'liar' && name === 'snapshot-chunk') answer[answer.length - 1] = (answer.at(-1) as number) ^ 1
    return answer
  }
  step('joining by it, one of three members lying')
  const joined = join(folder, 'joined')
  const { joiner } = joinerOf(between, async (anew) => {
    if (anew) await rm(joined, { recursive: true, force: true })
    return openLevel(joined, { mode: 'createOrOpen' })
  })
  if (!(await measured(`joining with ${KEYS} keys`, () => joiner.join()))) throw new Error('not joined')
  const chunks = between.asked.filter(({ name }) => name === 'snapshot-chunk').length
  show('chunks asked for', chunks, '')
  show('chunks refused', between.penalties.length, '')
  step('opening what was joined')
  const store = await openLevel(joined, { mode: 'open' })
  const ledgerOfJoined = openLedger(store, { chainId: CHAIN_ID })
  // Throws unless the state has the root of the header.
  const opened = await measured(`opening a ledger of ${KEYS} keys`, () =>
    Executor.open(GENESIS, ledgerOfJoined, { speculationsMax: 8 }),
  )
  show('height of the joined ledger', opened.head.height, '')
  show('disk of the joined ledger (du)', duMebibytes(joined), 'MiB')

  step('a backup, and its verification')
  const file = join(folder, 'a.backup')
  await measured('backup', () => writeBackup(backupOf(GENESIS, ledgerOfJoined.everything()), file))
  show('size of the backup', mebibytes((await stat(file)).size), 'MiB')
  await store.close()
  const report = await measured('verifying the backup', () => verifyBackup(file, join(folder, 'work')))
  show('problems found in it', report.problems.length, '')
  for (const one of libraries) await one.stop()
  await ledger.close()
}

try {
  for (const line of machineFacts()) console.log(line)
  await pruning()
  await joining()
  for (const line of figureLines(figures)) console.log(line)
} finally {
  await rm(folder, { recursive: true, force: true })
}
