/**
 * The wiring of a member's daemon: the one place that builds things (house.md). In order of the river: keys, store, ledger, pool, intake,
 * network, consensus, blocks.
 * Invariants: nothing listens before the signing record and the ledger are open and whole; `stop` ends in bounded time; what is fatal ends
 * in `fatal`, once.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHex, ZERO_HASH } from '../protocol/bytes.ts'
import { certificateCodec } from '../protocol/certificate.ts'
import { decodeAs } from '../protocol/codec.ts'
import type { Evidence } from '../protocol/consensus/events.ts'
import { decodeRecord } from '../protocol/consensus/record.ts'
import type { State } from '../protocol/consensus/state.ts'
import { type Beginning, initialState } from '../protocol/consensus/step.ts'
import type { Block, Era } from '../protocol/consensus/types.ts'
import { createSigner, createVerifier, type Verifier } from '../protocol/consensus/verify.ts'
import { publicKeyOf } from '../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { readDevice } from '../protocol/kinds/device/record.ts'
import { memberIndex, quorumSizes } from '../protocol/members.ts'
import { addressOf } from '../protocol/signature.ts'
import { systemClock } from './clock.ts'
import { blockOf, Driver } from './consensus/driver.ts'
import { installNativePrimitives } from './crypto/native.ts'
import { SignaturePool } from './crypto/pool.ts'
import { AlthingError } from './errors.ts'
import { type CommittedBlock, Executor } from './executor/executor.ts'
import { initializeLedger } from './executor/genesisState.ts'
import { Intake } from './intake/intake.ts'
import { createNetwork } from './network/host.ts'
import type { MemberAddresses, Network, NetworkLog } from './network/network.ts'
import { Pool } from './pool/pool.ts'
import { type LedgerStore, openLedger } from './store/ledgerStore.ts'
import { createDirectory, openLevel } from './store/level.ts'
import { type DirectoryLock, lockDirectory } from './store/lock.ts'
import { createSigningRecord, openSigningRecord, type SigningRecord, signingDirectory } from './store/signingRecord.ts'
import { Blocks, BUILD_BOUNDS } from './sync/blocks.ts'
import { serveBlocks } from './sync/serve.ts'

/** The logger that the parts of a node use; pino fits. */
export type NodeLog = NetworkLog & { error(fields: object, message: string): void }

/** What a member's daemon is made of. */
export type MemberOptions = {
  readonly genesis: Genesis
  readonly dataDirectory: string
  /** 32-byte secret of the member. */
  readonly secretKey: Uint8Array
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly addresses: readonly MemberAddresses[]
  readonly pool: { readonly bytesMax: number; readonly countMax: number }
  readonly diskFreeBytesMin: number
  /** Start without a signing record (agreement.md §6). */
  readonly recover: boolean
  readonly log: NodeLog
  /** Called once, when the node cannot go on. */
  readonly fatal: (error: unknown) => void
}

const ledgerDirectory = (dataDirectory: string): string => join(dataDirectory, 'ledger')

/**
 * Creates the data directory of a member that has never run: an empty ledger at height 0 and an empty signing record. Throws AlthingError
 * STORE_EXISTS, SIGNING_RECORD_EXISTS or STORE_WRITE_FAILED.
 */
export async function createDataDirectory(dataDirectory: string, genesis: Genesis): Promise<void> {
  installNativePrimitives()
  await createDirectory(dataDirectory)
  const store = await openLevel(ledgerDirectory(dataDirectory), { mode: 'createOrOpen' })
  try {
    await initializeLedger(store, genesis)
  } finally {
    await store.close()
  }
  await createSigningRecord(signingDirectory(dataDirectory), new Uint8Array(0))
}

type Parts = {
  readonly lock: DirectoryLock
  readonly record: SigningRecord
  readonly ledger: LedgerStore
  readonly signatures: SignaturePool
  readonly blocks: Blocks
}

/** A running member. */
export class MemberNode {
  readonly genesis: Genesis
  readonly executor: Executor
  readonly pool: Pool
  readonly intake: Intake
  readonly network: Network
  readonly driver: Driver
  readonly me: number
  readonly startedAt: number
  readonly #parts: Parts
  readonly #listeners = new Set<(blocks: readonly CommittedBlock[]) => void>()
  readonly evidence: Evidence[] = []
  #stopping: Promise<void> | undefined

  private constructor(
    fields: Pick<MemberNode, 'genesis' | 'executor' | 'pool' | 'intake' | 'network' | 'driver' | 'me'>,
    parts: Parts,
  ) {
    this.genesis = fields.genesis
    this.executor = fields.executor
    this.pool = fields.pool
    this.intake = fields.intake
    this.network = fields.network
    this.driver = fields.driver
    this.me = fields.me
    this.#parts = parts
    this.startedAt = systemClock.now()
  }

  /** Opens everything, in the order of the river, and starts. Throws AlthingError of whichever part cannot start. */
  static async start(options: MemberOptions): Promise<MemberNode> {
    installNativePrimitives()
    const { genesis, log } = options
    const chainId = chainIdOf(genesis)
    const publicKey = toHex(publicKeyOf(options.secretKey))
    const index = memberIndex(genesis.memberSet)
    const me = index.get(publicKey)
    if (me === undefined)
      throw new AlthingError(
        'NOT_A_MEMBER',
        `the key ${publicKey} of this node is not among the members of the genesis`,
        { exitCode: 78 },
      )
    const lock = await lockDirectory(options.dataDirectory)
    const record = await openSigningRecord(signingDirectory(options.dataDirectory))
    const store = await openLevel(ledgerDirectory(options.dataDirectory), { mode: 'open' })
    const ledger = openLedger(store, {
      chainId,
      directory: options.dataDirectory,
      freeBytesMin: options.diskFreeBytesMin,
    })
    const executor = await Executor.open(genesis, ledger, { speculationsMax: 64 })
    const clock = systemClock
    const { memberSet } = genesis
    const { parameters } = memberSet
    const state = { get: (key: string) => executor.reads.state(key)?.value }
    const pool = new Pool(
      {
        ...options.pool,
        spanMs: Math.max(1, Math.floor(parameters.inclusionTimeoutMs / 4)),
        committedMax: 100_000,
        listenersMax: 10_000,
        blockTime: executor.head.time,
      },
      () => clock.monotonic(),
    )
    const signatures = new SignaturePool({ size: 1 })
    const keys = memberSet.members.map((member) => toHex(member.publicKey))
    const network = await createNetwork(
      {
        secretKey: options.secretKey,
        chainId,
        role: 'member',
        listen: options.listen,
        announce: options.announce,
        members: options.addresses.filter((address) => address.publicKey !== publicKey),
      },
      {
        log,
        roleOf(key) {
          if (index.has(key)) return 'member'
          const device = readDevice(state, toHex(addressOf(fromKey(key))))
          return device === undefined || device.status === 'retired' ? null : 'device'
        },
      },
    )
    const intake = new Intake(
      { chainId, pieceBytesMax: 48 * 1024, gatherMs: 4 },
      {
        clock,
        pool,
        recover: (items) => signatures.recover(items),
        surroundings: () => executor.surroundings(clock.now()),
        publish: (piece) => network.publish('transactions', piece),
        arrived: () => blocks.arrived(),
      },
    )
    const era: Era = {
      era: 0,
      ...quorumSizes(keys.length, parameters.percent),
      me,
      ...parameters,
      first: { hash: toHex(chainId), parent: toHex(ZERO_HASH), height: 0, endsEra: false },
    }
    const verifier = createVerifier({ chainId, memberSet, era: 0, cacheMax: 4096 })
    const blocks = new Blocks(
      { era: 0, members: keys, me, heartbeatMs: parameters.heartbeatMs, ...BUILD_BOUNDS },
      {
        clock,
        executor,
        pool,
        intake,
        network,
        verifier,
        log,
        committed: (committed) => node.#committed(committed),
        evidence: (evidence) => node.#remember(evidence),
      },
    )
    const initial = stateAtStart(
      era,
      createSigner(chainId, options.secretKey),
      record.read(),
      executor,
      verifier,
      options.recover,
    )
    const driver = new Driver(initial, {
      clock,
      verifier,
      record,
      blocks,
      log,
      links: {
        send: (to, frame) => void network.send(keys[to] as string, frame),
        push: (to, frame) => void network.push(keys[to] as string, frame),
      },
      fatal: options.fatal,
    })
    const node = new MemberNode(
      { genesis, executor, pool, intake, network, driver, me },
      { lock, record, ledger, signatures, blocks },
    )
    network.onMessage((peer, data) => {
      const from = index.get(peer)
      if (from === undefined) return
      const code = driver.receive(from, data)
      if (code !== null) log.warn({ peer, code }, 'a consensus message was refused')
    })
    network.onPush((peer, data) => {
      const from = index.get(peer)
      if (from !== undefined) driver.receive(from, data)
    })
    network.onLink((peer, up, run) => {
      const from = index.get(peer)
      if (from !== undefined) driver.link(from, up && run !== undefined ? toHex(run) : null)
    })
    network.onGossip(async (topic, data) => {
      if (topic !== 'transactions') return 'ignore'
      const codes = await intake.receive(data)
      return codes === 'malformed' || codes.some((code) => code === 'TX_MALFORMED' || code === 'TX_SIGNATURE')
        ? 'reject'
        : 'accept'
    })
    serveBlocks({
      network,
      executor,
      pool,
      proposalFrame: (slot) => driver.proposalFrame(slot),
      proposedHeader: (hash) => driver.proposedHeader(hash),
    })
    await network.start()
    driver.start()
    return node
  }

  /** Calls `listener` after each commit, in order. */
  onCommitted(listener: (blocks: readonly CommittedBlock[]) => void): void {
    this.#listeners.add(listener)
  }

  #committed(blocks: readonly CommittedBlock[]): void {
    for (const listener of this.#listeners) listener(blocks)
  }

  #remember(evidence: Evidence): void {
    this.evidence.push(evidence)
    if (this.evidence.length > 256) this.evidence.shift()
  }

  /** Stops taking in, signs nothing more, closes everything. Bounded by the network's own 3 s and the store's last batch. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { lock, record, ledger, signatures, blocks } = this.#parts
    this.intake.stop()
    this.driver.stop()
    blocks.stop()
    await this.network.stop()
    await signatures.close()
    await record.close()
    await ledger.close()
    await lock.release()
  }
}

/** §6: an empty record is a member that has never signed; a member without one starts with `recover`. */
function stateAtStart(
  era: Era,
  signer: ReturnType<typeof createSigner>,
  recorded: Uint8Array,
  executor: Executor,
  verifier: Verifier,
  recover: boolean,
): State {
  const beginning: Beginning = recover
    ? { kind: 'recover' }
    : recorded.length === 0
      ? { kind: 'fresh' }
      : { kind: 'restart', record: decodeRecord(recorded) }
  const known: Block[] = []
  for (let height = Math.max(1, executor.head.height - 128); height <= executor.head.height; height++) {
    const sealed = executor.reads.headerAt(height)
    if (sealed !== undefined) known.push(blockOf(sealed))
  }
  const head = certificateAt(executor, executor.head.height)
  const verified = head === undefined ? undefined : verifier.certificate(head)
  return initialState(era, signer, beginning, {
    blocks: known,
    certificate: verified?.ok === true ? verified.certificate : null,
  })
}

const fromKey = (key: string): Uint8Array => Uint8Array.from(Buffer.from(key, 'hex'))

/** The encoded certificate of a committed block, decoded; undefined where it has none. */
export function certificateAt(
  executor: Executor,
  height: number,
): ReturnType<typeof certificateCodec.from> | undefined {
  const encoded = executor.reads.certificate(height)
  return encoded === undefined ? undefined : decodeAs(certificateCodec, encoded)
}

/** Version of this program. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version
